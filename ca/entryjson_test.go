package ca

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// sameJSON holds Entry.JSON against encoding/json.
func sameJSON(t *testing.T, e Entry) (plain bool) {
	t.Helper()
	got, err := e.JSON()
	want, wrong := json.Marshal(e)
	if (err == nil) != (wrong == nil) || !bytes.Equal(got, want) {
		t.Errorf("%s, %v; and by encoding/json %s, %v", got, err, want, wrong)
	}
	_, plain = e.plainJSON()
	return plain
}

// TestEntryJSON puts a text of every kind into each field.
func TestEntryJSON(t *testing.T) {
	full := Entry{At: now.UTC(), Certificate: []byte{1, 2, 3, 4}, NotAfter: now.UTC()}
	for i := range reflect.TypeFor[Entry]().NumField() {
		for text, plain := range map[string]bool{"a b/c=d+e'~": true, "": true, "a\"b": false, "a\\b": false, "a<b": false, "a>b": false, "a&b": false,
			"\x00": false, "a\nb": false, "\x7f": false, "ä": false, "\xff": false, "\u2028": false} {
			for _, e := range []Entry{full, {Kind: KindLeaf, At: now.UTC()}} {
				field := reflect.ValueOf(&e).Elem().Field(i)
				if field.Kind() != reflect.String {
					continue
				}
				field.SetString(text)
				if sameJSON(t, e) != plain {
					t.Errorf("%s %q is plain or not: %v", reflect.TypeFor[Entry]().Field(i).Name, text, !plain)
				}
			}
		}
	}
	for moment, plain := range map[time.Time]bool{
		{}: true, now.UTC(): true, now.UTC().Add(time.Nanosecond): true, now.In(time.FixedZone("", 3600)): false, now.In(time.FixedZone("", 0)): false,
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC): true, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC): false, time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC): false,
	} {
		for _, e := range []Entry{{At: moment}, {At: now.UTC(), NotAfter: moment}} {
			if sameJSON(t, e) != plain {
				t.Errorf("%s is plain or not: %v", moment, !plain)
			}
		}
	}
	issuer := newIssuer(t)
	for _, e := range issuer.Ledger.(*memory).entries {
		if !sameJSON(t, e) {
			t.Errorf("what is recorded is not plain: %+v", e)
		}
	}
}

func FuzzEntryJSON(f *testing.F) {
	f.Add("leaf", "Mesh Issuing CA", "a", []byte{1}, int64(1), int64(0))
	f.Fuzz(func(t *testing.T, kind, issuer, note string, certificate []byte, at, notAfter int64) {
		sameJSON(t, Entry{Kind: Kind(kind), Issuer: issuer, Note: note, Certificate: certificate, At: time.Unix(at, notAfter).UTC(), NotAfter: time.Unix(notAfter, 0)})
	})
}
