package renew

import (
	"crypto/x509"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// Standing is how a target stands when a pass has gone over it.
type Standing string

// The standings.
const (
	StandsFresh   Standing = "fresh"   // nothing was to be done
	StandsHeld    Standing = "held"    // its issuer could give it no longer life
	StandsWaiting Standing = "waiting" // its change window is not open
	StandsDue     Standing = "due"     // would be renewed; only where nothing is to be done
	StandsDrifted Standing = "drifted" // would be laid out again; only where nothing is to be done
	StandsRenewed Standing = "renewed" // has a new certificate, and it is served
	StandsAgain   Standing = "delivered"
	StandsPending Standing = "pending" // has it, and not everywhere or not served yet
	StandsFailed  Standing = "failed"
)

// Good tells whether nothing is left to be done.
func (s Standing) Good() bool { return s != StandsPending && s != StandsFailed }

// Result is what a pass did for one target, and how it stands.
type Result struct {
	Name     string
	Target   *Target // nil where it could not be made
	Standing Standing
	Decision Decision
	// Reason says why something was done, or was to be.
	Reason string
	// Err is what failed, of a failed target; of a pending one what is waited for.
	Err error
	// Alarm says that a target is pending for longer than its confirmation allows.
	Alarm bool
	// AlarmAt is from when on it is; zero where nothing is waited for.
	AlarmAt time.Time
	// Failures counts passes in a row that failed, the first of them at Since. Next is
	// when a daemon tries again.
	Failures int
	Since    time.Time
	Next     time.Time
	// Leaf is the certificate in use now; nil where there is none.
	Leaf *x509.Certificate
	// Places say what is wrong with each place, in the target's order; "" is nothing.
	Places []string
	// Foreign say of each place that something else is kept there, and what; nil where
	// that was not asked for, or nothing is to be done (Options.Try).
	Foreign []string
	// Former are places that the target had, and has no more.
	Former []string
	// Stale says, of a target to which nothing was done, why some place has not the
	// roots and CAs that belong there now; "" where each has.
	Stale string
	// Ordered is what an authority was asked for in this pass; nil where none was.
	Ordered *Ordered
	// Steps and Confirm say how far a hook and its confirmation are; only of a target
	// whose certificate is not served yet.
	Steps   []StepStanding
	Confirm string
}

// Ordered is what an authority is asked for.
type Ordered struct {
	Identity ca.Identity
	NotAfter time.Time
	// LeftOut are the default names that are not in it, for the authority would refuse them.
	LeftOut []ca.Name
}

// StepStanding is how far one step of a hook is.
type StepStanding struct {
	Step    string
	Done    bool
	Tries   int
	Problem string
	Output  string // others' text: to be escaped where it is shown
}

// EventKind is what an event tells of.
type EventKind string

// The events.
const (
	EventRenewed   EventKind = "renewed"   // a new certificate is in its places
	EventDelivered EventKind = "delivered" // the same one was laid out again
	EventServed    EventKind = "served"    // hook and confirmation are done
	EventStep      EventKind = "step"      // a step of a hook was tried
	EventConfirm   EventKind = "confirm"   // a confirmation was tried
	EventFailed    EventKind = "failed"
	EventAltered   EventKind = "altered" // what was signed is not as ordered, which is tolerated

	// Of a Loop, and of no target.
	EventLooked    EventKind = "looked"    // everything under care was looked at
	EventReady     EventKind = "ready"     // what was due at the start has had its turn
	EventReloading EventKind = "reloading" // the manifest is about to be read again
	EventReloaded  EventKind = "reloaded"  // or could not be, and the one before is kept
	EventClock     EventKind = "clock"     // the clock was set, or time was slept through
	EventReport    EventKind = "report"    // the pass could not be recorded
	EventStopping  EventKind = "stopping"
)

// Event is one thing that happened, for a log. Err is nil where it went well.
type Event struct {
	At     time.Time
	Target string
	Kind   EventKind
	Reason string
	Serial string // lower-case hex
	// Altered is in what it is not as ordered.
	Altered *issue.Difference
	Err     error
}
