// Package renew says when: it decides which certificates are due, from what they
// are and what time it is. Deciding is pure; time is an argument.
package renew

import (
	"fmt"
	"time"
)

// Outcome is the result of a decision.
type Outcome string

// The outcomes.
const (
	Fresh Outcome = "fresh"
	Due   Outcome = "due"
)

// DefaultPercent is the part of a certificate's lifetime after which it is due.
const DefaultPercent = 66

// State is what a decision is taken on: facts about a certificate in use.
type State struct {
	NotBefore, NotAfter time.Time
	Revoked             bool
	// Changed says in what the order differs from what is in use; "" where it does not.
	Changed string
}

// Policy says when a certificate is due. The zero value is the default.
type Policy struct {
	// Percent of the real lifetime after which it is due: 1 to 99; 0 is the default.
	Percent int
	// Before, if not zero, counts from the end instead: due when less than this is left.
	Before time.Duration
}

// Decision is an outcome with its reason, and when the certificate becomes due by
// the clock alone.
type Decision struct {
	Outcome Outcome
	Reason  string
	At      time.Time
}

// inDays writes whole days as such: 31d, and not 744h0m0s.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// DueAt is when a certificate of that life becomes due: counted on its real
// lifetime, whenever it was asked for.
func (p Policy) DueAt(notBefore, notAfter time.Time) time.Time {
	if p.Before > 0 {
		return notAfter.Add(-p.Before)
	}
	percent := p.Percent
	if percent == 0 {
		percent = DefaultPercent
	}
	life := notAfter.Sub(notBefore)
	return notBefore.Add(life / 100 * time.Duration(percent)).UTC().Truncate(time.Second)
}

// Decide tells whether a certificate is due. The checks stand in order; the first
// that applies gives the reason.
func Decide(s State, p Policy, now time.Time) Decision {
	at := p.DueAt(s.NotBefore, s.NotAfter)
	due := func(reason string) Decision { return Decision{Due, reason, at} }
	switch {
	// A revoked certificate is refused by whoever looks.
	case s.Revoked:
		return due("it is revoked")
	// An expired one is refused by everybody.
	case !now.Before(s.NotAfter):
		return due("it has expired")
	// What is in use is not what is wanted.
	case s.Changed != "":
		return due(s.Changed)
	// The window in which renewal may still fail a few times.
	case !now.Before(at):
		if p.Before > 0 {
			return due(fmt.Sprintf("less than %s of its life is left", inDays(p.Before)))
		}
		return due("its renewal window has begun")
	}
	return Decision{Fresh, "its renewal window has not begun", at}
}
