package renew

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Stands is how a target stands, as far as a daemon remembers it.
type Stands struct {
	Name     string
	Standing Standing
	// Ends is when the certificate in use ends, and Due when it is due by the clock;
	// zero where there is none.
	Ends, Due time.Time
	Failures  int
	Problem   string // others' text may be in it
	// AlarmAt is from when on it is not served for longer than its confirmation allows,
	// if it is not by then; zero where nothing is waited for.
	AlarmAt time.Time
}

// Stands is what is remembered of a result.
func (r Result) Stands() Stands {
	s := Stands{Name: r.Name, Standing: r.Standing, Failures: r.Failures, AlarmAt: r.AlarmAt, Due: r.Decision.At}
	if r.Err != nil {
		s.Problem = r.Err.Error()
	}
	if r.Leaf == nil {
		return s
	}
	s.Ends = r.Leaf.NotAfter
	if ends := r.Decision.Ends; r.Standing != StandsRenewed && !ends.IsZero() {
		s.Ends = ends
	}
	if r.Standing == StandsRenewed && r.Target != nil {
		s.Due = r.Target.Policy.DueAt(r.Leaf.NotBefore, s.Ends)
	}
	return s
}

// Next is when something is next to be done; zero where nothing is known.
func (l *Loop) Next() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var next time.Time
	for _, e := range l.targets {
		if !e.next.IsZero() && (next.IsZero() || e.next.Before(next)) {
			next = e.next
		}
	}
	return next
}

// save records how everything under care stands: what status goes by.
func (l *Loop) save() {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	r := Report{Began: l.began, Ended: l.now()}
	switch {
	case l.problem != nil:
		r.Problem = l.problem.Error()
	case l.failure != nil:
		r.Problem = l.failure.Error()
	}
	for _, e := range l.targets {
		r.Count(Result{Name: e.Name, Standing: e.Standing})
	}
	// A clock that is behind hides no later pass; without a whole look there is nothing
	// to be recorded.
	behind := r.Ended.Before(l.seen) || l.ended.IsZero()
	l.mu.Unlock()
	if l.Listed != nil {
		r.Listed = l.Listed()
	}
	if !behind {
		// What has been done is written down although the loop is to stop.
		if err := r.Save(context.Background(), l.Renewer.Memory); err != nil {
			l.tell(EventReport, "", err)
		}
	}
	l.mu.Lock()
	l.report = r
	l.mu.Unlock()
	if l.Saved != nil {
		l.Saved(r)
	}
}

// Report is the last one.
func (l *Loop) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

// Looked is when everything under care was last looked at; zero before the first time.
func (l *Loop) Looked() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// All gives how every target stands, by name.
func (l *Loop) All() []Stands {
	l.mu.Lock()
	all := make([]Stands, 0, len(l.targets))
	for _, e := range l.targets {
		all = append(all, e.Stands)
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b Stands) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
