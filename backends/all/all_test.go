package all_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/all"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
)

var start = time.Date(2026, 11, 21, 21, 40, 0, 0, time.UTC)

func clock() time.Time { return start }

// A factory does nothing until what it gives is asked.
func TestFactories(t *testing.T) {
	dir := t.TempDir()
	o := backends.Options{Dir: filepath.Join(dir, "pki"), Now: clock}
	s, err := all.Registry().Store(filepath.Join(dir, "tls"), o)
	if err != nil || s.String() != filepath.Join(dir, "tls") {
		t.Errorf("store %v, %v", s, err)
	}
	if _, err := all.Registry().Authority(t.Context(), "", o); !errors.Is(err, file.ErrNoDirectory) {
		t.Errorf("error %v, want file.ErrNoDirectory", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("%v was made, %v", names, err)
	}
}

func TestLocalAuthority(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pki")
	key := filepath.Join(t.TempDir(), "root.key")
	_, err := file.Init(t.Context(), path, file.InitOptions{
		Settings: file.Settings{Name: "Mesh", TrustDomain: "cluster.local", ClusterDomain: "cluster.local", Issuing: "issuing"},
		Root:     ca.Spec{CommonName: "Root", MaxPathLen: 1, NotBefore: start, NotAfter: start.AddDate(2, 0, 0)},
		Issuing:  ca.Spec{CommonName: "Issuing", NotBefore: start, NotAfter: start.AddDate(1, 0, 0)},
		KeyType:  ca.ECP256, Passphrase: []byte("secret"), OfflineRoot: key, Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := backends.Options{Dir: path, Now: clock, Passphrase: func(name string) ([]byte, error) {
		if name != "issuing" {
			t.Errorf("asked for the passphrase of %s", name)
		}
		return []byte("secret"), nil
	}}
	for ref, want := range map[string]string{"": "Issuing", "local": "Issuing", "local:issuing": "Issuing"} {
		a, err := all.Registry().Authority(t.Context(), ref, o)
		if err != nil {
			t.Errorf("%q: %v", ref, err)
			continue
		}
		if i, ok := a.(*ca.Issuer); !ok || i.Certificate.Subject.CommonName != want {
			t.Errorf("%q is %v, want %s", ref, a, want)
		}
	}
	// The root signs no service's certificate, whether or not its key is at hand.
	o.KeyFile = key
	_, err = all.Registry().Authority(t.Context(), "local:root", o)
	if _, ok := errors.AsType[*backends.RefError](err); !ok {
		t.Errorf("error %v, want a RefError", err)
	}
	o.KeyFile = ""
	if _, err := all.Registry().Authority(t.Context(), "local:../x", o); !errors.Is(err, file.ErrNoAuthority) {
		t.Errorf("error %v, want file.ErrNoAuthority", err)
	}
}
