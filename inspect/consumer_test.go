package inspect_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"regexp"
	"slices"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// refusals gives the rules by which each mesh refuses a certificate.
func refusals(t *testing.T, c *x509.Certificate) []string {
	t.Helper()
	o := inspect.Object{Kind: inspect.KindCertificate, Certificate: c, DER: c.Raw}
	var rules []string
	for _, v := range inspect.Consumers(o, inspect.Describe("test", o, at)) {
		if v.Loads != (len(v.Findings) == 0) {
			t.Errorf("%s: loads %v with %v", v.Consumer, v.Loads, v.Findings)
		}
		rules = append(rules, rulesOf(v.Findings)...)
	}
	return rules
}

// TestConsumers breaks each rule of a mesh, and sees that what is good for all of them
// is loaded by all.
func TestConsumers(t *testing.T) {
	root := newRoot(t, "Root")
	ca := func(changes ...change) *x509.Certificate {
		return root.intermediate(t, "Issuing", changes...).Certificate
	}
	keyed := func(a *authority, key crypto.PublicKey) *x509.Certificate {
		return sign(t, caTemplate("Issuing", key), key, a)
	}
	selfSigned := func(key crypto.Signer) *x509.Certificate {
		template := caTemplate("Root", key.Public())
		return sign(t, template, key.Public(), &authority{template, key})
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	everyValidity := []string{"istio-validity", "linkerd-validity", "dapr-validity", "spire-validity"}
	everyCertSign := []string{"istio-key-cert-sign", "linkerd-key-cert-sign", "dapr-key-cert-sign", "kuma-key-cert-sign", "spire-key-cert-sign"}
	tried := map[string]bool{}
	for name, c := range map[string]struct {
		cert *x509.Certificate
		want []string
	}{
		"an issuer": {ca(), nil},
		"a root":    {root.Certificate, nil},
		"a leaf":    {root.leaf(t), nil},
		"an Ed25519 issuer": {keyed(root, edPublic),
			[]string{"istio-key", "linkerd-issuer-key", "spire-key"}},
		"an Ed25519 root": {selfSigned(edKey),
			[]string{"istio-key", "linkerd-anchor-key", "linkerd-signature", "spire-key"}},
		"an RSA 3072 root":   {selfSigned(rsaKey), []string{"linkerd-anchor-key"}},
		"an RSA 3072 issuer": {keyed(root, rsaKey.Public()), []string{"linkerd-issuer-key"}},
		"an expired one":     {ca(expired), everyValidity},
		"one of tomorrow":    {ca(future), everyValidity},
		"for CRLs only":      {ca(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), everyCertSign},
		"without key usage":  {ca(func(c *x509.Certificate) { c.KeyUsage = 0 }), []string{"kuma-key-cert-sign"}},
		"keyAgreement":       {ca(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyAgreement }), []string{"kuma-key-agreement"}},
		"path length 0":      {ca(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), []string{"spire-path-length"}},
		"path length 1":      {ca(func(c *x509.Certificate) { c.MaxPathLen = 1 }), nil},
		"a key nobody knows": {withoutKey(ca()), []string{"istio-key", "linkerd-issuer-key", "dapr-key", "spire-key"}},
	} {
		got := refusals(t, c.cert)
		slices.Sort(got)
		want := slices.Sorted(slices.Values(c.want))
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		for _, r := range got {
			tried[r] = true
		}
	}
	form := regexp.MustCompile(`^(istio|linkerd|dapr|kuma|spire)-[a-z-]+$`)
	known := map[string]bool{}
	for _, r := range inspect.Rules() {
		known[r.ID] = true
	}
	for _, r := range inspect.ConsumerRules() {
		if !tried[r.ID] || known[r.ID] || !form.MatchString(r.ID) || r.Citation == "" || r.Title == "" {
			t.Errorf("%+v: tried %v", r, tried[r.ID])
		}
		known[r.ID] = true
	}
}

// withoutKey is a certificate whose key is of an algorithm that Go does not have.
func withoutKey(c *x509.Certificate) *x509.Certificate {
	c.PublicKey, c.RawSubjectPublicKeyInfo = nil, nil
	return c
}
