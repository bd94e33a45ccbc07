package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

var update = flag.Bool("update", false, "write docs/meshpki.schema.json anew")

var docs = filepath.Join("..", "..", "..", "docs")

func TestSchemaIsTheOneInDocs(t *testing.T) {
	name := filepath.Join(docs, "meshpki.schema.json")
	if *update {
		if err := os.WriteFile(name, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(kept) {
		t.Errorf("%s is no JSON", name)
	}
	if kept = bytes.ReplaceAll(kept, []byte("\r\n"), []byte("\n")); !bytes.Equal(kept, Schema()) {
		t.Errorf("%s is not what Schema gives: go test ./cmd/meshpki/config -update", name)
	}
}

// The schema is made from the structs' tags by one reading of them; this is another.
func TestSchemaHasTheKeysOfTheStructs(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	schemaKeys(schema, "", got)
	want := map[string]bool{}
	structKeys(reflect.TypeFor[Manifest](), "", want)
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		t.Errorf("the schema has the keys\n%s\nthe structs\n%s", strings.Join(g, " "), strings.Join(w, " "))
	}
	if len(want) < 80 {
		t.Errorf("only %d keys were found", len(want))
	}
}

func schemaKeys(schema map[string]any, at string, into map[string]bool) {
	for _, part := range []string{"items", "additionalProperties"} {
		if s, ok := schema[part].(map[string]any); ok {
			schemaKeys(s, at, into)
		}
	}
	if some, ok := schema["oneOf"].([]any); ok {
		for _, s := range some {
			schemaKeys(s.(map[string]any), at, into)
		}
	}
	if properties, ok := schema["properties"].(map[string]any); ok {
		for key, s := range properties {
			into[at+"."+key] = true
			schemaKeys(s.(map[string]any), at+"."+key, into)
		}
	}
}

func structKeys(t reflect.Type, at string, into map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		structKeys(t.Elem(), at, into)
	case reflect.Struct:
		for i := range t.NumField() {
			key := t.Field(i).Tag.Get("yaml")
			if key == "-" {
				continue
			}
			into[at+"."+key] = true
			structKeys(t.Field(i).Type, at+"."+key, into)
		}
	}
}

// Every field says what it is: a key, a meaning, a known form, and an example
// that its own form takes.
func TestTags(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var look func(reflect.Type)
	look = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			look(typ.Elem())
		case reflect.Struct:
			if seen[typ] {
				return
			}
			seen[typ] = true
			for _, f := range newShape(typ).fields {
				name := typ.Name() + "." + f.key
				form, known := forms[f.is]
				switch {
				case f.key == "" || !strings.HasSuffix(f.doc, "."):
					t.Errorf("%s has no key, or no sentence that says what it means", name)
				case f.is != "" && !known:
					t.Errorf("%s is %q, which is no form", name, f.is)
				case f.is != "" && f.like != "" && form.check(f.like) != "":
					t.Errorf("%s: the example %s: %s", name, f.like, form.check(f.like))
				case f.need && f.example() == "" && f.key != "apiVersion":
					t.Errorf("%s is needed and has no example", name)
				}
				look(typ.Field(f.index).Type)
			}
		}
	}
	look(reflect.TypeFor[Manifest]())
}

// What the reader takes, the schema takes; and what the schema can refuse, it refuses.
func TestSchemaAgreesWithTheReader(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	const head = "apiVersion: meshpki/v1\n"
	for _, body := range []string{
		"", strings.TrimPrefix(example, head),
		"backends:\n  v: {vault: {mount: pki, mode: sign-verbatim, issuer: a, address: 'unix:///run/agent', auth: {kubernetes: {role: a}}}}\n  w: {vault: {mount: pki, role: b, auth: {approle: {roleId: a, secretIdFile: b, wrapped: true}}}}\n",
		"backends:\n  a: {acme: {directory: 'https://x/dir', contact: [a@b.c], eab: {keyId: a, hmacKeyFile: b}}}\n  b: {awspca: {arn: 'arn:aws-cn:acm-pca:cn-north-1:111122223333:certificate-authority/1'}}\n  c: {kubernetes: {signerName: a.b/c}}\n  d: {local: {intermediate: x}}\n",
		"defaults: {layout: [pem, tls], keyType: rsa-3072, profile: peer, validity: 1.5h, renewAt: 1%}\n",
		"defaults: {windows: [{cron: 0 2 * * 2, for: 3h}]}\nservices:\n  - {name: a, windows: []}\n  - {name: b, windows: [{cron: '*/5 0-6 * * mon-fri', for: 7d, zone: America/New_York}, {cron: 0 0 L * *, for: 1h30m, zone: Local}]}\n",
		"services:\n  - {name: a_b, identity: kuma, dns: ['*.a.b', x_y], ip: ['fd00::5'], email: [a.b@c.d], uri: ['urn:x:y'], spiffeId: 'spiffe://a/b', commonName: 'Any Thing', hook: [a]}\n",
		"services:\n  - name: a\n    hook: [{signal: {pidFile: /run/x, signal: HUP, user: root}}, {haproxy: {socket: a, cert: b}}, {http: {url: 'http://[::1]/', timeout: 3s}}, {rollout: {kind: Deployment, name: a}}, {exec: [a], timeout: 3s, env: [A_b1], after: [x]}, {systemctl: {unit: a@b.service}}]\n    outputs: [{to: x}]\n    confirm: smtp://mail\n",
	} {
		if _, err := Parse("m", []byte(head+body)); err != nil {
			t.Errorf("the reader refuses\n%s\n%v", body, err)
		}
		if err := accepts(schema, plainYAML(t, head+body)); err != nil {
			t.Errorf("the schema refuses\n%s\n%v", body, err)
		}
	}
	for _, body := range []string{
		"dns: x\n", "trustDomain: UPPER\n", "defaults: {renewAt: 100%}\n", "defaults: {keyType: rsa-1024}\n", "services: {}\n", "services: [{}]\n", "services: [{name: A}]\n",
		"services: [{name: a, outputs: [{}]}]\n", "services: [{name: a, outputs: [{to: ''}]}]\n", "services: [{name: a, outputs: [{to: x, mode: '0644'}]}]\n", "services: [{name: a, outputs: [{to: x, layout: []}]}]\n",
		"services: [{name: a, hook: []}]\n", "services: [{name: a, hook: x}]\n", "services: [{name: a, hook: [{}]}]\n", "services: [{name: a, hook: [{exec: [a], http: {url: 'http://a'}}]}]\n", "services: [{name: a, hook: [{timeout: 3s}]}]\n", "services: [{name: a, hook: [{exec: [a], env: ['1']}]}]\n", "services: [{name: a, confirm: {answers: 1}}]\n",
		"defaults: {windows: [{cron: 0 2 * *, for: 3h}]}\n", "defaults: {windows: [{for: 3h}]}\n", "defaults: {windows: [{cron: 0 2 * * 2}]}\n", "defaults: {windows: [{cron: 0 2 * * 2, for: 3h, zone: a b}]}\n",
		"backends: {a: {}}\n", "backends: {a: {vault: {mount: pki, role: x, auth: {token: hunter2}}}}\n", "backends: {'a b': {local: {intermediate: x}}}\n",
	} {
		if _, err := Parse("m", []byte(head+body)); err == nil {
			t.Errorf("the reader takes\n%s", body)
		}
		if accepts(schema, plainYAML(t, head+body)) == nil {
			t.Errorf("the schema takes\n%s", body)
		}
	}
}

// accepts holds a value against the parts of JSON schema that Schema uses.
func accepts(schema map[string]any, v any) error {
	if some, ok := schema["oneOf"].([]any); ok {
		good := 0
		for _, s := range some {
			if accepts(s.(map[string]any), v) == nil {
				good++
			}
		}
		if good != 1 {
			return fmt.Errorf("%v fits %d of %d", v, good, len(some))
		}
		return nil
	}
	switch v := v.(type) {
	case string:
		return acceptsText(schema, v)
	case []any:
		least, _ := schema["minItems"].(float64)
		if schema["type"] != "array" || len(v) < int(least) {
			return fmt.Errorf("%v where %v is expected", v, schema["type"])
		}
		for _, item := range v {
			if err := accepts(schema["items"].(map[string]any), item); err != nil {
				return err
			}
		}
	case map[string]any:
		return acceptsObject(schema, v)
	default:
		if want := map[string]string{"float64": "integer", "bool": "boolean"}[fmt.Sprintf("%T", v)]; schema["type"] != want {
			return fmt.Errorf("%v where %v is expected", v, schema["type"])
		}
	}
	return nil
}

func acceptsText(schema map[string]any, v string) error {
	pattern, _ := schema["pattern"].(string)
	least, _ := schema["minLength"].(float64)
	words, limited := schema["enum"].([]any)
	if schema["type"] != "string" || !regexp.MustCompile(pattern).MatchString(v) || len(v) < int(least) || limited && !slices.Contains(words, any(v)) {
		return fmt.Errorf("%q does not fit %v", v, schema)
	}
	return nil
}

func acceptsObject(schema, v map[string]any) error {
	least, _ := schema["minProperties"].(float64)
	most, limited := schema["maxProperties"].(float64)
	if schema["type"] != "object" || len(v) < int(least) || limited && len(v) > int(most) {
		return fmt.Errorf("%v where %v is expected", v, schema["type"])
	}
	need, _ := schema["required"].([]any)
	for _, key := range need {
		if _, ok := v[key.(string)]; !ok {
			return fmt.Errorf("%v has no %s", v, key)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	other, _ := schema["additionalProperties"].(map[string]any)
	for key, value := range v {
		s, ok := properties[key].(map[string]any)
		if !ok {
			s = other
		}
		if s == nil {
			return fmt.Errorf("unknown key %q", key)
		}
		if names, ok := schema["propertyNames"].(map[string]any); ok && !regexp.MustCompile(names["pattern"].(string)).MatchString(key) {
			return fmt.Errorf("%q is no name", key)
		}
		if err := accepts(s, value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// plainYAML reads YAML as an editor would.
func plainYAML(t *testing.T, src string) any {
	t.Helper()
	file, err := parser.ParseBytes([]byte(src), 0)
	if err != nil {
		t.Fatal(err)
	}
	return plain(file.Docs[0].Body)
}

func plain(n ast.Node) any {
	switch n := n.(type) {
	case *ast.MappingNode:
		out := map[string]any{}
		for _, v := range n.Values {
			out[v.Key.GetToken().Value] = plain(v.Value)
		}
		return out
	case *ast.SequenceNode:
		out := []any{}
		for _, v := range n.Values {
			out = append(out, plain(v))
		}
		return out
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		return 1.0
	}
	return n.GetToken().Value
}
