package issue

import (
	"encoding/json"
	"slices"
)

// FromManifest is the fact FactFrom of what a manifest had ordered.
const FromManifest = "manifest"

// mostFormer bounds the list of former places: whoever may write a place could let it
// grow for ever.
const mostFormer = 100

// Former lists the places that earlier orders of the same service had and r has not,
// in order, as what is kept for it tells: by the orders in facts, and by what those
// knew to be former. The service's own place is none.
func (r Record) Former(kept ...map[string]string) []string {
	var former []string
	for _, facts := range kept {
		before, err := RecordOf(facts)
		if err != nil || before.Service != r.Service || before.Namespace != r.Namespace {
			continue
		}
		for _, o := range before.Outputs {
			former = append(former, o.To)
		}
		var earlier []string
		if text := facts[FactFormer]; text != "" && json.Unmarshal([]byte(text), &earlier) == nil {
			former = append(former, earlier...)
		}
	}
	slices.Sort(former)
	former = slices.DeleteFunc(slices.Compact(former), func(to string) bool {
		return to == "" || slices.ContainsFunc(r.Outputs, func(o RecordOutput) bool { return o.To == to })
	})
	return former[:min(len(former), mostFormer)]
}
