package durable

import (
	"sync"
	"time"
)

// crowd counts those who work in a convoy, and how many of them rest: where all do,
// nobody is left to be waited for.
type crowd struct {
	mu               sync.Mutex
	working, resting int
	still            chan struct{} // of this moment: closed while all rest
}

// Work tells of one more who works in the convoy, until done is called: what is done for
// many at once waits for him, unless he rests.
func (c *Convoy) Work() (done func()) { return c.count(1, 0) }

// Rest tells that somebody who works waits until something is done for many, and does
// nothing else until over is called.
func (c *Convoy) Rest() (over func()) { return c.count(0, 1) }

// count counts them in, and back gives them back.
func (c *Convoy) count(working, resting int) (back func()) {
	if c == nil {
		return func() {}
	}
	c.crowd.add(working, resting)
	return func() { c.crowd.add(-working, -resting) }
}

func (c *crowd) add(working, resting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	did := c.rests()
	c.working, c.resting = c.working+working, c.resting+resting
	switch does := c.rests(); {
	case does && !did:
		close(c.still)
	case did && !does:
		c.still = make(chan struct{})
	}
}

// rests tells whether all do. The lock is held.
func (c *crowd) rests() bool { return c.working > 0 && c.resting >= c.working }

// Gather waits a moment for others, for as long as some come: what is done for a few
// keeps the many that come during it waiting, and each time costs the system as much.
// waiting counts those who wait; not more than alone wait for nobody, and enough for
// nobody else. Where nobody else comes, the moment is a short one; it ends when all who
// work in the convoy rest. The convoy may be nil.
func (c *Convoy) Gather(waiting func() int, alone, enough int) {
	const first, more, longest = 2 * time.Millisecond, 4 * time.Millisecond, 16
	var still chan struct{}
	moment := time.NewTimer(first)
	defer moment.Stop()
	for n, rounds := alone, 0; rounds < longest; rounds++ {
		now := waiting()
		if now <= n || now >= enough {
			return
		}
		n = now
		if c != nil {
			c.crowd.mu.Lock()
			still = c.crowd.still
			c.crowd.mu.Unlock()
		}
		select {
		case <-still:
			return
		case <-moment.C:
			moment.Reset(more)
		}
	}
}
