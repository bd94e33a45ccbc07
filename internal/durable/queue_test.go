package durable

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// crowded has so many wait in a queue whose turn is somebody's, in order; what came of
// each is given once all have an answer.
func crowded(q *Queue[int], n int, ctx func(int) context.Context, serve func(int) func() error) (came func() []error) {
	q.turn <- struct{}{}
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = q.Wait(ctx(i), nil, i, serve(i)) })
		synctest.Wait()
	}
	return func() []error {
		<-q.turn
		all.Wait()
		return errs
	}
}

// TestQueueServesTogether: one serves for all, in the order in which they came, and as
// much at a time as there is room for; each is told what came of its own.
func TestQueueServesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many, room = 10, 4
		q := NewQueue[int]()
		var served []int
		serve := func() error {
			some, answer := q.Take(func(all []int) int { return min(len(all), room) })
			served = append(served, some...)
			var err error
			if some[0] > 0 {
				err = errors.New("not the first")
			}
			answer(err)
			return nil
		}
		came := crowded(q, many, func(int) context.Context { return t.Context() }, func(int) func() error { return serve })
		if q.Len() != many {
			t.Errorf("%d wait", q.Len())
		}
		for i, err := range came() {
			if (err == nil) != (i < room) {
				t.Errorf("%d is told %v", i, err)
			}
		}
		if !slices.IsSorted(served) || len(served) != many {
			t.Errorf("served were %v", served)
		}
	})
}

// TestQueueIsLeft: who cannot come so far, or has no more time, takes its own away, and
// the others are served.
func TestQueueIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue[int]()
		gone, stop := context.WithCancelCause(t.Context())
		far, late := errors.New("not so far"), errors.New("no more time")
		var served []int
		came := crowded(q, 6, func(i int) context.Context {
			if i%3 == 1 {
				return gone
			}
			return t.Context()
		}, func(i int) func() error {
			return func() error {
				if i%3 == 0 {
					return far
				}
				all, answer := q.Take(nil)
				served = append(served, all...)
				answer(nil)
				return nil
			}
		})
		stop(late)
		synctest.Wait()
		for i, err := range came() {
			switch {
			case i%3 == 1 && !errors.Is(err, late), i%3 == 2 && err != nil:
				t.Errorf("%d is told %v", i, err)
			case i%3 == 0 && slices.Contains(served, i) != (err == nil):
				t.Errorf("%d is told %v, and served were %v", i, err, served)
			}
		}
		if slices.ContainsFunc(served, func(i int) bool { return i%3 == 1 }) || q.Len() != 0 {
			t.Errorf("served were %v, and %d wait", served, q.Len())
		}
	})
}

// TestQueueKeepsWhoIsServed: who has no more time once somebody serves its own, is told
// what comes of that.
func TestQueueKeepsWhoIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue[int]()
		ctx, stop := context.WithCancel(t.Context())
		lost := errors.New("lost")
		came := crowded(q, 1, func(int) context.Context { return ctx }, func(int) func() error { return nil })
		_, answer := q.Take(nil)
		stop()
		synctest.Wait()
		answer(lost)
		if err := came()[0]; !errors.Is(err, lost) {
			t.Errorf("it is told %v", err)
		}
	})
}
