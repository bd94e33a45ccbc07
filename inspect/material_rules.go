package inspect

import (
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	citeIstio       = "Istio, plug in CA certificates"
	citeLinkerd     = "Linkerd, generating your own mTLS root certificates"
	citeDapr        = "Dapr, set up mTLS"
	citeKuma        = "Kuma, mutual TLS"
	citeKumaID      = "Kuma, MeshIdentity"
	citeSPIRE       = "SPIRE, UpstreamAuthority"
	citeNginxMesh   = "NGINX Service Mesh, secure traffic using mTLS"
	citeConsul      = "Consul, built-in CA"
	citeCertManager = "cert-manager, CA issuer"
	citeEnvoy       = "Envoy, CertificateValidationContext"

	// linkerdSoon is when linkerd check begins to warn.
	linkerdSoon = 60 * 24 * time.Hour
)

var (
	p256         = []elliptic.Curve{elliptic.P256()}
	p256AndP384  = []elliptic.Curve{elliptic.P256(), elliptic.P384()}
	consulCurves = []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()}
)

func fatal(id, citation, title string) Rule {
	return Rule{ID: id, Severity: SeverityError, Citation: citation, Title: title}
}

func advice(id, citation, title string) Rule {
	return Rule{ID: id, Severity: SeverityWarning, Citation: citation, Title: title}
}

var istioChecks = []materialCheck{
	{fatal("istio-not-ca", citeIstio, "Istio's signing certificate is a CA"), checkIsCA},
	{fatal("istio-chain", citeIstio, "Istio's signing certificate leads to its roots"), checkVerifies},
	{fatal("istio-key", citeIstio, "Istio's CA has an RSA key of 2048 bits or more, or one on P-256 or P-384"),
		caKey(func(k any) bool { return keyIs(k, p256AndP384, -2048) }, "Istio signs with RSA of 2048 bits or more, P-256 or P-384")},
	{fatal("istio-crl", citeIstio, "Istio's CRLs, where there are any, cover its whole chain"), checkCRLCover},
}

var linkerdChecks = []materialCheck{
	{fatal("linkerd-issuer-not-ca", citeLinkerd, "Linkerd's issuer is a CA"), checkIsCA},
	{fatal("linkerd-issuer-key", citeLinkerd, "Linkerd's issuer has a key on P-256"),
		caKey(func(k any) bool { return keyIs(k, p256) }, "Linkerd's issuer must have a key on P-256")},
	{fatal("linkerd-issuer-signature", citeLinkerd, "Linkerd's issuer is signed with SHA-256"), checkLinkerdSignature},
	{fatal("linkerd-anchor-key", citeLinkerd, "Linkerd's trust anchors have keys on P-256, or RSA of 2048 or 4096 bits"), checkLinkerdAnchors},
	{fatal("linkerd-issuer-chain", citeLinkerd, "Linkerd's issuer leads to its trust anchors"), checkVerifies},
	{advice("linkerd-issuer-name", citeLinkerd, "Linkerd's issuer is called identity.linkerd.<trust domain>"), checkLinkerdName},
	{advice("linkerd-expires-soon", citeLinkerd, "Linkerd's issuer and trust anchors live for 60 days more"), checkLinkerdSoon},
}

var daprChecks = []materialCheck{
	{fatal("dapr-issuer-not-ca", citeDapr, "Dapr's issuer is a CA"), checkIsCA},
	{fatal("dapr-issuer-root", citeDapr, "Dapr's issuer is an intermediate"), func(m Material, _ time.Time) (string, string) {
		if issuedByItself(m.Chain[0]) {
			return "it is self-signed: Dapr leaves such a certificate out of the chain, and nothing is left of it", "hand out an intermediate"
		}
		return "", ""
	}},
	{fatal("dapr-anchor-self-signed", citeDapr, "Dapr's trust anchors are self-signed"), func(m Material, _ time.Time) (string, string) {
		for _, r := range m.Roots {
			if !selfSignedCA(r) {
				return fmt.Sprintf("the trust anchor %s is not self-signed", quoted(r.Subject.CommonName)), "hand out roots alone, and none that is cross-signed"
			}
		}
		return "", ""
	}},
	{fatal("dapr-chain", citeDapr, "Dapr's issuer leads to its trust anchors"), checkVerifies},
}

var kumaChecks = []materialCheck{
	{fatal("kuma-not-ca", citeKuma, "every certificate that Kuma is provided with is a CA"), checkIsCA},
	{fatal("kuma-cert-sign", citeKuma, "every certificate that Kuma is provided with has keyCertSign"), func(m Material, _ time.Time) (string, string) {
		for _, c := range m.Chain {
			if c.KeyUsage&x509.KeyUsageCertSign == 0 {
				return fmt.Sprintf("the key usage of %s does not say keyCertSign", quoted(c.Subject.CommonName)), "issue the CA certificate again with keyCertSign"
			}
		}
		return "", ""
	}},
	{fatal("kuma-key-agreement", citeKuma, "no certificate that Kuma is provided with has keyAgreement"), func(m Material, _ time.Time) (string, string) {
		for _, c := range m.Chain {
			if c.KeyUsage&x509.KeyUsageKeyAgreement != 0 {
				return fmt.Sprintf("the key usage of %s says keyAgreement", quoted(c.Subject.CommonName)), "issue the CA certificate again with keyCertSign and cRLSign alone"
			}
		}
		return "", ""
	}},
	{advice("kuma-leaf-usage", citeKuma, "no CA that Kuma is provided with has the usages of a leaf"), func(m Material, _ time.Time) (string, string) {
		for _, c := range m.Chain {
			if c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment) != 0 {
				return fmt.Sprintf("the key usage of %s says digitalSignature or keyEncipherment", quoted(c.Subject.CommonName)), "issue the CA certificate again with keyCertSign and cRLSign alone"
			}
		}
		return "", ""
	}},
}

var kumaIdentityChecks = []materialCheck{
	{fatal("kuma-identity-self-signed", citeKumaID, "the CA of a MeshIdentity is an intermediate"), func(m Material, _ time.Time) (string, string) {
		if issuedByItself(m.Chain[0]) {
			return "it is self-signed, which a MeshIdentity takes with insecureAllowSelfSigned alone", "hand out an intermediate"
		}
		return "", ""
	}},
}

var spireChecks = []materialCheck{
	{fatal("spire-not-ca", citeSPIRE, "SPIRE's upstream authority is a CA"), checkIsCA},
	{fatal("spire-key", citeSPIRE, "SPIRE's upstream authority has an RSA or EC key"),
		caKey(func(k any) bool { return keyIs(k, consulCurves, -2048) }, "SPIRE takes RSA and EC keys")},
	{fatal("spire-path-length", citeSPIRE, "SPIRE's upstream authority may have a CA below it"), func(m Material, _ time.Time) (string, string) {
		if c := m.Chain[0]; c.MaxPathLenZero && c.MaxPathLen == 0 {
			return "its path length is 0, and SPIRE puts a CA of its own below it", "meshpki ca intermediate spire --for spire"
		}
		return "", ""
	}},
	{fatal("spire-trust-domain", citeSPIRE, "a SPIFFE ID in SPIRE's upstream authority is that of the trust domain"), checkTrustDomain},
	{fatal("spire-chain", citeSPIRE, "SPIRE's upstream authority leads to its bundle"), checkVerifies},
}

var nginxMeshChecks = []materialCheck{
	{fatal("nginx-service-mesh-root-path-length", citeNginxMesh, "a root above NGINX Service Mesh leaves room for two CAs"), func(m Material, _ time.Time) (string, string) {
		for _, r := range m.Roots {
			if r.MaxPathLen >= 0 && r.MaxPathLen < 2 && (r.MaxPathLen > 0 || r.MaxPathLenZero) {
				return fmt.Sprintf("the root %s has a path length of %d, and two CAs stand below it", quoted(r.Subject.CommonName), r.MaxPathLen), "a root without a path length"
			}
		}
		return "", ""
	}},
}

var consulChecks = []materialCheck{
	{fatal("consul-not-ca", citeConsul, "Consul's CA is a CA"), checkIsCA},
	{fatal("consul-trust-domain", citeConsul, "Consul's CA has the one URI spiffe://<cluster ID>.consul"), func(m Material, _ time.Time) (string, string) {
		uris := m.Chain[0].URIs
		if len(uris) != 1 || uris[0].Scheme != "spiffe" || !strings.HasSuffix(uris[0].Host, ".consul") || uris[0].Path != "" {
			return "it has not exactly one URI, spiffe://<cluster ID>.consul", "meshpki ca init --for consul --trust-domain <cluster ID>.consul"
		}
		return "", ""
	}},
	{fatal("consul-key", citeConsul, "Consul's CA has an EC key, or RSA of 2048 or 4096 bits"),
		caKey(func(k any) bool { return keyIs(k, consulCurves, 2048, 4096) }, "Consul takes EC keys, and RSA of 2048 or 4096 bits")},
	{fatal("consul-chain", citeConsul, "Consul's CA leads to its roots"), checkVerifies},
	{advice("consul-intermediate", citeConsul, "Consul's CA is a root"), func(m Material, _ time.Time) (string, string) {
		if !issuedByItself(m.Chain[0]) {
			return "it is an intermediate: Consul takes it for its root, and what Consul signs is trusted from there", "nothing, if that is meant: it keeps the root's key out of Consul"
		}
		return "", ""
	}},
}

var certIssuerChecks = []materialCheck{
	{fatal("cert-manager-not-ca", citeCertManager, "cert-manager's CA is a CA"), checkIsCA},
	{fatal("cert-manager-chain", citeCertManager, "cert-manager's CA leads to its roots"), checkVerifies},
}

var envoyChecks = []materialCheck{
	{fatal("envoy-anchor", citeEnvoy, "what Envoy trusts are CAs"), func(m Material, _ time.Time) (string, string) {
		for _, r := range m.Roots {
			if !isCA(r) {
				return fmt.Sprintf("%s is no CA", quoted(r.Subject.CommonName)), "hand out CA certificates"
			}
		}
		return "", ""
	}},
	{fatal("envoy-crl", citeEnvoy, "Envoy's CRLs, where there are any, cover its whole chain"), checkCRLCoverRoots},
}

// caKey is a check of the CA's key.
func caKey(good func(any) bool, wants string) func(Material, time.Time) (message, fix string) {
	return func(m Material, _ time.Time) (message, fix string) {
		if good(m.Chain[0].PublicKey) {
			return "", ""
		}
		return "its key is " + keyWords(m.Chain[0].PublicKey) + ": " + wants, "a CA with another key type"
	}
}

func checkLinkerdSignature(m Material, _ time.Time) (message, fix string) {
	for _, c := range slices.Concat(m.Chain[:1], m.Roots) {
		if c.SignatureAlgorithm != x509.ECDSAWithSHA256 && c.SignatureAlgorithm != x509.SHA256WithRSA {
			return fmt.Sprintf("%s is signed with %s; Linkerd takes ECDSA with SHA-256 and RSA with SHA-256", quoted(c.Subject.CommonName), c.SignatureAlgorithm),
				"a CA whose signer has a key on P-256, or RSA"
		}
	}
	return "", ""
}

func checkLinkerdAnchors(m Material, _ time.Time) (message, fix string) {
	for _, r := range m.Roots {
		if !keyIs(r.PublicKey, p256, 2048, 4096) {
			return fmt.Sprintf("the trust anchor %s has a key %s; Linkerd takes P-256, and RSA of 2048 or 4096 bits", quoted(r.Subject.CommonName), keyWords(r.PublicKey)),
				"a root with another key type"
		}
	}
	return "", ""
}

func checkLinkerdName(m Material, _ time.Time) (message, fix string) {
	want := "identity.linkerd." + m.TrustDomain
	if cn := m.Chain[0].Subject.CommonName; m.TrustDomain != "" && cn != want {
		return fmt.Sprintf("it is called %s and not %s, which older releases insist on", quoted(cn), quoted(want)), "meshpki ca intermediate linkerd --for linkerd"
	}
	return "", ""
}

func checkLinkerdSoon(m Material, now time.Time) (message, fix string) {
	for _, c := range slices.Concat(m.Chain[:1], m.Roots) {
		if now.Add(linkerdSoon).After(c.NotAfter) {
			return fmt.Sprintf("%s ends on %s; linkerd check warns from 60 days before", quoted(c.Subject.CommonName), c.NotAfter.UTC().Format(time.DateOnly)), "a CA that lives longer"
		}
	}
	return "", ""
}

func checkTrustDomain(m Material, _ time.Time) (message, fix string) {
	uris := m.Chain[0].URIs
	if len(uris) == 0 || m.TrustDomain == "" || len(uris) == 1 && uris[0].String() == "spiffe://"+m.TrustDomain {
		return "", ""
	}
	return fmt.Sprintf("its URI is %s and not that of the trust domain, spiffe://%s", quoted(uris[0].String()), m.TrustDomain), "a CA of that trust domain, or without a URI"
}

// checkCRLCover wants a CRL of every CA in the chain, where there is one at all.
func checkCRLCover(m Material, now time.Time) (message, fix string) {
	return uncovered(m.Chain, m, now)
}

// checkCRLCoverRoots wants one of the roots too, which certify the chain.
func checkCRLCoverRoots(m Material, now time.Time) (message, fix string) {
	return uncovered(slices.Concat(m.Chain, m.Roots), m, now)
}

func uncovered(cas []*x509.Certificate, m Material, now time.Time) (message, fix string) {
	if len(m.CRLs) == 0 {
		return "", ""
	}
	for _, c := range cas {
		i := slices.IndexFunc(m.CRLs, func(l *x509.RevocationList) bool { return l.CheckSignatureFrom(c) == nil })
		switch {
		case i < 0:
			return fmt.Sprintf("there are CRLs, and none of %s: proxies then refuse everything that it signed", quoted(c.Subject.CommonName)), "a CRL of each CA: meshpki crl NAME"
		case now.After(m.CRLs[i].NextUpdate):
			return fmt.Sprintf("the CRL of %s ended on %s", quoted(c.Subject.CommonName), m.CRLs[i].NextUpdate.UTC().Format(time.DateOnly)), "a new one: meshpki crl NAME"
		}
	}
	return "", ""
}
