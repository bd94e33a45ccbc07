package renew

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// keptWhole is how long the set that was replaced stays whole after its successor is
// served: time to see that something is wrong, and to roll back.
const keptWhole = time.Hour

// errForeignKey says that a certificate is due whose key somebody else has.
var errForeignKey = errors.New("somebody else has its key: a new request is needed, for meshpki issue --csr")

// work is one target in hand, its lock held.
type work struct {
	r       *Renewer
	t       *Target
	m       *memo
	v       *View
	d       Decision
	now     time.Time
	result  Result
	ordered string // the order, as it is kept with the files
	// ready tells of each place whether it has the credential in hand.
	ready   []bool
	revoked ca.Revoked
	replace func(other string) bool // as in Options
	ascent  *issue.Ascent
}

// do carries a decision out.
func (w *work) do(ctx context.Context, open func(context.Context, string) (ca.Authority, error)) error {
	if w.m.holding() {
		return w.finish(ctx)
	}
	switch w.d.Outcome {
	case Deliver:
		return w.again(ctx)
	case Renew:
		authority, err := open(ctx, w.t.Backend)
		if err != nil {
			return err
		}
		return w.renew(ctx, authority)
	}
	return nil
}

// again lays the credential in use out once more.
func (w *work) again(ctx context.Context) error {
	c, err := w.v.credential(w.t)
	if err != nil {
		return err
	}
	if err := c.Check(w.ascent, w.now); err != nil {
		return err
	}
	w.m.Reason, w.m.Begun, w.m.Again = w.d.Reason, w.now.UTC(), true
	return w.deliver(ctx, c)
}

// renew has a new certificate made, and delivers it.
func (w *work) renew(ctx context.Context, authority ca.Authority) error {
	if w.t.Record.Foreign {
		return errForeignKey
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	w.m.Reason, w.m.Begun, w.m.Again = w.d.Reason, w.now.UTC(), false
	if serial := w.v.serial(); serial != "" {
		w.m.Previous = serial
	}
	order, err := w.order(authority)
	if err != nil {
		return err
	}
	c, err := w.obtain(ctx, authority, order)
	if err != nil {
		return err
	}
	return w.deliver(ctx, c)
}

// obtain has the order's certificate made. An authority of ours records it itself.
func (w *work) obtain(ctx context.Context, authority ca.Authority, order issue.Order) (*issue.Credential, error) {
	if _, own := authority.(*ca.Issuer); !own {
		e := &Errand{w.r, w.t, w.m, w.now}
		return e.fetch(ctx, authority, order)
	}
	w.m.unplace()
	if w.r.Allow != nil {
		if err := w.r.Allow(ctx, w.t.Backend); err != nil {
			return nil, err
		}
	}
	return issue.Obtain(ctx, authority, order, w.now)
}

// order is what the authority is asked for.
func (w *work) order(authority ca.Authority) (issue.Order, error) {
	var judge func(ca.Name) error
	if j, ok := authority.(ca.Judge); ok {
		judge = j.Judge
	}
	order, leftOut, err := w.t.Record.Order(w.t.Profile, judge, w.now, time.Time{})
	if err != nil {
		return order, err
	}
	w.result.Ordered = &Ordered{order.Identity, order.Validity.NotAfter, leftOut}
	order.Ascent = w.ascent
	if _, own := authority.(*ca.Issuer); !own { // which has no use for it
		order.Replaces = w.v.leaf()
	}
	if w.t.ReuseKey && w.v.lead >= 0 {
		if order.Key, err = keyOf(w.t.Places[w.v.lead].Named, w.v.seen[w.v.lead].set); err != nil {
			return order, fmt.Errorf("use the key in place again: %w", err)
		}
		if kt := ca.KeyTypeOf(order.Key.Public()); w.t.Record.ReuseKey && kt != order.KeyType {
			return order, fmt.Errorf("the key in place is %s and is to be kept, but %s is ordered: order the same key type, or let a new key be made once", kt, order.KeyType)
		}
	}
	return order, nil
}

// prepare tries the places, so that nothing is signed for none of them. One that
// cannot be written keeps no other from being renewed.
func (w *work) prepare(ctx context.Context) error {
	var failed []error
	usable := false
	for i, p := range w.t.Places {
		if !p.keeps() {
			continue
		}
		if err := w.usable(ctx, i, p); err != nil {
			failed = append(failed, &issue.PlaceError{Place: p.Store.String(), Err: err})
			continue
		}
		usable = true
	}
	if usable {
		return nil
	}
	return errors.Join(failed...)
}

func (w *work) usable(ctx context.Context, i int, p Place) error {
	s := w.v.seen[i]
	if s.other != "" && !w.mayReplace(s.other) {
		return fmt.Errorf("it holds the certificate of %s: %w", s.other, issue.ErrForeign)
	}
	return p.try(ctx, w.mayReplace(""))
}

// deliver takes a new credential in hand: into the journal, where one step does not
// finish it, and into its places.
func (w *work) deliver(ctx context.Context, c *issue.Credential) error {
	chain := slices.Clone(c.Chain)
	if root := (ca.Outlook{Roots: c.Roots}).RootOf(chain); root != nil {
		chain = append(chain, root)
	}
	w.m.Due = w.t.Policy.DueAt(c.Leaf().NotBefore, Ends(chain)).UTC().Format(time.RFC3339)
	w.m.Published, w.m.Served, w.m.Steps, w.m.Confirm = time.Time{}, time.Time{}, nil, nil
	if err := w.m.hold(c, true); err != nil {
		return err
	}
	var err error
	if w.ordered, err = w.t.Record.OrderFact(); err != nil {
		return err
	}
	w.m.Order = w.ordered
	if w.manySteps() {
		if err := w.r.remember(ctx, w.t, w.m); err != nil {
			return err
		}
	}
	return w.complete(ctx, c)
}

// manySteps tells whether a crash could leave a delivery half done: one place that
// is swapped whole, with nobody to be told, is done or not done. A place that has the
// order alone counts where that order is to be another.
func (w *work) manySteps() bool {
	files := 0
	for _, p := range w.t.Places {
		if p.keeps() {
			files++
		}
	}
	s := w.v.State
	ordered := !s.Missing && s.Changed == "" && s.Layout == ""
	return files > 1 || files < len(w.t.Places) && !ordered || len(w.t.Steps) > 0 || w.t.Confirm != nil
}

// finish goes on with a delivery that an earlier pass began.
func (w *work) finish(ctx context.Context) error {
	c, err := w.m.credential()
	if err != nil {
		return err
	}
	// What is laid out has been checked as a whole each time, whatever lay between.
	if err := c.Check(w.ascent, w.now); err != nil {
		w.m.forget()
		return fmt.Errorf("what was on its way is dropped: %w", err)
	}
	return w.complete(ctx, c)
}

// complete brings the credential in hand to its places, and has it served.
func (w *work) complete(ctx context.Context, c *issue.Credential) error {
	leaf := c.Leaf()
	w.result.Leaf, w.result.Reason = leaf, w.m.Reason
	w.result.Standing = StandsRenewed
	kind := EventRenewed
	if w.m.Again {
		w.result.Standing, kind = StandsAgain, EventDelivered
	}
	moved, err := w.publish(ctx, c)
	if moved {
		w.emit(kind, w.m.Reason, nil)
	}
	if err == nil && w.m.Published.IsZero() {
		w.m.Published = w.now.UTC()
	}
	served := w.serve(ctx, c)
	if failed := errors.Join(err, served); failed != nil {
		w.result.Standing = StandsPending
		if err != nil && !slices.Contains(w.ready, true) {
			w.result.Standing = StandsFailed
		}
		return failed
	}
	if w.v.State.Revoked != "" {
		// What was replaced is not to be gone back to.
		if _, err := purgePlaces(ctx, w.t, w.revoked); err != nil {
			w.result.Standing = StandsPending
			return err
		}
	}
	w.result.Next = w.next()
	w.m.forget()
	w.m.succeeded()
	if len(w.t.Steps) > 0 || w.t.Confirm != nil {
		w.m.Served = w.now.UTC()
		w.emit(EventServed, w.result.Reason, nil)
	}
	return w.r.remember(ctx, w.t, w.m)
}

// publish saves the credential in every place that does not have it yet. Each gets
// the whole set or keeps what it had; one that fails keeps no other from its turn.
func (w *work) publish(ctx context.Context, c *issue.Credential) (moved bool, err error) {
	// Who is told to stop finishes the swap in hand.
	ctx = context.WithoutCancel(ctx)
	due, err := time.Parse(time.RFC3339, w.m.Due)
	if err != nil {
		return false, fmt.Errorf("the journal of %s is damaged: its due date", w.t.Name)
	}
	if w.ordered == "" {
		if w.ordered, err = w.t.Record.OrderFact(); err != nil {
			return false, err
		}
	}
	facts := issue.Delivery{Order: w.ordered, Due: due, At: w.now, From: w.t.From, Former: w.v.former}.Facts(c)
	w.ready = make([]bool, len(w.t.Places))
	var what written
	var failed []error
	for i, p := range w.t.Places {
		set, err := p.Set(c, facts, w.mayReplace(""))
		if err != nil {
			failed = append(failed, err)
			continue
		}
		s := w.v.seen[i]
		if s.has(set, p.keeps()) && w.v.Places[i] == "" {
			what.remember(p, s.version)
			w.ready[i] = true
			continue
		}
		at := issue.Version("")
		if s.other != "" && !w.mayReplace(s.other) {
			err = fmt.Errorf("it holds the certificate of %s: %w", s.other, issue.ErrForeign)
		} else {
			set.Whole = w.whole()
			at, err = p.Store.Save(ctx, set, s.version)
		}
		if err != nil {
			w.result.Places[i] = err.Error()
			failed = append(failed, &issue.PlaceError{Place: p.Store.String(), Err: err})
			continue
		}
		what.remember(p, at)
		w.ready[i], moved = true, moved || p.keeps()
		w.result.Places[i] = ""
	}
	w.keep(&what, c, facts)
	return moved, errors.Join(failed...)
}

// reached tells whether some place has the files of the credential in hand.
func (w *work) reached() bool {
	for i, ready := range w.ready {
		if ready && w.t.Places[i].keeps() {
			return true
		}
	}
	return false
}

// has tells whether a place was seen to have a set; where it keeps the order alone, that
// order.
func (s *seen) has(set issue.Set, keeps bool) bool {
	same := func(fact string) bool { return s.set.Facts[fact] == set.Facts[fact] }
	if s.err != nil || s.other != "" || !same(issue.FactOrder) {
		return false
	}
	if !keeps {
		return s.problem == "" && maps.Equal(issue.OrderFacts(s.set.Facts), set.Facts)
	}
	return same(issue.FactSerial) && s.set.Files.Digest() == set.Facts[issue.FactFiles]
}

// whole is how many replaced generations keep their keys: one more for as long as
// what is now replaced has not been served for an hour.
func (w *work) whole() int {
	since := w.v.delivered()
	if !w.m.Served.IsZero() {
		since = w.m.Served
	}
	if w.v.State.Revoked == "" && !since.IsZero() && w.now.Before(since.Add(keptWhole)) {
		return 2
	}
	return 1
}

func (w *work) emit(kind EventKind, reason string, err error) {
	if w.r.Emit == nil {
		return
	}
	serial := ""
	if w.result.Leaf != nil {
		serial = ca.FormatSerial(w.result.Leaf.SerialNumber)
	}
	w.r.Emit(Event{At: w.now, Target: w.t.Name, Kind: kind, Reason: reason, Serial: serial, Err: err})
}
