package layout

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"

	"github.com/meshpki/meshpki/issue"
)

// maxDocuments bounds the documents of one manifest.
const maxDocuments = 1000

// manifestObject is what matters of a Kubernetes object, or of a resource of Kuma's
// universal mode, that holds files.
type manifestObject struct {
	Kind string            `yaml:"kind"`
	Type string            `yaml:"type"`
	Data any               `yaml:"data"`
	Text map[string]string `yaml:"stringData"`
	Spec any               `yaml:"spec"`
}

// Unpack gives the files that stand in the Secrets and ConfigMaps of a manifest, by
// their keys, as a consumer that mounts them would see them.
func Unpack(manifest []byte) (issue.Files, error) {
	files := issue.Files{}
	dec := yaml.NewDecoder(bytes.NewReader(manifest))
	for n := 0; ; n++ {
		var o manifestObject
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil || n == maxDocuments {
			return nil, fmt.Errorf("document %d is no YAML of objects", n+1)
		}
		if err := o.unpack(files); err != nil {
			return nil, fmt.Errorf("document %d: %w", n+1, err)
		}
	}
}

// trust takes the roots out of Kuma's MeshTrust.
func (o manifestObject) trust(files issue.Files) {
	spec, _ := o.Spec.(map[string]any)
	bundles, _ := spec["caBundles"].([]any)
	for _, b := range bundles {
		bundle, _ := b.(map[string]any)
		pem, _ := bundle["pem"].(map[string]any)
		if text, ok := pem["value"].(string); ok {
			files["ca-bundle.crt"] = issue.File{Data: append(files["ca-bundle.crt"].Data, text...)}
		}
	}
}

func (o manifestObject) unpack(files issue.Files) error {
	if o.Kind == "MeshTrust" {
		o.trust(files)
		return nil
	}
	secret := o.Kind == "Secret" || o.Kind == "" && o.Type == "Secret"
	if !secret && o.Kind != "ConfigMap" {
		return nil
	}
	put := func(key string, data []byte) {
		if key == "value" { // Kuma's Secrets have this one key, whatever is in them
			key = "ca.crt"
			if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
				key = "ca.key"
			}
		}
		files[key] = issue.File{Data: data, Secret: secret}
	}
	for key, text := range o.Text {
		put(key, []byte(text))
	}
	switch data := o.Data.(type) {
	case string: // universal mode
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return errors.New("its data is no base64")
		}
		put("value", raw)
	case map[string]any:
		for key, v := range data {
			text, ok := v.(string)
			if !ok {
				continue
			}
			raw := []byte(text)
			if secret {
				var err error
				if raw, err = base64.StdEncoding.DecodeString(text); err != nil {
					return fmt.Errorf("%q is no base64", key)
				}
			}
			put(key, raw)
		}
	}
	return nil
}
