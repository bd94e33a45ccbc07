package inspect

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

var (
	ruleNoRoots         = Rule{"roots-missing", SeverityError, "RFC 5280, Section 6.1.1", "there is a root to trust"}
	ruleIssuerMissing   = Rule{RuleIssuerMissing, SeverityError, "RFC 5280, Section 6.1", "the leaf's issuer is among the certificates given"}
	ruleRootUnknown     = Rule{"root-unknown", SeverityError, "RFC 5280, Section 6.1", "the path ends at one of the roots"}
	ruleIssuerKey       = Rule{RuleIssuerKeyDiffers, SeverityError, "RFC 5280, Section 4.2.1.1", "the issuer given has the key that signed"}
	ruleSignature       = Rule{"signature-invalid", SeverityError, "RFC 5280, Section 6.1.3", "the issuer's key made the signature"}
	ruleSignatureKind   = Rule{"signature-unsupported", SeverityError, "RFC 5280, Section 6.1.3", "the signature is of a kind that can be checked"}
	ruleIssuerKeySize   = Rule{"issuer-key-size", SeverityError, "RFC 9325, Section 4.5", "the issuer's RSA key has 1,024 to 16,384 bits"}
	ruleIssuerNotCA     = Rule{"issuer-not-ca", SeverityError, "RFC 5280, Section 4.2.1.9", "whoever issues is a CA"}
	ruleIssuerUsage     = Rule{"issuer-without-key-cert-sign", SeverityError, "RFC 5280, Section 4.2.1.3", "an issuer's key usage says keyCertSign"}
	rulePathLength      = Rule{"path-length", SeverityError, "RFC 5280, Section 4.2.1.9", "no more CAs stand below a CA than it allows"}
	ruleCriticalUnknown = Rule{"critical-extension-unknown", SeverityError, "RFC 5280, Section 4.2", "every critical extension is understood"}
	ruleNameConstraint  = Rule{"name-constraint", SeverityError, "RFC 5280, Section 4.2.1.10", "every name is one that the CAs above may certify"}
	rulePolicy          = Rule{"policy-invalid", SeverityError, "RFC 5280, Section 6.1.5", "the path has the policies that it demands"}
	ruleUsage           = Rule{"usage-not-allowed", SeverityError, "RFC 5280, Section 4.2.1.12", "every certificate of the path allows the use that was asked for"}
	ruleExtension       = Rule{"extension-malformed", SeverityError, "RFC 5280, Section 4.2", "every extension that paths are judged by can be read"}
	ruleKeyTooShort     = Rule{"key-too-short", SeverityError, "RFC 9325, Section 4.5", "the RSA key of whoever is verified has at least 1,024 bits"}
	ruleDepth           = Rule{"path-too-deep", SeverityError, "RFC 5280, Section 6.1", "no more CAs stand between than was asked for"}
	ruleNameLimit       = Rule{"name-constraint-limit", SeverityError, "RFC 5280, Section 4.2.1.10", "names and constraints are few enough to be compared"}
	ruleOpinion         = Rule{"second-opinion-refuses", SeverityError, "RFC 5280, Section 6.1", "crypto/x509 does not refuse the path, but for its known gaps"}
	ruleOpinionGap      = Rule{"second-opinion-gap", SeverityInfo, "RFC 5280, Section 6.1", "crypto/x509 comes to the same answer"}
	ruleSearchLimit     = Rule{"path-search-limit", SeverityError, "RFC 5280, Section 6", "a path is found within bounds"}
	ruleNotVerified     = Rule{"path-invalid", SeverityError, "RFC 5280, Section 6.1", "the path holds"}
)

var pathRules = []Rule{
	ruleNoRoots, ruleIssuerMissing, ruleRootUnknown, ruleIssuerKey, ruleSignature, ruleSignatureKind, ruleIssuerKeySize,
	ruleIssuerNotCA, ruleIssuerUsage, rulePathLength, ruleCriticalUnknown, ruleNameConstraint, rulePolicy, ruleUsage,
	ruleRevoked, ruleExtension, ruleKeyTooShort, ruleDepth, ruleNameLimit, ruleOpinion, ruleOpinionGap, ruleSearchLimit, ruleNotVerified,
}

// issuerText names a certificate's issuer with the key identifier by which it can be found.
func issuerText(c *x509.Certificate) string {
	name := nameOr(c.RawIssuer)
	if issuer := c.Issuer.CommonName; issuer != "" {
		name = issuer
	}
	if len(c.AuthorityKeyId) == 0 {
		return quoted(name)
	}
	return fmt.Sprintf("%s (key id %s)", quoted(name), shortHex(c.AuthorityKeyId))
}

// checkEnd says why a path that reaches no root ends where it does; namesakes are
// certificates of the issuer's name that did not sign.
func (w *walk) checkEnd(n *node, namesakes []*node) Finding {
	c, name := n.Certificate, n.name()
	switch {
	case len(namesakes) > 0:
		return ruleIssuerKey.broken(name,
			fmt.Sprintf("%s was signed by %s; the certificate of that name that was given has another key%s",
				quoted(name), issuerText(c), keyIDText(namesakes[0].Certificate)),
			"give the certificate of "+issuerText(c)+": the CA's key was replaced, or another CA has its name")
	case n.selfIssued:
		return ruleRootUnknown.broken(name,
			fmt.Sprintf("the path ends at %s%s, which is self-signed and not among the roots", quoted(name), keyIDText(c)),
			"if you trust "+quoted(name)+", give it with the roots")
	case isCA(c):
		return ruleRootUnknown.broken(name,
			fmt.Sprintf("the path ends at %s: its issuer %s is not among the roots, nor among the intermediates", quoted(name), issuerText(c)),
			"if that is a root that you trust, give it with the roots; if it is an intermediate, add it to the file behind "+quoted(name))
	}
	message := fmt.Sprintf("the intermediate that issued %s is missing: %s is not among the certificates given", quoted(name), issuerText(c))
	if root := w.rootInstead(); root != nil {
		message += "; the root " + quoted(root.name()) + " came with it, which nobody needs, and not the intermediate"
	}
	fix := "add the certificate of " + issuerText(c) + " to the file behind the leaf, or give it with the intermediates"
	if where := w.nearby(n); where != "" {
		fix = "add the certificate of " + issuerText(c) + ", which is in " + where + ", to the file behind the leaf, or give it with the intermediates"
	}
	return ruleIssuerMissing.broken(name, message, fix)
}

// rootInstead is a self-signed CA that came with the target, nil where there is none:
// servers are often given the root and not the intermediate.
func (w *walk) rootInstead() *node {
	for _, c := range w.came {
		if n, _ := w.v.node(c); n.selfIssued && n.isCA() {
			return n
		}
	}
	return nil
}

// nearby is where the certificate lies that issued another, among those that the
// options know of; "" where nobody knows.
func (w *walk) nearby(child *node) string {
	for _, k := range w.v.o.Nearby {
		n, _ := w.v.node(k.Certificate)
		if n.subject == child.issuer && w.v.link(child, n) == linkSound {
			return k.Where
		}
	}
	return ""
}

func keyIDText(c *x509.Certificate) string {
	if len(c.SubjectKeyId) == 0 {
		return ""
	}
	return " (key id " + shortHex(c.SubjectKeyId) + ")"
}

// checkLink judges the signature on child by parent's key as it counted at a
// moment. ours is false where parent has only the name of the issuer.
func (v *Verifier) checkLink(childNode, parentNode *node) (f Finding, ok, ours bool) {
	child, parent := childNode.Certificate, parentNode.Certificate
	name, issuer := shortName(child), shortName(parent)
	if short, bits := shortOrHugeRSA(parent); short || bits > maxRSABits {
		return ruleIssuerKeySize.broken(issuer, fmt.Sprintf("%s has an RSA key of %d bits: what it signs is not accepted", quoted(issuer), bits),
			"replace the CA by one with a key of 2,048 bits or more"), false, sameKeyID(child, parent)
	}
	if v.link(childNode, parentNode) == linkSound {
		return Finding{}, true, true
	}
	err := v.signatureHolds(child, parent)
	switch {
	case weakSignature(child.SignatureAlgorithm) && cannotCheck(err):
		f, _ := one(ruleWeakSignature, checkSignatureHash).check(&examined{Certificate: child})
		f = ruleWeakSignature.broken(name, fmt.Sprintf("%s is signed with %s, which can be forged", quoted(name), child.SignatureAlgorithm), f.Fix)
		f.Fix = "have it issued again with SHA-256"
		return f, false, sameKeyID(child, parent)
	case cannotCheck(err):
		return ruleSignatureKind.broken(name,
			fmt.Sprintf("the signature on %s is of a kind that is not supported (%s, key %s)", quoted(name),
				signatureName(child.SignatureAlgorithm, child.Raw), describeKey(parent.PublicKey, parent.RawSubjectPublicKeyInfo).Type),
			"have it issued again with ECDSA, Ed25519 or RSA"), false, sameKeyID(child, parent)
	}
	return ruleSignature.broken(name,
		fmt.Sprintf("the signature on %s was not made by %s: it was altered, or damaged", quoted(name), quoted(issuer)),
		"fetch the certificate again from where it was issued, or have it issued again"), false, sameKeyID(child, parent)
}

// shortOrHugeRSA gives the size of an RSA key, and whether it is so short that
// anybody can have it.
func shortOrHugeRSA(c *x509.Certificate) (short bool, bits int) {
	const least = 1024
	k, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok {
		return false, 0
	}
	return k.N.BitLen() < least, k.N.BitLen()
}

// weakKeys judges the keys of the path (RFC 9325, Section 4.5).
func (p *path) weakKeys() []Finding {
	var list []Finding
	for i, c := range p.chain {
		short, bits := shortOrHugeRSA(c.Certificate)
		if !short {
			continue
		}
		if i == 0 {
			list = append(list, ruleKeyTooShort.broken(c.name(), fmt.Sprintf("%s has an RSA key of %d bits: anybody can find its private half", quoted(c.name()), bits),
				"have it issued for a new key, ec-p256 or RSA with 2,048 bits or more"))
		}
	}
	return list
}

// malformed gives the extensions of the path that cannot be read.
func (p *path) malformed() []Finding {
	var list []Finding
	for _, c := range p.chain {
		list = append(list, c.flaws...)
	}
	return list
}

// notIssuers judges each certificate that issued one below by whether it may
// (RFC 5280, Sections 6.1.4 (k) and (n)).
func (p *path) notIssuers() []Finding {
	var list []Finding
	for _, c := range p.chain[1:] {
		name := c.name()
		switch {
		case !c.isCA() && !c.anchorUnsaid():
			list = append(list, ruleIssuerNotCA.broken(name, quoted(name)+" issued a certificate and is no CA",
				"have the certificate issued by a CA; "+quoted(name)+" cannot be one"))
		case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
			list = append(list, ruleIssuerUsage.broken(name, quoted(name)+" may not sign certificates: its key usage does not say keyCertSign",
				"replace the CA certificate by one with keyCertSign"))
		}
	}
	return list
}

// anchorUnsaid tells whether a root does not say whether it is a CA, and says
// nothing against it either: it has no extensions at all, or no basic constraints
// and a key usage with keyCertSign. That it may issue is then what whoever named it
// a root says (RFC 5280, Section 6.1.4 (k)).
func (n *node) anchorUnsaid() bool {
	return n.anchor && !n.BasicConstraintsValid && extension(n.Extensions, oidBasic) == nil &&
		(len(n.Extensions) == 0 || n.KeyUsage&x509.KeyUsageCertSign != 0)
}

// tooLong judges each CA by how many stand below it (RFC 5280, Section 4.2.1.9).
func (p *path) tooLong() []Finding {
	var list []Finding
	for i, c := range p.chain {
		if below := p.below(i); i > 0 && c.BasicConstraintsValid && c.MaxPathLen >= 0 && below > c.MaxPathLen {
			list = append(list, rulePathLength.broken(c.name(),
				fmt.Sprintf("%s allows %s below it, and there %s", quoted(c.name()), count(int64(c.MaxPathLen), "CA"), isAre(below)),
				"have the leaf issued by a CA nearer to "+quoted(c.name())+", or replace it by one with a longer path length"))
		}
	}
	return list
}

func isAre(n int) string {
	if n == 1 {
		return "is 1"
	}
	return fmt.Sprintf("are %d", n)
}

// checkDepth judges the path by how many CAs were to stand between at the most.
func checkDepth(p *path) (Finding, bool) {
	last := len(p.chain) - 1
	if n := p.below(last); p.o.LimitDepth && n > p.o.MaxDepth {
		return ruleDepth.broken(p.chain[0].name(), fmt.Sprintf("there %s between %s and the root; at most %d were asked for", isAreCAs(n), quoted(p.chain[0].name()), p.o.MaxDepth),
			"allow more with --max-depth, or have it issued by a CA nearer to the root"), false
	}
	return Finding{}, true
}

func isAreCAs(n int) string {
	if n == 1 {
		return "is 1 CA"
	}
	return fmt.Sprintf("are %d CAs", n)
}

// unknownCritical gives the certificates that say what only others understand.
func (p *path) unknownCritical() []Finding {
	var list []Finding
	for _, c := range p.chain {
		if f, ok := checkCritical(c); !ok {
			list = append(list, f)
		}
	}
	return list
}

func checkCritical(c *node) (Finding, bool) {
	if c.unknown == "" {
		return Finding{}, true
	}
	what := c.unknown
	if known := extensionNames[what]; known != "" {
		what = known + ", " + what
	}
	return ruleCriticalUnknown.broken(c.name(), fmt.Sprintf("%s has a critical extension that is not understood (%s)", quoted(c.name()), what),
		"have it issued again without that extension, or not marked critical"), false
}

// checkUsage judges a path by the use that was asked for: every certificate of it
// must allow it, for a CA's counts for what it issued.
func checkUsage(p *path) (Finding, bool) {
	refuses, ok := allows(p.chain, p.o.EKU)
	if ok {
		return Finding{}, true
	}
	eku, name := p.o.EKU, refuses.name()
	if extKeyUsageOf(eku) == noUsage {
		return ruleUsage.broken(name, fmt.Sprintf("the use %s is not known here", quoted(eku)), "ask for any, serverAuth or clientAuth"), false
	}
	return ruleUsage.broken(name,
		fmt.Sprintf("%s is not for %s, only for %s", quoted(name), clip(eku), listed(extKeyUsages(refuses.Certificate), 4)),
		"issue one whose extended key usage says "+clip(eku)), false
}

// opinionFinding says that crypto/x509 refuses a path that holds by all rules
// here: then it does not count.
func opinionFinding(p *path, err error) Finding {
	name := p.chain[0].name()
	if detail, kind := invalidReason(err); kind == x509.CANotAuthorizedForThisName {
		return ruleOpinion.broken(name, "crypto/x509, the second opinion, refuses the path: a CA above it may not certify its names: "+detail,
			"have it issued without that name, or by a CA whose constraints permit it")
	}
	return ruleOpinion.broken(name, "crypto/x509, the second opinion, refuses the path: "+plainError(err), "have the certificate issued again")
}

// gapFinding says where crypto/x509 is wrong by the standard.
func gapFinding(p *path, g gap) Finding {
	f := ruleOpinionGap.broken(p.chain[0].name(), "crypto/x509 would refuse this path, for "+g.Title+"; by the standard it holds",
		"expect programs written in Go to refuse it")
	f.Citation = g.Citation
	return f
}

// sameSubjectKey tells whether two have the same name and key: a path that held
// both would go in a circle.
func sameSubjectKey(a, b *node) bool {
	return a.subject == b.subject && string(a.RawSubjectPublicKeyInfo) == string(b.RawSubjectPublicKeyInfo)
}
