package file

import (
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Wherever a move was interrupted, the key is somewhere, and the next one ends it.
func TestMoveKeyGoesOn(t *testing.T) {
	for what, interrupted := range map[string]func(t *testing.T, from, to string){
		"before it began":            func(*testing.T, string, string) {},
		"when the copy was in place": func(t *testing.T, from, to string) { copyKey(t, from, to) },
	} {
		d := newDirectory(t)
		from, to := d.keyPath(RootName), filepath.Join(t.TempDir(), "root.key")
		interrupted(t, from, to)
		if was, err := d.MoveKey(t.Context(), RootName, KeySource{}, to); err != nil || was != from {
			t.Errorf("interrupted %s: from %s, error %v", what, was, err)
		}
		if _, err := os.Lstat(from); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("interrupted %s: it is still in the directory", what)
		}
		if _, err := d.Issuer(RootName, KeySource{File: to}); err != nil {
			t.Errorf("interrupted %s: %v", what, err)
		}
	}
}

func copyKey(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, data)
}

// What is in the way is left alone, and the key is where it was.
func TestMoveKeyKeepsWhatIsThere(t *testing.T) {
	d := newDirectory(t)
	dir := t.TempDir()
	other, link := filepath.Join(dir, "other"), filepath.Join(dir, "link")
	copyKey(t, d.keyPath("issuing"), other)
	if _, err := d.MoveKey(t.Context(), RootName, KeySource{}, other); !errors.Is(err, ErrOtherKey) {
		t.Errorf("onto another key: error %v, want ErrOtherKey", err)
	}
	if err := os.Link(d.keyPath(RootName), link); err != nil {
		t.Fatal(err)
	}
	if _, err := d.MoveKey(t.Context(), RootName, KeySource{}, link); !errors.Is(err, ErrSameFile) {
		t.Errorf("onto itself: error %v, want ErrSameFile", err)
	}
	if _, err := d.Issuer(RootName, KeySource{}); err != nil {
		t.Error(err)
	}
}

// A device is believed only after it has signed for the certificate's key; then
// the file goes, and the directory finds the key there.
func TestMoveKeyToDevice(t *testing.T) {
	d := newDirectory(t)
	data, err := os.ReadFile(d.keyPath("issuing"))
	if err != nil {
		t.Fatal(err)
	}
	inside, err := pemfile.ParseKey(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	devices := map[string]crypto.Signer{"test:right": inside, "test:other": stranger, "test:hollow": hollow{inside.Public(), stranger}}
	source := KeySource{Open: func(_, uri string, _ ca.KeyType) (crypto.Signer, error) {
		if key, ok := devices[uri]; ok {
			return key, nil
		}
		return nil, backends.ErrNoSuchKey
	}}
	for uri, want := range map[string]error{"test:other": ErrOtherKey, "test:none": backends.ErrNoSuchKey, "test:hollow": nil} {
		_, err := d.MoveKeyToDevice(t.Context(), "issuing", source, uri)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", uri, err, want)
		}
		if _, err := d.Issuer("", KeySource{}); err != nil {
			t.Errorf("%s: the key is gone: %v", uri, err)
		}
	}
	was, err := d.MoveKeyToDevice(t.Context(), "issuing", source, "test:right")
	if err != nil || was != d.keyPath("issuing") {
		t.Fatalf("from %q, error %v", was, err)
	}
	if _, err := d.Issuer("", source); err != nil {
		t.Error(err)
	}
	if _, err := d.Issuer("", KeySource{}); !errors.Is(err, errNoOpener) {
		t.Errorf("without devices: error %v", err)
	}
	if _, err := d.MoveKey(t.Context(), "issuing", source, filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrInDevice) {
		t.Errorf("out of a device: error %v, want ErrInDevice", err)
	}
}

// hollow lists a public key that is not the one it signs with.
type hollow struct {
	public crypto.PublicKey
	crypto.Signer
}

func (h hollow) Public() crypto.PublicKey { return h.public }
