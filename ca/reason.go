package ca

import (
	"fmt"
	"strings"
)

// Reason says why a certificate was revoked (RFC 5280, Section 5.3.1).
type Reason int

// The reasons, by the codes of the standard. 7 is not used.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	CertificateHold      Reason = 6
	PrivilegeWithdrawn   Reason = 9
	AACompromise         Reason = 10
)

var reasonNames = map[Reason]string{
	Unspecified: "unspecified", KeyCompromise: "keyCompromise", CACompromise: "cACompromise",
	AffiliationChanged: "affiliationChanged", Superseded: "superseded",
	CessationOfOperation: "cessationOfOperation", CertificateHold: "certificateHold",
	PrivilegeWithdrawn: "privilegeWithdrawn", AACompromise: "aACompromise",
}

// String is the reason's name in the standard.
func (r Reason) String() string {
	if s, ok := reasonNames[r]; ok {
		return s
	}
	return fmt.Sprintf("reason %d", int(r))
}

// reasonOf reads a reason as String writes it, which a ledger has many of.
func reasonOf(s string) Reason {
	for r, name := range reasonNames {
		if name == s {
			return r
		}
	}
	return Unspecified
}

// Known tells whether the standard has this reason.
func (r Reason) Known() bool { _, ok := reasonNames[r]; return ok }

// ReasonNames lists the names that ParseReason takes, in the order of their codes.
func ReasonNames() []string {
	var names []string
	for r := Unspecified; r <= AACompromise; r++ {
		if s, ok := reasonNames[r]; ok && r != CertificateHold {
			names = append(names, s)
		}
	}
	return names
}

// ParseReason reads a reason's name, in whatever case, with or without '-'. The
// empty name is unspecified. certificateHold and removeFromCRL are refused: nothing
// here takes a revocation back.
func ParseReason(s string) (Reason, error) {
	if s == "" {
		return Unspecified, nil
	}
	fold := func(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }
	for r, name := range reasonNames {
		if fold(name) == fold(s) && r != CertificateHold {
			return r, nil
		}
	}
	switch fold(s) {
	case "removefromcrl":
		return 0, fmt.Errorf("reason %s: a revocation is never taken back here (RFC 5280, Section 5.3.1)", quoteShort(s))
	case "certificatehold":
		return 0, fmt.Errorf("reason %s: a revocation is never taken back here, so a certificate cannot be put on hold", quoteShort(s))
	}
	return 0, fmt.Errorf("reason %s is none of %s", quoteShort(s), strings.Join(ReasonNames(), ", "))
}
