package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/meshpki/meshpki/backends/file/tilelog"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// FuzzIndex: a cache is never believed further than it fits, even if it is signed.
func FuzzIndex(f *testing.F) {
	l := newLedger(f)
	fill(f, l, 300, 20)
	if _, err := l.Revoked(f.Context()); err != nil {
		f.Fatal(err)
	}
	signer, err := l.signer()
	if err != nil {
		f.Fatal(err)
	}
	text, _, _ := strings.Cut(string(read(f, l.path(cacheDir, indexName))), "\n\n")
	for _, seed := range []string{"", text, "meshpki revocations v1\n-1 x\n", "meshpki revocations v1\n9223372036854775807 x\nnull\n", "meshpki revocations v1\n0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, err := note.Sign(&note.Note{Text: text + "\n"}, signer)
		if err != nil {
			data = []byte(text)
		}
		write(t, l.path(cacheDir, indexName), data)
		tree, err := l.tree()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := l.readIndex(tree); err == nil && (b.size < 0 || b.size > tree.Size) {
			t.Fatalf("it covers %d entries", b.size)
		}
	})
}

// FuzzEntry: whatever was signed as an entry is read, or named.
func FuzzEntry(f *testing.F) {
	for _, e := range entries(5) {
		data, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"kind":"revocation"`))
	f.Add([]byte(`{"kind":"leaf","kind":"revocation"}`))
	f.Add([]byte("null"))
	l := newLedger(f)
	record(f, l, 2)
	w, err := l.open()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > tilelog.MaxEntry {
			return
		}
		if _, err := w.Append([][]byte{data}, nil); err != nil {
			t.Fatal(err)
		}
		tree, err := l.tree()
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range l.read(t.Context(), tree, tree.Size-1, func(ca.Kind) bool { return true }) {
			if d, ok := errors.AsType[*LedgerError](err); err != nil && (!ok || d.Entry != tree.Size-1) {
				t.Fatalf("error %v", err)
			}
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

// FuzzCross: whatever stands in the place of a cross-signature is an error, or one
// for the authority's own key.
func FuzzCross(f *testing.F) {
	path := filepath.Join(f.TempDir(), "pki")
	d, err := Init(f.Context(), path, initOptions())
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"issuing", "root"} {
		data, err := os.ReadFile(d.CertificatePath(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
		f.Add(append(data, data...))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, d.CrossPath("issuing", RootName), data)
		all, err := d.Authorities()
		if err != nil {
			if !strings.Contains(err.Error(), d.CrossPath("issuing", RootName)) {
				t.Fatalf("the file is not named: %v", err)
			}
			return
		}
		for _, a := range all {
			for _, c := range a.Crosses {
				if !pemfile.SamePublicKey(c.Certificate.PublicKey, a.Certificate.PublicKey) {
					t.Fatalf("%s has a certificate for another key", a.Name)
				}
			}
		}
	})
}

// FuzzSerials: an index of serial numbers is only a hint, whatever it says.
func FuzzSerials(f *testing.F) {
	l := newLedger(f)
	fill(f, l, 300, 20)
	tree, err := l.tree()
	if err != nil {
		f.Fatal(err)
	}
	serial := ""
	for e, err := range l.Entries(f.Context()) {
		if err != nil {
			f.Fatal(err)
		}
		if e.Serial != "" && e.Kind == ca.KindLeaf {
			serial = e.Serial
		}
	}
	all, _, err := l.scanSerials(f.Context(), tree, 0, serial)
	if err != nil {
		f.Fatal(err)
	}
	l.writeSerials(tree, &serials{}, all)
	good := read(f, l.path(cacheDir, serialsName))
	f.Add(uint16(0), []byte("x"))
	f.Add(uint16(len(serialsHeader)), bytes.Repeat([]byte{0xff}, 8))
	for at := serialsStart; at < len(good); at += 500 {
		f.Add(uint16(at), bytes.Repeat([]byte{0xff}, recordSize))
		f.Add(uint16(at), make([]byte, 3*recordSize))
	}
	f.Fuzz(func(t *testing.T, at uint16, data []byte) {
		index := bytes.Clone(good)
		copy(index[min(int(at), len(index)):], data)
		write(t, l.path(cacheDir, serialsName), index)
		n := 0
		for e, err := range l.Find(t.Context(), serial) {
			if n++; err != nil || e.Serial != serial {
				t.Fatalf("%s was found, error %v", e.Serial, err)
			}
		}
		if n != 1 {
			t.Fatalf("it was found %d times", n)
		}
	})
}
