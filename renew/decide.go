// Package renew says when: it decides which certificates are due, from what they
// are and what time it is. Deciding is pure; time is an argument.
package renew

import (
	"fmt"
	"time"
)

// slow is how far a clock may be behind before it is called wrong: certificates
// begin that much before they are made.
const slow = 5 * time.Minute

// check is one reason to do something about a target.
type check struct {
	name    string
	comment string  // why it stands there
	outcome Outcome // what is to be done where it applies
	waits   bool    // for a change window
	gains   bool    // done for a longer life, and for nothing else
	applies func(c *facts) (reason string)
}

// checks is the policy, in order: the first that applies and can be acted on decides.
var checks = []check{
	{"clock", "what is made by a wrong clock is of use to nobody, and hides what was good",
		Refused, false, false, (*facts).wrongClock},
	{"missing", "a service without a certificate does not start",
		Renew, false, false, (*facts).missing},
	{"unreadable", "what cannot be read cannot be served",
		Renew, false, false, (*facts).unreadable},
	{"mismatch", "a server does not start with another certificate's key",
		Renew, false, false, (*facts).mismatch},
	{"revoked", "a revoked certificate is refused by whoever looks",
		Renew, false, false, (*facts).revoked},
	{"expired", "an expired one is refused by everybody",
		Renew, false, false, (*facts).expired},
	{"recalled", "an authority that wants it replaced by now may revoke it next",
		Renew, false, false, (*facts).recalled},
	{"issuer", "one that leads to no trusted root is refused as well",
		Renew, false, false, (*facts).issuer},
	{"shorter", "with a CA in its chain it ends, whatever its own end is",
		Renew, true, true, (*facts).shorter},
	{"suggested", "an authority knows when it can renew many, and spreads them",
		Renew, true, true, (*facts).suggested},
	{"window", "renewal may fail a few times before the end",
		Renew, true, true, (*facts).window},
	{"order", "what is in use is not what is wanted",
		Renew, true, false, (*facts).order},
	{"roots", "whoever trusts too few roots refuses others, during a rotation too; the certificate stays good",
		Deliver, true, false, (*facts).roots},
	{"layout", "files that were changed or lost are as they were by doing nothing else",
		Deliver, true, false, (*facts).layout},
	{"attributes", "a key that others may read is no secret for any longer than need be",
		Deliver, false, false, (*facts).attributes},
}

// facts are what the checks look at: a state, a policy and the time.
type facts struct {
	State
	policy Policy
	now    time.Time
	ends   time.Time // in fact
	asked  time.Time // when its authority has it renewed; zero where it suggests nothing
	clock  time.Time // due by the clock alone
	at     time.Time // due by either
	opens  time.Time // when what waits may be done; now where it need not wait
	late   time.Time // the opening that would be too late, where that is why it need not wait
}

func newFacts(s State, p Policy, now time.Time) *facts {
	c := &facts{State: s, policy: p, now: now}
	if s.known() {
		c.ends = s.Ends()
		c.clock = p.DueAt(s.NotBefore, c.ends)
		c.asked = p.within(s.Suggested, s.NotBefore)
		if !c.asked.IsZero() && p.byDefault() {
			// The suggestion counts instead of the default, as long as it is not too late.
			c.clock = c.ends.Add(-p.margin(s.NotBefore, c.clock, c.ends))
		}
		if c.at = c.clock; !c.asked.IsZero() {
			c.at = earliest(c.asked, c.clock)
		}
	}
	c.opens, c.late = c.opening(now)
	return c
}

// opening is when what may wait is done, from that time on.
func (c *facts) opening(from time.Time) (opens, late time.Time) {
	if !c.known() {
		return c.policy.opening(from, time.Time{}, Window.Next)
	}
	return c.policy.opening(from, c.ends.Add(-c.policy.margin(c.NotBefore, c.at, c.ends)), Window.Next)
}

// right is from when on the clock could be right.
func (c *facts) right() time.Time {
	at := c.Seen
	if c.known() && c.NotBefore.After(at) {
		at = c.NotBefore
	}
	return at.Add(-slow)
}

func (c *facts) wrongClock() string {
	switch {
	case c.known() && c.NotBefore.After(c.now.Add(slow)):
		return fmt.Sprintf("the clock is wrong: it says %s, and the certificate begins on %s", onDay(c.now), onDay(c.NotBefore))
	case c.Seen.After(c.now.Add(slow)):
		return fmt.Sprintf("the clock is wrong: it says %s, and has said %s before", onDay(c.now), onDay(c.Seen))
	}
	return ""
}

func (c *facts) missing() string {
	if c.Missing {
		return "there is none yet"
	}
	return ""
}

func (c *facts) unreadable() string {
	if c.Unreadable != "" {
		return "it cannot be read: " + c.Unreadable
	}
	return ""
}

func (c *facts) mismatch() string { return c.Mismatch }

func (c *facts) revoked() string {
	if c.Revoked != "" {
		return c.Revoked + " is revoked"
	}
	return ""
}

func (c *facts) expired() string {
	switch {
	case !c.known() || c.now.Before(c.ends):
		return ""
	case c.now.Before(c.NotAfter):
		return "a CA in its chain has expired"
	}
	return "it has expired"
}

func (c *facts) issuer() string { return c.Issuer }

func (c *facts) shorter() string {
	if c.known() && c.ends.Before(c.NotAfter) && !c.now.Before(c.clock) {
		return fmt.Sprintf("%s: a CA in its chain ends before it, on %s", c.policy.begun(), onDay(c.ends))
	}
	return ""
}

func (c *facts) window() string {
	due := c.clock
	if c.asked.IsZero() || !c.policy.byDefault() {
		due = c.policy.DueAt(c.NotBefore, c.NotAfter)
	}
	if c.known() && !c.now.Before(due) {
		return c.policy.begun()
	}
	return ""
}

// recalled says that the window which its authority suggested is over: it is renewed
// whatever the change windows are.
func (c *facts) recalled() string {
	if c.known() && !c.asked.IsZero() && !c.now.Before(c.Suggested.End) {
		return "its authority has suggested that it be renewed by " + onDay(c.Suggested.End) + c.explained()
	}
	return ""
}

func (c *facts) suggested() string {
	if c.known() && !c.asked.IsZero() && !c.now.Before(c.asked) {
		return "its authority suggests that it be renewed between " + onDay(c.Suggested.Start) + " and " + onDay(c.Suggested.End) + c.explained()
	}
	return ""
}

// explained is where the authority says why.
func (c *facts) explained() string {
	if c.Suggested.Explanation == "" {
		return ""
	}
	return ": see " + quoted(c.Suggested.Explanation)
}

func (c *facts) order() string      { return c.Changed }
func (c *facts) roots() string      { return c.Roots }
func (c *facts) layout() string     { return c.Layout }
func (c *facts) attributes() string { return c.Attributes }

// gain is by how much a life has to be longer to be worth a renewal. It also keeps
// an authority that rounds its end down from being asked at every pass.
func (c *facts) gain() time.Duration {
	return min(max(c.ends.Sub(c.NotBefore)/100, time.Second), time.Hour)
}

// heldBy says why the authority could give no longer life; "" where it could, or
// where that is unknown.
func (c *facts) heldBy() string {
	switch {
	case c.IssuerUntil.IsZero():
		return ""
	case !c.IssuerUntil.After(c.now):
		return "its issuer has ended, on " + onDay(c.IssuerUntil)
	case !c.known() || c.IssuerUntil.After(c.ends.Add(c.gain())):
		return ""
	case !c.ChainEnds.IsZero() && !c.ChainEnds.After(c.ends.Add(time.Second)):
		return fmt.Sprintf("it ends with its issuer, on %s: a longer-lived issuer is needed", onDay(c.ends))
	}
	return fmt.Sprintf("its issuer ends on %s and could give it no longer life", onDay(c.IssuerUntil))
}

// held tells whether a check that applies is of no use for want of a longer-lived issuer.
func (c *facts) held(k check, heldBy string) bool {
	ended := !c.IssuerUntil.IsZero() && !c.IssuerUntil.After(c.now)
	return k.outcome == Renew && (ended || k.gains && heldBy != "")
}

// Decide tells what is to be done about a target. The checks stand in order; the
// first that applies and can be acted on decides. One that is held by the issuer, or
// waits for a change window, keeps no later one from being acted on. It gives an
// answer for any facts; it panics for none, and is safe for concurrent use.
func Decide(s State, p Policy, now time.Time) Decision {
	return newFacts(s, p, now).decide(checks)
}

func (c *facts) decide(checks []check) Decision {
	d := Decision{Outcome: Fresh, Reason: "its renewal window has not begun", At: c.at, Ends: c.ends, HeldBy: c.heldBy()}
	if c.known() {
		d.Next, _ = c.opening(c.at)
	}
	stopped := d
	for _, k := range checks {
		reason := k.applies(c)
		if reason == "" {
			continue
		}
		is := d
		is.Check, is.Outcome, is.Reason, is.Next = k.name, k.outcome, reason, c.now
		switch {
		case k.outcome == Refused:
			is.Next = c.right()
			return is
		case c.held(k, d.HeldBy):
			is.Outcome, is.Reason, is.Next = Held, reason+"; "+d.HeldBy, time.Time{}
			if c.known() && c.ends.After(c.now) {
				is.Next = c.ends
			}
		case k.waits && c.opens.After(c.now):
			is.Outcome, is.Opens, is.Next = Waiting, c.opens, c.opens
			is.Reason = fmt.Sprintf("%s; its change window opens on %s", reason, onDay(c.opens))
		case k.waits && !c.late.IsZero():
			is.Reason = fmt.Sprintf("%s; its next change window, on %s, is too close to its end", reason, onDay(c.late))
			return is
		default:
			return is
		}
		if stopped.Outcome == Fresh {
			stopped = is
		}
	}
	return stopped
}
