package file

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// token is a device that keeps keys by their URIs.
type token map[string]crypto.Signer

func (k token) open(_, uri string, create ca.KeyType) (crypto.Signer, error) {
	if key, ok := k[uri]; ok {
		return key, nil
	}
	if create == "" {
		return nil, errors.New("there is no such key")
	}
	key, err := ca.NewKey(create)
	k[uri] = key
	return key, err
}

// The ledger of a directory whose log key is in a device: the key is in no file,
// what is recorded verifies with the public one, and nobody records without the device.
func TestLogKeyInDevice(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, device := range map[string]token{"made there": {}, "Ed25519": {"hsm:log": edwards}} {
		t.Run(name, func(t *testing.T) {
			o := initOptions()
			o.LogKeyURI, o.Open = "hsm:log", device.open
			d, err := Init(t.Context(), filepath.Join(t.TempDir(), "pki"), o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(filepath.Join(d.path, keysDir, logKeyName)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the log's key is in a file: %v", err)
			}
			if uri, err := d.LogKeyURI(); err != nil || uri != "hsm:log" {
				t.Errorf("the directory says %q, %v", uri, err)
			}
			again, err := Open(d.path, clock)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Ledger().Record(t.Context(), ca.Entry{Kind: ca.KindLeaf, Serial: "01"}); !errors.Is(err, errNoOpener) {
				t.Errorf("recorded without the device: %v", err)
			}
			again.Ledger().OpenKey = device.open
			if err := again.Ledger().Record(t.Context(), ca.Entry{Kind: ca.KindLeaf, Serial: "02"}); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err := range d.Ledger().Entries(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 3 {
				t.Errorf("%d entries, want 3", n)
			}
			spoilCheckpoint(t, d.path)
		})
	}
}

// spoilCheckpoint changes a signature, which then has to be seen.
func spoilCheckpoint(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, logDir, "checkpoint")
	data := read(t, name)
	data[len(data)-20] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range d.Ledger().Entries(t.Context()) {
		if err == nil {
			t.Error("a spoiled signature is not seen")
		}
	}
}

// Another key under the same URI, one that a CA has, and kinds that a log cannot have.
func TestLogKeyInDeviceWrong(t *testing.T) {
	o := initOptions()
	device := token{}
	o.KeyURI, o.LogKeyURI, o.Open = "hsm:one", "hsm:one", device.open
	if _, err := Init(t.Context(), filepath.Join(t.TempDir(), "pki"), o); !errors.Is(err, errOneKey) {
		t.Errorf("the intermediate's key was taken: %v", err)
	}
	rsa, err := ca.NewKey("rsa-2048")
	if err != nil {
		t.Fatal(err)
	}
	o.KeyURI, o.Open = "", token{"hsm:one": rsa}.open
	if _, err := Init(t.Context(), filepath.Join(t.TempDir(), "pki"), o); !errors.Is(err, errLogKeyKind) {
		t.Errorf("an RSA key was taken: %v", err)
	}
	device = token{}
	o.LogKeyURI, o.Open = "hsm:log", device.open
	d, err := Init(t.Context(), filepath.Join(t.TempDir(), "pki"), o)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(d.path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	delete(device, "hsm:log")
	other.Ledger().OpenKey = func(n, uri string, _ ca.KeyType) (crypto.Signer, error) { return device.open(n, uri, ca.ECP256) }
	if err := other.Ledger().Record(t.Context(), ca.Entry{Kind: ca.KindLeaf}); err == nil || !strings.Contains(err.Error(), "does not belong to") {
		t.Errorf("another key recorded: %v", err)
	}
}

func FuzzLogKey(f *testing.F) {
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		f.Fatal(err)
	}
	text, err := logVerifierKey("cluster.local/mesh", key.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(text))
	f.Add([]byte("a+00000000+Ag=="))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseLogKey(data)
		if err == nil && (k.Name() == "" || k.Verify([]byte("a\n"), []byte("b"))) {
			t.Errorf("%q makes a key that takes anything", data)
		}
	})
}
