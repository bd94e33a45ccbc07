package inspect

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// Would a mesh load this CA certificate? Each mesh has checks of its own beside the
// standard's. They are told apart from other rules: what one mesh refuses is no defect.

// ConsumerVerdict is what one mesh would do with a CA certificate.
type ConsumerVerdict struct {
	Consumer string    `json:"consumer"` // "istio", "linkerd", "dapr", "kuma", "spire"
	As       string    `json:"as"`       // "issuer", which signs there, or "anchor", which is trusted
	Loads    bool      `json:"loads"`
	Findings []Finding `json:"findings"` // why not
}

// The parts that a CA certificate can have in a mesh.
const (
	AsIssuer = "issuer"
	AsAnchor = "anchor"
)

// consumerCheck is one check that a mesh makes; as is "" where it makes it of both parts.
type consumerCheck struct {
	rule  Rule
	as    string
	holds func(e *examined) (message, fix string)
}

// consumer is a mesh and its checks.
type consumer struct {
	name   string
	checks []consumerCheck
}

const asECP256 = "make a CA with a key of ec-p256, which every mesh takes"

// consumers are read from the meshes' own sources, where each rule is cited.
func consumers() []consumer {
	const (
		istioBundle = "Istio, security/pkg/pki/util/keycertbundle.go"
		linkerd     = "Linkerd, pkg/issuercerts/issuercerts.go"
		dapr        = "Dapr, pkg/sentry/server/ca/validate.go"
		kuma        = "Kuma, pkg/plugins/ca/provided/ca_cert_validator.go"
		spire       = "SPIRE, pkg/common/x509svid/upstreamca.go"
	)
	rule := func(id, citation, title string) Rule { return Rule{id, SeverityInfo, citation, title} }
	return []consumer{
		{"istio", []consumerCheck{
			{rule("istio-key", "Istio, security/pkg/pki/util/crypto.go", "Istio has a use for the CA's key"), "", needsKey("RSA with 2,048 bits or more, EC P-256 or P-384", isIstioKey)},
			{rule("istio-validity", istioBundle, "Istio loads a CA that is valid now"), "", needsValidity},
			{rule("istio-key-cert-sign", istioBundle, "Istio loads a CA that may sign certificates"), "", needsCertSign},
		}},
		{"linkerd", []consumerCheck{
			{rule("linkerd-issuer-key", linkerd, "Linkerd's issuer has a key on P-256"), AsIssuer, needsKey("EC P-256", isP256)},
			{rule("linkerd-anchor-key", linkerd, "Linkerd's trust anchor has a key on P-256, or RSA with 2,048 or 4,096 bits"), AsAnchor, needsKey("EC P-256, or RSA with 2,048 or 4,096 bits", isLinkerdAnchor)},
			{rule("linkerd-signature", linkerd, "Linkerd's certificates are signed with ECDSA and SHA-256, or RSA and SHA-256"), "", needsLinkerdSignature},
			{rule("linkerd-validity", linkerd, "Linkerd loads a CA that is valid now"), "", needsValidity},
			{rule("linkerd-key-cert-sign", "Linkerd, pkg/tls/cred.go", "Linkerd loads a CA that may sign certificates"), "", needsCertSign},
		}},
		{"dapr", []consumerCheck{
			{rule("dapr-key", "Dapr, crypto/pem/pem.go of dapr/kit", "Dapr has a use for the CA's key"), "", needsKey("RSA, ECDSA or Ed25519", isDaprKey)},
			{rule("dapr-validity", dapr, "Dapr loads a CA that is valid now"), "", needsValidity},
			{rule("dapr-key-cert-sign", dapr, "Dapr loads a CA that may sign certificates"), "", needsCertSign},
		}},
		{"kuma", []consumerCheck{
			{rule("kuma-key-cert-sign", kuma, "Kuma loads a CA whose key usage says keyCertSign"), "", needsCertSignSaid},
			{rule("kuma-key-agreement", kuma, "Kuma loads a CA whose key usage does not say keyAgreement"), "", needsNoAgreement},
		}},
		{"spire", []consumerCheck{
			{rule("spire-key", "SPIRE, pkg/common/cryptoutil/keys.go", "SPIRE has a use for the upstream CA's key"), "", needsKey("RSA or ECDSA", isSPIREKey)},
			{rule("spire-path-length", spire, "SPIRE's upstream CA may have a CA below it"), "", needsRoom},
			{rule("spire-validity", spire, "SPIRE loads a CA that is valid now"), "", needsValidity},
			{rule("spire-key-cert-sign", spire, "SPIRE loads a CA that may sign certificates"), "", needsCertSign},
		}},
	}
}

// ConsumerRules lists the rules of the meshes. They say what each loads, and are no
// part of Rules: a CA that one mesh refuses is a good CA.
func ConsumerRules() []Rule {
	var list []Rule
	for _, c := range consumers() {
		for _, check := range c.checks {
			list = append(list, check.rule)
		}
	}
	return list
}

// Consumers tells of each mesh whether it would load a CA certificate, and why not;
// nothing of a leaf, which no mesh loads but its own.
func Consumers(o Object, r Report) []ConsumerVerdict {
	if o.Certificate == nil || r.Certificate == nil || !isCA(o.Certificate) {
		return nil
	}
	as := AsIssuer
	if r.Certificate.SelfSigned {
		as = AsAnchor
	}
	e := &examined{Certificate: o.Certificate, names: r.Certificate.Names}
	var list []ConsumerVerdict
	for _, c := range consumers() {
		v := ConsumerVerdict{Consumer: c.name, As: as, Loads: true, Findings: []Finding{}}
		for _, check := range c.checks {
			if check.as != "" && check.as != as {
				continue
			}
			e.state = r.Certificate.State
			if message, fix := check.holds(e); message != "" {
				v.Loads = false
				v.Findings = append(v.Findings, check.rule.broken("", message, fix))
			}
		}
		list = append(list, v)
	}
	return list
}

func needsKey(which string, is func(pub any) bool) func(e *examined) (message, fix string) {
	return func(e *examined) (string, string) {
		if is(e.PublicKey) {
			return "", ""
		}
		kind, _ := keyType(e.PublicKey)
		if kind == "" {
			kind = algorithmName(e.RawSubjectPublicKeyInfo)
		}
		return fmt.Sprintf("its key is %s; %s is taken", kind, which), asECP256
	}
}

func isP256(pub any) bool {
	k, ok := pub.(*ecdsa.PublicKey)
	return ok && k.Curve == elliptic.P256()
}

func isIstioKey(pub any) bool {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384()
	}
	return false
}

func isLinkerdAnchor(pub any) bool {
	k, ok := pub.(*rsa.PublicKey)
	return isP256(pub) || ok && (k.N.BitLen() == 2048 || k.N.BitLen() == 4096)
}

func isDaprKey(pub any) bool {
	_, isEd25519 := pub.(ed25519.PublicKey)
	return isEd25519 || isSPIREKey(pub)
}

func isSPIREKey(pub any) bool {
	switch pub.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
		return true
	}
	return false
}

func needsLinkerdSignature(e *examined) (message, fix string) {
	switch e.SignatureAlgorithm {
	case x509.ECDSAWithSHA256, x509.SHA256WithRSA:
		return "", ""
	}
	return fmt.Sprintf("it is signed with %s; ECDSA or RSA with SHA-256 is taken", signatureName(e.SignatureAlgorithm, e.Raw)),
		"have it signed by a CA with a key of ec-p256"
}

func needsValidity(e *examined) (message, fix string) {
	switch e.state {
	case StateExpired:
		return "it has expired", "issue it again"
	case StateNotYetValid:
		return "it is not valid yet", "wait, or issue it again"
	}
	return "", ""
}

// needsCertSign is what Go asks of a CA above a leaf: a key usage, where there is one,
// that says keyCertSign.
func needsCertSign(e *examined) (message, fix string) {
	if e.KeyUsage == 0 {
		return "", ""
	}
	return needsCertSignSaid(e)
}

func needsCertSignSaid(e *examined) (message, fix string) {
	if e.KeyUsage&x509.KeyUsageCertSign != 0 {
		return "", ""
	}
	return "its key usage does not say keyCertSign", "issue the CA certificate again with keyCertSign"
}

func needsNoAgreement(e *examined) (message, fix string) {
	if e.KeyUsage&x509.KeyUsageKeyAgreement == 0 {
		return "", ""
	}
	return "its key usage says keyAgreement, which a CA does not need", "issue the CA certificate again with keyCertSign and cRLSign alone"
}

func needsRoom(e *examined) (message, fix string) {
	if e.MaxPathLen > 0 || e.MaxPathLen < 0 || !e.MaxPathLenZero {
		return "", ""
	}
	return "its path length is 0, and SPIRE makes a CA of its own below it", "issue it again with a path length of 1, or without one: meshpki ca intermediate NAME --for spire"
}
