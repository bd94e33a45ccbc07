package renew

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// Bounds of a simulation.
const (
	maxSimulated = 10 * 365 * 24 * time.Hour
	maxIssuances = 50_000_000
)

// Simulation is what is to be rehearsed: targets renewed by the clock alone, by
// passes that all succeed. Nothing is asked or issued.
type Simulation struct {
	From    time.Time
	Span    time.Duration // how far to look: a minute to 10 years
	Every   time.Duration // from one pass to the next, the first at From; 0 is a daemon, which is there whenever something is due
	Outage  time.Duration // for how long every pass is to fail, once, at the worst moment of each target; 0 is never
	Targets []Life
}

// Life is a target of a simulation: the certificate that it has, and those it will have.
type Life struct {
	Name                string
	NotBefore, NotAfter time.Time     // of the present one; NotAfter is its end in fact (Ends), zero where there is none
	Lifetime            time.Duration // of those to come, from their issuance
	IssuerUntil         time.Time     // no certificate can end later; zero where unknown
	Policy              Policy
}

// Forecast is what a simulation has shown.
type Forecast struct {
	From, To  time.Time
	Every     time.Duration
	Targets   int
	Passes    int // with Every; for a daemon the minutes in which something is issued
	Issuances int // certificates issued in all
	// Peak is the most that are issued in one minute, and Busiest when it begins.
	Peak    int
	Busiest time.Time
	// PerDay are the issuances of each day, counted from From.
	PerDay []int
	// Tightest is the renewal with the least time left; nil where nothing is renewed.
	Tightest *Margin
	// Survives is how long every pass may fail, at whatever moment: an outage that is
	// shorter makes no certificate expire that would not have expired anyway.
	Survives time.Duration
	// Lapses are those that expire although every pass succeeds, the soonest first: their
	// issuer ends, or passes are too rare. One a target, its first; At is zero for one
	// that is not there and cannot be made.
	Lapses []Lapse

	// Outage is what was asked for. Longest is the longest that a target goes without
	// being renewed when it meets it, and Lost are those that expire by it and would
	// not have otherwise, the soonest first.
	Outage  time.Duration
	Longest *Margin
	Lost    []Lapse
}

// Margin is a renewal, and what is left then.
type Margin struct {
	Name    string
	Since   time.Time     // NotBefore of the certificate that is replaced
	Renewed time.Time     // when it is
	Ends    time.Time     // when it would have ended
	Left    time.Duration // Ends less Renewed; less than zero where it had expired
}

// Lapse is a certificate that expires.
type Lapse struct {
	Name   string
	At     time.Time
	Reason string // part of a sentence
}

// Run simulates. The answer is the same each time; an error says what cannot be
// simulated. It takes about a microsecond for each issuance.
func (s Simulation) Run() (Forecast, error) {
	switch {
	case s.Span < time.Minute || s.Span > maxSimulated:
		return Forecast{}, fmt.Errorf("a simulation of %s: 1m to 3650d is right", inDays(s.Span))
	case s.Every < 0 || s.Outage < 0:
		return Forecast{}, fmt.Errorf("a simulation with passes every %s and an outage of %s: neither can be negative", s.Every, s.Outage)
	}
	r := rehearsal{s: s, from: s.From.UTC(), to: s.From.Add(s.Span).UTC(), openings: map[calendar][]int64{}, minutes: make([]int32, s.Span/time.Minute+1)}
	r.f = Forecast{From: r.from, To: r.to, Every: s.Every, Targets: len(s.Targets), Outage: s.Outage}
	for i := range s.Targets {
		if err := r.live(&s.Targets[i]); err != nil {
			return Forecast{}, err
		}
	}
	r.sum()
	return r.f, nil
}

// rehearsal is a simulation on its way.
type rehearsal struct {
	s        Simulation
	from, to time.Time
	f        Forecast
	minutes  []int32              // issuances, by minute
	openings map[calendar][]int64 // in seconds, of each that was asked for
	tightest Margin
	longest  Margin
}

// calendar is what the openings of a change window go by.
type calendar struct{ text, zone string }

// present is the certificate that a target has at some time.
type present struct {
	l               *Life
	part            uint64
	notBefore, ends time.Time
	due             time.Time
	last            time.Time // the last moment to wait for a change window
}

// live goes through the lives of a target.
func (r *rehearsal) live(l *Life) error {
	if l.Lifetime <= 0 {
		return fmt.Errorf("%s cannot be simulated: certificates to come have no lifetime", l.Name)
	}
	p := &present{l: l, part: l.Policy.part(), notBefore: l.NotBefore, ends: l.NotAfter}
	lapsed, lost := false, false
	for from := r.from; ; {
		p.judge()
		at := r.acts(p, from)
		if p.held(from) {
			if !p.ends.After(r.to) && !lapsed {
				r.f.Lapses = append(r.f.Lapses, Lapse{l.Name, p.ends, "it ends with its issuer"})
			}
			return nil
		}
		if at.After(r.to) {
			return nil
		}
		if !p.ends.IsZero() { // there is one to be replaced
			late := !at.Before(p.ends)
			if late && !lapsed {
				r.f.Lapses = append(r.f.Lapses, Lapse{l.Name, p.ends, r.why(p)})
			}
			lapsed = lapsed || late
			r.measure(p, at, late, &lost)
		}
		if r.f.Issuances++; r.f.Issuances > maxIssuances {
			return fmt.Errorf("more than %d certificates would be issued: simulate a shorter time", maxIssuances)
		}
		r.minutes[at.Sub(r.from)/time.Minute]++
		p.renew(at)
		from = at.Add(max(r.s.Every, time.Second))
	}
}

// judge finds when the present certificate is due.
func (p *present) judge() {
	p.due = p.l.Policy.dueAt(p.notBefore, p.ends, p.part)
	p.last = p.ends.Add(-p.l.Policy.margin(p.notBefore, p.due, p.ends))
}

// held tells whether the issuer could give it no longer life, from a time on.
func (p *present) held(from time.Time) bool {
	c := facts{State: State{NotBefore: p.notBefore, NotAfter: p.ends, IssuerUntil: p.l.IssuerUntil}, ends: p.ends, now: p.due}
	if c.now.Before(from) {
		c.now = from
	}
	return c.heldBy() != ""
}

// renew replaces the certificate, as an authority would.
func (p *present) renew(at time.Time) {
	p.ends = at.Add(p.l.Lifetime)
	if until := p.l.IssuerUntil; !until.IsZero() && until.Before(p.ends) {
		p.ends = until
	}
	p.notBefore = at.Add(-min(ca.Backdate, p.ends.Sub(at)/10))
}

// acts is the first pass, from a time on, that renews the certificate.
func (r *rehearsal) acts(p *present, from time.Time) time.Time {
	at := p.due
	if at.Before(from) {
		at = from
	}
	for {
		at = r.pass(at)
		opens := at
		if at.Before(p.ends) { // what has expired waits for nothing
			opens, _ = p.l.Policy.opening(at, p.last, r.next)
		}
		if !opens.After(at) || opens.After(r.to) {
			return opens
		}
		at = opens
	}
}

// pass is the first pass at a time or after it.
func (r *rehearsal) pass(at time.Time) time.Time {
	if r.s.Every == 0 || !at.After(r.from) {
		return at
	}
	n := (at.Sub(r.from) + r.s.Every - 1) / r.s.Every
	return r.from.Add(n * r.s.Every)
}

// next is when a change window opens next, from a list that is made once for each.
func (r *rehearsal) next(w Window, at time.Time) time.Time {
	days := calendar{w.text, w.zone.String()}
	list, known := r.openings[days]
	if !known {
		for t := w.Next(r.from.Add(-MaxWindow - time.Second)); !t.IsZero() && !t.After(r.to.Add(r.s.Outage)); t = w.Next(t) {
			list = append(list, t.Unix())
		}
		if n := len(list); n > 0 { // and one beyond
			if t := w.Next(time.Unix(list[n-1], 0)); !t.IsZero() {
				list = append(list, t.Unix())
			}
		}
		r.openings[days] = list
	}
	i := sort.Search(len(list), func(i int) bool { return list[i] > at.Unix() })
	if i == len(list) {
		return w.Next(at)
	}
	return time.Unix(list[i], 0).UTC()
}

// why says how a certificate could expire though every pass succeeds.
func (r *rehearsal) why(p *present) string {
	if !p.ends.After(r.from) {
		return "it has expired already"
	}
	return fmt.Sprintf("passes every %s are too rare for what is left when it is due", inDays(r.s.Every))
}

// measure notes how close a renewal is to the end, and how close it would be if
// every pass failed from then on for as long as is asked.
func (r *rehearsal) measure(p *present, at time.Time, late bool, lost *bool) {
	if p.ends.After(r.from) { // what has expired before says nothing
		r.keep(&r.tightest, p, at, func(a, b Margin) bool { return a.Left < b.Left })
	}
	if r.s.Outage == 0 {
		return
	}
	again := r.acts(p, at.Add(r.s.Outage))
	r.keep(&r.longest, p, again, func(a, b Margin) bool { return a.Renewed.Sub(a.Since) > b.Renewed.Sub(b.Since) })
	if !again.Before(p.ends) && !late && !*lost {
		*lost = true
		r.f.Lost = append(r.f.Lost, Lapse{p.l.Name, p.ends, fmt.Sprintf("every pass from %s on has failed", onDay(at))})
	}
}

// keep keeps the more remarkable of two renewals, of equals the first.
func (r *rehearsal) keep(m *Margin, p *present, at time.Time, more func(a, b Margin) bool) {
	next := Margin{Since: p.notBefore, Renewed: at, Ends: p.ends, Left: p.ends.Sub(at)}
	if m.Renewed.IsZero() || more(next, *m) {
		next.Name = p.l.Name
		*m = next
	}
}

// sum finishes the forecast.
func (r *rehearsal) sum() {
	f := &r.f
	f.PerDay = make([]int, (r.s.Span+24*time.Hour-1)/(24*time.Hour))
	busy := 0
	for i, n := range r.minutes {
		if n == 0 {
			continue
		}
		busy++
		f.PerDay[min(i/(24*60), len(f.PerDay)-1)] += int(n)
		if int(n) > f.Peak {
			f.Peak, f.Busiest = int(n), r.from.Add(time.Duration(i)*time.Minute)
		}
	}
	if f.Passes = busy; r.s.Every > 0 {
		f.Passes = int(r.s.Span/r.s.Every) + 1
	}
	if !r.tightest.Renewed.IsZero() {
		f.Tightest = &r.tightest
		f.Survives = max(0, r.tightest.Left-r.s.Every)
	}
	if !r.longest.Renewed.IsZero() {
		f.Longest = &r.longest
	}
	soonest := func(a, b Lapse) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	}
	slices.SortFunc(f.Lapses, soonest)
	slices.SortFunc(f.Lost, soonest)
}
