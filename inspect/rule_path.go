package inspect

import (
	"bytes"
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
	ruleSearchLimit     = Rule{"path-search-limit", SeverityError, "RFC 5280, Section 6", "a path is found within bounds"}
	ruleNotVerified     = Rule{"path-invalid", SeverityError, "RFC 5280, Section 6.1", "the path holds"}
)

var pathRules = []Rule{
	ruleNoRoots, ruleIssuerMissing, ruleRootUnknown, ruleIssuerKey, ruleSignature, ruleSignatureKind, ruleIssuerKeySize,
	ruleIssuerNotCA, ruleIssuerUsage, rulePathLength, ruleCriticalUnknown, ruleNameConstraint, rulePolicy, ruleUsage,
	ruleRevoked, ruleSearchLimit, ruleNotVerified,
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
func checkEnd(c *x509.Certificate, namesakes []*x509.Certificate) Finding {
	name := shortName(c)
	switch {
	case len(namesakes) > 0:
		return ruleIssuerKey.broken(name,
			fmt.Sprintf("%s was signed by %s; the certificate of that name that was given has another key%s",
				quoted(name), issuerText(c), keyIDText(namesakes[0])),
			"give the certificate of "+issuerText(c)+": the CA's key was replaced, or another CA has its name")
	case selfIssued(c):
		return ruleRootUnknown.broken(name,
			fmt.Sprintf("the path ends at %s%s, which is self-signed and not among the roots", quoted(name), keyIDText(c)),
			"if you trust "+quoted(name)+", give it with the roots")
	case isCA(c):
		return ruleRootUnknown.broken(name,
			fmt.Sprintf("the path ends at %s: its issuer %s is not among the roots, nor among the intermediates", quoted(name), issuerText(c)),
			"if that is a root that you trust, give it with the roots; if it is an intermediate, add it to the file behind "+quoted(name))
	}
	return ruleIssuerMissing.broken(name,
		fmt.Sprintf("the intermediate that issued %s is missing: %s is not among the certificates given", quoted(name), issuerText(c)),
		"add the certificate of "+issuerText(c)+" to the file behind the leaf, or give it with the intermediates")
}

func keyIDText(c *x509.Certificate) string {
	if len(c.SubjectKeyId) == 0 {
		return ""
	}
	return " (key id " + shortHex(c.SubjectKeyId) + ")"
}

// checkLink judges the signature on child by parent's key. ours is false where
// parent has only the name of the issuer.
func checkLink(child, parent *x509.Certificate) (f Finding, ok, ours bool) {
	name, issuer := shortName(child), shortName(parent)
	if t, bits := keyType(parent.PublicKey); bits > 0 && len(t) > 3 && t[:3] == "rsa" && (bits < 1024 || bits > maxRSABits) {
		return ruleIssuerKeySize.broken(issuer, fmt.Sprintf("%s has an RSA key of %d bits: what it signs is not accepted", quoted(issuer), bits),
			"replace the CA by one with a key of 2,048 bits or more"), false, sameKeyID(child, parent)
	}
	err := checkSignature(child, parent)
	switch {
	case weakSignature(child.SignatureAlgorithm) && (err == nil || cannotCheck(err)):
		f, _ := one(ruleWeakSignature, checkSignatureHash).check(&examined{Certificate: child})
		f.Certificate = name
		f.Message = fmt.Sprintf("%s is signed with %s, which can be forged", quoted(name), child.SignatureAlgorithm)
		return f, false, err == nil || sameKeyID(child, parent)
	case err == nil:
		return Finding{}, true, true
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

// checkIssuer judges a certificate that issued below others, below being the
// number of CA certificates between it and the target.
func checkIssuer(c *x509.Certificate, below int) []Finding {
	name := shortName(c)
	var list []Finding
	switch {
	case c.Version == 3 && !isCA(c), c.BasicConstraintsValid && !c.IsCA:
		list = append(list, ruleIssuerNotCA.broken(name, quoted(name)+" issued a certificate and is no CA",
			"have the certificate issued by a CA; "+quoted(name)+" cannot be one"))
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		list = append(list, ruleIssuerUsage.broken(name, quoted(name)+" may not sign certificates: its key usage does not say keyCertSign",
			"replace the CA certificate by one with keyCertSign"))
	}
	if c.BasicConstraintsValid && c.MaxPathLen >= 0 && below > c.MaxPathLen {
		list = append(list, rulePathLength.broken(name,
			fmt.Sprintf("%s allows %s below it, and there %s", quoted(name), count(int64(c.MaxPathLen), "CA"), isAre(below)),
			"have the leaf issued by a CA nearer to "+quoted(name)+", or replace it by one with a longer path length"))
	}
	return list
}

func isAre(n int) string {
	if n == 1 {
		return "is 1"
	}
	return fmt.Sprintf("are %d", n)
}

func checkCritical(c *x509.Certificate) (Finding, bool) {
	if len(c.UnhandledCriticalExtensions) == 0 {
		return Finding{}, true
	}
	oid := c.UnhandledCriticalExtensions[0].String()
	what := oid
	if known := extensionNames[oid]; known != "" {
		what = known + ", " + oid
	}
	name := shortName(c)
	return ruleCriticalUnknown.broken(name, fmt.Sprintf("%s has a critical extension that is not understood (%s)", quoted(name), what),
		"have it issued again without that extension, or not marked critical"), false
}

// checkUsage judges a path by the use that was asked for.
func checkUsage(chain []*x509.Certificate, eku string) (Finding, bool) {
	refuses, ok := allows(chain, eku)
	if ok {
		return Finding{}, true
	}
	name := shortName(refuses)
	if extKeyUsageOf(eku) == noUsage {
		return ruleUsage.broken(name, fmt.Sprintf("the use %s is not known here", quoted(eku)), "ask for any, serverAuth or clientAuth"), false
	}
	return ruleUsage.broken(name,
		fmt.Sprintf("%s is not for %s, only for %s", quoted(name), clip(eku), listed(extKeyUsages(refuses), 4)),
		"issue one whose extended key usage says "+clip(eku)), false
}

// checkConstraints asks crypto/x509 for what depends on the path as a whole, at a
// time at which all of it is valid, if there is one.
func checkConstraints(chain []*x509.Certificate) (Finding, bool) {
	at, end := chain[0].NotBefore, chain[0].NotAfter
	for _, c := range chain {
		if c.NotBefore.After(at) {
			at = c.NotBefore
		}
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	last := len(chain) - 1
	if at.After(end) || last == 0 {
		return Finding{}, true
	}
	_, err := findPaths(chain[0], Options{Roots: chain[last:], Intermediates: chain[1:last], At: at})
	return constraintFinding(chain, err)
}

// constraintFinding puts an error of the path as a whole into words; ok is true
// for every other error.
func constraintFinding(chain []*x509.Certificate, err error) (Finding, bool) {
	name := shortName(chain[0])
	detail, kind := invalidReason(err)
	switch kind {
	case x509.CANotAuthorizedForThisName:
		who := ""
		for _, c := range chain[1:] {
			if extension(c.Extensions, oidNameConstraints) == nil {
				continue
			}
			if who != "" {
				who = "a CA"
				break
			}
			who = quoted(shortName(c))
		}
		if who == "" {
			who = "a CA"
		}
		return ruleNameConstraint.broken(name, fmt.Sprintf("%s above it may not certify its names: %s", who, detail),
			"have it issued without that name, or by a CA whose constraints permit it"), false
	case x509.NoValidChains:
		return rulePolicy.broken(name, "the path does not have the certificate policies that it demands",
			"have it issued with a policy that the CAs above it allow"), false
	}
	return Finding{}, true
}

// sameSubjectKey tells whether two have the same name and key: a path that held
// both would go in a circle.
func sameSubjectKey(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}
