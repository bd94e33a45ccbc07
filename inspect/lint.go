package inspect

import (
	"crypto/x509"
	"slices"
)

// What a careful reader remarks on a certificate that stands alone, beyond what is
// always told of it: recommendations, and habits of mesh certificates.

var (
	ruleLeafNoUsage     = Rule{"leaf-without-key-usage", SeverityWarning, "RFC 5280, Section 4.2.1.3", "a leaf says what its key is for"}
	ruleLeafNoExtUsage  = Rule{"leaf-without-ext-key-usage", SeverityInfo, "RFC 5280, Section 4.2.1.12", "a leaf says whether it is for servers or clients"}
	ruleAnyExtUsage     = Rule{"ext-key-usage-any", SeverityWarning, "RFC 5280, Section 4.2.1.12", "a certificate says its uses, and not any use"}
	ruleUsageNotCrit    = Rule{"ca-key-usage-not-critical", SeverityWarning, "RFC 5280, Section 4.2.1.3", "a CA's key usage is critical"}
	ruleCASubject       = Rule{"ca-subject-empty", SeverityError, "RFC 5280, Section 4.1.2.6", "a CA has a subject"}
	ruleSigningUsage    = Rule{"svid-signing-key-usage", SeverityWarning, "X509-SVID, Section 4.3", "a signing certificate's key is for signing certificates and CRLs alone"}
	ruleTreesEmpty      = Rule{"name-constraints-empty", SeverityError, "RFC 5280, Section 4.2.1.10", "name constraints permit or exclude something"}
	ruleLeafNoBasic     = Rule{"leaf-without-basic-constraints", SeverityInfo, "X509-SVID, Section 4.1", "a leaf says that it is no CA"}
	ruleCommonNameOnly  = Rule{"common-name-not-among-names", SeverityInfo, "RFC 9525, Section 2", "a common name that looks like a host is among the names too"}
	ruleUsageEncipherEC = Rule{"key-usage-encipherment-ec", SeverityWarning, "RFC 8813, Section 3", "the key usage of an elliptic curve does not say keyEncipherment"}
)

// lintChecks are judged where somebody asks for them.
var lintChecks = []certificateCheck{
	one(ruleLeafNoUsage, func(e *examined) (message, fix string) {
		if e.isCA() || e.KeyUsage != 0 {
			return "", ""
		}
		return "it has no key usage: whatever its key can do, it may be used for", "issue it again with digitalSignature"
	}),
	one(ruleLeafNoExtUsage, func(e *examined) (message, fix string) {
		if e.isCA() || len(e.ExtKeyUsage)+len(e.UnknownExtKeyUsage) > 0 {
			return "", ""
		}
		return "it has no extended key usage: it serves as anything", "issue it again for serverAuth and clientAuth, or the one that it needs"
	}),
	one(ruleAnyExtUsage, func(e *examined) (message, fix string) {
		if !slices.Contains(e.ExtKeyUsage, x509.ExtKeyUsageAny) {
			return "", ""
		}
		return "its extended key usage says any use", "issue it again with the uses that it needs"
	}),
	one(ruleUsageNotCrit, func(e *examined) (message, fix string) {
		if ext := extension(e.Extensions, oidKeyUsage); !e.isCA() || ext == nil || ext.Critical {
			return "", ""
		}
		return "it is a CA, and its key usage is not marked critical", "issue the CA certificate again with a critical key usage"
	}),
	one(ruleCASubject, func(e *examined) (message, fix string) {
		const emptySequence = 2
		if !e.isCA() || len(e.RawSubject) > emptySequence {
			return "", ""
		}
		return "it is a CA without a subject: nothing can name it as its issuer", "issue the CA certificate again with a subject"
	}),
	one(ruleSigningUsage, func(e *examined) (message, fix string) {
		if !e.isCA() || e.KeyUsage&^(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) == 0 {
			return "", ""
		}
		return "it is a CA whose key may be used for " + listed(keyUsages(e.KeyUsage&^(x509.KeyUsageCertSign|x509.KeyUsageCRLSign)), 4) + " too; some meshes refuse that",
			"issue the CA certificate again with keyCertSign and cRLSign alone"
	}),
	one(ruleTreesEmpty, checkTreesEmpty),
	one(ruleLeafNoBasic, func(e *examined) (message, fix string) {
		if e.isCA() || e.BasicConstraintsValid || !e.names.claimsSPIFFE() {
			return "", ""
		}
		return "it is an SVID without basic constraints: some meshes refuse it", "issue it again with basic constraints that say no CA"
	}),
	one(ruleCommonNameOnly, checkCommonName),
	one(ruleUsageEncipherEC, func(e *examined) (message, fix string) {
		kind, _ := keyType(e.PublicKey)
		if len(kind) < 2 || kind[:2] != "ec" && kind != "ed25519" || e.KeyUsage&(x509.KeyUsageKeyEncipherment|x509.KeyUsageDataEncipherment) == 0 {
			return "", ""
		}
		return "its key usage says keyEncipherment or dataEncipherment, which a key of " + kind + " cannot do", "issue it again with digitalSignature alone"
	}),
}

func checkTreesEmpty(e *examined) (message, fix string) {
	c, err := constraintsOf(e.Extensions)
	if err != nil || c == nil || c.Permitted.Count()+c.Excluded.Count() > 0 {
		return "", ""
	}
	return "its name constraints are empty", "issue the CA certificate again with constraints, or without any"
}

func checkCommonName(e *examined) (message, fix string) {
	name := e.Subject.CommonName
	if e.isCA() || e.names.Count() == 0 || !looksLikeHost(name) || slices.Contains(e.names.DNSNames, name) || slices.Contains(e.names.IPAddresses, name) {
		return "", ""
	}
	return "its common name " + quoted(name) + " looks like a host, and is not among its names: nothing that checks names goes by it", "issue it again with that name among the others, or with another common name"
}

// looksLikeHost tells a.b.c from a word.
func looksLikeHost(s string) bool {
	dots := 0
	for _, r := range s {
		switch {
		case r == '.':
			dots++
		case r == '-', r == '*', r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		default:
			return false
		}
	}
	return dots > 0 && s[0] != '.' && s[len(s)-1] != '.'
}

// LintRules lists the rules that Lint judges by, beside those of Rules.
func LintRules() []Rule {
	var list []Rule
	for _, c := range lintChecks {
		list = append(list, c.rules...)
	}
	return append(list, sourceRules...)
}

// Lint adds to the report of an object that stands alone what only a careful reader
// would remark, the rules of conformance that the validator is strict about, and of a
// CA certificate what the meshes would do with it.
func Lint(o Object, r *Report) { lint(o, r, nil) }

func lint(o Object, r *Report, above *x509.Certificate) {
	if o.Certificate == nil || r.Certificate == nil {
		return
	}
	e := &examined{Certificate: o.Certificate, names: r.Certificate.Names}
	r.Findings = e.judge(r.Findings, lintChecks)
	lintStrictly(o, r, above)
	r.Consumers = Consumers(o, *r)
}
