//go:build integration

package main

import (
	"crypto/x509"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// profiles lists what each profile may be used for.
var profiles = []struct {
	name           string
	server, client bool
}{
	{"workload", true, true},
	{"server", true, false},
	{"client", false, true},
	{"peer", true, true},
}

// keyTypes lists the types that every profile is tried with; rsa-4096, which is
// slow to make, is tried once.
var keyTypes = []string{"ec-p256", "ec-p384", "ed25519", "rsa-2048", "rsa-3072"}

// question is one that every verifier can be asked.
type question struct {
	target  string    // PEM file: the leaf, and intermediates behind it
	roots   string    // PEM file
	use     string    // serverAuth, clientAuth, "" for any
	at      time.Time // zero is now; certtool cannot be told any other
	name    string    // a DNS name or an IP address
	trusted bool      // the right answer
}

// ask puts the question to every verifier: all must give the right answer.
func ask(t *testing.T, q question) {
	t.Helper()
	verifiers := []struct {
		name   string
		verify func(*testing.T, question) answer
		yes    int
		no     int
	}{
		{"meshpki", askMeshpki, 0, 3},
		{"openssl", askOpenSSL, 0, 2},
		{"certtool", askGnuTLS, 0, 1},
	}
	for _, v := range verifiers {
		if v.name == "certtool" && !q.at.IsZero() {
			continue
		}
		a := v.verify(t, q)
		want := v.no
		if q.trusted {
			want = v.yes
		}
		if a.code != want {
			t.Errorf("%s: want exit %d for %+v, got %s", v.name, want, q, a)
		}
	}
}

func askMeshpki(t *testing.T, q question) answer {
	t.Helper()
	args := []string{"verify", q.target, "--roots", q.roots}
	if q.use != "" {
		args = append(args, "--eku", q.use)
	}
	if !q.at.IsZero() {
		args = append(args, "--at", q.at.Format(time.RFC3339))
	}
	if q.name != "" {
		args = append(args, "--name", q.name)
	}
	return run(t, meshpki(t), args...)
}

func askOpenSSL(t *testing.T, q question) answer {
	t.Helper()
	chain := certificates(t, q.target)
	args := []string{"verify", "-x509_strict", "-check_ss_sig", "-no-CApath", "-no-CAstore", "-CAfile", q.roots}
	if len(chain) > 1 {
		args = append(args, "-untrusted", save(t, chain[1:]...))
	}
	switch q.use {
	case "serverAuth":
		args = append(args, "-purpose", "sslserver")
	case "clientAuth":
		args = append(args, "-purpose", "sslclient")
	}
	if !q.at.IsZero() {
		args = append(args, "-attime", strconv.FormatInt(q.at.Unix(), 10))
	}
	switch {
	case q.name == "":
	case strings.Trim(q.name, "0123456789.") == "":
		args = append(args, "-verify_ip", q.name)
	default:
		args = append(args, "-verify_hostname", q.name)
	}
	return run(t, program(t, "openssl"), append(args, save(t, chain[0]))...)
}

func askGnuTLS(t *testing.T, q question) answer {
	t.Helper()
	args := []string{"--verify", "--load-ca-certificate", q.roots, "--infile", q.target}
	switch q.use {
	case "serverAuth":
		args = append(args, "--verify-purpose", "1.3.6.1.5.5.7.3.1")
	case "clientAuth":
		args = append(args, "--verify-purpose", "1.3.6.1.5.5.7.3.2")
	}
	if q.name != "" {
		args = append(args, "--verify-hostname", q.name)
	}
	return run(t, program(t, "certtool"), args...)
}

// TestVerifiersAgree has OpenSSL and GnuTLS judge a certificate of every profile
// and key type, the CA's keys of that type too, for every use.
func TestVerifiersAgree(t *testing.T) {
	for _, keyType := range append(keyTypes, "rsa-4096") {
		t.Run(keyType, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, "--key-type", keyType)
			for _, p := range profiles {
				if keyType == "rsa-4096" && p.name != "workload" {
					continue
				}
				c := m.issue(p.name, "--profile", p.name, "--key-type", keyType)
				q := question{target: c.chain(), roots: c.roots()}
				for use, trusted := range map[string]bool{"": true, "serverAuth": p.server, "clientAuth": p.client} {
					q.use, q.trusted = use, trusted
					ask(t, q)
				}
				checkSelfContained(t, c)
			}
		})
	}
}

// checkSelfContained: the chain with its root, as GnuTLS checks it link by link,
// and a key that is the leaf's.
func checkSelfContained(t *testing.T, c credential) {
	t.Helper()
	whole := save(t, append(certificates(t, c.chain()), certificates(t, c.roots())...)...)
	if a := run(t, program(t, "certtool"), "--verify-chain", "--infile", whole); a.code != 0 {
		t.Errorf("certtool --verify-chain: %s", a)
	}
	openssl := program(t, "openssl")
	inCert := succeed(t, openssl, "x509", "-in", c.chain(), "-noout", "-pubkey")
	inKey := succeed(t, openssl, "pkey", "-in", c.key(), "-pubout")
	if inCert != inKey {
		t.Errorf("%s is not the key of %s", c.key(), c.chain())
	}
}

// TestVerifiersRefuse puts to each verifier what must not be trusted.
func TestVerifiersRefuse(t *testing.T) {
	m, stranger := newMesh(t), newMesh(t)
	c := m.issue("payment", "--ip", "10.0.0.5")
	other := stranger.issue("payment")
	chain := certificates(t, c.chain())
	leaf, now := chain[0], time.Now()

	tampered := *leaf
	tampered.Raw = append([]byte(nil), leaf.Raw...)
	tampered.Raw[len(tampered.Raw)-1] ^= 1

	for name, q := range map[string]question{
		"now":                  {trusted: true},
		"in a week":            {at: now.Add(7 * 24 * time.Hour), trusted: true},
		"wrong root":           {roots: other.roots()},
		"another's chain":      {target: other.chain()},
		"missing intermediate": {target: save(t, leaf)},
		"another intermediate": {target: save(t, leaf, certificates(t, other.chain())[1])},
		"expired":              {at: leaf.NotAfter.Add(time.Second)},
		"last second":          {at: leaf.NotAfter.Add(-time.Second), trusted: true},
		"not yet valid":        {at: leaf.NotBefore.Add(-time.Second)},
		"first second":         {at: leaf.NotBefore, trusted: true},
		"tampered":             {target: save(t, append([]*x509.Certificate{&tampered}, chain[1:]...)...)},
		"full name":            {name: "payment.default.svc.cluster.local", trusted: true},
		"short name":           {name: "payment", trusted: true},
		"upper case":           {name: "PAYMENT.Default", trusted: true},
		"another's name":       {name: "account.default"},
		"a name below":         {name: "x.payment.default"},
		"its common name only": {name: "payment.default.svc.cluster.localhost"},
		"address":              {name: "10.0.0.5", trusted: true},
		"another address":      {name: "10.0.0.6"},
	} {
		t.Run(name, func(t *testing.T) {
			if q.target == "" {
				q.target = c.chain()
			}
			if q.roots == "" {
				q.roots = c.roots()
			}
			ask(t, q)
		})
	}
}

// TestVerifiersSeeExpiry waits until a certificate has really expired, for
// verifiers that cannot be told another time.
func TestVerifiersSeeExpiry(t *testing.T) {
	c := newMesh(t).issue("payment", "--validity", "3s")
	q := question{target: c.chain(), roots: c.roots(), trusted: true}
	ask(t, q)
	waitForExpiry(t, c)
	q.trusted = false
	ask(t, q)
}

// waitForExpiry sleeps until a credential, which must be short-lived, has expired.
func waitForExpiry(t *testing.T, c credential) {
	t.Helper()
	left := time.Until(certificates(t, c.chain())[0].NotAfter)
	if left > patience {
		t.Fatalf("a certificate that was to expire at once is valid for another %s", left)
	}
	time.Sleep(left + 1100*time.Millisecond)
}

// TestVerifiersReadConstraints: a constrained CA's certificates are trusted by
// all, and what it must not certify by none.
func TestVerifiersReadConstraints(t *testing.T) {
	m := newMesh(t, "--permit-dns", "default.svc.cluster.local")
	c := m.issue("payment")
	leaf := certificates(t, c.chain())[0]
	for _, name := range leaf.DNSNames {
		if !strings.HasSuffix(name, "default.svc.cluster.local") {
			t.Errorf("a DNS name outside the constraints: %s", name)
		}
	}
	ask(t, question{target: c.chain(), roots: c.roots(), trusted: true})
	if a := m.run("issue", "--service", "account", "--dns", "account.example.com"); a.code != 4 {
		t.Errorf("a name outside the constraints: want exit 4, got %s", a)
	}
}

// TestVerifiersReadFiles: the CA's own files and the bundle, read by OpenSSL.
func TestVerifiersReadFiles(t *testing.T) {
	m := newMesh(t, "--name", "Example", "--trust-domain", "example.org")
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	writeFile(t, bundle, m.must("ca", "bundle", "--as", "pem"))
	c := m.issue("payment")
	ask(t, question{target: c.chain(), roots: bundle, trusted: true})

	root := certificates(t, bundle)[0]
	text := succeed(t, program(t, "openssl"), "x509", "-in", bundle, "-noout", "-text")
	for _, want := range []string{"X509v3 Basic Constraints: critical", "CA:TRUE", "X509v3 Key Usage: critical", "Certificate Sign, CRL Sign"} {
		if !strings.Contains(text, want) {
			t.Errorf("the root, as OpenSSL reads it, lacks %q:\n%s", want, text)
		}
	}
	if got := root.Subject.CommonName; got != "Example Root CA" {
		t.Errorf("the root is called %q", got)
	}
	const uri = "URI:spiffe://example.org/ns/default/sa/payment"
	if text := succeed(t, program(t, "openssl"), "x509", "-in", c.chain(), "-noout", "-text"); strings.Count(text, "URI:") != 1 || !strings.Contains(text, uri) {
		t.Errorf("the leaf, as OpenSSL reads it, must have one URI, %s:\n%s", uri, text)
	}
}
