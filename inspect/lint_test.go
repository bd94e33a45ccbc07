package inspect_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"slices"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// TestLint breaks each rule of lint, and sees that good certificates keep them all.
func TestLint(t *testing.T) {
	root := newRoot(t, "Root")
	leaf := func(changes ...change) *x509.Certificate { return root.leaf(t, changes...) }
	ca := func(changes ...change) *x509.Certificate {
		return root.intermediate(t, "Below", changes...).Certificate
	}
	lint := func(c *x509.Certificate) []string {
		o := inspect.Object{Kind: inspect.KindCertificate, Certificate: c, DER: c.Raw}
		r := inspect.Describe("test", o, at)
		before := len(r.Findings)
		inspect.Lint(o, &r)
		return rulesOf(r.Findings[before:])
	}
	tried := map[string]bool{}
	for rule, c := range map[string]*x509.Certificate{
		"leaf-without-key-usage":     leaf(func(c *x509.Certificate) { c.KeyUsage = 0; c.URIs = nil }),
		"leaf-without-ext-key-usage": leaf(func(c *x509.Certificate) { c.ExtKeyUsage = nil }),
		"ext-key-usage-any":          leaf(func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageAny) }),
		"ca-key-usage-not-critical": ca(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 1, 6}}}
		}),
		"ca-subject-empty":       ca(func(c *x509.Certificate) { c.Subject = pkix.Name{} }),
		"svid-signing-key-usage": ca(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }),
		"name-constraints-empty": ca(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 99}, Value: []byte{0x30, 0}}}
		}),
		"leaf-without-basic-constraints": leaf(func(c *x509.Certificate) { c.BasicConstraintsValid = false }),
		"common-name-not-among-names":    leaf(func(c *x509.Certificate) { c.Subject.CommonName = "www.example.com" }),
		"key-usage-encipherment-ec":      leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }),
	} {
		if rule == "name-constraints-empty" {
			c.Extensions[slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id[3] == 99 })].Id[3] = 30
		}
		got := lint(c)
		if rule == "name-constraints-empty" { // the validator takes such an extension for none
			got = slices.DeleteFunc(got, func(r string) bool { return r == "extension-malformed" })
		}
		if !slices.Equal(got, []string{rule}) {
			t.Errorf("%s: found %v", rule, got)
		}
		tried[rule] = true
	}
	for _, good := range certs(root.Certificate, ca(), leaf(), leaf(func(c *x509.Certificate) { c.URIs = []*url.URL{} })) {
		if got := lint(good); len(got) > 0 {
			t.Errorf("%s is good: found %v", good.Subject, got)
		}
	}
	for rule := range brokenSources(t) {
		tried[rule] = true
	}
	for _, r := range inspect.LintRules() {
		if !tried[r.ID] {
			t.Errorf("%s is not tried", r.ID)
		}
	}
}
