package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var fence = regexp.MustCompile("(?s)```(yaml|text)\n(.*?)```")

// The page about the manifest is read as its readers would: each example is
// good, or gives the error that stands below it.
func TestDocsAreTrue(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "manifest.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := fence.FindAllStringSubmatch(strings.ReplaceAll(string(page), "\r\n", "\n"), -1)
	good, wrong := 0, 0
	for i, b := range blocks {
		if b[1] != "yaml" {
			continue
		}
		said := ""
		_, err := Parse("meshpki.yaml", []byte(b[2]))
		if e, ok := errors.AsType[*Error](err); ok {
			said = "meshpki: error: " + e.Error() + "\n"
			if e.Hint != "" {
				said += "meshpki: hint: " + e.Hint + "\n"
			}
		}
		want := ""
		if i+1 < len(blocks) && blocks[i+1][1] == "text" {
			want = blocks[i+1][2]
			wrong++
		} else {
			good++
		}
		if said != want {
			t.Errorf("the page has\n%swith the answer\n%sit is\n%s", b[2], want, said)
		}
	}
	if good < 4 || wrong < 3 {
		t.Errorf("%d good and %d wrong examples were found", good, wrong)
	}
}

// Every key and every word that is taken stands on the page.
func TestDocsNameEveryKey(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "manifest.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	var collect func(reflect.Type)
	collect = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			collect(typ.Elem())
		case reflect.Struct:
			for _, f := range newShape(typ).fields {
				words[f.key] = true
				for _, w := range f.of {
					words[w] = true
				}
				collect(typ.Field(f.index).Type)
			}
		}
	}
	collect(reflect.TypeFor[Manifest]())
	for _, w := range slices.Sorted(maps.Keys(words)) {
		if !strings.Contains(string(page), "`"+w+"`") {
			t.Errorf("docs/manifest.md does not name `%s`", w)
		}
	}
}
