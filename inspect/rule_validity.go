package inspect

import (
	"crypto/x509"
	"fmt"
	"time"
)

// A certificate that is out of date breaks the rule of its place in the
// hierarchy: what to do about it differs.
var (
	ruleLeafExpired         = Rule{"leaf-expired", SeverityError, "RFC 5280, Section 4.1.2.5", "the leaf has not expired"}
	ruleIntermediateExpired = Rule{"intermediate-expired", SeverityError, "RFC 5280, Section 4.1.2.5", "the intermediate has not expired"}
	ruleRootExpired         = Rule{"root-expired", SeverityError, "RFC 5280, Section 4.1.2.5", "the root has not expired"}
	ruleLeafNotYet          = Rule{"leaf-not-yet-valid", SeverityError, "RFC 5280, Section 4.1.2.5", "the leaf is valid already"}
	ruleIntermediateNotYet  = Rule{"intermediate-not-yet-valid", SeverityError, "RFC 5280, Section 4.1.2.5", "the intermediate is valid already"}
	ruleRootNotYet          = Rule{"root-not-yet-valid", SeverityError, "RFC 5280, Section 4.1.2.5", "the root is valid already"}
	ruleValidityReversed    = Rule{"validity-reversed", SeverityError, "RFC 5280, Section 4.1.2.5", "notAfter does not lie before notBefore"}
)

var validityChecks = []certificateCheck{
	{
		[]Rule{ruleLeafExpired, ruleIntermediateExpired, ruleRootExpired, ruleLeafNotYet, ruleIntermediateNotYet, ruleRootNotYet},
		func(e *examined) (Finding, bool) {
			f, ok := checkTime(e.Certificate, placeOf(e.Certificate), e.now)
			f.Certificate = ""
			return f, ok
		},
	},
	one(ruleValidityReversed, checkValidityOrder),
}

// place is where a certificate stands in a path.
type place int

const (
	placeLeaf place = iota
	placeIntermediate
	placeRoot
)

// placeOf guesses the place of a certificate that stands alone.
func placeOf(c *x509.Certificate) place {
	switch {
	case isCA(c) && selfIssued(c):
		return placeRoot
	case isCA(c):
		return placeIntermediate
	}
	return placeLeaf
}

// checkTime judges a certificate by the clock.
func checkTime(c *x509.Certificate, at place, now time.Time) (Finding, bool) {
	name := shortName(c)
	switch {
	case now.After(c.NotAfter):
		rule := [...]Rule{ruleLeafExpired, ruleIntermediateExpired, ruleRootExpired}[at]
		fix := [...]string{"renew it", "renew the intermediate, then what it issued", "replace the root everywhere that trusts it"}[at]
		return rule.broken(name, fmt.Sprintf("%s expired %s ago, at %s", quoted(name), span(seconds(c.NotAfter, now)), moment(c.NotAfter)), fix), false
	case now.Before(c.NotBefore):
		rule := [...]Rule{ruleLeafNotYet, ruleIntermediateNotYet, ruleRootNotYet}[at]
		return rule.broken(name,
			fmt.Sprintf("%s is not valid yet: it starts in %s, at %s", quoted(name), span(seconds(now, c.NotBefore)), moment(c.NotBefore)),
			"wait until then, or check the clocks of this machine and of the one that issued it"), false
	}
	return Finding{}, true
}

func checkValidityOrder(e *examined) (message, fix string) {
	if !e.NotAfter.Before(e.NotBefore) {
		return "", ""
	}
	return fmt.Sprintf("it ends (%s) before it starts (%s): there is no time at which it is valid", moment(e.NotAfter), moment(e.NotBefore)),
		"issue it again with notAfter behind notBefore"
}
