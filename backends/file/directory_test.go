package file

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

func intermediate(name string) IntermediateOptions {
	return IntermediateOptions{Name: name, KeyType: ca.ECP256,
		Spec: ca.Spec{CommonName: "Mesh " + name, NotBefore: start.Add(-ca.Backdate), NotAfter: start.AddDate(1, 0, 0)}}
}

func TestAddIntermediate(t *testing.T) {
	d := newDirectory(t)
	o := intermediate("istio")
	o.Passphrase = []byte("of istio")
	a, err := d.AddIntermediate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != "istio" || !a.Encrypted || a.Root() || len(a.Above) != 1 || a.Certificate.Subject.CommonName != "Mesh istio" {
		t.Errorf("made %+v", a)
	}
	var names []string
	all, err := d.Authorities()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		names = append(names, a.Name)
	}
	if got := strings.Join(names, " "); got != "root issuing istio" {
		t.Errorf("authorities %s", got)
	}
	issuer, err := d.Issuer("istio", KeySource{Passphrase: func(name string) ([]byte, error) { return []byte("of " + name), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if c := issueOne(t, issuer); len(c.Chain) != 2 || !c.Chain[1].Equal(a.Certificate) {
		t.Errorf("a chain of %d certificates", len(c.Chain))
	}
	before := readTree(t, d.Path())
	if _, err := d.AddIntermediate(t.Context(), o); !errors.Is(err, ErrExists) {
		t.Errorf("a second time: error %v, want ErrExists", err)
	}
	for _, name := range []string{"", RootName, "../up", "UPPER", "a b", strings.Repeat("n", 64)} {
		if _, err := d.AddIntermediate(t.Context(), intermediate(name)); err == nil {
			t.Errorf("an intermediate called %q was made", name)
		}
	}
	below := intermediate("below")
	below.Parent = "issuing" // which has path length 0
	if _, err := d.AddIntermediate(t.Context(), below); err == nil {
		t.Error("an intermediate was made below one that allows none")
	} else if _, refused := ca.IsRefusal(err); !refused {
		t.Errorf("error %v, want a refusal", err)
	}
	below.Parent = "nobody"
	if _, err := d.AddIntermediate(t.Context(), below); !errors.Is(err, ErrNoAuthority) {
		t.Errorf("error %v, want ErrNoAuthority", err)
	}
	wantUnchanged(t, d.Path(), before)
}

func TestTwoIntermediatesAtOnce(t *testing.T) {
	d := newDirectory(t)
	errs := make([]error, 6)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = d.AddIntermediate(t.Context(), intermediate([]string{"one", "two"}[i%2])) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else if !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	}
	if made != 2 {
		t.Errorf("%d intermediates of two names were made", made)
	}
	for _, name := range []string{"one", "two"} {
		issuer, err := d.Issuer(name, KeySource{})
		if err != nil {
			t.Fatal(err)
		}
		issueOne(t, issuer)
	}
	wantEntryCount(t, d.Ledger(), 6)
}

func wantEntryCount(t *testing.T, l *Ledger, want int) {
	t.Helper()
	if got, err := readLedger(t, l); err != nil || len(got) != want {
		t.Errorf("%d entries, %v; want %d", len(got), err, want)
	}
}

// A key that an interrupted run left without its certificate is no authority, and
// stands in nobody's way.
func TestKeyWithoutCertificate(t *testing.T) {
	d := newDirectory(t)
	if _, err := d.AddIntermediate(t.Context(), intermediate("istio")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(d.Path(), caDir, "istio.crt")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Issuer("istio", KeySource{}); !errors.Is(err, ErrNoAuthority) {
		t.Errorf("error %v, want ErrNoAuthority", err)
	}
	if _, err := d.AddIntermediate(t.Context(), intermediate("istio")); err != nil {
		t.Fatal(err)
	}
	issuer, err := d.Issuer("istio", KeySource{})
	if err != nil {
		t.Fatal(err)
	}
	issueOne(t, issuer)
}

// Revoke finds the certificate of whatever authority signed it.
func TestDirectoryRevokes(t *testing.T) {
	d := newDirectory(t)
	if _, err := d.AddIntermediate(t.Context(), intermediate("istio")); err != nil {
		t.Fatal(err)
	}
	var serials []*big.Int
	for _, name := range []string{RootName, "issuing", "istio"} {
		issuer, err := d.Issuer(name, KeySource{})
		if err != nil {
			t.Fatal(err)
		}
		serials = append(serials, issueOne(t, issuer).Leaf().SerialNumber)
	}
	for _, serial := range serials {
		e, err := d.Revoke(t.Context(), serial, ca.Superseded)
		if err != nil || e.Serial != ca.FormatSerial(serial) || e.Service != "payment" || e.Kind != ca.KindLeaf {
			t.Errorf("entry %+v, %v", e, err)
		}
		again, err := d.Revoke(t.Context(), serial, ca.Unspecified)
		if !errors.Is(err, ca.ErrRevoked) || again.Reason != "superseded" {
			t.Errorf("a second time: %s, error %v, want ca.ErrRevoked", again.Reason, err)
		}
		graver, err := d.Revoke(t.Context(), serial, ca.KeyCompromise)
		if err != nil || graver.Reason != "keyCompromise" || graver.Before != "superseded" {
			t.Errorf("for a graver reason: %s, was %s, error %v", graver.Reason, graver.Before, err)
		}
	}
	if _, err := d.Revoke(t.Context(), big.NewInt(7), ca.Superseded); !errors.Is(err, ca.ErrUnknownSerial) {
		t.Errorf("error %v, want ca.ErrUnknownSerial", err)
	}
	istio, err := d.Authority("istio")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Revoke(t.Context(), istio.Certificate.SerialNumber, ca.CACompromise); err != nil {
		t.Fatal(err)
	}
	issuer, err := d.Issuer("istio", KeySource{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = issue.Obtain(t.Context(), issuer, leafOrder(t), start)
	if _, refused := ca.IsRefusal(err); !refused {
		t.Errorf("an authority that was revoked: error %v, want a refusal", err)
	}
	if r, err := d.Ledger().Revoked(t.Context()); err != nil || r.Len() != 4 {
		t.Errorf("%d are revoked, %v; want 4", r.Len(), err)
	}
}

// TestRevokeCertificate: a certificate that somebody shows is revoked only if it is
// the very one that was signed here, whatever its serial number says.
func TestRevokeCertificate(t *testing.T) {
	d := newDirectory(t)
	issuer, err := d.Issuer("", KeySource{})
	if err != nil {
		t.Fatal(err)
	}
	ours := issueOne(t, issuer).Leaf()
	stranger, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: ours.SerialNumber, AuthorityKeyId: ours.AuthorityKeyId,
		NotBefore: start, NotAfter: start.Add(time.Hour)}, &x509.Certificate{RawSubject: ours.RawIssuer}, stranger.Public(), stranger)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.RevokeCertificate(t.Context(), forged, ca.KeyCompromise); !errors.Is(err, ca.ErrUnknownSerial) {
		t.Errorf("a stranger's: error %v, want ca.ErrUnknownSerial", err)
	}
	if r, err := d.Ledger().Revoked(t.Context()); err != nil || r.Len() != 0 {
		t.Errorf("%d are revoked, %v; want none", r.Len(), err)
	}
	if e, err := d.RevokeCertificate(t.Context(), ours, ca.KeyCompromise); err != nil || e.Serial != ca.FormatSerial(ours.SerialNumber) {
		t.Errorf("ours: %+v, %v", e, err)
	}
}

func TestDamagedDirectory(t *testing.T) {
	good := newDirectory(t)
	other := newDirectory(t)
	for name, test := range map[string]struct {
		damage func(path string) error
		names  string // what the error must name
	}{
		"no certificate":       {func(p string) error { return os.WriteFile(filepath.Join(p, "ca/issuing.crt"), []byte("x"), 0o644) }, "issuing.crt"},
		"an empty certificate": {func(p string) error { return os.Truncate(filepath.Join(p, "ca/issuing.crt"), 0) }, "issuing.crt"},
		"half a certificate":   {func(p string) error { return os.Truncate(filepath.Join(p, "ca/issuing.crt"), 200) }, "issuing.crt"},
		"a huge certificate":   {func(p string) error { return os.Truncate(filepath.Join(p, "ca/root.crt"), pemfile.MaxSize+1) }, "root.crt"},
		"no key in its file":   {func(p string) error { return os.Truncate(filepath.Join(p, "keys/issuing.key"), 0) }, "issuing.key"},
		"half a key":           {func(p string) error { return os.Truncate(filepath.Join(p, "keys/issuing.key"), 80) }, "issuing.key"},
		"another CA's key": {func(p string) error {
			return copyFile(filepath.Join(other.Path(), "keys/issuing.key"), filepath.Join(p, "keys/issuing.key"))
		}, "issuing.key"},
		"no key":               {func(p string) error { return os.Remove(filepath.Join(p, "keys/issuing.key")) }, "issuing"},
		"no authorities":       {func(p string) error { return os.RemoveAll(filepath.Join(p, "ca")) }, "ca"},
		"no root":              {func(p string) error { return os.Remove(filepath.Join(p, "ca/root.crt")) }, "ca"},
		"no issuing authority": {func(p string) error { return os.Remove(filepath.Join(p, "ca/issuing.crt")) }, "issuing"},
		"settings cut off":     {func(p string) error { return os.Truncate(filepath.Join(p, settingsName), 30) }, settingsName},
		"empty settings":       {func(p string) error { return os.Truncate(filepath.Join(p, settingsName), 0) }, settingsName},
		"settings twice":       {func(p string) error { return appendFile(filepath.Join(p, settingsName), `{"schema":"x"}`) }, settingsName},
		"settings of the future": {func(p string) error {
			return os.WriteFile(filepath.Join(p, settingsName), []byte(`{"schema":"meshpki/directory/v2","issuing":"issuing"}`), 0o644)
		}, settingsName},
		"an issuing authority elsewhere": {func(p string) error {
			return os.WriteFile(filepath.Join(p, settingsName), []byte(`{"schema":"meshpki/directory/v1","issuing":"../../x"}`), 0o644)
		}, settingsName},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pki")
			if err := os.CopyFS(path, os.DirFS(good.Path())); err != nil {
				t.Fatal(err)
			}
			if err := test.damage(path); err != nil {
				t.Fatal(err)
			}
			before := readTree(t, path)
			d, err := Open(path, clock)
			if err == nil {
				_, err = d.Issuer("", KeySource{})
			}
			if err == nil || !strings.Contains(err.Error(), test.names) {
				t.Errorf("error %v, want one that names %s", err, test.names)
			}
			wantUnchanged(t, path, before)
		})
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func TestServices(t *testing.T) {
	d := newDirectory(t)
	if all, err := d.Services(); err != nil || len(all) != 0 {
		t.Errorf("services %v, %v", all, err)
	}
	want := []string{d.ServicePath("dev", "payment"), d.ServicePath("prod", "account"), d.ServicePath("prod", "payment")}
	for _, path := range []string{want[2], want[0], want[1]} {
		mustSave(t, NewStore(path), small("x"), "")
	}
	write(t, filepath.Join(d.Path(), servicesDir, "README"), []byte("no service"))
	all, err := d.Services()
	if err != nil || len(all) != len(want) {
		t.Fatalf("services %v, %v", all, err)
	}
	for i, s := range all {
		if s.String() != want[i] {
			t.Errorf("service %d is at %s, want %s", i, s, want[i])
		}
		wantText(t, s, "x")
	}
}

// A plain file is ours if any generation has it.
func TestOurCopy(t *testing.T) {
	s := newPlace(t)
	v := mustSave(t, s, small("old"), "")
	mustSave(t, s, small("new"), v)
	root, err := durable.OpenDir(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]bool{"tls.key": true, "tls.crt": true, "missing": false} {
		if is, err := standsAt(root, name); err != nil || (is == ourLink || is == ourCopy) != want {
			t.Errorf("%s stands as %d, %v", name, is, err)
		}
	}
	if err := os.Remove(filepath.Join(s.path, "tls.key")); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"key old": true, "key new": true, "key other": false, "": false} {
		write(t, filepath.Join(s.path, "tls.key"), []byte(text))
		if is, err := standsAt(root, "tls.key"); err != nil || (is == ourCopy) != want {
			t.Errorf("a file that holds %q stands as %d, %v", text, is, err)
		}
	}
}

// The clock is the caller's: an authority that has ended signs nothing.
func TestExpiredAuthority(t *testing.T) {
	d := newDirectory(t)
	late, err := Open(d.Path(), func() time.Time { return start.AddDate(4, 0, 0) })
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := late.Issuer("", KeySource{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = issue.Obtain(t.Context(), issuer, leafOrder(t), start)
	if _, refused := ca.IsRefusal(err); !refused {
		t.Errorf("error %v, want a refusal", err)
	}
}
