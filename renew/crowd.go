package renew

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/guard"
)

// many is all for work on so many targets: in a crowd, where they are enough for one.
func (p *pass) many(ctx context.Context, n int, candidates iter.Seq[Candidate], f func(context.Context, *Target, error)) error {
	if n < 4*p.r.Workers || p.r.Workers <= 1 || p.r.Crowd <= p.r.Workers || p.r.Together == nil {
		return p.all(ctx, p.r.Workers, candidates, f)
	}
	together, end := p.r.Together(ctx)
	defer end()
	return p.all(together, min(p.r.Crowd, n), candidates, f)
}

// dueTarget is a target that something is to be done about, and when what it has
// ends; zero where it has nothing.
type dueTarget struct {
	*Target           // nil where too many wait: then it is made anew
	again   Candidate // that makes it
	name    string
	ends    time.Time
}

// wait has a target wait for its turn: whole, with what was seen of it, unless so many
// do already that they would fill the memory.
func (p *pass) wait(t *Target, v *View, d Decision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.due) >= cmp.Or(p.r.Waiting, mostGlances) && t.again != nil {
		p.due = append(p.due, dueTarget{again: t.again, name: t.Name, ends: d.Ends})
		return
	}
	p.keep(t, v, d)
	p.due = append(p.due, dueTarget{Target: t, name: t.Name, ends: d.Ends})
}

// inOrder hands out targets, each once: who has had its turn is kept no longer.
func inOrder(due []dueTarget) iter.Seq[Candidate] {
	return func(yield func(Candidate) bool) {
		for i, d := range due {
			due[i] = dueTarget{}
			if !yield(d.candidate) {
				return
			}
		}
	}
}

// candidate gives the target when its turn has come.
func (d dueTarget) candidate(ctx context.Context) (*Target, error) {
	if d.Target != nil {
		return d.Target, nil
	}
	t, err := d.again(ctx)
	if t != nil {
		t = t.own(d.again)
		t.forget()
	}
	return t, err
}

// all has f done for every candidate, several at once. An interruption or ErrAbort
// ends it; what was begun is finished.
func (p *pass) all(ctx context.Context, workers int, candidates iter.Seq[Candidate], f func(context.Context, *Target, error)) error {
	work := func(c Candidate) {
		t, err := c(ctx)
		if t != nil && t.again == nil {
			t = t.own(c)
		}
		if errors.Is(err, ErrAbort) {
			p.abort(err)
			return
		}
		f(ctx, t, err)
	}
	if workers <= 1 {
		// On the caller's own thread: tests count its system calls.
		for c := range candidates {
			if p.ended(ctx) != nil {
				break
			}
			work(c)
		}
		return p.ended(ctx)
	}
	// Some wait in it, so that a worker that is done finds the next one at once.
	queue := make(chan Candidate, min(4*workers, 64))
	var running sync.WaitGroup
	convoy := durable.ConvoyOf(ctx)
	for range workers {
		running.Add(1)
		done := convoy.Work()
		guard.Go(func(fault any) {
			defer running.Done()
			defer done()
			p.abort(fmt.Errorf("internal error: %v", fault))
			for range queue { // so that nobody waits for a reader
			}
		}, func() {
			for c := range queue {
				if p.ended(ctx) == nil {
					work(c)
				}
			}
			done()
			running.Done()
		})
	}
	for c := range candidates {
		if p.ended(ctx) != nil {
			break
		}
		queue <- c
	}
	close(queue)
	running.Wait()
	return p.ended(ctx)
}

func (p *pass) abort(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = err
	}
}

// ended says what ended the pass; nil while it goes on.
func (p *pass) ended(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		return context.Cause(ctx)
	}
	return p.failed
}
