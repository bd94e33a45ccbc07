package renew

import (
	"context"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
)

// suggesting is an authority elsewhere that notes what it was asked to replace.
type suggesting struct {
	*memory.Remote
	replaced []*x509.Certificate
}

func (s *suggesting) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	s.replaced = append(s.replaced, req.Replaces)
	return s.Remote.Issue(ctx, req)
}

// What the authority suggests counts instead of the default, sooner or later; beside
// what somebody has asked for, the sooner of the two does.
func TestSuggestedWindow(t *testing.T) {
	window := func(start, end time.Duration) ca.RenewalWindow {
		return ca.RenewalWindow{Start: from.Add(start), End: from.Add(end)}
	}
	const clock = 30 * day / 100 * DefaultPercent
	for name, test := range map[string]struct {
		window   ca.RenewalWindow
		policy   Policy
		from, to time.Duration // when it is due
	}{
		"none":                         {ca.RenewalWindow{}, Policy{}, clock, clock},
		"ends before it begins":        {window(9*day, 8*day), Policy{}, clock, clock},
		"sooner":                       {window(5*day, 6*day), Policy{}, 5 * day, 6 * day},
		"later":                        {window(22*day, 24*day), Policy{}, 22 * day, 24 * day},
		"before it began":              {window(-2*day, -day), Policy{}, 0, 0},
		"too late":                     {window(29*day, 31*day), Policy{}, 27 * day, 27 * day},
		"after its end":                {window(40*day, 50*day), Policy{}, 27 * day, 27 * day},
		"later than was asked for":     {window(22*day, 24*day), Policy{Percent: 50}, 15 * day, 15 * day},
		"sooner than was asked for":    {window(5*day, 6*day), Policy{Before: 5 * day}, 5 * day, 6 * day},
		"sooner, where 66 % was asked": {window(5*day, 6*day), Policy{Percent: DefaultPercent}, 5 * day, 6 * day},
	} {
		s := good()
		s.Suggested, s.Seen = test.window, time.Time{}
		d := Decide(s, test.policy, from)
		if at := d.At.Sub(from); at < test.from || at > test.to {
			t.Errorf("%s: due after %s, want %s to %s", name, at, test.from, test.to)
		}
		before, after := Decide(s, test.policy, d.At.Add(-time.Second)), Decide(s, test.policy, d.At)
		if after.Outcome != Renew || d.At.After(from) && before.Outcome == Renew {
			t.Errorf("%s: %s a second before it is due, and %s then (%s)", name, before.Outcome, after.Outcome, after.Reason)
		}
	}
}

// A window is spread evenly over names, and a name keeps its moment of it.
func TestSuggestedWindowIsSpread(t *testing.T) {
	w := ca.RenewalWindow{Start: from, End: from.Add(1000 * time.Second)}
	var tenths [10]int
	for i := range 1000 {
		p := Policy{Name: fmt.Sprintf("service-%d.prod", i)}
		at := p.within(w, from)
		if !at.Equal(p.within(w, from)) || at.Before(w.Start) || !at.Before(w.End) {
			t.Fatalf("%s: %s of a window from %s to %s", p.Name, at, w.Start, w.End)
		}
		tenths[at.Sub(from)/(100*time.Second)]++
	}
	for i, n := range tenths {
		if n < 60 || n > 140 { // 100 are expected, with a deviation of 9.5
			t.Errorf("%d of 1000 names fall into tenth %d of the window", n, i+1)
		}
	}
}

// A window in the past renews at once, whatever the change windows are, and the
// authority is told which certificate is replaced.
func TestRenewsBySuggestion(t *testing.T) {
	w := newWorld(t)
	remote := &suggesting{Remote: &memory.Remote{Issuer: w.issuer}}
	w.opened = remote
	store := memory.NewStore("payment")
	target := w.target("payment", store)
	never, err := ParseWindow("0 3 1 1 *", time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	want(t, w.one(target), StandsRenewed)
	first, _ := pairIn(t, store)
	target.Policy.Windows = []Window{never}
	want(t, w.one(target), StandsFresh)

	asked := 0
	w.Renewer.Outlook = func(context.Context, string) (ca.Outlook, error) {
		out := w.outlook()
		out.Renewal = func(_ context.Context, leaf *x509.Certificate) ca.RenewalWindow {
			asked++
			if !leaf.Equal(first) {
				return ca.RenewalWindow{}
			}
			return ca.RenewalWindow{Start: begin.Add(-2 * time.Hour), End: begin.Add(-time.Hour)}
		}
		return out, nil
	}
	r := w.one(target)
	want(t, r, StandsRenewed)
	if r.Decision.Check != "recalled" || asked == 0 {
		t.Errorf("it was renewed for %q, and its authority asked %d times", r.Decision.Check, asked)
	}
	second, _ := pairIn(t, store)
	if second.Equal(first) {
		t.Error("the certificate is the same")
	}
	if len(remote.replaced) != 2 || remote.replaced[0] != nil || remote.replaced[1] == nil || !remote.replaced[1].Equal(first) {
		t.Errorf("it was asked to replace %v", remote.replaced)
	}
	want(t, w.one(target), StandsFresh)
}
