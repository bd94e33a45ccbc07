package file

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLedger holds every reader of a ledger against any bytes: none panics, none
// changes what was whole, and what is recorded behind whole entries is read back.
func FuzzLedger(f *testing.F) {
	previous := ""
	var good []byte
	for n := range 6 {
		data, err := json.Marshal(line{previous, entry(n)})
		if err != nil {
			f.Fatal(err)
		}
		data = seal(data)
		previous, _ = sumOf(data)
		good = append(append(good, data...), '\n')
	}
	for _, seed := range [][]byte{nil, good, good[:len(good)-1], good[:len(good)-50], good[200:], append(bytes.Clone(good), good...),
		[]byte("\n"), []byte("{}\n"), []byte(`{"sum":""}` + "\n"), seal([]byte("{}")), append(seal([]byte(`{"previous":""}`)), '\n'),
		append(seal([]byte(`{"previous":"","kind":7}`)), '\n')} {
		f.Add(seed)
	}
	l := newLedger(f) // one for all: a new directory each time is what would take the time
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, l.path, data)
		before, failed := readLedger(t, l)
		if _, err := l.Revoked(t.Context()); err != nil && failed == nil {
			t.Fatalf("whole, and its revocations are not to be read: %v", err)
		}
		if err := l.Record(t.Context(), entry(7)); err != nil {
			if failed == nil {
				t.Fatalf("whole, and nothing can be recorded: %v", err)
			}
			if !bytes.Equal(read(t, l.path), data) {
				t.Fatal("it was changed, and nothing was recorded")
			}
			return
		}
		if failed == nil {
			wantLedger(t, l, append(before, entry(7)))
		}
	})
}

// FuzzIndex: a cache is never believed further than it fits.
func FuzzIndex(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"schema":"meshpki/revoked/v1","offset":5,"lines":1,"last":"x","revocations":[]}`,
		`{"schema":"meshpki/revoked/v1","offset":-1,"last":""}`, `{"schema":"meshpki/revoked/v1","offset":9223372036854775807}`} {
		f.Add([]byte(seed))
	}
	l := newLedger(f)
	fill(f, l, 7, 20)
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, l.cache, data)
		r, err := l.Revoked(t.Context())
		if err != nil || r.Len() != 1 {
			t.Fatalf("%d are revoked, %v", r.Len(), err)
		}
	})
}

func FuzzSettings(f *testing.F) {
	good, err := json.Marshal(Settings{Schema: settingsSchema, Name: "Mesh", TrustDomain: "cluster.local", ClusterDomain: "cluster.local", Issuing: "issuing"})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{good, good[:20], append(bytes.Clone(good), good...), nil, []byte("null"), []byte(`{"schema":"meshpki/directory/v1","issuing":"../../etc"}`),
		[]byte(`{"schema":"meshpki/directory/v9"}`), []byte("\xff\xfe")} {
		f.Add(seed)
	}
	path := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, filepath.Join(path, settingsName), data)
		d, err := Open(path, clock)
		if err != nil {
			return
		}
		if s := d.Settings(); s.Schema != settingsSchema || !ValidName(s.Issuing) {
			t.Fatalf("settings %+v were taken", s)
		}
		if again, err := json.Marshal(d.Settings()); err != nil || !json.Valid(data) {
			t.Fatalf("%q was read from what is no JSON: %v", again, err)
		}
	})
}

func FuzzSetManifest(f *testing.F) {
	for _, seed := range []string{`{"schema":"meshpki/set/v1","secret":["tls.key"],"facts":{"due":"x"}}`, `{"schema":"meshpki/set/v1"}`,
		`{"schema":"meshpki/set/v1","secret":["../../etc/passwd",""],"facts":null}`, "", "null", "[]", `{"schema":1}`, "\x00"} {
		f.Add([]byte(seed))
	}
	s := newPlace(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		// Whatever the last one left, its version lets it be replaced.
		_, v, _ := s.Load(t.Context())
		v = mustSave(t, s, small("old"), v)
		write(t, filepath.Join(s.path, string(v), factsName), data)
		set, got, err := s.Load(t.Context())
		if got != v {
			t.Fatalf("version %q, want %q: %v", got, v, err)
		}
		if err == nil && (string(set.Files["tls.key"].Data) != "key old" || len(set.Files) != 2) {
			t.Fatalf("files %q were read", set.Files.Names())
		}
	})
}

// FuzzAuthority: whatever stands in the place of a CA's certificate and key is an
// error, or a pair.
func FuzzAuthority(f *testing.F) {
	path := filepath.Join(f.TempDir(), "pki")
	if _, err := Init(f.Context(), path, initOptions()); err != nil {
		f.Fatal(err)
	}
	cert, err := os.ReadFile(filepath.Join(path, caDir, "issuing.crt"))
	if err != nil {
		f.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(path, keysDir, "issuing.key"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][2][]byte{{cert, key}, {key, cert}, {cert[:99], key}, {cert, key[:99]}, {nil, nil}, {append(cert, cert...), append(key, key...)}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		write(t, filepath.Join(path, caDir, "issuing.crt"), cert)
		write(t, filepath.Join(path, keysDir, "issuing.key"), key)
		d, err := Open(path, clock)
		if err != nil {
			t.Fatal(err)
		}
		if i, err := d.Issuer("", KeySource{}); err == nil && i.Validate() != nil {
			t.Fatal("an issuer that is none was opened")
		}
	})
}
