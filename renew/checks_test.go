package renew

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// good is a state in which nothing is to be done, 10 days into its life.
func good() State {
	return State{NotBefore: from, NotAfter: from.Add(30 * day), ChainEnds: from.Add(300 * day), IssuerUntil: from.Add(300 * day), Seen: from.Add(10 * day)}
}

// Each check decides about a state that only it objects to; without it, another
// answer is given. The list is whole, and in order.
func TestEachCheck(t *testing.T) {
	table := []struct {
		check   string
		state   func(s *State)
		after   time.Duration
		outcome Outcome
		reason  string
	}{
		{"clock", func(s *State) { s.NotBefore = from.Add(11 * day) }, 10 * day, Refused,
			"the clock is wrong: it says 2026-12-01 12:00 UTC, and the certificate begins on 2026-12-02 12:00 UTC"},
		{"clock", func(s *State) { s.Seen = from.Add(11 * day) }, 10 * day, Refused,
			"the clock is wrong: it says 2026-12-01 12:00 UTC, and has said 2026-12-02 12:00 UTC before"},
		{"missing", func(s *State) { *s = State{Missing: true} }, 0, Renew, "there is none yet"},
		{"unreadable", func(s *State) { *s = State{Unreadable: "no PEM in it"} }, 0, Renew, "it cannot be read: no PEM in it"},
		{"mismatch", func(s *State) { s.Mismatch = "its key is another's" }, 10 * day, Renew, "its key is another's"},
		{"revoked", func(s *State) { s.Revoked = "Mesh issuing CA" }, 10 * day, Renew, "Mesh issuing CA is revoked"},
		{"expired", func(*State) {}, 30 * day, Renew, "it has expired"},
		{"expired", func(s *State) { s.ChainEnds = from.Add(10 * day) }, 10 * day, Renew, "a CA in its chain has expired"},
		{"recalled", func(s *State) { s.Suggested = ca.RenewalWindow{Start: from.Add(day), End: from.Add(2 * day)} }, 10 * day, Renew,
			"its authority has suggested that it be renewed by 2026-11-23 12:00 UTC"},
		{"issuer", func(s *State) { s.Issuer = "it was signed by Old CA, which is not trusted" }, 10 * day, Renew, "it was signed by Old CA, which is not trusted"},
		{"shorter", func(s *State) { s.ChainEnds = from.Add(12 * day) }, 10 * day, Renew,
			"its renewal window has begun: a CA in its chain ends before it, on 2026-12-03 12:00 UTC"},
		{"suggested", func(s *State) {
			s.Suggested = ca.RenewalWindow{Start: from, End: from.Add(10*day + time.Second), Explanation: "https://acme.example.com/why"}
		}, 10 * day, Renew, `its authority suggests that it be renewed between 2026-11-21 12:00 UTC and 2026-12-01 12:00 UTC: see "https://acme.example.com/why"`},
		{"window", func(*State) {}, 20 * day, Renew, "its renewal window has begun"},
		{"order", func(s *State) { s.Changed = "the order has changed in: dns" }, 10 * day, Renew, "the order has changed in: dns"},
		{"roots", func(s *State) { s.Roots = "Mesh Root CA 2 is trusted as well" }, 10 * day, Deliver, "Mesh Root CA 2 is trusted as well"},
		{"layout", func(s *State) { s.Layout = "ca.crt differs" }, 10 * day, Deliver, "ca.crt differs"},
		{"attributes", func(s *State) { s.Attributes = "tls.key is open to others" }, 10 * day, Deliver, "tls.key is open to others"},
	}
	var names []string
	for _, test := range table {
		s := good()
		test.state(&s)
		d := Decide(s, Policy{}, from.Add(test.after))
		if d.Check != test.check || d.Outcome != test.outcome || d.Reason != test.reason {
			t.Errorf("%s: %s says %s, for %q; want %s, for %q", test.check, d.Check, d.Outcome, d.Reason, test.outcome, test.reason)
		}
		without := slices.DeleteFunc(slices.Clone(checks), func(k check) bool { return k.name == test.check })
		if d := newFacts(s, Policy{}, from.Add(test.after)).decide(without); d.Outcome == test.outcome && d.Reason == test.reason {
			t.Errorf("%s: the answer is the same without it", test.check)
		}
		names = append(names, test.check)
	}
	var want []string
	for _, k := range checks {
		if want = append(want, k.name); k.comment == "" {
			t.Errorf("%s has no comment", k.name)
		}
	}
	if got := slices.Compact(names); !slices.Equal(got, want) {
		t.Errorf("the table has %s, the policy %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	if d := Decide(good(), Policy{}, from.Add(10*day)); d.Outcome != Fresh || d.Check != "" || !d.Next.Equal(d.At) {
		t.Errorf("what is good is %s, for %q", d.Outcome, d.Reason)
	}
}

// The issuer's end holds back what would only be done for a longer life; what is
// broken is mended with any life that can be had.
func TestHeldByIssuer(t *testing.T) {
	const none = time.Duration(0)
	for _, test := range []struct {
		name                     string
		chain, issuer            time.Duration // their ends
		after                    time.Duration
		change                   func(s *State)
		outcome                  Outcome
		check, heldBy, reasonEnd string
	}{
		{"cut, early", 30 * day, 30 * day, day, nil, Fresh, "", "it ends with its issuer, on ", "not begun"},
		{"cut, in its window", 30 * day, 30 * day, 25 * day, nil, Held, "window", "it ends with its issuer, on ", "is needed"},
		{"cut to a second before", 30*day + time.Second, 30*day + time.Second, 25 * day, nil, Held, "window", "it ends with its issuer, on ", "is needed"},
		{"cut, another issuer there", 30 * day, 300 * day, 25 * day, nil, Renew, "window", "", "has begun"},
		{"cut, another issuer there, early", 30 * day, 300 * day, day, nil, Fresh, "", "", "not begun"},
		{"cut, another issuer with an hour more", 30 * day, 30*day + time.Hour, 25 * day, nil, Held, "window", "it ends with its issuer", "is needed"},
		{"cut, another issuer with two hours more", 30 * day, 30*day + 2*time.Hour, 25 * day, nil, Renew, "window", "", "has begun"},
		{"cut, the authority's end unknown", 30 * day, none, 25 * day, nil, Renew, "window", "", "has begun"},
		{"not cut", 300 * day, 300 * day, 25 * day, nil, Renew, "window", "", "has begun"},
		{"not cut, a shorter-lived issuer now", 300 * day, 28 * day, 25 * day, nil, Held, "window", "its issuer ends on ", "no longer life"},
		{"chain ends first", 20 * day, 20 * day, 15 * day, nil, Held, "shorter", "it ends with its issuer, on ", "is needed"},
		{"chain ends first, longer-lived now", 20 * day, 300 * day, 15 * day, nil, Renew, "shorter", "", "UTC"},
		{"chain ends first, early", 20 * day, 20 * day, day, nil, Fresh, "", "it ends with its issuer, on ", "not begun"},
		{"expired, a minute to be had", 30 * day, 30*day + time.Minute, 30 * day, nil, Renew, "expired", "it ends with its issuer", "expired"},
		{"expired with its issuer", 30 * day, 30 * day, 30 * day, nil, Held, "expired", "its issuer has ended", "UTC"},
		{"chain expired, longer-lived now", 20 * day, 300 * day, 20 * day, nil, Renew, "expired", "", "has expired"},
		{"revoked, cut", 30 * day, 30 * day, 25 * day, func(s *State) { s.Revoked = "it" }, Renew, "revoked", "it ends with", "revoked"},
		{"mismatch, cut", 30 * day, 30 * day, 25 * day, func(s *State) { s.Mismatch = "its key is another's" }, Renew, "mismatch", "it ends with", "another's"},
		{"mismatch, issuer ended", 300 * day, 20 * day, 25 * day, func(s *State) { s.Mismatch = "its key is another's" }, Held, "mismatch", "its issuer has ended", "UTC"},
		{"missing, issuer ended", none, 20 * day, 25 * day, func(s *State) { s.Missing = true }, Held, "missing", "its issuer has ended", "UTC"},
		{"missing, any time", none, 26 * day, 25 * day, func(s *State) { s.Missing = true }, Renew, "missing", "", "yet"},
		{"order changed, cut", 30 * day, 30 * day, 25 * day, func(s *State) { s.Changed = "dns" }, Renew, "order", "it ends with", "dns"},
		{"order changed, issuer ended", 300 * day, 5 * day, 5 * day, func(s *State) { s.Changed = "dns" }, Held, "order", "its issuer has ended", "UTC"},
		{"issuer not trusted, cut", 30 * day, 30 * day, 25 * day, func(s *State) { s.Issuer = "another root" }, Renew, "issuer", "it ends with", "root"},
		{"roots changed, cut", 30 * day, 30 * day, 25 * day, func(s *State) { s.Roots = "another root" }, Deliver, "roots", "it ends with", "root"},
		{"roots changed, expired with its issuer", 30 * day, 30 * day, 30 * day, func(s *State) { s.Roots = "another root" }, Deliver, "roots", "its issuer has ended", "root"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := State{NotBefore: from, NotAfter: from.Add(30 * day)}
			if test.chain != none {
				s.ChainEnds = from.Add(test.chain)
			}
			if test.issuer != none {
				s.IssuerUntil = from.Add(test.issuer)
			}
			if test.change != nil {
				test.change(&s)
			}
			d := Decide(s, Policy{}, from.Add(test.after))
			if d.Outcome != test.outcome || d.Check != test.check || !strings.HasSuffix(d.Reason, test.reasonEnd) {
				t.Errorf("%s: %s, for %q; want %s: %s", d.Check, d.Outcome, d.Reason, test.check, test.outcome)
			}
			if !strings.HasPrefix(d.HeldBy, test.heldBy) || (d.HeldBy == "") != (test.heldBy == "") {
				t.Errorf("held by %q, want %q", d.HeldBy, test.heldBy)
			}
			if d.Outcome == Held && !d.Next.IsZero() && !d.Next.Equal(d.Ends) {
				t.Errorf("held until %s, and it ends on %s", d.Next, d.Ends)
			}
		})
	}
}

// A clock that is a year behind is refused whatever else there is to do; the answer
// says when the clock may be right.
func TestClockThatIsBehind(t *testing.T) {
	for _, change := range []func(s *State){
		func(*State) {}, func(s *State) { s.Revoked = "it" }, func(s *State) { s.Mismatch = "no" }, func(s *State) { s.Changed = "dns" },
		func(s *State) { s.Roots = "no" }, func(s *State) { s.Missing = true }, func(s *State) { s.Unreadable = "no" },
	} {
		s := good()
		change(&s)
		d := Decide(s, Policy{}, from.Add(-355*day))
		if d.Outcome != Refused || !d.Next.Equal(s.Seen.Add(-5*time.Minute)) {
			t.Errorf("%s until %s, for %q", d.Outcome, d.Next, d.Reason)
		}
		if d := Decide(s, Policy{}, d.Next); d.Outcome == Refused {
			t.Errorf("still %s, for %q", d.Outcome, d.Reason)
		}
	}
}

// A rotation of the root over 1,000 targets issues nothing.
func TestRootsAreDelivered(t *testing.T) {
	for i := range 1000 {
		s := good()
		s.Roots = "Mesh Root CA 2 is trusted as well"
		if d := Decide(s, Policy{Jitter: DefaultJitter, Name: string(rune('a' + i))}, from.Add(10*day)); d.Outcome != Deliver {
			t.Fatalf("%s, for %q", d.Outcome, d.Reason)
		}
	}
}
