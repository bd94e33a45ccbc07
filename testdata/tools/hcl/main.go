// Command hcl reads HCL as Terraform does, from standard input, and prints its blocks as
// JSON: types and labels, and the attributes' values. What Terraform's own parser does
// not take, or names that are no identifiers, end it with what is wrong.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

type block struct {
	Type       string                     `json:"type"`
	Labels     []string                   `json:"labels"`
	Attributes map[string]json.RawMessage `json:"attributes"`
}

func main() {
	blocks, err := read(os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(blocks)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hcl:", err)
		os.Exit(1)
	}
}

func read(from io.Reader) ([]block, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, err
	}
	file, wrong := hclsyntax.ParseConfig(text, "main.tf", hcl.InitialPos)
	if wrong.HasErrors() {
		return nil, wrong
	}
	blocks := []block{}
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		out := block{b.Type, b.Labels, map[string]json.RawMessage{}}
		for _, label := range b.Labels {
			if !hclsyntax.ValidIdentifier(label) {
				return nil, fmt.Errorf("%q is no name of a resource", label)
			}
		}
		for name, a := range b.Body.Attributes {
			value, wrong := a.Expr.Value(nil)
			if wrong.HasErrors() {
				return nil, wrong
			}
			if out.Attributes[name], err = ctyjson.Marshal(value, value.Type()); err != nil {
				return nil, err
			}
		}
		blocks = append(blocks, out)
	}
	return blocks, nil
}
