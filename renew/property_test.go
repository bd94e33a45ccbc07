package renew

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// drawn is a state and a policy by chance, the same for the same seed.
func drawn(r *rand.Rand) (State, Policy) {
	life := time.Duration(1+r.Int64N(int64(400*day/time.Second))) * time.Second
	s := State{NotBefore: from, NotAfter: from.Add(life)}
	if r.IntN(2) == 0 {
		s.ChainEnds = from.Add(time.Duration(1+r.Int64N(int64(2*life/time.Second))) * time.Second)
	}
	if r.IntN(2) == 0 {
		s.IssuerUntil = from.Add(time.Duration(r.Int64N(int64(3 * life))))
	}
	p := Policy{Percent: r.IntN(100), Jitter: r.IntN(12), Name: fmt.Sprint("prod/", r.Uint32())}
	if r.IntN(3) == 0 {
		p.Before = time.Duration(r.Int64N(int64(life)))
	}
	return s, p
}

// Without change windows, time only ever makes it more urgent: fresh, then held or
// renew; once renewed or held, it is never fresh again.
func TestTimeNeverTakesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		s, p := drawn(r)
		s.IssuerUntil = time.Time{}
		was := Fresh
		for i := range 120 {
			d := Decide(s, p, from.Add(s.NotAfter.Sub(from)/100*time.Duration(i)))
			if d.Outcome != Fresh && d.Outcome != Renew || was == Renew && d.Outcome == Fresh {
				t.Fatalf("%s after %s at %d %% of %+v, %+v", d.Outcome, was, i, s, p)
			}
			was = d.Outcome
		}
		if was != Renew {
			t.Fatalf("never due: %+v, %+v", s, p)
		}
	}
}

// It is due within its life, and at the time that is told beforehand: not a second before.
func TestDueWhenTold(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		s, p := drawn(r)
		s.IssuerUntil = time.Time{}
		d := Decide(s, p, from)
		if d.At.Before(s.NotBefore) || !d.At.Before(s.Ends()) || d.Ends != s.Ends() {
			t.Fatalf("due at %s, ends at %s: %+v, %+v", d.At, d.Ends, s, p)
		}
		if d.Outcome != Fresh {
			continue
		}
		if !d.Next.Equal(d.At) {
			t.Fatalf("due at %s, to be looked at on %s", d.At, d.Next)
		}
		if before, then := Decide(s, p, d.Next.Add(-time.Second)), Decide(s, p, d.Next); before.Outcome != Fresh || then.Outcome != Renew {
			t.Fatalf("%s, then %s: %+v, %+v", before.Outcome, then.Outcome, s, p)
		}
	}
}

// Whatever the decision, its Next is when it becomes another, and not earlier.
func TestNextIsTrue(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	weekly := window(t, "0 2 * * 2", 3*time.Hour, "Europe/Berlin")
	for range 3000 {
		s, p := drawn(r)
		if r.IntN(2) == 0 {
			p.Windows = []Window{weekly}
		}
		now := from.Add(time.Duration(r.Int64N(int64(2*s.NotAfter.Sub(from)))) - 10*day).Truncate(time.Second)
		d := Decide(s, p, now)
		if d.Next.IsZero() || d.Outcome == Renew || d.Outcome == Deliver {
			continue
		}
		if !d.Next.After(now) {
			t.Fatalf("%s at %s, next at %s: %+v, %+v", d.Outcome, now, d.Next, s, p)
		}
		if d.Outcome == Fresh && len(p.Windows) > 0 {
			continue // it may become waiting before
		}
		if then := Decide(s, p, d.Next); then.Outcome == d.Outcome && then.Reason == d.Reason {
			t.Fatalf("%s, for %q, at %s and still at %s: %+v, %+v", d.Outcome, d.Reason, now, d.Next, s, p)
		}
	}
}

// The jitter is the same each time, spreads names evenly, and never puts off past
// the half of what is left.
func TestJitter(t *testing.T) {
	const names, parts = 1000, 10
	ends := from.Add(100 * day)
	plain := Policy{}.DueAt(from, ends)
	var in [parts]int
	for i := range names {
		p := Policy{Name: fmt.Sprintf("prod/service-%d", i), Jitter: DefaultJitter}
		at := p.DueAt(from, ends)
		if again := p.DueAt(from, ends); !at.Equal(again) {
			t.Fatalf("%s is due on %s and on %s", p.Name, at, again)
		}
		off := at.Sub(plain)
		if off < 0 || off >= 4*day {
			t.Fatalf("%s is put off by %s", p.Name, off)
		}
		in[off*parts/(4*day)]++
	}
	for i, n := range in {
		if n < 70 || n > 130 { // three standard deviations, and the names are always the same
			t.Errorf("part %d of the jitter has %d of %d names: %v", i, n, names, in)
		}
	}
	for i := range names {
		p := Policy{Name: fmt.Sprint(i), Jitter: 100, Percent: 90}
		if at := p.DueAt(from, ends); at.Sub(from) >= 95*day {
			t.Errorf("%s is put off to %s of its life", p.Name, at.Sub(from))
		}
	}
}

// Nothing that can be told of a target makes a decision fall over or silent.
func FuzzDecide(f *testing.F) {
	f.Add(int64(0), int64(1), int64(2), int64(3), int64(4), 66, int64(0), 4, uint8(0), "dns")
	f.Add(int64(-1<<62), int64(1<<62), int64(0), int64(1<<40), int64(-5), -3, int64(-1), 1000, uint8(255), "")
	weekly := Policy{Windows: []Window{window(f, "30 2 * * 0", time.Hour, "Europe/Berlin")}}
	f.Fuzz(func(t *testing.T, begins, ends, chain, issuer, at int64, percent int, before int64, jitter int, is uint8, text string) {
		unix := func(n int64) time.Time {
			if n == 0 {
				return time.Time{}
			}
			return time.Unix(n%(1<<36), 0)
		}
		s := State{NotBefore: unix(begins), NotAfter: unix(ends), ChainEnds: unix(chain), IssuerUntil: unix(issuer), Missing: is&1 > 0}
		for i, field := range []*string{&s.Unreadable, &s.Mismatch, &s.Revoked, &s.Issuer, &s.Changed, &s.Roots, &s.Layout} {
			if is&(2<<i) > 0 {
				*field = text
			}
		}
		p := Policy{Percent: percent, Before: time.Duration(before), Jitter: jitter, Name: text}
		if is%3 == 0 {
			p.Windows = weekly.Windows
		}
		d := Decide(s, p, unix(at))
		if d.Reason == "" || (d.Check == "") != (d.Outcome == Fresh) {
			t.Errorf("%+v", d)
		}
	})
}
