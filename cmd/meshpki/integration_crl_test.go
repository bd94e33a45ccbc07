//go:build integration

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crl makes a list of an authority and gives the file.
func (m mesh) crl(authority string, flags ...string) string {
	m.t.Helper()
	out := filepath.Join(m.t.TempDir(), authority+".crl")
	m.must(append([]string{"crl", authority, "--out", out}, flags...)...)
	return out
}

// together is one file with what several have.
func together(t *testing.T, files ...string) string {
	t.Helper()
	var all strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	name := filepath.Join(t.TempDir(), "together.pem")
	writeFile(t, name, all.String())
	return name
}

// crlCase is one question about revocation, and the right answer. The error is
// OpenSSL's, the number of its X509_V_ERR. Where the ledger knows the answer as
// well, meshpki is asked too: by the roots of its directory.
type crlCase struct {
	name         string
	leaf         string
	roots        string
	between      string // more CA certificates, one file
	lists        []string
	at           time.Time // zero is now
	error        int       // 0: trusted
	ledger       *mesh
	untrustedNow bool // what the ledger knows now; without lists it cannot know more
}

func (c crlCase) ask(t *testing.T) {
	t.Helper()
	args := []string{"verify", "-crl_check_all", "-x509_strict", "-CAfile", c.roots, "-untrusted", c.leaf}
	if c.between != "" {
		args = append(args, "-untrusted", c.between)
	}
	for _, l := range c.lists {
		args = append(args, "-CRLfile", l)
	}
	if !c.at.IsZero() {
		args = append(args, "-attime", strconv.FormatInt(c.at.Unix(), 10))
	}
	a := run(t, program(t, "openssl"), append(args, c.leaf)...)
	if c.error == 0 && a.code != 0 || c.error != 0 && !strings.Contains(a.stderr, "error "+strconv.Itoa(c.error)+" at") {
		t.Errorf("openssl, want error %d: %s", c.error, a)
	}
	if c.ledger == nil {
		return
	}
	ours := []string{"verify", c.leaf}
	if c.between != "" {
		ours = append(ours, "--intermediates", c.between)
	}
	want := 0
	if c.untrustedNow {
		want = 3
	}
	if a := c.ledger.run(ours...); a.code != want {
		t.Errorf("meshpki, want exit %d: %s", want, a)
	}
}

// OpenSSL's own numbers.
const (
	errNoList    = 3  // X509_V_ERR_UNABLE_TO_GET_CRL
	errListEnded = 12 // X509_V_ERR_CRL_HAS_EXPIRED
	errIsRevoked = 23 // X509_V_ERR_CERT_REVOKED
)

// OpenSSL reads our lists, and says of each certificate what our ledger says.
func TestOpenSSLAgreesOnRevocation(t *testing.T) {
	for _, kt := range []string{"ec-p256", "ec-p384", "ed25519", "rsa-2048"} {
		t.Run(kt, func(t *testing.T) {
			m, other := newMesh(t, "--key-type", kt), newMesh(t, "--key-type", kt)
			roots := filepath.Join(m.dir, "ca", "root.crt")
			good, bad := m.issue("good"), m.issue("bad")
			m.must("ca", "intermediate", "web", "--key-type", kt)
			under := m.issue("under", "--backend", "local:web")
			noneRoot, none := m.crl("root"), m.crl("issuing")
			for n, reason := range []string{"keyCompromise", "superseded"} {
				m.must("revoke", []string{bad.chain(), filepath.Join(m.dir, "ca", "web.crt")}[n], "--reason", reason)
			}
			root, issuing, web := m.crl("root"), m.crl("issuing"), m.crl("web")
			short := m.crl("issuing", "--valid-for", "24h")
			week := time.Now().Add(8 * 24 * time.Hour)
			for _, c := range []crlCase{
				{name: "good", leaf: good.chain(), lists: []string{root, issuing}, ledger: &m},
				{name: "a leaf is revoked", leaf: bad.chain(), lists: []string{root, issuing}, error: errIsRevoked, ledger: &m, untrustedNow: true},
				{name: "an older list does not know it", leaf: bad.chain(), lists: []string{noneRoot, none}},
				{name: "an intermediate is revoked", leaf: under.chain(), lists: []string{root, web}, error: errIsRevoked, ledger: &m, untrustedNow: true},
				{name: "all lists in one file", leaf: good.chain(), lists: []string{together(t, root, issuing, web)}, ledger: &m},
				{name: "the leaf's list is missing", leaf: good.chain(), lists: []string{root}, error: errNoList},
				{name: "the intermediate's list is missing", leaf: good.chain(), lists: []string{issuing}, error: errNoList},
				{name: "no list at all", leaf: good.chain(), error: errNoList},
				{name: "lists of another with the same names", leaf: good.chain(), lists: []string{other.crl("root"), other.crl("issuing")}, error: errNoList},
				{name: "the leaf's list has ended", leaf: good.chain(), lists: []string{root, short}, at: time.Now().Add(25 * time.Hour), error: errListEnded},
				{name: "both lists have ended", leaf: good.chain(), lists: []string{root, issuing}, at: week, error: errListEnded},
			} {
				c.roots = roots
				t.Run(c.name, c.ask)
			}
			list, err := os.ReadFile(issuing)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(m.dir, "broken.crl"), strings.Replace(string(list), "A", "B", 1))
			if a := run(t, program(t, "openssl"), "crl", "-noout", "-CAfile", roots, "-in", filepath.Join(m.dir, "broken.crl")); a.code == 0 && strings.Contains(a.stderr, "verify OK") {
				t.Errorf("openssl takes a list with a changed octet: %s", a)
			}
			if a := run(t, program(t, "openssl"), "crl", "-noout", "-CAfile", filepath.Join(m.dir, "ca", "issuing.crt"), "-in", issuing); !strings.Contains(a.stderr, "verify OK") {
				t.Errorf("openssl does not verify the list's signature: %s", a)
			}
		})
	}
}

// A cross-signed chain is trusted by either root, with the lists of all its CAs,
// and no more once the cross-signature is revoked.
func TestOpenSSLTakesCrossSignedChains(t *testing.T) {
	for _, kt := range []string{"ec-p256", "rsa-2048"} {
		t.Run(kt, func(t *testing.T) {
			m := newMesh(t, "--key-type", kt)
			other := newMesh(t, "--key-type", kt, "--name", "Other", "--trust-domain", "other.example", "--cluster-domain", "other.example")
			leaf := other.issue("payment", "--no-default-dns", "--dns", "payment.other.example").chain()
			stray := other.issue("stray", "--no-default-dns", "--dns", "www.example.com").chain()
			cross := filepath.Join(t.TempDir(), "cross.crt")
			m.must("ca", "cross-sign", filepath.Join(other.dir, "ca", "root.crt"), "--by", "root", "--foreign",
				"--permit-dns", "other.example", "--permit-spiffe", "other.example", "--out", cross)
			ours, theirs := filepath.Join(m.dir, "ca", "root.crt"), filepath.Join(other.dir, "ca", "root.crt")
			lists := []string{other.crl("root"), other.crl("issuing")}
			before := m.crl("root")
			for _, c := range []crlCase{
				{name: "by our root", leaf: leaf, roots: ours, between: cross, lists: append(lists, before), ledger: &m},
				{name: "by its own root", leaf: leaf, roots: theirs, lists: lists, ledger: &other},
				{name: "a name that was not permitted", leaf: stray, roots: ours, between: cross, lists: append(lists, before), error: 47, ledger: &m, untrustedNow: true},
			} {
				t.Run(c.name, c.ask)
			}
			m.must("revoke", cross, "--reason", "superseded")
			for _, c := range []crlCase{
				{name: "revoked", leaf: leaf, roots: ours, between: cross, lists: append(lists, m.crl("root")), error: errIsRevoked, ledger: &m, untrustedNow: true},
				{name: "its own root does not mind", leaf: leaf, roots: theirs, lists: lists, ledger: &other},
			} {
				t.Run(c.name, c.ask)
			}
		})
	}
}

// A re-issued intermediate and the one before it are the same CA to OpenSSL: what
// one signed is trusted with the other, and one list serves both.
func TestOpenSSLTakesAReissuedCA(t *testing.T) {
	m := newMesh(t)
	before := m.issue("before").chain()
	old := certificates(t, before)
	m.must("ca", "reissue", "issuing", "--validity", "5y")
	again := certificates(t, filepath.Join(m.dir, "ca", "issuing.crt"))
	roots := filepath.Join(m.dir, "ca", "root.crt")
	lists := []string{m.crl("root"), m.crl("issuing")}
	after := certificates(t, m.issue("after").chain())
	for name, c := range map[string]string{
		"before, by the old one": before, "before, by the new one": save(t, old[0], again[0]),
		"after, by the new one": save(t, after[0], again[0]), "after, by the old one": save(t, after[0], old[1]),
	} {
		crlCase{name: name, leaf: c, roots: roots, lists: lists, ledger: &m}.ask(t)
	}
}
