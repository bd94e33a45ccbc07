package acme

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// crossed gives the server a second chain: its intermediate under another root.
func crossed(t *testing.T, s *server) (root *x509.Certificate) {
	t.Helper()
	another, err := memory.NewAuthority(t.Context(), memory.AuthorityOptions{Now: s.now})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	root, err = ca.NewRoot(t.Context(), ca.Spec{CommonName: "Another Root", MaxPathLen: -1, NotBefore: start.Add(-ca.Backdate), NotAfter: start.AddDate(10, 0, 0)}, key, &memory.Ledger{}, start)
	if err != nil {
		t.Fatal(err)
	}
	above := &ca.Issuer{Certificate: root, Signer: key, Ledger: &memory.Ledger{}, Now: s.now}
	chain, err := above.IssueCA(t.Context(), ca.Spec{CommonName: s.issuer.Certificate.Subject.CommonName, NotAfter: s.issuer.Certificate.NotAfter}, s.issuer.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.other = &ca.Issuer{Certificate: chain.Leaf(), Signer: another.Signer}
	return root
}

// Of several chains the preferred one is taken, else the server's own choice.
func TestPreferredChain(t *testing.T) {
	t.Parallel()
	for _, prefer := range []string{"", "Another Root", "Memory Root CA", "No such root"} {
		s := newServer(t)
		root := crossed(t, s)
		a := s.authority(t, func(a *Authority) { a.settings.PreferredChain = prefer })
		both := pemfile.EncodeCertificates(append([]*x509.Certificate{root}, s.issuer.Above...)...)
		if err := os.WriteFile(a.settings.Roots, both, 0o600); err != nil {
			t.Fatal(err)
		}
		c := want(t, a, order(t, "payment.example.com"))
		if other := c.Chain[1].Issuer.CommonName == "Another Root"; other != (prefer == "Another Root") {
			t.Errorf("prefer %q: the chain leads to %s", prefer, c.Chain[1].Issuer.CommonName)
		}
	}
}

// Without a file of roots they are learned: from what the server itself is trusted
// by, here. They are remembered for other runs, beside those that are in use.
func TestLearnedRoots(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.authority(t, nil)
	roots := a.settings.Roots
	a.settings.Roots = ""
	if _, err := a.Roots(t.Context()); err == nil || !strings.Contains(err.Error(), "under roots") {
		t.Errorf("before anything is issued: error %v", err)
	}
	_, err := obtain(t, a, order(t, "payment.example.com"))
	if err == nil || !strings.Contains(err.Error(), "name the file with it under roots") {
		t.Errorf("with a root that nobody knows: error %v", err)
	}
	both := pemfile.EncodeCertificates(append([]*x509.Certificate{s.http.Certificate()}, s.issuer.Above...)...)
	if err := os.WriteFile(a.settings.CACert, both, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, a, order(t, "payment.example.com"))
	another := s.plain(t, filepath.Dir(roots))
	another.settings.Roots, another.options.Dir = "", a.options.Dir
	learned, err := another.Roots(t.Context())
	if err != nil || len(learned) != 1 || !learned[0].Equal(s.issuer.Above[0]) {
		t.Errorf("another run knows %d roots, %v", len(learned), err)
	}
}

// A chain with the root in it is given without; one that is none is refused.
func TestForeignChains(t *testing.T) {
	t.Parallel()
	issuer, err := memory.NewAuthority(t.Context(), memory.AuthorityOptions{Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	whole := []*x509.Certificate{issuer.Certificate, issuer.Above[0]}
	if got := bare(whole); len(got) != 1 || !got[0].Equal(issuer.Certificate) {
		t.Errorf("with its root: %d certificates", len(got))
	}
	if got := bare(whole[:1]); len(got) != 1 {
		t.Errorf("without its root: %d certificates", len(got))
	}
	for _, text := range []string{"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "<html>"} {
		if _, err := parseChain([]byte(text)); err == nil {
			t.Errorf("%q is a chain", text)
		}
	}
}
