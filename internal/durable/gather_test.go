package durable

import (
	"testing"
	"testing/synctest"
	"time"
)

// gathered is how long Gather waits.
func gathered(t *testing.T, c *Convoy, waiting func() int) time.Duration {
	t.Helper()
	was := time.Now()
	c.Gather(waiting, 0, 256)
	return time.Since(was)
}

// TestGatherEndsWhenAllRest: who is waited for, works; where all who work in a convoy
// rest, nobody can come.
func TestGatherEndsWhenAllRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := Together(t.Context())
		defer end()
		c := ConvoyOf(ctx)
		one := func() int { return 1 }
		if d := gathered(t, c, one); d != 2*time.Millisecond {
			t.Errorf("where nobody is counted: %s", d)
		}
		done, others := c.Work(), c.Work()
		c.Rest()
		if d := gathered(t, c, one); d != 2*time.Millisecond {
			t.Errorf("while another works: %s", d)
		}
		over := c.Rest()
		if d := gathered(t, c, one); d != 0 {
			t.Errorf("while both rest: %s", d)
		}
		over()
		if d := gathered(t, c, one); d != 2*time.Millisecond {
			t.Errorf("when one goes on: %s", d)
		}
		time.AfterFunc(time.Millisecond, others)
		if d := gathered(t, c, one); d != time.Millisecond {
			t.Errorf("when one is done in the meantime: %s", d)
		}
		done()
		if d := gathered(t, c, one); d != 2*time.Millisecond {
			t.Errorf("when none is at work any more: %s", d)
		}
	})
}

// TestGatherWaitsWhileSomeCome: longer, the more come, and for enough no longer.
func TestGatherWaitsWhileSomeCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		came := 0
		coming := func(each, last int) func() int {
			came = 0
			return func() int {
				came = min(came+each, last)
				return came
			}
		}
		ctx, end := Together(t.Context())
		defer end()
		for name, c := range map[string]*Convoy{"no convoy": nil, "one at work": ConvoyOf(ctx)} {
			defer c.Work()()
			if d := gathered(t, c, coming(1, 3)); d != 10*time.Millisecond {
				t.Errorf("%s: for three, one after the other: %s", name, d)
			}
			if d := gathered(t, c, coming(300, 300)); d != 0 {
				t.Errorf("%s: for enough: %s", name, d)
			}
			if d := gathered(t, c, coming(1, 100)); d != 62*time.Millisecond {
				t.Errorf("%s: for one after the other without end: %s", name, d)
			}
			if d := gathered(t, c, func() int { return 0 }); d != 0 {
				t.Errorf("%s: for nobody: %s", name, d)
			}
		}
	})
}
