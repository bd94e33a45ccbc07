package inspect_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// adding puts an extension of a certificate as it stands.
func adding(critical bool, value []byte, oid ...int) change {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
	}
}

// TestQualifiers: a critical extension must be understood in whole, qualifiers included
// (RFC 5280, Section 4.2.1.4).
func TestQualifiers(t *testing.T) {
	type qualifier struct {
		ID    asn1.ObjectIdentifier
		Value string `asn1:"ia5"`
	}
	type info struct {
		ID         asn1.ObjectIdentifier
		Qualifiers []qualifier
	}
	with := func(oid asn1.ObjectIdentifier) []byte {
		der, err := asn1.Marshal([]info{{asn1.ObjectIdentifier{1, 2, 3}, []qualifier{{oid, "https://a.example/"}}}})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	statement := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 2, 1}
	for name, c := range map[string]struct {
		leaf change
		rule string // "" where it holds
	}{
		"a statement, critical":    {adding(true, with(statement), 2, 5, 29, 32), ""},
		"an odd one, not critical": {adding(false, with(oidOdd), 2, 5, 29, 32), ""},
		"an odd one, critical":     {adding(true, with(oidOdd), 2, 5, 29, 32), "critical-extension-unknown"},
		"an empty list of them":    {adding(false, []byte{0x30, 8, 0x30, 6, 6, 2, 0x2a, 3, 0x30, 0}, 2, 5, 29, 32), "extension-malformed"},
		"something that is none":   {adding(false, []byte{0x30, 10, 0x30, 8, 6, 2, 0x2a, 3, 0x30, 2, 5, 0}, 2, 5, 29, 32), "extension-malformed"},
	} {
		target, o := hierarchy(t, nil, nil, c.leaf)
		r := inspect.Verify(name, target, o)
		if r.Trusted != (c.rule == "") || c.rule != "" && r.Findings[0].Rule != c.rule {
			t.Errorf("%s: trusted %v: %+v", name, r.Trusted, r.Findings)
		}
	}
}

// TestScopes: what an issuing distribution point may be (RFC 5280, Section 5.2.5), and
// whom it leaves out (Section 6.3.3 (b)).
func TestScopes(t *testing.T) {
	root := newRoot(t, "Root")
	point := adding(false, []byte{0x30, 13, 0x30, 11, 0xa0, 9, 0xa0, 7, 0x86, 5, 'a', ':', '/', '/', 'b'}, 2, 5, 29, 31)
	leaf, pointed, below := root.leaf(t), root.leaf(t, point), root.intermediate(t, "Below").Certificate
	named := []byte{0xa0, 9, 0xa0, 7, 0x86, 5, 'a', ':', '/', '/', 'b'}
	scope := func(b ...byte) []byte { return append([]byte{0x30, byte(len(b))}, b...) }
	users, cas, attributes, indirect := []byte{0x81, 1, 0xff}, []byte{0x82, 1, 0xff}, []byte{0x85, 1, 0xff}, []byte{0x84, 1, 0xff}
	for name, c := range map[string]struct {
		scope                []byte
		leaf, pointed, below bool // what the list proves good
	}{
		"users":      {scope(users...), true, true, false},
		"CAs":        {scope(cas...), false, false, true},
		"attributes": {scope(attributes...), false, false, false},
		"a name":     {scope(named...), false, true, false},
		// Of an indirect list its own issuer's certificates are a part; PKITS 4.14.22.
		"indirect":         {scope(indirect...), true, true, true},
		"indirect, a name": {scope(append(named[:len(named):len(named)], indirect...)...), false, true, false},
		"some reasons":     {onlySome, false, false, false},
	} {
		list := root.list(t, saying(oidScope, true, c.scope))
		for i, target := range []*x509.Certificate{leaf, pointed, below} {
			r := inspect.Verify(name, target, inspect.Options{Roots: certs(root.Certificate), At: at, CRLs: []*inspect.RevocationList{list}})
			if want := []bool{c.leaf, c.pointed, c.below}[i]; r.Trusted != want {
				t.Errorf("%s, %d: trusted %v: %+v", name, i, r.Trusted, r.Findings)
			}
		}
	}
	for name, bad := range map[string][]byte{
		"empty":         scope(),
		"two at once":   scope(append(users[:3:3], cas...)...),
		"all three":     scope(append(append(users[:3:3], cas...), attributes...)...),
		"out of order":  scope(append(cas[:3:3], users...)...),
		"no boolean":    scope(0x81, 1, 1),
		"an empty name": scope(0xa0, 2, 0xa0, 0),
		"more behind":   scope(append(users[:3:3], 5, 0)...),
	} {
		if _, err := inspect.ReadCRL(root.listDER(t, saying(oidScope, true, bad))); err == nil || !strings.Contains(err.Error(), "issuing distribution point") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLastSecond: a validity holds through its last second (RFC 5280, Section
// 4.1.2.5), and so do a CRL and an OCSP response.
func TestLastSecond(t *testing.T) {
	root := newRoot(t, "Root")
	leaf := root.leaf(t, func(c *x509.Certificate) { c.NotAfter = at })
	list := root.list(t, func(l *x509.RevocationList) { l.NextUpdate = at })
	answer := root.answer(t, leaf, root.Certificate, root.key, func(r *response) { r.nextUpdate = at })
	o := inspect.Options{Roots: certs(root.Certificate), CRLs: []*inspect.RevocationList{list}, OCSP: answer}
	for late, want := range map[time.Duration]bool{0: true, 999 * time.Millisecond: true, time.Second: false} {
		o.At = at.Add(late)
		if r := inspect.Verify("last second", leaf, o); r.Trusted != want {
			t.Errorf("%v after the end: trusted %v: %+v", late, r.Trusted, r.Findings)
		}
	}
}

// TestSerials: serial numbers that CAs should not give are told, and do not let a
// revocation slip.
func TestSerials(t *testing.T) {
	root := newRoot(t, "Root")
	for name, n := range map[string]*big.Int{
		"long": new(big.Int).Lsh(big.NewInt(1), 160), "first bit set": new(big.Int).Lsh(big.NewInt(1), 127), "small": big.NewInt(1),
	} {
		leaf := root.leaf(t, func(c *x509.Certificate) { c.SerialNumber = n })
		near := root.leaf(t, func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Add(n, big.NewInt(1)) })
		o := inspect.Options{Roots: certs(root.Certificate), At: at, CRLs: []*inspect.RevocationList{root.list(t, revoking(leaf, 1))}}
		if r := inspect.Verify(name, leaf, o); r.Trusted || r.Findings[0].Rule != "revoked" {
			t.Errorf("%s: %+v", name, r.Findings)
		}
		if r := inspect.Verify(name, near, o); !r.Trusted {
			t.Errorf("%s, one more: %+v", name, r.Findings)
		}
	}
}

// TestOldSignatures: SHA-1 and DSA count for a question about the time when they did,
// with a warning, and never for one about now or with --strict. MD5 never does.
func TestOldSignatures(t *testing.T) {
	long := func(c *x509.Certificate) { c.NotBefore = at.AddDate(-30, 0, 0) }
	root := newRoot(t, "Root", long)
	rsaRoot := oldRSA(t)
	old := func(a *authority, with x509.SignatureAlgorithm) *x509.Certificate {
		return a.leaf(t, long, func(c *x509.Certificate) { c.SignatureAlgorithm = with })
	}
	end := time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		leaf, root *x509.Certificate
	}{
		"ECDSA": {old(root, x509.ECDSAWithSHA1), root.Certificate},
		"RSA":   {old(rsaRoot, x509.SHA1WithRSA), rsaRoot.Certificate},
	} {
		for _, ask := range []struct {
			at     time.Time
			strict bool
			want   bool
		}{{end.Add(-time.Second), false, true}, {end, false, false}, {at, false, false}, {end.Add(-time.Second), true, false}} {
			r := inspect.Verify(name, c.leaf, inspect.Options{Roots: certs(c.root), At: ask.at, Strict: ask.strict})
			told := slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Rule == "signature-weak" })
			if r.Trusted != ask.want || !told {
				t.Errorf("%s at %v, strict %v: trusted %v: %+v", name, ask.at, ask.strict, r.Trusted, r.Findings)
			}
		}
		forged := reparse(t, bytes.Replace(c.leaf.Raw, []byte("payment.prod"), []byte("payment.evil"), 1))
		if r := inspect.Verify(name, forged, inspect.Options{Roots: certs(c.root), At: end.Add(-time.Second)}); r.Trusted {
			t.Errorf("%s, forged: %+v", name, r.Findings)
		}
	}
}

// oldRSA is a root with an RSA key.
func oldRSA(t *testing.T) *authority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := caTemplate("RSA root", key.Public())
	template.NotBefore = at.AddDate(-30, 0, 0)
	return &authority{sign(t, template, key.Public(), &authority{template, key}), key}
}

// TestUnsaidAnchors: a root may leave unsaid that it is a CA, and nobody else; and
// what it does say counts.
func TestUnsaidAnchors(t *testing.T) {
	bare := func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }
	silent := func(c *x509.Certificate) { bare(c); c.KeyUsage, c.SubjectKeyId = 0, nil }
	for name, c := range map[string]struct {
		root, issuing change
		want          bool
	}{
		"keyCertSign alone":               {bare, nil, true},
		"nothing":                         {silent, nil, true},
		"a key usage without keyCertSign": {func(c *x509.Certificate) { bare(c); c.KeyUsage = x509.KeyUsageCRLSign }, nil, false},
		"no key usage, but other things":  {func(c *x509.Certificate) { silent(c); c.DNSNames = []string{"a"} }, nil, false},
		"that it is none":                 {func(c *x509.Certificate) { c.IsCA = false }, nil, false},
		"an intermediate, keyCertSign":    {nil, bare, false},
		"an intermediate, nothing":        {nil, silent, false},
	} {
		target, o := hierarchy(t, c.root, c.issuing, nil)
		r := inspect.Verify(name, target, o)
		if r.Trusted != c.want {
			t.Errorf("%s: trusted %v: %+v", name, r.Trusted, r.Findings)
		}
		o.Strict = true
		if r := inspect.Verify(name, target, o); r.Trusted {
			t.Errorf("%s, strict: %+v", name, r.Findings)
		}
	}
}
