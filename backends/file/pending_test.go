package file

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

// asked makes a directory without a root in which one intermediate is asked for.
func asked(t testing.TB) (*Directory, Pending) {
	t.Helper()
	o := initOptions()
	d, err := InitEmpty(t.Context(), filepath.Join(t.TempDir(), "pki"), o.Settings, clock)
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.AddPending(t.Context(), PendingOptions{Name: o.Settings.Issuing, Spec: o.Issuing, KeyType: ca.ECP256})
	if err != nil {
		t.Fatal(err)
	}
	return d, p
}

// What is asked for in one directory and signed in another makes the first an
// authority; interrupted anywhere, doing it again does the rest.
func TestPendingAndImport(t *testing.T) {
	d, p := asked(t)
	signer := newDirectory(t)
	root, err := signer.Issuer(RootName, KeySource{})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := root.IssueCA(t.Context(), p.Spec, p.CSR.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Issuer("", KeySource{}); !errors.Is(err, ErrPending) {
		t.Errorf("before it has come: error %v, want ErrPending", err)
	}
	if _, err := d.AddPending(t.Context(), PendingOptions{Name: p.Name, Spec: p.Spec, KeyType: ca.ECP256}); !errors.Is(err, ErrPending) {
		t.Errorf("asked for twice: error %v, want ErrPending", err)
	}
	// As a run leaves it that was interrupted once the root was in place.
	if err := d.enter(t.Context(), RootName, root.Certificate); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		a, err := d.Import(t.Context(), chain.Leaf(), nil, root.Certificate)
		if err != nil || a.Name != p.Name {
			t.Fatalf("import: %q, error %v", a.Name, err)
		}
	}
	if _, err := d.Issuer("", KeySource{}); err != nil {
		t.Error(err)
	}
	recorded := 0
	for _, err := range d.Ledger().Entries(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		recorded++
	}
	if recorded != 2 {
		t.Errorf("the ledger has %d entries, want root and intermediate once", recorded)
	}
	if left, err := d.Pending(); err != nil || len(left) != 0 {
		t.Errorf("%d are still asked for, error %v", len(left), err)
	}
	if _, err := d.AddPending(t.Context(), PendingOptions{Name: p.Name, Spec: p.Spec, KeyType: ca.ECP256}); !errors.Is(err, ErrExists) {
		t.Errorf("asked for although it is there: error %v, want ErrExists", err)
	}
}

// A certificate that nobody asked for is not taken in.
func TestImportOfNothing(t *testing.T) {
	d, _ := asked(t)
	issuing, err := newDirectory(t).Authority("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Import(t.Context(), issuing.Certificate, nil, issuing.Above[0]); !errors.Is(err, ErrNoPending) {
		t.Errorf("error %v, want ErrNoPending", err)
	}
}

// What was asked for is read as it was written.
func TestWanted(t *testing.T) {
	td, err := spiffeid.ParseTrustDomain("prod.example")
	if err != nil {
		t.Fatal(err)
	}
	spec := initOptions().Issuing
	spec.NotBefore, spec.NotAfter = spec.NotBefore.UTC(), spec.NotAfter.UTC()
	spec.URI, spec.MaxPathLen = td, 3
	spec.Constraints = ca.Constraints{DNS: []string{"a.example"}, URI: []spiffeid.TrustDomain{td}, IP: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Email: []string{"a.example"}, Open: true}
	got, err := decodeWanted(encodeWanted(spec))
	if err != nil || !reflect.DeepEqual(got, spec) {
		t.Errorf("read as %+v, error %v, and written was %+v", got, err, spec)
	}
}

// Transcripts of the same second do not overwrite each other.
func TestTranscripts(t *testing.T) {
	d, _ := asked(t)
	seen := map[string]bool{}
	for range 3 {
		path, err := d.WriteTranscript("sign", clock(), []byte("said\n"))
		if err != nil || seen[path] {
			t.Fatalf("%s, error %v", path, err)
		}
		seen[path] = true
	}
}

// FuzzPending: whatever the files of a request hold is read whole or is an error.
func FuzzPending(f *testing.F) {
	d, p := asked(f)
	request, err := os.ReadFile(d.RequestPath(p.Name))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request, encodeWanted(p.Spec), []byte("pkcs11:token=a;object=b;id=01\n"))
	f.Add([]byte{}, []byte(`{"schema":"meshpki/wanted/v1","permitCidr":["::/0"],"uri":"a"}`), []byte{0})
	f.Fuzz(func(t *testing.T, request, wanted, uri []byte) {
		write(t, d.RequestPath(p.Name), request)
		write(t, d.wantedPath(p.Name), wanted)
		write(t, d.uriPath("device"), uri)
		if got, err := d.Pending(); err == nil && len(got) == 1 {
			if !pemfile.SamePublicKey(got[0].CSR.PublicKey, got[0].CSR.PublicKey) {
				t.Error("a request without a key was read")
			}
			if _, err := decodeWanted(encodeWanted(got[0].Spec)); err != nil {
				t.Error(err)
			}
		}
		if _, found, err := d.KeyPlace("device"); err == nil && (found == "" || len(found) > maxURI) {
			t.Errorf("the URI %q was read", found)
		}
	})
}
