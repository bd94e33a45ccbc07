package inspect_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

const consulID = "11111111-2222-3333-4444-555555555555.consul"

// material is a root and an intermediate of a kind that every consumer takes, but for
// changes: path length 1 for SPIRE, one URI for Consul.
func material(t *testing.T, key crypto.Signer, changes ...func(root, ca *x509.Certificate)) inspect.Material {
	t.Helper()
	rootKey := newKey(t)
	root := caTemplate("Root", rootKey.Public())
	ca := caTemplate("identity.linkerd."+consulID, key.Public())
	ca.MaxPathLen = 1
	ca.URIs = []*url.URL{{Scheme: "spiffe", Host: consulID}}
	for _, change := range changes {
		change(root, ca)
	}
	top := &authority{Certificate: root, key: rootKey}
	top.Certificate = sign(t, root, rootKey.Public(), top)
	return inspect.Material{Chain: []*x509.Certificate{sign(t, ca, key.Public(), top)}, Roots: []*x509.Certificate{top.Certificate}, TrustDomain: consulID}
}

func breaks(consumer string, m inspect.Material) (rules []string) {
	for _, f := range inspect.CheckMaterial(consumer, m, at) {
		rules = append(rules, f.Rule)
		if f.Citation == "" || f.Message == "" {
			rules = append(rules, "without citation or message")
		}
	}
	return rules
}

// Every consumer takes what is good.
func TestMaterialThatIsGood(t *testing.T) {
	m := material(t, newKey(t))
	for _, consumer := range inspect.MaterialConsumers() {
		want := []string(nil)
		if consumer == "consul" {
			want = []string{"consul-intermediate"} // advice
		}
		if got := breaks(consumer, m); !slices.Equal(got, want) {
			t.Errorf("%s: %q", consumer, got)
		}
	}
}

// Each rule has something that it refuses, and nothing else does.
func TestMaterialRules(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa3072, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	key, tried := newKey(t), map[string]bool{}
	usage := func(u x509.KeyUsage) inspect.Material {
		return material(t, key, func(_, ca *x509.Certificate) { ca.KeyUsage = u })
	}
	good := material(t, key)
	leaf := material(t, key, func(_, ca *x509.Certificate) { ca.IsCA, ca.MaxPathLen, ca.KeyUsage = false, 0, x509.KeyUsageCertSign })
	expired := material(t, key, func(_, ca *x509.Certificate) { ca.NotAfter = at.Add(-time.Hour) })
	soon := material(t, key, func(_, ca *x509.Certificate) { ca.NotAfter = at.Add(30 * day) })
	otherRoots := inspect.Material{Chain: good.Chain, Roots: material(t, key).Roots, TrustDomain: consulID}
	self := inspect.Material{Chain: good.Roots, Roots: good.Roots, TrustDomain: consulID}
	crossed := inspect.Material{Chain: good.Chain, Roots: slices.Concat(good.Roots, good.Chain), TrustDomain: consulID}
	short := material(t, key, func(root, ca *x509.Certificate) { root.MaxPathLen = 1; ca.MaxPathLen, ca.MaxPathLenZero = 0, true })
	elsewhere := material(t, key, func(_, ca *x509.Certificate) { ca.URIs[0] = &url.URL{Scheme: "spiffe", Host: "elsewhere"} })
	unnamed := material(t, key, func(_, ca *x509.Certificate) { ca.Subject.CommonName = "Issuing" })
	uncovered := good
	uncovered.CRLs = []*x509.RevocationList{{}}
	notCA := inspect.Material{Chain: good.Chain, Roots: leaf.Chain}
	for _, test := range []struct {
		consumer, rule string
		m              inspect.Material
	}{
		{"istio", "istio-not-ca", leaf}, {"istio", "istio-chain", expired}, {"istio", "istio-chain", otherRoots},
		{"istio", "istio-key", material(t, ed)}, {"istio", "istio-crl", uncovered},
		{"linkerd", "linkerd-issuer-not-ca", leaf}, {"linkerd", "linkerd-issuer-key", material(t, p384)}, {"linkerd", "linkerd-issuer-key", material(t, rsa3072)},
		{"linkerd", "linkerd-issuer-signature", signedBy(t, p384)}, {"linkerd", "linkerd-anchor-key", signedBy(t, rsa3072)},
		{"linkerd", "linkerd-issuer-chain", expired}, {"linkerd", "linkerd-issuer-name", unnamed}, {"linkerd", "linkerd-expires-soon", soon},
		{"dapr", "dapr-issuer-not-ca", leaf}, {"dapr", "dapr-issuer-root", self}, {"dapr", "dapr-anchor-self-signed", crossed}, {"dapr", "dapr-chain", otherRoots},
		{"kuma", "kuma-not-ca", leaf}, {"kuma", "kuma-cert-sign", usage(x509.KeyUsageCRLSign)},
		{"kuma", "kuma-key-agreement", usage(x509.KeyUsageCertSign | x509.KeyUsageKeyAgreement)},
		{"kuma", "kuma-leaf-usage", usage(x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature)},
		{"kuma-identity", "kuma-identity-self-signed", self},
		{"spire", "spire-not-ca", leaf}, {"spire", "spire-key", material(t, ed)}, {"spire", "spire-path-length", short},
		{"spire", "spire-trust-domain", elsewhere}, {"spire", "spire-chain", otherRoots},
		{"nginx-service-mesh", "nginx-service-mesh-root-path-length", short},
		{"consul", "consul-not-ca", leaf}, {"consul", "consul-trust-domain", elsewhere}, {"consul", "consul-key", material(t, rsa3072)}, {"consul", "consul-chain", otherRoots},
		{"consul", "consul-intermediate", good},
		{"cert-manager", "cert-manager-not-ca", leaf}, {"cert-manager", "cert-manager-chain", expired},
		{"envoy", "envoy-anchor", notCA}, {"envoy", "envoy-crl", uncovered},
	} {
		if got := breaks(test.consumer, test.m); !slices.Contains(got, test.rule) {
			t.Errorf("%s does not break %s: %q", test.consumer, test.rule, got)
		}
		tried[test.rule] = true
	}
	for _, consumer := range inspect.MaterialConsumers() {
		for _, r := range inspect.MaterialRules(consumer) {
			if !tried[r.ID] {
				t.Errorf("nothing breaks %s", r.ID)
			}
		}
	}
}

// signedBy is a CA on P-256 below a root with another key.
func signedBy(t *testing.T, rootKey crypto.Signer) inspect.Material {
	t.Helper()
	root := caTemplate("Root", rootKey.Public())
	top := &authority{Certificate: root, key: rootKey}
	top.Certificate = sign(t, root, rootKey.Public(), top)
	key := newKey(t)
	return inspect.Material{Chain: []*x509.Certificate{sign(t, caTemplate("CA", key.Public()), key.Public(), top)}, Roots: []*x509.Certificate{top.Certificate}}
}

// CRLs cover a chain where there is one of each CA in it, and it has not ended.
func TestMaterialCRLs(t *testing.T) {
	key, rootKey := newKey(t), newKey(t)
	root := caTemplate("Root", rootKey.Public())
	top := &authority{Certificate: root, key: rootKey}
	top.Certificate = sign(t, root, rootKey.Public(), top)
	ca := sign(t, caTemplate("CA", key.Public()), key.Public(), top)
	crl := func(c *x509.Certificate, signer crypto.Signer, until time.Time) *x509.RevocationList {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: at.Add(-day), NextUpdate: until}, c, signer)
		if err != nil {
			t.Fatal(err)
		}
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	of, ofRoot := crl(ca, key, at.Add(day)), crl(top.Certificate, rootKey, at.Add(day))
	for _, test := range []struct {
		consumer string
		crls     []*x509.RevocationList
		want     bool
	}{
		{"istio", nil, true}, {"istio", []*x509.RevocationList{of}, true}, {"istio", []*x509.RevocationList{ofRoot}, false},
		{"istio", []*x509.RevocationList{crl(ca, key, at.Add(-time.Hour))}, false},
		{"envoy", []*x509.RevocationList{of}, false}, {"envoy", []*x509.RevocationList{of, ofRoot}, true},
	} {
		m := inspect.Material{Chain: []*x509.Certificate{ca}, Roots: []*x509.Certificate{top.Certificate}, CRLs: test.crls}
		if got := breaks(test.consumer, m); (len(got) == 0) != test.want {
			t.Errorf("%s with %d CRLs: %q", test.consumer, len(test.crls), got)
		}
	}
}
