package renew

import (
	"errors"
	"slices"
	"time"
)

// Concern is how much a person has to mind how a target stands.
type Concern string

// The concerns, the least first.
const (
	// ConcernNone: nothing is to be done.
	ConcernNone Concern = "fine"
	// ConcernSoon: something is to be done, the next pass will do it, and nobody need look.
	ConcernSoon Concern = "due"
	// ConcernLook: somebody should look before it is too late.
	ConcernLook Concern = "warning"
	// ConcernBad: it is broken, or will be unless somebody does something.
	ConcernBad Concern = "error"
)

var concerns = []Concern{ConcernNone, ConcernSoon, ConcernLook, ConcernBad}

// Worse tells whether a concern is greater than another.
func (c Concern) Worse(than Concern) bool {
	return slices.Index(concerns, c) > slices.Index(concerns, than)
}

// Attention tells whether somebody has to look.
func (c Concern) Attention() bool { return c.Worse(ConcernSoon) }

// brokenBy are the checks that say of a certificate in place that it is of no use now.
var brokenBy = []string{"unreadable", "mismatch", "revoked", "expired", "issuer"}

// Concern tells how much a person has to mind a target. What is due is none at first:
// a pass comes by at some time. It becomes one when a tenth of the time between due
// and end has gone, and a grave one with half of it.
func (r Result) Concern(now time.Time) Concern {
	d := r.Decision
	late := lateness(d.At, d.Ends, now)
	switch {
	case r.Standing == StandsFailed, r.Alarm, slices.Contains(brokenBy, d.Check):
		return ConcernBad
	case r.Standing == StandsPending && late == ConcernSoon, r.Standing == StandsPending && late == ConcernNone:
		return ConcernLook
	case r.Standing == StandsPending:
		return late
	case d.Outcome == Held && late == ConcernBad:
		return ConcernBad
	case d.Outcome == Held, d.HeldBy != "":
		return ConcernLook
	case r.Standing == StandsDrifted && (d.Check == "layout" || d.Check == "attributes"), r.Standing == StandsDue && d.Check == "missing":
		return ConcernLook
	case r.Standing == StandsWaiting: // until it is too close to its end, when it waits no longer
		return ConcernSoon
	case r.Standing == StandsDue, r.Standing == StandsDrifted:
		if late == ConcernNone {
			return ConcernSoon
		}
		return late
	}
	return ConcernNone
}

// lateness is how much of the time between due and end has gone.
func lateness(due, ends, now time.Time) Concern {
	left := ends.Sub(due)
	switch gone := now.Sub(due); {
	case due.IsZero() || gone < 0:
		return ConcernNone
	case gone < left/10:
		return ConcernSoon
	case gone < left/2:
		return ConcernLook
	}
	return ConcernBad
}

// Blind tells whether the target itself, what is in its places or its journal could
// not be read, so that nothing can be said of it.
func (r Result) Blind() bool {
	return r.Err != nil && r.Decision.Outcome == "" || r.Decision.Check == "unreadable" || errors.Is(r.Err, ErrJournal)
}

// A CA needs attention when a fifth of its life is left, and urgently with a twentieth.
const (
	authorityLook = 5
	authorityBad  = 20
)

// AuthorityConcern tells how much a person has to mind the end of a CA. longest is
// the longest life of the certificates below it: with less than that left, what it
// signs is cut short.
func AuthorityConcern(notBefore, notAfter time.Time, longest time.Duration, now time.Time) Concern {
	left, life := notAfter.Sub(now), notAfter.Sub(notBefore)
	switch {
	case left < life/authorityBad:
		return ConcernBad
	case left < max(life/authorityLook, longest):
		return ConcernLook
	}
	return ConcernNone
}

// Trouble is what is wrong with the passes themselves.
type Trouble string

// The troubles.
const (
	TroubleNever Trouble = "never" // no pass was ever recorded
	TroubleOld   Trouble = "old"   // the last successful pass is too long ago
	TroubleLost  Trouble = "lost"  // the manifest has lost all its services
)

// Troubles tells what is wrong with the passes: report is that of the last one, nil
// where there is none; listed is how many services the manifest names now; maxAge is
// how long ago the last successful pass may be, 0 for any time. A pass that lies in
// the future is as good as none: the clock is wrong.
func Troubles(report *Report, listed int, maxAge time.Duration, now time.Time) []Trouble {
	if report == nil {
		return []Trouble{TroubleNever}
	}
	var out []Trouble
	if maxAge > 0 && (report.Good.IsZero() || now.Sub(report.Good) > maxAge || report.Good.After(now.Add(slow))) {
		out = append(out, TroubleOld)
	}
	if report.Listed > 0 && listed == 0 {
		out = append(out, TroubleLost)
	}
	return out
}
