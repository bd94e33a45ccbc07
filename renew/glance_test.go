package renew

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/issue"
)

// counting is a place that counts the looks at it. Blind, it takes itself for unchanged
// until it is written, as a place does whose writes are conditional.
type counting struct {
	*memory.Store
	looks atomic.Int32
	blind bool
}

func (c *counting) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	c.looks.Add(1)
	return c.Store.Load(ctx)
}

func (c *counting) Unchanged(ctx context.Context, was issue.Version) (bool, error) {
	same, err := c.Store.Unchanged(ctx, was)
	return same || c.blind, err
}

func newCounting(blind bool) *counting {
	return &counting{Store: memory.NewStore("place"), blind: blind}
}

// between has something done after the first look at a target, and before its lock is held.
func (w *world) between(f func()) {
	w.Lock = func(context.Context, *Target) (func() error, error) {
		f()
		return func() error { return nil }, nil
	}
}

// A target that is due is looked at once, whether it waits for its turn or not.
func TestOneLook(t *testing.T) {
	for _, o := range []Options{{}, {AtOnce: true}, {Force: true}} {
		w := newWorld(t)
		place := newCounting(false)
		target := w.target("payment", place)
		for _, looks := range []int32{1, 2} {
			want(t, w.run(o, target)[target.Name], map[bool]Standing{true: StandsRenewed, false: StandsFresh}[looks == 1 || o.Force])
			if n := place.looks.Load(); n != looks {
				t.Errorf("%+v: %d looks after pass %d", o, n, looks)
			}
			w.now = w.now.Add(1)
		}
		w.now = w.now.AddDate(0, 0, 25)
		r := w.run(o, target)[target.Name]
		want(t, r, StandsRenewed)
		if n := place.looks.Load(); n != 3 {
			t.Errorf("%+v: %d looks after the third pass", o, n)
		}
		if leaf, _ := pairIn(t, place.Store); !leaf.Equal(r.Leaf) {
			t.Error("the place has another certificate")
		}
	}
}

// Where more are due than may wait in memory, the others are made and looked at again,
// and what ends first is still renewed first.
func TestMoreThanMayWait(t *testing.T) {
	w := newWorld(t)
	w.Waiting = 1
	var targets []*Target
	var places []*counting
	for _, name := range []string{"payment", "orders", "stock"} {
		places = append(places, newCounting(false))
		targets = append(targets, w.target(name, places[len(places)-1]))
		want(t, w.one(targets[len(targets)-1]), StandsRenewed)
		w.now = w.now.Add(time.Hour)
	}
	w.now = w.now.AddDate(0, 0, 25)
	slices.Reverse(targets) // what ends last is looked at first, and waits
	var told []string
	err := w.Pass(t.Context(), of(targets), Options{Each: func(r Result) {
		want(t, r, StandsRenewed)
		told = append(told, r.Name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if order := []string{"payment.default", "orders.default", "stock.default"}; !slices.Equal(told, order) {
		t.Errorf("renewed in the order %q, want %q", told, order)
	}
	for i, looks := range []int32{3, 3, 2} { // the last waited with the look at it
		if n := places[i].looks.Load(); n != looks {
			t.Errorf("%d looks at place %d, want %d", n, i, looks)
		}
	}
}

// Another process renews between the looks: nothing is signed a second time where the
// place tells, and what was signed is dropped where only its Save does.
func TestRenewedBetweenLooks(t *testing.T) {
	for _, blind := range []bool{false, true} {
		for _, o := range []Options{{}, {AtOnce: true}} {
			w := newWorld(t)
			place := newCounting(blind)
			target := w.target("payment", place)
			other := *w.Renewer
			w.between(func() {
				if err := other.Pass(t.Context(), of([]*Target{w.target("payment", place.Store)}), Options{}); err != nil {
					t.Fatal(err)
				}
			})
			r := w.run(o, target)[target.Name]
			want(t, r, StandsFresh)
			signed := 1
			if blind {
				signed = 2
			}
			if n := w.leaves(); n != signed {
				t.Errorf("blind %v: %d certificates were signed", blind, n)
			}
			if leaf, _ := pairIn(t, place.Store); !leaf.Equal(r.Leaf) {
				t.Errorf("blind %v: another certificate than the one in place is told", blind)
			}
			if len(w.notes.kept) > 0 {
				t.Errorf("blind %v: the journal keeps %d", blind, len(w.notes.kept))
			}
		}
	}
}

// Where something else was changed between the looks, what was signed is delivered all
// the same, and the places have one credential.
func TestChangedBetweenLooks(t *testing.T) {
	w := newWorld(t)
	one, two := newCounting(true), newCounting(true)
	target := w.target("payment", one, two)
	want(t, w.one(target), StandsRenewed)
	w.now = w.now.AddDate(0, 0, 25)
	w.between(func() {
		set, version, err := two.Load(t.Context())
		if err == nil {
			_, err = two.Save(t.Context(), set, version)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	r := w.one(target)
	want(t, r, StandsRenewed)
	for _, place := range []*counting{one, two} {
		if leaf, _ := pairIn(t, place.Store); !leaf.Equal(r.Leaf) {
			t.Error("a place has another certificate")
		}
	}
	if n := w.leaves(); n != 2 {
		t.Errorf("%d certificates were signed", n)
	}
	if r.Failures != 0 || len(w.notes.kept) > 0 {
		t.Errorf("%d failures, the journal keeps %d", r.Failures, len(w.notes.kept))
	}
}

// A journal that appears between the looks has the target looked at again.
func TestJournalBetweenLooks(t *testing.T) {
	w := newWorld(t)
	place := newCounting(false)
	target := w.target("payment", place)
	w.between(func() {
		m := &memo{Schema: memoSchema, Target: target.Name, Problem: "it failed", Failures: 2, Since: w.now}
		if err := w.remember(t.Context(), target, m); err != nil {
			t.Fatal(err)
		}
	})
	want(t, w.one(target), StandsRenewed)
	if n := place.looks.Load(); n != 2 {
		t.Errorf("%d looks", n)
	}
	if len(w.notes.kept) > 0 {
		t.Errorf("the journal keeps %d", len(w.notes.kept))
	}
}
