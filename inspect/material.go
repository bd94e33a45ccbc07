package inspect

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Material is what a consumer loads as its CA: a mesh that signs for its workloads.
type Material struct {
	// Chain is the CA first, then those above it, as the consumer's file has them.
	Chain []*x509.Certificate
	Roots []*x509.Certificate
	CRLs  []*x509.RevocationList
	// TrustDomain is the name alone; "" where it is not known.
	TrustDomain string
}

// materialCheck is one thing that a consumer looks at when it loads its CA: the
// message is "" where it would load.
type materialCheck struct {
	rule  Rule
	check func(m Material, now time.Time) (message, fix string)
}

// CheckMaterial judges CA material as its consumer does when it loads it: what is an
// error would not be loaded, or not work. A consumer that is not known has no rules.
func CheckMaterial(consumer string, m Material, now time.Time) []Finding {
	list := []Finding{}
	if len(m.Chain) == 0 {
		return list
	}
	for _, c := range materialChecks(consumer) {
		if message, fix := c.check(m, now); message != "" {
			list = append(list, c.rule.broken(m.Chain[0].Subject.CommonName, message, fix))
		}
	}
	return list
}

// MaterialRules lists the rules of a consumer of CAs.
func MaterialRules(consumer string) []Rule {
	var list []Rule
	for _, c := range materialChecks(consumer) {
		list = append(list, c.rule)
	}
	return list
}

// MaterialConsumers lists those that have rules.
func MaterialConsumers() []string {
	return []string{"istio", "linkerd", "dapr", "kuma", "kuma-identity", "spire", "nginx-service-mesh", "consul", "cert-manager", "envoy"}
}

func materialChecks(consumer string) []materialCheck {
	switch consumer {
	case "istio":
		return istioChecks
	case "linkerd":
		return linkerdChecks
	case "dapr":
		return daprChecks
	case "kuma":
		return kumaChecks
	case "kuma-identity":
		return slices.Concat(kumaChecks, kumaIdentityChecks)
	case "spire":
		return spireChecks
	case "nginx-service-mesh":
		return slices.Concat(spireChecks, nginxMeshChecks)
	case "consul":
		return consulChecks
	case "cert-manager":
		return certIssuerChecks
	case "envoy":
		return envoyChecks
	}
	return nil
}

// verifies walks from the CA to a root through its chain, as crypto/x509 does for the
// consumers that are written in Go.
func verifies(m Material, now time.Time) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, r := range m.Roots {
		o.Roots.AddCert(r)
	}
	for _, c := range m.Chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := m.Chain[0].Verify(o)
	return err
}

// checkVerifies is the check that nearly all have.
func checkVerifies(m Material, now time.Time) (message, fix string) {
	if err := verifies(m, now); err != nil {
		return "it does not lead to the roots: " + strings.TrimPrefix(err.Error(), "x509: "), "hand out the roots that it leads to, and a CA that is valid"
	}
	return "", ""
}

// checkIsCA is for the CA and what is above it.
func checkIsCA(m Material, _ time.Time) (message, fix string) {
	for _, c := range m.Chain {
		if !isCA(c) {
			return fmt.Sprintf("%s is no CA", quoted(c.Subject.CommonName)), "hand out a CA certificate"
		}
	}
	return "", ""
}

// keyWords says a public key as people write it.
func keyWords(pub any) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return "EC " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "a kind that is not known"
}

// keyIs tells whether a key is on one of the curves, or RSA of one of the lengths;
// a length below zero is the least one.
func keyIs(pub any, curves []elliptic.Curve, bits ...int) bool {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return slices.Contains(curves, k.Curve)
	case *rsa.PublicKey:
		return slices.ContainsFunc(bits, func(n int) bool { return k.N.BitLen() == n || n < 0 && k.N.BitLen() >= -n })
	}
	return false
}

func issuedByItself(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// selfSigned tells a root by its signature.
func selfSignedCA(c *x509.Certificate) bool {
	return issuedByItself(c) && c.CheckSignatureFrom(c) == nil
}
