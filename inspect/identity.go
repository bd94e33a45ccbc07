package inspect

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

var (
	ruleName              = Rule{"name-mismatch", SeverityError, "RFC 9525, Section 6", "the name that was asked for is among the names"}
	ruleEmail             = Rule{"email-mismatch", SeverityError, "RFC 5280, Section 7.5", "the address that was asked for is among the names"}
	ruleAskedID           = Rule{"spiffe-id-asked-invalid", SeverityError, "SPIFFE-ID, Section 2", "what was asked for is a SPIFFE ID"}
	ruleID                = Rule{"spiffe-id-mismatch", SeverityError, "X509-SVID, Section 2", "the SPIFFE ID is the one that was asked for"}
	ruleAskedDomain       = Rule{"trust-domain-asked-invalid", SeverityError, "SPIFFE-ID, Section 2.1", "what was asked for is a trust domain"}
	ruleDomain            = Rule{"trust-domain-mismatch", SeverityError, "SPIFFE-ID, Section 2.1", "the SPIFFE ID is in the trust domain that was asked for"}
	ruleRemainingTooShort = Rule{RuleRemainingTooShort, SeverityError, "RFC 5280, Section 4.1.2.5", "the path holds for as long as was asked for"}
)

var identityRules = []Rule{ruleName, ruleEmail, ruleAskedID, ruleID, ruleAskedDomain, ruleDomain, ruleRemainingTooShort}

// identityFindings compares who the certificate is for with who was asked for.
func identityFindings(e *examined, o Options) []Finding {
	var list []Finding
	add := func(f Finding, ok bool) {
		if !ok {
			f.Certificate = shortName(e.Certificate)
			list = append(list, f)
		}
	}
	if o.Name != "" {
		add(checkName(e, o.Name))
	}
	if o.SPIFFEID != "" || o.TrustDomain != "" || o.within != "" {
		for _, f := range errorsOnly(e.svidFindings()) {
			if f.Rule == ruleSVIDPath.ID && !o.Strict {
				// Whoever validates does not look at it (X509-SVID, Section 5.2).
				f.Severity = SeverityWarning
			}
			add(f, false)
		}
	}
	if o.SPIFFEID != "" {
		add(checkID(e, o.SPIFFEID))
	}
	if o.TrustDomain != "" {
		add(checkDomain(e, o.TrustDomain))
	}
	if o.Email != "" {
		add(checkEmail(e, o.Email))
	}
	return list
}

// checkName compares a DNS name or an IP address with the alternative names; the
// common name does not count (RFC 9525, Section 2).
func checkName(e *examined, name string) (Finding, bool) {
	if e.VerifyHostname(name) == nil {
		return Finding{}, true
	}
	has, kind := e.names.DNSNames, "DNS name"
	if net.ParseIP(strings.Trim(name, "[]")) != nil {
		has, kind = e.names.IPAddresses, "IP address"
	}
	if len(has) > 0 {
		return ruleName.broken("",
			fmt.Sprintf("the name does not match: the certificate is for %s", listed(has, 3)),
			fmt.Sprintf("ask for %s, or issue a certificate for %s", clip(has[0]), clip(name))), false
	}
	message := fmt.Sprintf("the name does not match: the certificate is for no %s at all", kind)
	switch cn := e.Subject.CommonName; {
	case cn != "" && strings.EqualFold(cn, name):
		message += ", and its common name does not count"
	case e.names.Count() > 0:
		all := append(append(append([]string{}, e.names.DNSNames...), e.names.IPAddresses...), e.names.URIs...)
		if all = append(all, e.names.EmailAddresses...); len(all) > 0 {
			message += ", only for " + listed(all, 3)
		}
	}
	return ruleName.broken("", message, "issue a certificate for "+clip(name)), false
}

func checkID(e *examined, want string) (Finding, bool) {
	id, err := spiffeid.Parse(want)
	if err != nil {
		return ruleAskedID.broken("", fmt.Sprintf("%s was asked for and is no SPIFFE ID: %v", quoted(want), reason(err)),
			"ask for a well-formed SPIFFE ID"), false
	}
	has := e.names.SPIFFEID()
	switch {
	case has == id:
		return Finding{}, true
	case has.IsZero():
		return ruleID.broken("", fmt.Sprintf("it does not have the SPIFFE ID %s, nor any", quoted(want)), "issue a certificate for "+clip(want)), false
	}
	return ruleID.broken("", "the SPIFFE ID does not match: the certificate is for "+clip(has.String()),
		fmt.Sprintf("ask for %s, or issue a certificate for %s", clip(has.String()), clip(want))), false
}

func checkDomain(e *examined, want string) (Finding, bool) {
	td, err := spiffeid.ParseTrustDomain(want)
	if err != nil {
		return ruleAskedDomain.broken("", fmt.Sprintf("%s was asked for and is no trust domain: %v", quoted(want), reason(err)),
			"ask for a trust domain such as cluster.local"), false
	}
	has := e.names.SPIFFEID()
	switch {
	case has.TrustDomain() == td:
		return Finding{}, true
	case has.IsZero():
		return ruleDomain.broken("", fmt.Sprintf("it is not in trust domain %s, nor in any", td), "issue a certificate in "+td.String()), false
	}
	return ruleDomain.broken("", fmt.Sprintf("it is in trust domain %s, not in %s", has.TrustDomain(), td),
		fmt.Sprintf("ask for %s, or issue a certificate in %s", has.TrustDomain(), td)), false
}

// checkEmail compares an address with the alternative names: the part before the
// last '@' to the letter, the domain without regard to case.
func checkEmail(e *examined, want string) (Finding, bool) {
	for _, has := range e.names.EmailAddresses {
		if sameMailbox(has, want) {
			return Finding{}, true
		}
	}
	message := "the certificate is for no email address at all"
	if len(e.names.EmailAddresses) > 0 {
		message = "the address does not match: the certificate is for " + listed(e.names.EmailAddresses, 3)
	}
	return ruleEmail.broken("", message, "issue a certificate for "+clip(want)), false
}

func sameMailbox(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i > 0 && i < len(a)-1 && i == j && a[:i] == b[:j] && lowerASCII(a[i:]) == lowerASCII(b[j:])
}

// lowerASCII leaves every letter beyond ASCII as it is: some of them fold to one within.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// checkRemaining judges the path that holds longest by how long that is.
func checkRemaining(paths []*path, o Options) (Finding, bool) {
	if o.MinRemaining <= 0 || len(paths) == 0 {
		return Finding{}, true
	}
	end := longest(paths).shortest()
	left, want := seconds(o.At, end.NotAfter), int64(o.MinRemaining/time.Second)
	if left >= want {
		return Finding{}, true
	}
	name := end.name()
	return ruleRemainingTooShort.broken(name,
		fmt.Sprintf("%s ends in %s, at %s; at least %s were asked for", quoted(name), span(left), moment(end.NotAfter), span(want)),
		"renew "+quoted(name)), false
}
