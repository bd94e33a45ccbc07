package layout

import (
	"fmt"

	"github.com/goccy/go-yaml"
)

// node is a YAML mapping whose keys stay in their order.
type node []entry

// entry is one key of a mapping: its value is a text, a number, a truth, a node or a
// list of these.
type entry struct {
	key   string
	value any
}

// MarshalYAML gives the mapping as the encoder knows one.
func (n node) MarshalYAML() (any, error) {
	out := yaml.MapSlice{}
	for _, e := range n {
		out = append(out, yaml.MapItem{Key: e.key, Value: e.value})
	}
	return out, nil
}

// encodeYAML writes documents, one after the other; PEM stays as it is.
func encodeYAML(documents ...node) ([]byte, error) {
	var out []byte
	for i, d := range documents {
		if i > 0 {
			out = append(out, "---\n"...)
		}
		text, err := yaml.MarshalWithOptions(d, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
		if err != nil {
			return nil, fmt.Errorf("write YAML: %w", err)
		}
		out = append(out, text...)
	}
	return out, nil
}
