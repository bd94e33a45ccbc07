package ui_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

// anyDocument is a document of any data.
type anyDocument struct{ data any }

func (anyDocument) Schema() string  { return "any" }
func (d anyDocument) Data() any     { return d.data }
func (anyDocument) Text(_ *ui.Page) {}
func plainJSON(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]any{"data": v}); err != nil {
		t.Fatal(err)
	}
	return string(ui.EscapeJSON(b.Bytes()))
}

// TestJSONIsIndentedAsEncodingJSONDoes compares with the standard library's own
// indentation, which is slower by far.
func TestJSONIsIndentedAsEncodingJSONDoes(t *testing.T) {
	reports := []inspect.Report{{Source: "a\"b\\", Findings: []inspect.Finding{}}, {Source: "\u202e\x7f\u0085 {[,:]} é", Label: "\\\""}}
	for _, data := range []any{
		nil, true, 1.5, "", "a{b}[c],:\"\\", []int{}, map[string]int{}, []any{[]any{}, map[string]any{}, []any{1, []any{2}}},
		map[string]any{"a": []string{"\x00\x1b\u009b", "\U000e0041", "x\\"}, "b{": nil}, struct{}{}, reports,
	} {
		var got bytes.Buffer
		if err := ui.JSON(&got, anyDocument{data}); err != nil {
			t.Fatal(err)
		}
		want := strings.Replace(plainJSON(t, data), "{\n", "{\n  \"schema\": \"meshpki/any/v1\",\n", 1)
		if got.String() != want {
			t.Errorf("%q is written as\n%s\nnot as\n%s", data, &got, want)
		}
	}
}

// TestJSONOfItsElements puts together what was written piece by piece.
func TestJSONOfItsElements(t *testing.T) {
	long := strings.Repeat("x", 50_000)
	for _, list := range [][]any{{}, {1}, {"a", map[string]any{"b": []any{}}, nil}, {long, long, long}} {
		var got, want bytes.Buffer
		var elements [][]byte
		for _, v := range list {
			e, err := ui.Element(v)
			if err != nil {
				t.Fatal(err)
			}
			elements = append(elements, e)
		}
		if err := ui.JSONOf(&got, anyDocument{}, elements); err != nil {
			t.Fatal(err)
		}
		if err := ui.JSON(&want, anyDocument{list}); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() {
			t.Errorf("%.100q is put together as\n%.500s\nnot as\n%.500s", list, &got, &want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("a", "b", 1)
	f.Add("\x1b[31m", "{\"\\", -1)
	f.Fuzz(func(t *testing.T, a, b string, n int) {
		data := map[string]any{a: []any{b, n, map[string]any{}}, b: []any{}}
		var got bytes.Buffer
		if err := ui.JSON(&got, anyDocument{data}); err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(plainJSON(t, data), "{\n", "{\n  \"schema\": \"meshpki/any/v1\",\n", 1); got.String() != want {
			t.Errorf("%q is written as\n%s\nnot as\n%s", data, &got, want)
		}
	})
}
