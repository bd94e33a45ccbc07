package renew

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
)

func lives(n int, policy Policy) (out []Life) {
	for i := range n {
		p := policy
		p.Name = fmt.Sprintf("prod/service-%d", i)
		out = append(out, Life{Name: p.Name, NotBefore: from, NotAfter: from.Add(30 * day), Lifetime: 30 * day, Policy: p})
	}
	return out
}

func TestSimulate(t *testing.T) {
	s := Simulation{From: from, Span: 365 * day, Every: time.Hour, Outage: 7 * day, Targets: lives(1, Policy{})}
	f, err := s.Run()
	if err != nil {
		t.Fatal(err)
	}
	// Due after 19 d 19:12, renewed at the next full hour; later ones begin five
	// minutes before, so that they are due 3:18 less five minutes later.
	first := from.Add(19*day + 20*time.Hour)
	if f.Issuances != 18 || f.Passes != 365*24+1 || f.Peak != 1 || !f.Busiest.Equal(first) || len(f.PerDay) != 365 || f.PerDay[19] != 1 || f.PerDay[18] != 0 {
		t.Errorf("%d issuances, %d passes, peak %d at %s", f.Issuances, f.Passes, f.Peak, f.Busiest)
	}
	if m := f.Tightest; m == nil || m.Name != "prod/service-0" || !m.Renewed.Equal(first) || m.Left != 10*day+4*time.Hour || f.Survives != m.Left-time.Hour {
		t.Errorf("tightest %+v, survives %s", f.Tightest, f.Survives)
	}
	if m := f.Longest; m == nil || m.Renewed.Sub(m.Since) != 26*day+20*time.Hour+5*time.Minute || len(f.Lost)+len(f.Lapses) != 0 {
		t.Errorf("longest %+v, lost %v, lapsed %v", f.Longest, f.Lost, f.Lapses)
	}
	s.Outage = 11 * day
	if f, err = s.Run(); err != nil || len(f.Lost) != 1 || !f.Lost[0].At.Equal(from.Add(30*day)) || f.Lost[0].Reason != "every pass from 2026-12-11 08:00 UTC on has failed" {
		t.Errorf("lost %+v, %v", f.Lost, err)
	}
}

// Jitter takes the peak off a thousand that were issued at once.
func TestSimulateSpreads(t *testing.T) {
	s := Simulation{From: from, Span: 100 * day, Targets: lives(1000, Policy{})}
	same, err := s.Run()
	if err != nil {
		t.Fatal(err)
	}
	s.Targets = lives(1000, Policy{Jitter: DefaultJitter})
	apart, err := s.Run()
	if err != nil {
		t.Fatal(err)
	}
	if same.Peak != 1000 || apart.Peak > 10 || same.Passes != 5 || apart.Passes < 1000 {
		t.Errorf("%d at once in %d passes; with jitter %d in %d", same.Peak, same.Passes, apart.Peak, apart.Passes)
	}
}

func TestSimulateLapses(t *testing.T) {
	life := func(name string, ends, lifetime, issuer time.Duration) Life {
		l := Life{Name: name, NotBefore: from, NotAfter: from.Add(ends), Lifetime: lifetime}
		if issuer != 0 {
			l.IssuerUntil = from.Add(issuer)
		}
		return l
	}
	begun := from.Add(12 * time.Hour)
	f, err := Simulation{From: begun, Span: 60 * day, Every: day, Targets: []Life{
		life("fine", 30*day, 30*day, 0),
		life("cut", 30*day, 30*day, 40*day),
		life("held", 30*day, 30*day, 30*day),
		life("short", 12*time.Hour+time.Minute, 12*time.Hour, 0),
		life("gone", time.Hour, 30*day, 0),
		{Name: "new", Lifetime: 30 * day},
		{Name: "never", Lifetime: 30 * day, IssuerUntil: from},
	}}.Run()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range f.Lapses {
		got = append(got, fmt.Sprintf("%s %s: %s", l.Name, l.At.Format("01-02 15:04"), l.Reason))
	}
	want := []string{
		"never 01-01 00:00: it ends with its issuer",
		"gone 11-21 13:00: it has expired already",
		"short 11-22 12:00: passes every 1d are too rare for what is left when it is due",
		"held 12-21 12:00: it ends with its issuer",
		"cut 12-31 12:00: it ends with its issuer",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if f.Survives != 0 {
		t.Errorf("survives %s, and short ones expire anyway", f.Survives)
	}
}

// What is always due is renewed at each pass, and what is missing at the first,
// whatever the change windows say.
func TestSimulateEachPass(t *testing.T) {
	always := Life{Name: "always", NotBefore: from, NotAfter: from.Add(30 * day), Lifetime: 30 * day, Policy: Policy{Before: 40 * day}}
	missing := Life{Name: "missing", Lifetime: 90 * day, Policy: Policy{Windows: []Window{window(t, "0 2 * * 2", time.Hour, "UTC")}}}
	for want, target := range map[int]Life{11: always, 1: missing} {
		f, err := Simulation{From: from, Span: 10 * day, Every: day, Targets: []Life{target}}.Run()
		if err != nil || f.Issuances != want || f.PerDay[0] != 1 {
			t.Errorf("%s is issued %d times, on the first day %d, want %d: %v", target.Name, f.Issuances, f.PerDay[0], want, err)
		}
	}
}

func TestSimulateRefuses(t *testing.T) {
	good := Simulation{From: from, Span: day, Targets: lives(1, Policy{})}
	for want, change := range map[string]func(s *Simulation){
		"1m to 3650d is right":    func(s *Simulation) { s.Span = 0 },
		"a simulation of 4000d":   func(s *Simulation) { s.Span = 4000 * day },
		"neither can be negative": func(s *Simulation) { s.Every = -1 },
		"an outage of -1ns":       func(s *Simulation) { s.Outage = -1 },
		"have no lifetime":        func(s *Simulation) { s.Targets[0].Lifetime = 0 },
	} {
		s := good
		s.Targets = lives(1, Policy{})
		change(&s)
		if _, err := s.Run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if f, err := (Simulation{From: from, Span: day}).Run(); err != nil || f.Tightest != nil || f.Longest != nil || f.Survives != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

// Deciding at each pass, one after the other, gives what the simulation tells.
func TestSimulateIsWhatDecideDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	nightly, weekly := window(t, "0 2 * * *", 3*time.Hour, "Europe/Berlin"), window(t, "30 22 * * 5", 8*time.Hour, "America/New_York")
	for range 30 {
		s := Simulation{From: from, Span: 90 * day, Every: time.Duration(1+r.IntN(12)) * 30 * time.Minute, Outage: time.Duration(1+r.IntN(200)) * time.Hour}
		for i := range 10 {
			l := Life{Name: fmt.Sprint("prod/", r.Uint32()), NotBefore: from.Add(-time.Duration(r.IntN(1000)) * time.Hour), Lifetime: time.Duration(24+r.IntN(1000)) * time.Hour}
			l.NotAfter = l.NotBefore.Add(l.Lifetime)
			l.Policy = Policy{Name: l.Name, Percent: 30 + r.IntN(65), Jitter: r.IntN(8)}
			switch i % 4 {
			case 1:
				l.Policy.Windows = []Window{nightly}
			case 2:
				l.Policy.Windows = []Window{weekly, nightly}
			case 3:
				l.IssuerUntil = from.Add(time.Duration(r.IntN(2000)) * time.Hour)
			}
			s.Targets = append(s.Targets, l)
		}
		f, err := s.Run()
		if err != nil {
			t.Fatal(err)
		}
		issuances, tightest := 0, time.Duration(1<<62)
		for _, l := range s.Targets {
			n, left := decideThrough(s, l)
			issuances, tightest = issuances+n, min(tightest, left)
		}
		if got := f.Tightest; issuances != f.Issuances || issuances > 0 && tightest != 1<<62 && got.Left != tightest {
			t.Fatalf("%d issuances, tightest %s; the simulation says %d, %+v: %+v", issuances, tightest, f.Issuances, got, s)
		}
	}
}

// decideThrough renews a target as decided at each pass, and gives what was left at the tightest.
func decideThrough(s Simulation, l Life) (issuances int, tightest time.Duration) {
	tightest = 1 << 62
	state := State{NotBefore: l.NotBefore, NotAfter: l.NotAfter, IssuerUntil: l.IssuerUntil}
	for at := s.From; !at.After(s.From.Add(s.Span)); at = at.Add(s.Every) {
		if Decide(state, l.Policy, at).Outcome != Renew {
			continue
		}
		issuances++
		if state.NotAfter.After(s.From) {
			tightest = min(tightest, state.NotAfter.Sub(at))
		}
		state.NotAfter = at.Add(l.Lifetime)
		if !l.IssuerUntil.IsZero() && l.IssuerUntil.Before(state.NotAfter) {
			state.NotAfter = l.IssuerUntil
		}
		state.NotBefore = at.Add(-min(ca.Backdate, state.NotAfter.Sub(at)/10))
	}
	return issuances, tightest
}

// An outage that is shorter than what is survived loses nothing; one longer by a
// pass and a second loses something.
func TestSimulateSurvives(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 200 {
		s := Simulation{From: from, Span: 200 * day, Every: time.Duration(r.IntN(24)) * time.Hour, Targets: lives(5, Policy{Percent: 20 + r.IntN(70), Jitter: r.IntN(10)})}
		f, err := s.Run()
		if err != nil {
			t.Fatal(err)
		}
		for outage, lost := range map[time.Duration]bool{f.Survives - time.Second: false, f.Survives + s.Every + time.Second: true} {
			if s.Outage = outage; outage < 0 {
				continue
			}
			if g, err := s.Run(); err != nil || len(g.Lost) > 0 != lost {
				t.Fatalf("survives %s with passes every %s, and an outage of %s loses %d: %v", f.Survives, s.Every, outage, len(g.Lost), err)
			}
		}
	}
}

// BenchmarkSimulate looks a year ahead for 100,000 targets of 30 days.
func BenchmarkSimulate(b *testing.B) {
	for name, policy := range map[string]Policy{"plain": {Jitter: DefaultJitter}, "window": {Jitter: DefaultJitter, Windows: []Window{window(b, "0 2 * * 2", 3*time.Hour, "Europe/Berlin")}}} {
		b.Run(name, func(b *testing.B) {
			s := Simulation{From: from, Span: 365 * day, Every: time.Hour, Outage: 3 * day, Targets: lives(100_000, policy)}
			for b.Loop() {
				if f, err := s.Run(); err != nil || f.Issuances < 1_500_000 {
					b.Fatal(f.Issuances, err)
				}
			}
		})
	}
}
