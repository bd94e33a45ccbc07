package file

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/meshpki/meshpki/ca"
)

// TestPlainEntryIsTheUsualOne: what Record writes of a revocation and of a
// certificate is read in the fast way, every field of it.
func TestPlainEntryIsTheUsualOne(t *testing.T) {
	full := ca.Entry{Kind: ca.KindCRL, At: start, NotAfter: start, Certificate: []byte{0x30, 0x82, 1}}
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String && f.String() == "" {
			f.SetString("text " + v.Type().Field(i).Name)
		}
	}
	data, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := plainEntry(data); !ok || !reflect.DeepEqual(got, full) {
		t.Errorf("%t %+v\nof %s", ok, got, data)
	}
}

// FuzzPlainEntry: what is read in the fast way is what encoding/json reads.
func FuzzPlainEntry(f *testing.F) {
	for _, e := range entries(6) {
		data, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{`{"kind":"leaf"}`, `{"kind":"leaf","kind":"ca"}`, `{"kind":"a\u0062"}`, `{}`, `{"at":"x"}`, `{"KIND":"x"}`, `{"certificate":"MA=="}`, `{"certificate":"MB=="}`,
		`{"certificate":"M"}`, `{"serial":"a"`, `{"serial":"a",}`, `{"serial":"a"}x`, `{"at":"2026-11-21T12:00:00+01:00"}`, `{"kind":"","at":"0001-01-01T00:00:00Z"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := plainEntry(data)
		if !ok {
			return
		}
		var want ca.Entry
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		a, errA := json.Marshal(got)
		b, errB := json.Marshal(want)
		if string(a) != string(b) || (errA == nil) != (errB == nil) || !got.At.Equal(want.At) {
			t.Fatalf("%q is\n%s, not\n%s", data, a, b)
		}
	})
}
