package file

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestManifestIsWhatJSONWrites(t *testing.T) {
	for _, m := range []manifest{
		{},
		{Schema: setSchema, Files: []string{}, Secret: []string{}, Facts: map[string]string{}},
		{Schema: setSchema, Files: []string{"ca.crt", "tls.crt", "tls.key"}, Secret: []string{"tls.key"},
			Facts: map[string]string{"order": `{"service":"payment","dns":["a\\b"]}`, "due": "2026-12-01T00:00:00Z", "": ""}},
		{Schema: "<a href=\"x\">&", Files: []string{"naïve", "tab\there", "bad \xff", "\u2028", "DEL\x7f"}, Facts: map[string]string{"é": "\n", "a": "\\\""}},
	} {
		want, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.encode()
		if err != nil || string(got) != string(want)+"\n" {
			t.Errorf("it writes %s, %v; want %s", got, err, want)
		}
		var meant manifest
		if err := json.Unmarshal(want, &meant); err != nil {
			t.Fatal(err)
		}
		if is, err := decodeManifest(got); err != nil || !reflect.DeepEqual(is, meant) {
			t.Errorf("it reads %+v, %v; want %+v", is, err, meant)
		}
	}
	// What a set of ours has is read without encoding/json.
	usual, err := manifest{Schema: setSchema, Files: []string{"tls.key"}, Secret: []string{"tls.key"}, Facts: map[string]string{"order": `{"a":"b\\"}`}}.encode()
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := (&decoder{rest: string(usual)}).manifest(); !ok || m.Facts["order"] != `{"a":"b\\"}` {
		t.Errorf("it reads %+v, %t", m, ok)
	}
}

// FuzzManifest: what is read without encoding/json is what that reads.
func FuzzManifest(f *testing.F) {
	usual, err := manifest{Schema: setSchema, Files: []string{"ca.crt", "tls.key"}, Secret: []string{"tls.key"}, Facts: map[string]string{"order": `{"a":"b\\"}`, "b": ""}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(usual)
	f.Add([]byte(`{"schema":"a","files":[],"secret":["a","b"],"facts":{"a":"b","a":"c"}} `))
	f.Add([]byte(`{"schema":"a","files":[""],"secret":[],"facts":{}}{`))
	f.Add([]byte(`{"schema":"\"\\","files":[],"secret":[],"facts":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := (&decoder{rest: string(data)}).manifest()
		if !ok {
			return
		}
		var want manifest
		if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("of %q it reads %+v; want %+v, %v", data, got, want, err)
		}
		again, err := got.encode()
		if err != nil {
			t.Fatal(err)
		}
		if is, err := decodeManifest(again); err != nil || !reflect.DeepEqual(is, got) {
			t.Errorf("written again it is %+v, %v", is, err)
		}
	})
}
