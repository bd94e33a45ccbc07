package renew

import (
	"time"

	"github.com/meshpki/meshpki/ca"
)

// Outcome is the result of a decision.
type Outcome string

// The outcomes.
const (
	// Fresh: nothing is to be done.
	Fresh Outcome = "fresh"
	// Deliver: the same key and certificate are delivered again; no authority is called.
	Deliver Outcome = "deliver"
	// Renew: an authority is asked for another certificate.
	Renew Outcome = "renew"
	// Held: it is due, and its issuer could give it no longer life than it has.
	Held Outcome = "held"
	// Waiting: something is to be done, and the next change window is awaited for it.
	Waiting Outcome = "waiting"
	// Refused: the clock is wrong, and whatever is done by it would make things worse.
	Refused Outcome = "refused"
)

// State is what a decision is taken on: facts about a target, told by who has
// looked. The texts are parts of a sentence for people ("the order has changed in:
// dns"), and empty where there is nothing to tell.
type State struct {
	Missing    bool   // no certificate is in place: nothing else is known then
	Unreadable string // why what is in place cannot be read: no times are known then
	Mismatch   string // how the private key in place is not the certificate's

	NotBefore, NotAfter time.Time // the leaf's
	// ChainEnds is the earliest end of the CAs in its chain (ChainEnds); zero where unknown.
	ChainEnds time.Time
	// IssuerUntil is the latest end that its authority could give now; zero where unknown.
	IssuerUntil time.Time
	// Suggested is the time in which its authority suggests that it be renewed; zero
	// where it suggests none.
	Suggested ca.RenewalWindow
	// Seen is the latest moment that is known to have been, such as that of the last
	// pass; zero where unknown. A clock that is behind it is wrong.
	Seen time.Time

	Revoked    string // who is revoked: "it", or the name of a CA above it
	Issuer     string // how its issuer has changed, so that it does not lead to what is trusted
	Changed    string // in what the order differs: names, usages, kind of key
	Roots      string // how the trusted roots differ from those in place
	Layout     string // how the files differ from what their layout makes
	Attributes string // how mode or owner of the files differ from what is wanted
}

// Ends is when the certificate ends in fact: with itself, or with the first CA in its chain.
func (s State) Ends() time.Time {
	if !s.ChainEnds.IsZero() && s.ChainEnds.Before(s.NotAfter) {
		return s.ChainEnds
	}
	return s.NotAfter
}

// known tells whether there is a certificate with times to go by.
func (s State) known() bool { return !s.Missing && s.Unreadable == "" }

// Decision is an outcome with its reason, and what the clock will bring.
type Decision struct {
	Outcome Outcome
	// Check is the name of the check that decided; "" for Fresh.
	Check string
	// Reason is part of a sentence, such as "it has expired".
	Reason string
	// At is when it becomes, or became, due by the clock, jitter included; zero where
	// no certificate is known.
	At time.Time
	// Ends is when it ends in fact; zero where no certificate is known.
	Ends time.Time
	// Next is when the decision will be another by the clock alone; now where something
	// is to be done now, zero where time changes nothing. Whoever waits until then
	// misses what changes otherwise: a revocation, a file, a new issuer.
	Next time.Time
	// HeldBy says why its issuer could give it no longer life, long before it is due; ""
	// where it could, or where the authority's end is unknown.
	HeldBy string
	// Opens is when the change window opens that is waited for; zero but for Waiting.
	Opens time.Time
}
