package durable

import (
	"context"
	"slices"
	"sync"
)

// Queue has those who come at the same time served together: whoever has the turn does
// for all who wait what each has come for. Safe for concurrent use.
type Queue[T any] struct {
	turn    chan struct{} // of one who waits
	mu      sync.Mutex
	waiting []*wanted[T]
}

// wanted is what somebody has come for.
type wanted[T any] struct {
	what T
	done chan error // has room for the answer
}

// NewQueue gives one in which nobody waits.
func NewQueue[T any]() *Queue[T] { return &Queue[T]{turn: make(chan struct{}, 1)} }

// Len is how many wait.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Wait returns what came of what somebody wants, once that has been served. serve is
// called by who has the turn, and by nobody else meanwhile, until the caller's own is
// served: it takes some of what waits, and answers it. Its error is one of coming so far,
// and the caller's alone; like the end of ctx it takes the caller's own out of the queue,
// unless somebody serves that already. Who waits, rests in the convoy, which may be nil.
func (q *Queue[T]) Wait(ctx context.Context, c *Convoy, what T, serve func() error) error {
	defer c.Rest()()
	mine := &wanted[T]{what, make(chan error, 1)}
	q.mu.Lock()
	q.waiting = append(q.waiting, mine)
	q.mu.Unlock()
	select {
	case err := <-mine.done:
		return err
	case <-ctx.Done():
		return q.leave(mine, context.Cause(ctx))
	case q.turn <- struct{}{}:
	}
	defer func() { <-q.turn }()
	for {
		select {
		case err := <-mine.done: // or who had the turn before has served it
			return err
		default:
		}
		if err := serve(); err != nil {
			return q.leave(mine, err)
		}
	}
}

// leave takes what somebody wants out of the queue, because of err; or, if it is served
// already, gives what comes of that.
func (q *Queue[T]) leave(mine *wanted[T], err error) error {
	q.mu.Lock()
	i := slices.Index(q.waiting, mine)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 {
		return <-mine.done
	}
	return err
}

// Take takes what waits, in the order in which it came, for whoever has the turn: as much
// from its beginning as count says, or all where that is nil. Each who wants some of it
// is told what answer is given, which has to be called.
func (q *Queue[T]) Take(count func(all []T) int) (some []T, answer func(error)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.waiting {
		some = append(some, w.what)
	}
	n := len(some)
	if count != nil {
		n = count(some)
	}
	taken := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n) // and keeps nothing of them, keys among it
	return some[:n], func(err error) {
		for _, w := range taken {
			w.done <- err
		}
	}
}
