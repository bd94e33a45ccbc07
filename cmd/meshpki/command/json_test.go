package command

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

// documents are all that the command line says, and whether several of what it
// tells of are possible.
var documents = []struct {
	document ui.Document
	list     bool
}{
	{ui.Initialised{}, false},
	{ui.Authorities{}, true},
	{ui.AuthorityShown{}, false},
	{ui.Bundle{}, false},
	{ui.Published{}, true},
	{ui.CARequested{}, false},
	{ui.CASigned{}, false},
	{ui.CAImported{}, false},
	{ui.CrossSigned{}, false},
	{ui.CAExported{}, false},
	{ui.CAFound{}, false},
	{ui.KeyChanged{}, false},
	{ui.Rotation{}, false},
	{ui.IntermediateRotated{}, false},
	{ui.IntermediateRetired{}, false},
	{ui.Issued{}, true},
	{ui.IssuedMany{}, true},
	{ui.RevokedMany{}, true},
	{ui.CRL{}, false},
	{ui.Log{}, true},
	{ui.LogVerified{}, false},
	{ui.LogProved{}, false},
	{ui.LogCheckpoint{}, false},
	{ui.LogKey{}, false},
	{ui.Inspection{}, true},
	{ui.Verification{}, true},
	{ui.Probe{}, true},
	{ui.NeedsRenewal{}, true},
	{ui.Renewal{}, true},
	{ui.Status{}, false},
	{ui.Plan{}, true},
	{ui.Units{}, true},
	{ui.Applied{}, true},
	{ui.Simulation{}, false},
	{ui.BackendChecked{}, true},
	{ui.BackendSuggested{}, true},
	{ui.Demo{}, false},
	{ui.Version{}, false},
}

// TestJSONEnvelope: schemas are named meshpki/<document>/v1, and data is a list
// wherever several are possible, also where there is one, or none.
func TestJSONEnvelope(t *testing.T) {
	name := regexp.MustCompile(`^meshpki/[a-z]+(-[a-z]+)*/v1$`)
	docs, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents {
		var b bytes.Buffer
		if err := ui.JSON(&b, d.document); err != nil {
			t.Fatal(err)
		}
		var envelope map[string]json.RawMessage
		var schema string
		if err := json.Unmarshal(b.Bytes(), &envelope); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(envelope["schema"], &schema); err != nil || len(envelope) != 2 {
			t.Errorf("%T: the envelope is %s", d.document, b.Bytes())
		}
		if !name.MatchString(schema) || !strings.Contains(string(docs), "`"+schema+"`") {
			t.Errorf("%T is %s, which is no schema of docs/json.md", d.document, schema)
		}
		if data := envelope["data"]; d.list != (data[0] == '[') || !d.list && data[0] != '{' {
			t.Errorf("%s: data is %.40s", schema, data)
		}
	}
}

// TestJSONFieldsAreDocumented: docs/json.md names every field that there can be.
func TestJSONFieldsAreDocumented(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{}
	for _, d := range documents {
		data := d.document.Data()
		if list, ok := data.([]any); ok {
			data = list[0] // what it is of cannot be seen from its type
		}
		fieldsOf(reflect.TypeOf(data), fields, 0)
	}
	if len(fields) < 50 {
		t.Errorf("only %d fields were found", len(fields))
	}
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		if !strings.Contains(string(docs), "`"+f+"`") {
			t.Errorf("docs/json.md does not have the field %s", f)
		}
	}
}

// fieldsOf collects the names that encoding/json gives to the fields of a type.
func fieldsOf(t reflect.Type, into map[string]bool, depth int) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() || depth > 8 {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name != "" {
			into[name] = true
		} else if !f.Anonymous {
			into[f.Name] = true
		}
		fieldsOf(f.Type, into, depth+1)
	}
}

// TestDocumentsAreAllKnown: a document that these tests do not look at has no contract.
func TestDocumentsAreAllKnown(t *testing.T) {
	var known []string
	for _, d := range documents {
		known = append(known, reflect.TypeOf(d.document).Name())
	}
	known = append(known, "Help") // said as text alone
	files, err := filepath.Glob(filepath.Join("..", "ui", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files of package ui", err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			m, ok := d.(*ast.FuncDecl)
			if !ok || m.Recv == nil || m.Name.Name != "Schema" {
				continue
			}
			found++
			if of := m.Recv.List[0].Type.(*ast.Ident).Name; !slices.Contains(known, of) {
				t.Errorf("ui.%s is a document that is not in this test's list", of)
			}
		}
	}
	if found != len(known) {
		t.Errorf("package ui has %d documents, and %d are known", found, len(known))
	}
}
