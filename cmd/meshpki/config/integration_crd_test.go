//go:build integration

package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// schemaNode is a part of a CRD's schema, as far as it is looked at.
type schemaNode struct {
	Items      *schemaNode
	Properties map[string]schemaNode
}

func (n schemaNode) leaves(path string) (out []string) {
	if n.Items != nil {
		n = *n.Items
	}
	for key, sub := range n.Properties {
		out = append(out, sub.leaves(path+"."+key)...)
	}
	if len(n.Properties) == 0 {
		out = append(out, path)
	}
	return out
}

// TestFieldsAreThoseOfTheCRD: the list that TestEveryFieldOfACertificate goes by is that
// of the cert-manager whose package judges us.
func TestFieldsAreThoseOfTheCRD(t *testing.T) {
	tool := filepath.Join("..", "..", "..", "testdata", "tools", "cert-manager-pki")
	var dir string
	for _, words := range [][]string{{"mod", "download", "github.com/cert-manager/cert-manager"}, {"list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager"}} {
		c := exec.CommandContext(t.Context(), "go", words...)
		c.Dir, c.Env = tool, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		out, err := c.Output()
		if err != nil {
			t.Fatalf("go %s: %v", strings.Join(words, " "), err)
		}
		dir = strings.TrimSpace(string(out))
	}
	text, err := os.ReadFile(filepath.Join(dir, "deploy", "crds", "cert-manager.io_certificates.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schemaNode `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	want := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].leaves("spec")
	slices.Sort(want)
	if got := certManagerFields(t); !slices.Equal(got, want) || len(want) < 50 {
		t.Errorf("the list has %d fields and the CRD %d:\n%s", len(got), len(want), strings.Join(want, "\n"))
	}
}
