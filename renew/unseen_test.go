package renew

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// reminding is a place whose writes are held against what it was told it is like.
type reminding struct {
	*memory.Store
	looks, writes atomic.Int32
	recalled      issue.Version
}

func newReminding(name string) *reminding { return &reminding{Store: memory.NewStore(name)} }

func (r *reminding) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	r.looks.Add(1)
	return r.Store.Load(ctx)
}

func (r *reminding) Save(ctx context.Context, set issue.Set, was issue.Version) (issue.Version, error) {
	r.writes.Add(1)
	return r.Store.Save(ctx, set, was)
}

func (r *reminding) Unchanged(ctx context.Context, was issue.Version) (bool, error) {
	same, err := r.Store.Unchanged(ctx, was)
	return same || was == r.recalled, err
}

func (r *reminding) Remember(at issue.Version) string { return "at " + string(at) }

func (r *reminding) Recall(text string) (issue.Version, bool) {
	at, ok := strings.CutPrefix(text, "at ")
	r.recalled = issue.Version(at)
	return r.recalled, ok
}

// jotter keeps in memory what places remember.
type jotter map[string][]byte

func (j jotter) Recall(name string) []byte { return j[name] }

func (j jotter) Keep(name string, data []byte) { j[name] = data }

// registered is a target of such places, whose order is kept elsewhere.
func (w *world) registered(register issue.Store, places ...*reminding) *Target {
	stores := make([]issue.Store, len(places))
	for i, p := range places {
		stores[i] = p
	}
	t := w.target("payment", stores...)
	t.Places = append(t.Places, Place{Output: issue.Output{Store: register}})
	return t
}

// due makes a target of one place, delivered and due again, and forgets the looks at it.
func (w *world) due() (*Target, *reminding, *memory.Store) {
	w.t.Helper()
	place, register := newReminding("place"), memory.NewStore("register")
	w.Written = jotter{}
	target := w.registered(register, place)
	want(w.t, w.one(target), StandsRenewed)
	w.now = w.now.AddDate(0, 0, 25)
	place.looks.Store(0)
	place.writes.Store(0)
	return target, place, register
}

// What was delivered and is due is written over without a look, however the target comes to
// its turn; what is not due is looked at.
func TestDueUnseen(t *testing.T) {
	for name, o := range map[string]Options{"": {}, "at once": {AtOnce: true}, "by force": {Force: true}} {
		for _, waiting := range []int{0, -1} {
			w := newWorld(t)
			w.Waiting = waiting
			target, place, _ := w.due()
			for range 3 {
				r := w.run(o, target)[target.Name]
				want(t, r, StandsRenewed)
				if leaf, _ := pairIn(t, place.Store); !leaf.Equal(r.Leaf) {
					t.Errorf("%s: another certificate is in place than is told of", name)
				}
				w.now = w.now.AddDate(0, 0, 25)
			}
			if looks, writes := place.looks.Load(), place.writes.Load(); looks != 0 || writes != 3 {
				t.Errorf("%s: %d looks and %d writes for three renewals", name, looks, writes)
			}
			w.now = w.now.AddDate(0, 0, -25)
			want(t, w.one(target), StandsFresh)
			if looks := place.looks.Load(); looks != 1 {
				t.Errorf("%s: %d looks at what is not due", name, looks)
			}
		}
	}
}

// Who only asks what would be done has it looked at; so has whoever wants it left alone,
// has the key kept, or has not seen the last delivery through.
func TestLookedAt(t *testing.T) {
	for name, change := range map[string]func(w *world, target *Target, o *Options){
		"a dry run":       func(_ *world, _ *Target, o *Options) { o.DryRun = true },
		"not wanted":      func(_ *world, _ *Target, o *Options) { o.Wants = func(*Target, Decision) bool { return false } },
		"the key is kept": func(_ *world, target *Target, _ *Options) { target.ReuseKey = true },
		"a journal": func(w *world, target *Target, _ *Options) {
			m := &memo{Schema: memoSchema, Target: target.Name, Problem: "it failed", Failures: 2, Since: w.now}
			if err := w.remember(t.Context(), target, m); err != nil {
				t.Fatal(err)
			}
		},
	} {
		w := newWorld(t)
		target, place, _ := w.due()
		o := Options{}
		change(w, target, &o)
		w.run(o, target)
		if place.looks.Load() == 0 {
			t.Errorf("%s: nobody has looked", name)
		}
	}
}

// A place that is not as the register has it is looked at once it has refused the write,
// and decided on anew.
func TestUnseenAndChanged(t *testing.T) {
	ctx := t.Context()
	rewrite := func(w *world, change func(*written)) {
		var known written
		if err := json.Unmarshal(w.Written.Recall("default.payment"), &known); err != nil {
			t.Fatal(err)
		}
		change(&known)
		text, _ := json.Marshal(known)
		w.Written.Keep("default.payment", text)
	}
	touch := func(place *reminding) {
		set, at, err := place.Store.Load(ctx)
		if err == nil {
			_, err = place.Store.Save(ctx, set, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		change func(w *world, place *reminding, register *memory.Store)
		is     Standing
		signed int
	}{
		"touched": {func(_ *world, place *reminding, _ *memory.Store) { touch(place) }, StandsRenewed, 2},
		"touched between the decision and the write": {func(w *world, place *reminding, _ *memory.Store) {
			w.between(func() { touch(place) })
		}, StandsRenewed, 2},
		"renewed by another": {func(w *world, place *reminding, _ *memory.Store) {
			mine := w.Written
			w.Written = jotter{}
			want(t, w.one(w.registered(memory.NewStore("another's"), place)), StandsRenewed)
			w.Written = mine
		}, StandsFresh, 3},
		"deleted": {func(_ *world, place *reminding, _ *memory.Store) { place.Store = memory.NewStore("place") }, StandsRenewed, 2},
		"a lying note": {func(w *world, _ *reminding, _ *memory.Store) {
			rewrite(w, func(k *written) { k.Places["place"] = "at 77" })
		}, StandsRenewed, 2},
		"a note with another's certificate": {func(w *world, _ *reminding, _ *memory.Store) {
			rewrite(w, func(k *written) { k.Chain = [][]byte{w.root.Certificate.Raw} })
		}, StandsRenewed, 2},
		"no note": {func(w *world, _ *reminding, _ *memory.Store) { w.Written = jotter{} }, StandsRenewed, 2},
		"a damaged order": {func(_ *world, _ *reminding, register *memory.Store) {
			set, at, err := register.Load(ctx)
			if err == nil {
				set.Facts[issue.FactOrder] = "{"
				_, err = register.Save(ctx, set, at)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, StandsRenewed, 2},
		"a damaged note": {func(w *world, _ *reminding, _ *memory.Store) {
			rewrite(w, func(k *written) { k.Chain = [][]byte{{1, 2}} })
		}, StandsRenewed, 2},
	} {
		w := newWorld(t)
		target, place, register := w.due()
		c.change(w, place, register)
		before, there, _ := place.Store.Load(ctx)
		r := w.one(target)
		want(t, r, c.is)
		if n := w.leaves(); n != c.signed {
			t.Errorf("%s: %d certificates were signed, want %d", name, n, c.signed)
		}
		if place.looks.Load() == 0 {
			t.Errorf("%s: nobody has looked", name)
		}
		if leaf, _ := pairIn(t, place.Store); !leaf.Equal(r.Leaf) {
			t.Errorf("%s: another certificate is in place than is told of", name)
		}
		if _, now, _ := place.Store.Load(ctx); c.is == StandsFresh && now != there {
			t.Errorf("%s: %v was replaced", name, before.Facts)
		}
		if r.Failures != 0 || len(w.notes.kept) > 0 {
			t.Errorf("%s: %d failures, the journal keeps %d", name, r.Failures, len(w.notes.kept))
		}
	}
}

// Of two renewers that know nothing of each other one signs in vain, once: what its place
// has refused its register no longer claims to know.
func TestTwoRegisters(t *testing.T) {
	w := newWorld(t)
	place := newReminding("place")
	type renewer struct {
		*Target
		jotter
	}
	one := renewer{w.registered(memory.NewStore("one"), place), jotter{}}
	two := renewer{w.registered(memory.NewStore("two"), place), jotter{}}
	run := func(r renewer) Result {
		w.Written = r.jotter
		return w.one(r.Target)
	}
	want(t, run(one), StandsRenewed)
	w.now = w.now.AddDate(0, 0, 25)
	want(t, run(two), StandsRenewed)
	for range 3 {
		want(t, run(one), StandsFresh)
	}
	if n := w.leaves(); n != 3 {
		t.Errorf("%d certificates were signed", n)
	}
	want(t, run(two), StandsFresh)
}

// The order is written down where it is another, and not each time.
func TestOrderWrittenOnce(t *testing.T) {
	w := newWorld(t)
	target, place, register := w.due()
	_, first, _ := register.Load(t.Context())
	want(t, w.one(target), StandsRenewed)
	if _, at, _ := register.Load(t.Context()); at != first {
		t.Errorf("the same order is written once more: %q, %q", first, at)
	}
	target.Record.DNS = []string{"payment.example.com"}
	want(t, w.one(target), StandsRenewed)
	set, at, _ := register.Load(t.Context())
	if at == first || !strings.Contains(set.Facts[issue.FactOrder], "payment.example.com") {
		t.Errorf("at %q another order is not written: %s", at, set.Facts[issue.FactOrder])
	}
	if n := place.writes.Load(); n != 2 {
		t.Errorf("%d writes", n)
	}
}

// Of two places the one that has refused is looked at, and both have one credential.
func TestOneOfTwoChanged(t *testing.T) {
	w := newWorld(t)
	w.Written = jotter{}
	one, two := newReminding("one"), newReminding("two")
	target := w.registered(memory.NewStore("register"), one, two)
	want(t, w.one(target), StandsRenewed)
	for _, changed := range []*reminding{two, one, nil} {
		w.now = w.now.AddDate(0, 0, 25)
		if changed != nil {
			set, at, err := changed.Store.Load(t.Context())
			if err == nil {
				_, err = changed.Store.Save(t.Context(), set, at)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		one.looks.Store(0)
		two.looks.Store(0)
		r := w.one(target)
		want(t, r, StandsRenewed)
		for _, p := range []*reminding{one, two} {
			if leaf, _ := pairIn(t, p.Store); !leaf.Equal(r.Leaf) {
				t.Error("a place has another certificate")
			}
		}
		if looks := one.looks.Load() + two.looks.Load(); changed == nil && looks != 0 {
			t.Errorf("%d looks once both are known again", looks)
		}
	}
	if n := w.leaves(); n != 4 {
		t.Errorf("%d certificates were signed", n)
	}
}

// A revoked certificate is replaced unseen as one that is due is.
func TestRevokedUnseen(t *testing.T) {
	w := newWorld(t)
	target, place, _ := w.due()
	w.now = w.now.AddDate(0, 0, -20)
	leaf, _ := pairIn(t, place.Store)
	if err := w.ledger.Record(t.Context(), ca.Entry{Kind: ca.KindRevocation, At: w.now, Serial: ca.FormatSerial(leaf.SerialNumber),
		IssuerKey: hex.EncodeToString(leaf.AuthorityKeyId), Reason: ca.ReasonNames()[0], NotAfter: leaf.NotAfter}); err != nil {
		t.Fatal(err)
	}
	r := w.one(target)
	want(t, r, StandsRenewed)
	if r.Decision.Check != "revoked" || place.looks.Load() != 0 {
		t.Errorf("%q, %d looks", r.Decision.Check, place.looks.Load())
	}
}

// Roots that have changed are laid out beside the key in use: for that somebody looks.
func TestNewRootsAreNoRenewal(t *testing.T) {
	w := newWorld(t)
	target, place, _ := w.due()
	w.now = w.now.AddDate(0, 0, -20)
	w.roots = append(w.roots, newWorld(t).root.Certificate)
	want(t, w.one(target), StandsAgain)
	if place.looks.Load() == 0 || w.leaves() != 1 {
		t.Errorf("%d looks, %d certificates", place.looks.Load(), w.leaves())
	}
}
