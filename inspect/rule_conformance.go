package inspect

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
)

// What a conforming CA would not do and what does not make a path unsound: a
// warning, or with Options.Strict an error.
var (
	ruleNoKeyID         = Rule{"ca-without-subject-key-id", SeverityWarning, "RFC 5280, Section 4.2.1.2", "a CA has a subject key identifier"}
	ruleNoAuthorityID   = Rule{"authority-key-id-missing", SeverityWarning, "RFC 5280, Section 4.2.1.1", "a certificate that is not self-signed has an authority key identifier"}
	ruleAuthorityID     = Rule{"authority-key-id-differs", SeverityWarning, "RFC 5280, Section 4.2.1.1", "the authority key identifier is that of the issuer's key"}
	ruleTreesPlain      = Rule{"name-constraints-not-critical", SeverityWarning, "RFC 5280, Section 4.2.1.10", "name constraints are critical"}
	ruleTreeForm        = Rule{"name-constraint-form", SeverityWarning, "RFC 5280, Section 4.2.1.10", "a constraint on DNS names has no leading dot"}
	rulePolicyPlain     = Rule{"policy-constraints-not-critical", SeverityWarning, "RFC 5280, Section 4.2.1.11", "policy constraints and the inhibition of anyPolicy are critical"}
	ruleTreesOnLeaf     = Rule{"name-constraints-without-ca", SeverityWarning, "RFC 5280, Section 4.2.1.10", "only a CA has name constraints"}
	ruleNameForm        = Rule{"dns-name-invalid", SeverityWarning, "RFC 5280, Section 4.2.1.6", "a DNS name is in the preferred syntax: letters, digits and '-'"}
	rulePathLenWithout  = Rule{"path-length-without-ca", SeverityWarning, "RFC 5280, Section 4.2.1.9", "only a CA that signs certificates has a path length"}
	ruleBasicMissing    = Rule{"basic-constraints-not-critical", SeverityWarning, "RFC 5280, Section 4.2.1.9", "the basic constraints of a CA above the target are critical"}
	ruleCRLConforming   = Rule{"crl-not-conforming", SeverityWarning, "RFC 5280, Section 5.2", "a CRL is as a conforming issuer makes it"}
	ruleSerialInPath    = Rule{"serial-not-conforming", SeverityWarning, "RFC 5280, Section 4.1.2.2", "serial numbers of a path are positive and have at most 20 octets"}
	ruleSignsUnasked    = Rule{"key-usage-without-ca", SeverityWarning, "RFC 5280, Section 4.2.1.3", "only a CA's key usage in a path says keyCertSign"}
	ruleIssuerEmpty     = Rule{"issuer-name-empty", SeverityWarning, "RFC 5280, Section 4.1.2.4", "an issuer has a name"}
	ruleWithoutBasic    = Rule{"ca-without-basic-constraints", SeverityWarning, "RFC 5280, Section 4.2.1.9", "a CA that signs has basic constraints"}
	ruleWithoutKeyUsage = Rule{"ca-without-key-usage", SeverityWarning, "RFC 5280, Section 4.2.1.3", "a CA that signs has a key usage"}
)

var conformanceRules = []Rule{
	ruleNoKeyID, ruleNoAuthorityID, ruleAuthorityID, ruleTreesPlain, ruleTreeForm, rulePolicyPlain, ruleTreesOnLeaf, ruleNameForm,
	rulePathLenWithout, ruleBasicMissing, ruleCRLConforming, ruleSerialInPath, ruleSignsUnasked, ruleIssuerEmpty, ruleWithoutBasic, ruleWithoutKeyUsage,
}

// strictly gives the rules of conformance that the path breaks, as errors, where
// that was asked for.
func (p *path) strictly() []Finding {
	if !p.o.Strict {
		return nil
	}
	list := p.nonconforming()
	for i := range list {
		list[i].Severity = SeverityError
	}
	return list
}

// nonconforming gives the rules of conformance that the certificates of the path
// and the CRLs of their issuers break.
func (p *path) nonconforming() []Finding {
	var list []Finding
	for i, c := range p.chain {
		var above *node
		if i+1 < len(p.chain) {
			above = p.chain[i+1]
		}
		for _, check := range conformanceChecks() {
			if message := check.breaks(c, above, i > 0); message != "" {
				list = append(list, check.rule.broken(c.name(), quoted(c.name())+" "+message, cmp.Or(check.fix, "have it issued again by a CA that follows the standard")))
			}
		}
	}
	for _, l := range p.o.CRLs {
		for _, c := range p.chain[:max(len(p.chain)-1, 0)] {
			if l.issuer != c.issuer || len(l.flaws) == 0 {
				continue
			}
			list = append(list, ruleCRLConforming.broken(c.name(), "the CRL of "+quoted(crlIssuerText(l))+" is not as it should be: "+l.flaws[0], "have the CA publish a CRL that follows the standard"))
			break
		}
	}
	return list
}

// conformanceCheck judges one certificate in its place: above it its issuer, nil
// for a root; issues where it issued one below.
type conformanceCheck struct {
	rule   Rule
	breaks func(c, above *node, issues bool) (message string)
	fix    string // "" for another CA
}

func conformanceChecks() []conformanceCheck {
	return []conformanceCheck{
		{ruleNoKeyID, func(c, _ *node, _ bool) string {
			return unless(!c.isCA() || len(c.SubjectKeyId) > 0, "is a CA and has no subject key identifier")
		}, ""},
		{ruleNoAuthorityID, checkAuthorityID, ""},
		{ruleAuthorityID, func(c, above *node, _ bool) string {
			return unless(above == nil || sameKeyID(c.Certificate, above.Certificate), "has an authority key identifier that is not of the key that signed it")
		}, ""},
		{ruleTreesPlain, func(c, _ *node, _ bool) string {
			return unless(c.trees == nil || criticalIn(c, "2.5.29.30"), "has name constraints that are not critical")
		}, ""},
		{ruleTreeForm, checkTreeForm, ""},
		{rulePolicyPlain, func(c, _ *node, _ bool) string {
			return unless((c.policies.explicit < 0 && c.policies.inhibitMap < 0 || criticalIn(c, "2.5.29.36")) &&
				(c.policies.inhibitAnyFor < 0 || criticalIn(c, "2.5.29.54")), "limits the policies below it, and the extension is not critical")
		}, ""},
		{ruleSANNotCritical, func(c, _ *node, _ bool) string {
			return unless(len(c.rdns) > 0 || len(c.names) == 0 || criticalIn(c, "2.5.29.17"), "has no subject, and its alternative names are not critical")
		}, ""},
		{ruleRSAShort, func(c, _ *node, _ bool) string {
			k, ok := c.PublicKey.(*rsa.PublicKey)
			return unless(!ok || k.N.BitLen() >= 2048, "has an RSA key of less than 2,048 bits")
		}, "have it issued for a new key: " + strongKeys},
		{ruleWeakSignature, func(c, above *node, _ bool) string {
			return unless(above == nil || !oldSignature(c.SignatureAlgorithm), "is signed with "+c.SignatureAlgorithm.String()+
				", which counted then: whoever can forge it today can date it back")
		}, "have it issued again with SHA-256"},
		{ruleTreesOnLeaf, func(c, _ *node, _ bool) string {
			return unless(c.trees == nil || c.isCA(), "has name constraints and is no CA")
		}, ""},
		{ruleNameForm, checkNameForm, ""},
		{rulePathLenWithout, func(c, _ *node, _ bool) string {
			return unless(!c.BasicConstraintsValid || c.IsCA || c.MaxPathLen < 0, "has a path length and is no CA")
		}, ""},
		{ruleBasicMissing, func(c, _ *node, issues bool) string {
			return unless(!issues || !c.BasicConstraintsValid || criticalIn(c, "2.5.29.19"), "has basic constraints that are not critical")
		}, ""},
		{ruleSerialInPath, func(c, _ *node, _ bool) string {
			return unless(c.SerialNumber.Sign() > 0 && c.SerialNumber.BitLen()/8+1 <= 20, "has a serial number that is not positive or longer than 20 octets")
		}, ""},
		{ruleSignsUnasked, func(c, _ *node, _ bool) string {
			return unless(c.isCA() || c.KeyUsage&x509.KeyUsageCertSign == 0 || c.anchorUnsaid(), "may sign certificates by its key usage, and is no CA")
		}, ""},
		{ruleIssuerEmpty, func(c, _ *node, issues bool) string {
			return unless(!issues || len(c.rdns) > 0, "issued a certificate and has no name")
		}, ""},
		{ruleWithoutBasic, func(c, _ *node, issues bool) string {
			return unless(!issues || c.Version < 3 || c.BasicConstraintsValid, "issued a certificate and has no basic constraints")
		}, ""},
		{ruleWithoutKeyUsage, func(c, _ *node, issues bool) string {
			return unless(!issues || c.KeyUsage != 0, "issued a certificate and has no key usage")
		}, ""},
	}
}

func unless(holds bool, message string) string {
	if holds {
		return ""
	}
	return message
}

// criticalIn tells whether an extension is there and critical.
func criticalIn(c *node, oid string) bool {
	for _, e := range c.Extensions {
		if e.Critical && arcOf(e.Id) == oid {
			return true
		}
	}
	return false
}

// checkAuthorityID: who signed itself may leave the identifier out; a root is taken
// as it is.
func checkAuthorityID(c, above *node, _ bool) string {
	if len(c.AuthorityKeyId) > 0 || above == nil {
		return ""
	}
	return "has no authority key identifier, and did not sign itself"
}

// checkTreeForm judges the constraints on DNS names: that a leading dot leaves the name
// itself out is a custom that the standard does not have.
func checkTreeForm(c, _ *node, _ bool) string {
	if c.trees == nil {
		return ""
	}
	for _, n := range slices.Concat(c.trees.permitted[tagDNS], c.trees.excluded[tagDNS]) {
		if strings.HasPrefix(n.text, ".") {
			return "has a constraint on DNS names with a leading dot, " + quoted(n.text) + ", which programs take in two ways"
		}
	}
	return ""
}

// checkNameForm judges the DNS names (RFC 5280, Section 4.2.1.6): a first label of
// '*' is allowed, an address in the place of a name is not.
func checkNameForm(c, _ *node, _ bool) string {
	for _, n := range c.names {
		if n.kind != tagDNS {
			continue
		}
		_, err := netip.ParseAddr(n.text)
		if !soundDNSName(n.text) || strings.HasSuffix(n.text, ".") || strings.Contains(n.text, "_") || err == nil {
			return "has " + quoted(n.text) + " among its DNS names, which is none"
		}
	}
	return ""
}
