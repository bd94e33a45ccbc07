package renew

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meshpki/meshpki/internal/guard"
)

// entry is what the loop remembers of a target: of many thousands, nothing heavy.
type entry struct {
	Stands
	backend string
	next    time.Time // when it has its turn; zero where a look at everything does
	worked  time.Time // when it last had one
	looks   int       // the look at everything that saw it last
	tries   int       // failures in a row that no journal has
	laid    uint8     // how often in a row it was laid out, without being seen whole between
	busy    bool      // a lane has it
}

// lane is one file of targets that are worked one pass after the other. Authorities
// do not wait for each other, and what fails has a lane of its own: there it is only
// others that fail which wait for it.
type lane struct {
	told time.Time // when it last told of something
}

type laneKey struct {
	backend string
	failing bool
	all     bool // a look at everything
}

// batch is how many targets a lane takes up at once: what falls due meanwhile and
// ends sooner is not far behind.
const batch = 64

// sleep is how long nothing is to be done.
func (l *Loop) sleep() time.Duration {
	wait := l.Tick
	if wait <= 0 {
		wait = usualTick
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if first := l.soonest(); !first.IsZero() {
		wait = min(wait, first.Sub(l.now()))
	}
	// Never in a tight circle, whatever is due.
	return max(wait, time.Millisecond)
}

// soonest is when the next target has its turn whose lane is free; zero where none
// has. l.mu is held. It is found out anew only when something has changed.
func (l *Loop) soonest() time.Time {
	if !l.stale {
		return l.first
	}
	l.stale, l.first = false, time.Time{}
	for _, e := range l.targets {
		if e.busy || e.next.IsZero() || !l.first.IsZero() && !e.next.Before(l.first) || l.lanes[e.lane()] != nil {
			continue
		}
		l.first = e.next
	}
	return l.first
}

func (e *entry) lane() laneKey {
	return laneKey{backend: e.backend, failing: e.Failures > 0 || e.tries > 0}
}

// look looks at everything, where that is due, and does nothing else.
func (l *Loop) look(ctx context.Context) {
	key := laneKey{all: true}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lanes[key] != nil || !l.again && l.mono.Sub(l.looked) < l.every() {
		return
	}
	retry := l.retry
	l.again, l.retry = false, false
	l.looks++
	began, mono, n := l.wall, l.mono, l.looks
	options := Options{DryRun: true, Seen: l.seen, Each: func(res Result) { l.found(res, n, retry) }}
	l.run(key, func() error {
		candidates, err := l.Candidates(ctx, nil)
		if err == nil {
			err = l.Renewer.Pass(ctx, candidates, options)
		}
		return err
	}, func(err error) {
		l.looked, l.cost = time.Now(), time.Since(mono)
		if err != nil {
			l.looked = l.looked.Add(settle - l.every()) // it is soon tried again
		}
		if ctx.Err() == nil {
			l.failure = err
		}
		if err == nil {
			l.forget(n)
			l.began, l.ended = began, l.now()
			l.seen = latest(l.seen, l.ended)
		}
	})
}

// forget drops what the look of that number has not seen any more. l.mu is held.
func (l *Loop) forget(n int) {
	for name, e := range l.targets {
		if e.looks < n && !e.busy {
			delete(l.targets, name)
		}
	}
}

// every is how long after a look the next one is made. l.mu is held.
func (l *Loop) every() time.Duration {
	if l.Every > 0 {
		return l.Every
	}
	return min(max(usualEvery, l.cost*rest), longestEvery)
}

// run has f done in a lane of its own, and end told of it with l.mu held.
// l.mu is held here too.
func (l *Loop) run(key laneKey, f func() error, end func(error)) {
	l.lanes[key], l.stale = &lane{told: l.mono}, true
	over := func(err error) {
		l.mu.Lock()
		end(err)
		n := len(l.targets)
		l.mu.Unlock()
		// Before the lane is free again, so that the report is there when the loop ends.
		l.save()
		if key.all {
			l.tell(EventLooked, fmt.Sprintf("%d under care", n), err)
		}
		l.mu.Lock()
		delete(l.lanes, key)
		l.stale = true
		l.mu.Unlock()
		select {
		case l.done <- struct{}{}:
		default:
		}
	}
	guard.Go(func(fault any) { over(fmt.Errorf("internal error: %v", fault)) }, func() { over(f()) })
}

// work gives every lane that is free what is due for it, what ends first first.
func (l *Loop) work(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first := l.soonest(); first.IsZero() || first.After(l.wall) {
		return
	}
	due := map[laneKey][]*entry{}
	for _, e := range l.targets {
		if key := e.lane(); !e.busy && !e.next.IsZero() && !e.next.After(l.wall) && l.lanes[key] == nil {
			due[key] = append(due[key], e)
		}
	}
	for key, entries := range due {
		slices.SortFunc(entries, func(a, b *entry) int {
			first := a.Ends.Compare(b.Ends)
			if key.failing { // each has its turn, though there be more than can be tried
				first = a.next.Compare(b.next)
			}
			return cmp.Or(first, cmp.Compare(a.Name, b.Name))
		})
		entries = entries[:min(len(entries), batch)]
		names := map[string]bool{}
		for _, e := range entries {
			e.busy, e.worked = true, l.wall
			e.next = time.Time{}
			names[e.Name] = true
		}
		options := Options{Seen: l.seen, Each: func(res Result) { l.came(key, res) },
			Wants: func(*Target, Decision) bool { return !l.stopping() }}
		l.run(key, func() error {
			candidates, err := l.Candidates(ctx, names)
			if err == nil {
				err = l.Renewer.Pass(ctx, candidates, options)
			}
			return err
		}, func(err error) {
			for _, e := range entries {
				e.busy = false
				if err != nil && e.next.IsZero() {
					e.failed(err, l.now())
				}
			}
		})
	}
}

func (l *Loop) stopping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// failed is a try that no journal knows of.
func (e *entry) failed(err error, now time.Time) {
	e.tries++
	e.Standing, e.Problem = StandsFailed, err.Error()
	e.next = now.Add(Backoff(Failure{Target: e.Name, Count: e.tries, Ends: e.Ends, Now: now}))
}

// found takes up what a look at everything saw of a target.
func (l *Loop) found(res Result, n int, retry bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if look := l.lanes[laneKey{all: true}]; look != nil {
		look.told = time.Now()
	}
	e := l.targets[res.Name]
	if e == nil {
		e = &entry{Stands: Stands{Name: res.Name}}
		l.targets[res.Name] = e
	}
	e.looks = n
	if e.busy {
		return // those who have it know better
	}
	now := l.now()
	before := e.next
	e.take(res)
	switch e.Standing {
	case StandsDue, StandsDrifted:
		e.next = now
		if e.laid > 1 { // it does not stay as it is laid out
			e.next = e.worked.Add(usualEvery << min(e.laid, 8))
		}
	case StandsFailed, StandsPending:
		switch {
		case retry, e.next.After(now.Add(longestRetry)) && res.Failures > 0:
			e.next = now
		case res.Failures > 0 || e.Standing == StandsPending: // as its journal has it
			e.next = latest(e.next, now)
		case before.After(now) && before.Before(now.Add(longestRetry)):
			e.next = before
		case res.Err != nil:
			e.failed(res.Err, now)
		}
	default:
		e.laid, e.tries = 0, 0
	}
}

// came takes up what became of a target that had its turn.
func (l *Loop) came(key laneKey, res Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if in := l.lanes[key]; in != nil {
		in.told = time.Now()
	}
	e := l.targets[res.Name]
	if e == nil {
		return
	}
	if errors.Is(res.Err, context.Canceled) {
		return // the loop is about to end, and knows no better than before
	}
	now := l.now()
	e.take(res)
	switch {
	case e.Standing == StandsAgain && e.laid < 255:
		e.laid++
	case e.Standing == StandsRenewed:
		e.laid = 0
	}
	switch {
	case e.Standing.Good() && e.next.After(now):
		e.tries = 0
	case e.next.After(now) && e.next.Before(now.Add(longestRetry+time.Minute)):
	case e.Standing.Good() && e.next.IsZero():
		e.tries = 0 // time changes nothing
	default: // whatever is due again at once has to wait: there is no tight circle
		e.tries++
		e.next = now.Add(Backoff(Failure{Target: e.Name, Count: e.tries, Ends: e.Ends, Now: now}))
	}
}

// take is what a result says.
func (e *entry) take(res Result) {
	e.Stands, e.next = res.Stands(), res.Next
	if res.Target != nil {
		e.backend = res.Target.Backend
	}
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
