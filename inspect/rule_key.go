package inspect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
)

var (
	ruleRSAShort      = Rule{"key-rsa-short", SeverityError, "RFC 9325, Section 4.5", "an RSA key has at least 2,048 bits"}
	ruleRSALarge      = Rule{"key-rsa-large", SeverityWarning, "RFC 8017, Section 3.1", "an RSA key has at most 16,384 bits"}
	ruleRSAExponent   = Rule{"key-rsa-exponent", SeverityWarning, "FIPS 186-5, Section A.1.1", "an RSA key's public exponent is at least 65,537"}
	ruleP224          = Rule{"key-p224", SeverityWarning, "RFC 8446, Section 4.2.3", "the key's curve is one that TLS can use"}
	ruleWeakSignature = Rule{"signature-weak", SeverityError, "RFC 9325, Section 4.5", "the signature is not made with SHA-1 or older"}
)

// keyChecks are the rules on keys and signatures.
var keyChecks = append(slices.Clip(publicKeyChecks), one(ruleWeakSignature, checkSignatureHash))

// publicKeyChecks are those that ask for nothing but the key.
var publicKeyChecks = []certificateCheck{
	one(ruleRSAShort, checkRSAShort),
	one(ruleRSALarge, checkRSALarge),
	one(ruleRSAExponent, checkRSAExponent),
	one(ruleP224, checkP224),
}

const strongKeys = "use ec-p256, or RSA with 2,048 bits or more"

func checkRSAShort(e *examined) (message, fix string) {
	k, ok := e.PublicKey.(*rsa.PublicKey)
	if !ok || k.N.BitLen() >= 2048 {
		return "", ""
	}
	return fmt.Sprintf("an RSA key of %d bits can be broken; 2,048 are the least", k.N.BitLen()), strongKeys
}

func checkRSALarge(e *examined) (message, fix string) {
	if e.PublicKey == nil || usableKey(e.PublicKey) {
		return "", ""
	}
	return "an RSA key of more than 16,384 bits: signatures with it are not checked", strongKeys
}

func checkRSAExponent(e *examined) (message, fix string) {
	k, ok := e.PublicKey.(*rsa.PublicKey)
	if !ok || k.E >= 65537 {
		return "", ""
	}
	return fmt.Sprintf("the RSA key's public exponent is %d; 65,537 is the least", k.E), strongKeys
}

func checkP224(e *examined) (message, fix string) {
	k, ok := e.PublicKey.(*ecdsa.PublicKey)
	if !ok || k.Curve != elliptic.P224() {
		return "", ""
	}
	return "a key on the curve P-224, which TLS 1.3 does not know", "use ec-p256"
}

// checkSignatureHash leaves out self-issued certificates: nobody relies on a
// root's signature.
func checkSignatureHash(e *examined) (message, fix string) {
	if selfIssued(e.Certificate) || !weakSignature(e.SignatureAlgorithm) {
		return "", ""
	}
	return fmt.Sprintf("it is signed with %s, which can be forged", e.SignatureAlgorithm), "have it issued again with SHA-256"
}

func weakSignature(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}
