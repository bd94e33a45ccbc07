package inspect

import (
	"crypto"
	"crypto/x509"
	"slices"
	"time"
)

// Severity says how bad a finding is.
type Severity string

// The severities, worst first. Only an error makes an answer no.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info"
)

// Finding is one rule that does not hold.
type Finding struct {
	Rule        string   `json:"rule"` // stable
	Severity    Severity `json:"severity"`
	Certificate string   `json:"certificate,omitempty"` // what a person calls the one at fault
	Message     string   `json:"message"`
	Citation    string   `json:"citation"`
	Fix         string   `json:"fix,omitempty"`
}

// The rules that say more than that a certificate is good or bad: callers that
// speak about paths branch on them.
const (
	RuleIssuerMissing     = "issuer-missing"
	RuleIssuerKeyDiffers  = "issuer-key-differs"
	RuleRemainingTooShort = "remaining-too-short"
)

// Rule is one thing that can be wrong, under a name that stays.
type Rule struct {
	ID       string
	Severity Severity
	Citation string // "RFC 5280, Section 4.2.1.9"
	Title    string // what holds where the rule is kept
}

// broken is the finding that a rule does not hold; certificate may be "".
func (r Rule) broken(certificate, message, fix string) Finding {
	return Finding{Rule: r.ID, Severity: r.Severity, Certificate: certificate, Message: message, Citation: r.Citation, Fix: fix}
}

// Rules lists every rule of this package, in the order of its topics.
func Rules() []Rule {
	list := []Rule{}
	for _, checks := range [][]certificateCheck{validityChecks, keyChecks, authorityChecks, serialChecks, svidLeafChecks, svidSigningChecks} {
		for _, c := range checks {
			list = append(list, c.rules...)
		}
	}
	// Leaf and signing SVIDs share some.
	seen := map[string]bool{}
	list = slices.DeleteFunc(list, func(r Rule) bool {
		twice := seen[r.ID]
		seen[r.ID] = true
		return twice
	})
	list = append(list, ruleMalformed, ruleRequestMalformed, ruleCRLMalformed, ruleOCSPMalformed, ruleRequestSignature, ruleCRLStale, ruleCRLNotYet, ruleOCSPStale, ruleOCSPNotYet)
	list = append(list, endpointRules...)
	list = append(list, pathRules...)
	list = append(list, crlRules...)
	list = append(list, ocspRules...)
	list = append(list, conformanceRules...)
	list = append(list, federationRules...)
	return append(list, identityRules...)
}

// examined is a certificate under examination, with what several rules ask of it.
type examined struct {
	*x509.Certificate
	names Names
	now   time.Time
	state string // one of the State constants, where that was told
}

func examine(c *x509.Certificate, now time.Time) *examined {
	return &examined{Certificate: c, names: NamesOf(c), now: now}
}

// isCA tells whether it says that it is a CA (RFC 5280, Section 4.2.1.9).
func (e *examined) isCA() bool { return isCA(e.Certificate) }

func isCA(c *x509.Certificate) bool { return c.BasicConstraintsValid && c.IsCA }

// A certificateCheck judges one certificate by one rule, or by the same rule in
// its variants for leaf, intermediate and root. ok is false where it is broken.
type certificateCheck struct {
	rules []Rule
	check func(e *examined) (f Finding, ok bool)
}

// one is a check with one rule: holds gives "" where the rule is kept, and else
// the message and what to do.
func one(r Rule, holds func(e *examined) (message, fix string)) certificateCheck {
	return certificateCheck{[]Rule{r}, func(e *examined) (Finding, bool) {
		message, fix := holds(e)
		if message == "" {
			return Finding{}, true
		}
		return r.broken("", message, fix), false
	}}
}

// findings judges the certificate by every rule for one that stands alone.
func (e *examined) findings() []Finding {
	list := []Finding{}
	for _, checks := range [][]certificateCheck{validityChecks, keyChecks, authorityChecks, serialChecks} {
		list = e.judge(list, checks)
	}
	if e.names.claimsSPIFFE() {
		checks := svidLeafChecks
		if e.isCA() {
			checks = svidSigningChecks
		}
		list = e.judge(list, checks)
	}
	return list
}

func (e *examined) judge(list []Finding, checks []certificateCheck) []Finding {
	for _, c := range checks {
		if f, ok := c.check(e); !ok {
			list = append(list, f)
		}
	}
	return list
}

// keyFindings judges a key that stands alone.
func keyFindings(pub crypto.PublicKey) []Finding {
	return (&examined{Certificate: &x509.Certificate{PublicKey: pub}}).judge([]Finding{}, publicKeyChecks)
}
