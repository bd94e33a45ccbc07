package inspect_test

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// brokenConforming has a certificate for each rule of conformance: --strict
// refuses it, and without there is a warning.
func brokenConforming(t *testing.T, add addCase) {
	strict := func(name string, root, issuing, leaf change) {
		target, o := hierarchy(t, root, issuing, leaf)
		o.Strict = true
		add(name, "", target, o)
	}
	extra := func(critical bool, value []byte, oid ...int) change {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
		}
	}
	strict("ca-without-subject-key-id", nil, nil, func(c *x509.Certificate) {
		c.IsCA, c.MaxPathLen, c.KeyUsage = true, -1, x509.KeyUsageCertSign
		extra(false, []byte{4, 0}, 2, 5, 29, 14)(c) // empty, which crypto/x509 does not write by itself
	})
	strict("name-constraints-not-critical", nil, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"prod", "svc"} }, nil)
	strict("name-constraint-form", nil, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{".prod", "prod", "svc"}
	}, nil)
	strict("policy-constraints-not-critical", nil, extra(false, []byte{0x30, 3, 0x81, 1, 0}, 2, 5, 29, 36), nil)
	strict("policy-constraints-not-critical:any", nil, extra(false, []byte{2, 1, 0}, 2, 5, 29, 54), nil)
	strict("san-not-critical", nil, nil, func(c *x509.Certificate) {
		c.Subject, c.DNSNames, c.URIs = pkix.Name{}, nil, nil
		extra(false, []byte{0x30, 3, 0x82, 1, 'a'}, 2, 5, 29, 17)(c)
	})
	strict("name-constraints-without-ca", nil, nil, extra(true, []byte{0x30, 7, 0xa0, 5, 0x30, 3, 0x82, 1, 'p'}, 2, 5, 29, 30))
	strict("dns-name-invalid", nil, nil, func(c *x509.Certificate) { c.DNSNames = []string{"payment_1.prod"} })
	strict("path-length-without-ca", nil, nil, extra(true, []byte{0x30, 3, 2, 1, 0}, 2, 5, 29, 19))
	strict("basic-constraints-not-critical", nil, extra(false, []byte{0x30, 3, 1, 1, 0xff}, 2, 5, 29, 19), nil)
	strict("ca-without-key-usage", nil, func(c *x509.Certificate) { c.KeyUsage = 0 }, nil)
	strict("key-usage-without-ca", nil, nil, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign })
	strict("serial-not-conforming", nil, nil, func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 160) })
	strict("authority-key-id-differs", nil, nil, extra(false, []byte{0x30, 3, 0x80, 1, 9}, 2, 5, 29, 35))
	unnamed := newRoot(t, "", func(c *x509.Certificate) { c.Subject = pkix.Name{} })
	add("issuer-name-empty", "has no name", unnamed.leaf(t), inspect.Options{Roots: certs(unnamed.Certificate), At: at, Strict: true})
	bare := newRoot(t, "Bare", func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false })
	small := newRoot(t, "Small")
	add("key-rsa-short", "less than 2,048 bits", small.leafFor(t, shortRSA()), inspect.Options{Roots: certs(small.Certificate), At: at, Strict: true})
	add("ca-without-basic-constraints", "has no basic constraints", bare.leaf(t), inspect.Options{Roots: certs(bare.Certificate), At: at, Strict: true})
	root := newRoot(t, "Root")
	add("crl-not-conforming", "it has no number", root.leaf(t), inspect.Options{Roots: certs(root.Certificate), At: at, Strict: true,
		CRLs: []*inspect.RevocationList{root.numberless(t)}})
	without := &authority{withoutKeyID(root.Certificate), root.key}
	add("authority-key-id-missing", "has no authority key identifier", without.leaf(t), inspect.Options{Roots: certs(root.Certificate), At: at, Strict: true})
	target, o := hierarchy(t, nil, nil, nil)
	o.LimitDepth = true
	add("path-too-deep", "there is 1 CA between", target, o)
	add("extension-malformed", "subjectAltName", root.leaf(t, extra(false, []byte{0x30, 0}, 2, 5, 29, 17)),
		inspect.Options{Roots: certs(root.Certificate), At: at})
	n := new(big.Int).Lsh(big.NewInt(1), 767)
	add("key-too-short", "anybody can find its private half", root.leafFor(t, &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}),
		inspect.Options{Roots: certs(root.Certificate), At: at})
	crowded(t, add)
}

func withoutKeyID(c *x509.Certificate) *x509.Certificate {
	copied := *c
	copied.SubjectKeyId = nil
	return &copied
}

// crowded has more names and constraints than are compared.
func crowded(t *testing.T, add addCase) {
	var names, trees []string
	for i := range 1100 {
		names = append(names, fmt.Sprintf("n%d.prod", i))
		trees = append(trees, fmt.Sprintf("t%d.example", i))
	}
	ca := func(c *x509.Certificate) { c.ExcludedDNSDomains = trees }
	target, o := hierarchy(t, nil, ca, func(c *x509.Certificate) { c.DNSNames = names })
	add("name-constraint-limit", "so many", target, o)
}

// TestConformanceWarns: what --strict refuses is trusted without, with a warning of
// the same rule.
func TestConformanceWarns(t *testing.T) {
	cases := map[string]pathCase{}
	brokenConforming(t, func(name, says string, target *x509.Certificate, o inspect.Options, more ...string) {
		cases[name] = pathCase{target, o, says, more}
	})
	for name, c := range cases {
		if name, _, _ = strings.Cut(name, ":"); !c.options.Strict {
			continue
		}
		c.options.Strict = false
		r := inspect.Verify(name, c.target, c.options)
		i := slices.IndexFunc(r.Findings, func(f inspect.Finding) bool { return f.Rule == name })
		if !r.Trusted || i < 0 || r.Findings[i].Severity != inspect.SeverityWarning {
			t.Errorf("%s: trusted %v: %+v", name, r.Trusted, r.Findings)
		}
	}
}

// TestSecondOpinion: what crypto/x509 refuses for no reason that is known is not trusted.
func TestSecondOpinion(t *testing.T) {
	target, o := hierarchy(t, nil, nil, nil)
	odd := *target
	odd.UnhandledCriticalExtensions = []asn1.ObjectIdentifier{oidOdd} // which is not in the certificate
	if r := inspect.Verify("odd", &odd, o); r.Trusted || r.Findings[0].Rule != "second-opinion-refuses" {
		t.Errorf("%+v", r.Findings)
	}
}

// directoryTree are name constraints that exclude what lies below a common name.
func directoryTree(t *testing.T, cn string) []byte {
	t.Helper()
	der, err := asn1.Marshal(pkix.Name{CommonName: strings.TrimPrefix(cn, "CN=")}.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(tag byte, b []byte) []byte { return append([]byte{tag, byte(len(b))}, b...) }
	return wrap(0x30, wrap(0xa1, wrap(0x30, wrap(0xa4, der))))
}
