package inspect

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"unicode"
)

var (
	ruleBasicNotCritical = Rule{"ca-basic-constraints-not-critical", SeverityError, "RFC 5280, Section 4.2.1.9", "a CA's basic constraints are critical"}
	ruleCAKeyUsage       = Rule{"ca-without-key-cert-sign", SeverityError, "RFC 5280, Section 4.2.1.3", "a CA's key usage says keyCertSign"}
	ruleKeyCertSign      = Rule{"key-cert-sign-without-ca", SeverityError, "RFC 5280, Section 4.2.1.9", "only a CA's key usage says keyCertSign"}
	ruleLeafWithoutSAN   = Rule{"leaf-without-san", SeverityWarning, "RFC 5280, Section 4.2.1.6", "a leaf has a subject alternative name"}
	ruleSANNotCritical   = Rule{"san-not-critical", SeverityWarning, "RFC 5280, Section 4.1.2.6", "without a subject, the alternative names are critical"}
	ruleHidden           = Rule{"names-hidden-characters", SeverityWarning, "RFC 5280, Section 4.2.1.6", "no name has characters that cannot be seen"}
)

// authorityChecks are the rules that tell CA and leaf apart.
var authorityChecks = []certificateCheck{
	one(ruleBasicNotCritical, checkBasicCritical),
	one(ruleCAKeyUsage, checkCAKeyUsage),
	one(ruleKeyCertSign, checkKeyCertSign),
	one(ruleLeafWithoutSAN, checkLeafSAN),
	one(ruleSANNotCritical, checkSANCritical),
	one(ruleHidden, checkHidden),
}

func checkBasicCritical(e *examined) (message, fix string) {
	if ext := extension(e.Extensions, oidBasic); !e.isCA() || ext == nil || ext.Critical {
		return "", ""
	}
	return "it is a CA, and its basic constraints are not marked critical", "issue the CA certificate again with critical basic constraints"
}

func checkCAKeyUsage(e *examined) (message, fix string) {
	if !e.isCA() || e.KeyUsage&x509.KeyUsageCertSign != 0 {
		return "", ""
	}
	return "it is a CA, and its key usage does not allow to sign certificates", "issue the CA certificate again with keyCertSign"
}

func checkKeyCertSign(e *examined) (message, fix string) {
	if e.isCA() || e.KeyUsage&x509.KeyUsageCertSign == 0 {
		return "", ""
	}
	return "its key usage allows to sign certificates, and it is no CA", "issue it again without keyCertSign"
}

func checkLeafSAN(e *examined) (message, fix string) {
	if e.isCA() || e.names.Count() > 0 {
		return "", ""
	}
	return "it has no subject alternative name: nothing that checks names will accept it", "issue it again with the names that it is used under"
}

func checkSANCritical(e *examined) (message, fix string) {
	const emptySequence = 2
	ext := extension(e.Extensions, oidSubjectAltName)
	if len(e.RawSubject) > emptySequence || ext == nil || ext.Critical {
		return "", ""
	}
	return "it has no subject, and its alternative names are not marked critical", "issue it again with critical alternative names, or with a subject"
}

// checkHidden looks at the subject and the alternative names: what cannot be seen
// is there to deceive a reader or a terminal.
func checkHidden(e *examined) (message, fix string) {
	hidden := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
	}
	seen := slices.ContainsFunc(e.Subject.Names, func(a pkix.AttributeTypeAndValue) bool {
		s, ok := a.Value.(string)
		return ok && hidden(s)
	})
	for _, list := range [][]string{e.names.DNSNames, e.names.EmailAddresses, e.names.URIs} {
		seen = seen || slices.ContainsFunc(list, hidden)
	}
	if !seen {
		return "", ""
	}
	return "its names have characters that cannot be seen, such as control characters", "do not trust what it calls itself; have it issued again without them"
}
