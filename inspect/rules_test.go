package inspect_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

func rulesOf(findings []inspect.Finding) []string {
	list := []string{}
	for _, f := range findings {
		list = append(list, f.Rule)
	}
	return list
}

// broken has for each rule on a certificate that stands alone one that breaks it
// and no other.
func broken(t *testing.T) map[string]*x509.Certificate {
	root := newRoot(t, "Root")
	leaf := func(changes ...change) *x509.Certificate { return root.leaf(t, changes...) }
	ca := func(changes ...change) *x509.Certificate {
		return root.intermediate(t, "Below", changes...).Certificate
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large := new(big.Int).Lsh(big.NewInt(1), 17000)
	long := new(big.Int).Lsh(big.NewInt(1), 160)
	return map[string]*x509.Certificate{
		"leaf-expired":               leaf(expired),
		"leaf-not-yet-valid":         leaf(future),
		"intermediate-expired":       ca(expired),
		"intermediate-not-yet-valid": ca(future),
		"root-expired":               newRoot(t, "Old", expired).Certificate,
		"root-not-yet-valid":         newRoot(t, "New", future).Certificate,
		"key-rsa-short":              root.leafFor(t, shortRSA()),
		"key-rsa-large":              root.leafFor(t, &rsa.PublicKey{N: large.Add(large, big.NewInt(1)), E: 65537}),
		"key-rsa-exponent":           root.leafFor(t, &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 2047), big.NewInt(1)), E: 3}),
		"key-p224":                   root.leafFor(t, p224.Public()),
		"signature-weak":             leaf(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }),
		"ca-basic-constraints-not-critical": ca(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 3, 1, 1, 0xff}}}
		}),
		"ca-without-key-cert-sign": ca(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }),
		"key-cert-sign-without-ca": leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign; c.URIs = nil }),
		"leaf-without-san":         leaf(func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, nil }),
		"san-not-critical": leaf(func(c *x509.Certificate) {
			c.Subject = pkix.Name{}
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte{0x30, 3, 0x82, 1, 'a'}}}
			c.URIs = nil
		}),
		"names-hidden-characters": leaf(hostile),
		"serial-not-positive":     leaf(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0) }),
		"serial-too-long":         leaf(func(c *x509.Certificate) { c.SerialNumber = long }),
		"svid-uri-count":          leaf(func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("https://a.example")) }),
		"svid-id-invalid":         leaf(func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://a.example/b/")} }),
		"svid-path-missing":       leaf(func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://a.example")} }),
		"svid-digital-signature-missing": leaf(func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageKeyAgreement
		}),
		"svid-leaf-signs":    leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }),
		"svid-ext-key-usage": leaf(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }),
		"svid-key-usage-not-critical": leaf(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 7, 0x80}}}
		}),
		"svid-signing-path": ca(func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://a.example/b")} }),
	}
}

// TestRules breaks each rule alone: the finding is that one, and no other.
func TestRules(t *testing.T) {
	for rule, c := range broken(t) {
		r := inspect.Describe("test", inspect.Object{Kind: inspect.KindCertificate, Certificate: c}, at)
		if got := rulesOf(r.Findings); !slices.Equal(got, []string{rule}) {
			t.Errorf("%s: found %v", rule, got)
		}
	}
	root := newRoot(t, "Root", func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://cluster.local")} })
	for _, good := range certs(root.Certificate, root.intermediate(t, "Issuing").Certificate, root.leaf(t), root.leaf(t, func(c *x509.Certificate) { c.URIs = nil })) {
		r := inspect.Describe("test", inspect.Object{Kind: inspect.KindCertificate, Certificate: good}, at)
		if len(r.Findings) > 0 {
			t.Errorf("%s is good: found %v", good.Subject, r.Findings)
		}
	}
}

func TestValidityReversed(t *testing.T) {
	c := newRoot(t, "Root").leaf(t)
	c.NotBefore, c.NotAfter = at.Add(day), at.Add(-day)
	r := inspect.Describe("test", inspect.Object{Kind: inspect.KindCertificate, Certificate: c}, at)
	if got := rulesOf(r.Findings); !slices.Contains(got, "validity-reversed") {
		t.Errorf("found %v", got)
	}
}

// TestRequestAndCRLRules covers the rules on what is no certificate.
func TestRequestAndCRLRules(t *testing.T) {
	request := parse(t, requestPEM(t, newKey(t)))[0]
	if r := inspect.Describe("r", request, at); len(r.Findings) > 0 || !r.Request.SignatureValid {
		t.Errorf("a good request: %+v", r)
	}
	forged := bytes.Clone(request.DER)
	forged[len(forged)-1] ^= 1
	broken := parse(t, forged)[0]
	if r := inspect.Describe("r", broken, at); !slices.Equal(rulesOf(r.Findings), []string{"request-signature-invalid"}) || r.Request.SignatureValid {
		t.Errorf("a forged request: %+v", r.Findings)
	}
	crl := parse(t, crlPEM(t, newRoot(t, "Root")))[0]
	for now, want := range map[time.Time][]string{at: {}, at.Add(30 * day): {"crl-stale"}, at.Add(-30 * day): {"crl-not-yet-valid"}} {
		if r := inspect.Describe("c", crl, now); !slices.Equal(rulesOf(r.Findings), want) {
			t.Errorf("at %v: %v, want %v", now, r.Findings, want)
		}
	}
}

// TestRuleList holds every rule to one form, and sees that none is forgotten.
func TestRuleList(t *testing.T) {
	id := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	citation := regexp.MustCompile(`^(RFC \d+|X509-SVID|SPIFFE-ID|FIPS 186-5), Section [A-Z0-9]+(\.\d+)*$`)
	known := map[string]bool{}
	for _, r := range inspect.Rules() {
		if !id.MatchString(r.ID) || !citation.MatchString(r.Citation) || r.Title == "" || known[r.ID] {
			t.Errorf("%+v", r)
		}
		known[r.ID] = true
	}
	tested := broken(t)
	for name := range brokenPaths(t) {
		rule, _, _ := strings.Cut(name, ":")
		tested[rule] = nil
	}
	for _, also := range []string{"validity-reversed", "request-signature-invalid", "crl-stale", "crl-not-yet-valid", "path-invalid", "revoked", "second-opinion-refuses", "second-opinion-gap",
		"certificate-malformed", "request-malformed", "crl-malformed", "ocsp-malformed", "ocsp-stale", "ocsp-not-yet-valid", "server-tls-old", "server-chain-order", "server-root-sent", "server-client-cas-unnamed"} {
		tested[also] = nil
	}
	for rule := range tested {
		if !known[rule] {
			t.Errorf("%s is tested and not listed", rule)
		}
	}
	for rule := range known {
		if _, ok := tested[rule]; !ok {
			t.Errorf("%s is listed and not tested", rule)
		}
	}
}
