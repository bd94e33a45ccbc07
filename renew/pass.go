package renew

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// Renewer goes over targets and does what is to be done. Its fields do not change
// once it is in use; then it is safe for concurrent use.
type Renewer struct {
	// Open opens an authority by its reference, ready to sign.
	Open func(ctx context.Context, ref string) (ca.Authority, error)
	// Outlook tells what can be expected of one, without its key.
	Outlook func(ctx context.Context, ref string) (ca.Outlook, error)
	// Revoked gives what has been revoked.
	Revoked func(ctx context.Context) (ca.Revoked, error)
	// Memory is where work in hand is journaled.
	Memory Memory
	// Lock keeps a target for one process at a time. A dead process holds nothing.
	Lock func(ctx context.Context, t *Target) (release func() error, err error)
	// Now tells the time.
	Now func() time.Time

	// Written, if not nil, keeps what places remember of deliveries.
	Written Written
	// Ledger, if not nil, is told what authorities elsewhere are asked for and sign.
	Ledger ca.Ledger
	// Asking, if not nil, bounds how many orders are with authorities elsewhere at once:
	// as many as it has room for.
	Asking chan struct{}
	// Allow, if not nil, waits until a backend may be asked once more.
	Allow func(ctx context.Context, ref string) error
	// Backoff, if not nil, says how long to wait after a failure.
	Backoff func(Failure) time.Duration
	// Lookup reads the environment, for steps that name variables of it.
	Lookup func(name string) (string, bool)
	// Emit, if not nil, is told what happens; several goroutines may call it at once.
	Emit func(Event)
	// Workers is how many targets are worked at once; zero is one.
	Workers int
	// Crowd is how many instead where many have to be worked: then most of them wait for
	// the disk, and all for the same. Together, if not nil, gives what they do that in,
	// and what ends it. Zero leaves it at Workers.
	Crowd    int
	Together func(ctx context.Context) (together context.Context, end func())
	// Waiting is how many targets that are due wait for their turn in memory, with what was
	// seen of them; of more, little more than the name. Zero is 20,000.
	Waiting int
}

// Options are how a pass is to be.
type Options struct {
	// DryRun looks and decides, and does nothing.
	DryRun bool
	// Force renews whatever has been decided.
	Force bool
	// Wants tells of a decision whether it is to be acted on; nil acts on each.
	Wants func(t *Target, d Decision) bool
	// Try also sees, with DryRun, whether the places of what is to be done could be written.
	Try bool
	// Replace, if not nil, tells whether a place may be taken from a service
	// (payment.prod), or from files that are not ours (""). They are kept aside.
	Replace func(other string) bool
	// AtOnce works each target as soon as it has been looked at, in the order of the
	// candidates, and keeps none for later.
	AtOnce bool
	// Count is how many candidates there are, where that is known beforehand.
	Count int
	// Seen is a moment that is known to have been, such as the end of the last pass: a
	// clock that is behind it is wrong.
	Seen time.Time
	// Each is told of every target, one at a time, in no order.
	Each func(Result)
}

// ErrAbort in what a Candidate answers ends the pass before anything is done.
var ErrAbort = errors.New("the pass cannot be made")

// pass is one pass: what its targets share.
type pass struct {
	r       *Renewer
	o       Options
	revoked ca.Revoked
	memos   map[string]bool // whose journal is there
	parser  *parser
	ascent  issue.Ascent

	telling     sync.Mutex // one at a time
	mu          sync.Mutex // what follows
	authorities map[string]*opened[ca.Authority]
	outlooks    map[string]*opened[ca.Outlook]
	due         []dueTarget
	failed      error // what ended it
}

// opened is asked for once, and waited for by whoever comes later.
type opened[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (r *Renewer) newPass(o Options) *pass {
	return &pass{r: r, o: o, memos: map[string]bool{}, parser: newParser(), authorities: map[string]*opened[ca.Authority]{}, outlooks: map[string]*opened[ca.Outlook]{}}
}

// Pass goes once over the targets: it looks at all, and then works those that are
// due, what ends first first. One that fails keeps no other from its turn. The error
// says that the pass itself could not be made.
func (r *Renewer) Pass(ctx context.Context, candidates iter.Seq[Candidate], o Options) error {
	p := r.newPass(o)
	var err error
	if p.revoked, err = r.Revoked(ctx); err != nil {
		return fmt.Errorf("read the revocations: %w", err)
	}
	names, err := r.Memory.Names(ctx)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	for _, n := range names {
		p.memos[n] = true
	}
	if o.AtOnce {
		return p.many(ctx, o.Count, candidates, p.first)
	}
	if err := p.all(ctx, r.Workers, candidates, p.first); err != nil {
		return err
	}
	slices.SortFunc(p.due, func(a, b dueTarget) int {
		return cmp.Or(a.ends.Compare(b.ends), cmp.Compare(a.name, b.name))
	})
	return p.many(ctx, len(p.due), inOrder(p.due), p.second)
}

// first looks at a target, and keeps it for later if something is to be done.
func (p *pass) first(ctx context.Context, t *Target, err error) {
	if err != nil {
		p.tell(failure(t, err))
		return
	}
	v, d, err := p.judge(ctx, t, !p.o.DryRun && !p.memos[t.key()])
	if err != nil {
		p.tell(failure(t, err))
		return
	}
	if p.o.DryRun || !p.acts(t, d) {
		p.tell(p.planned(ctx, t, v, d))
		return
	}
	if p.o.AtOnce {
		p.keep(t, v, d)
		p.second(ctx, t, nil)
		return
	}
	p.wait(t, v, d)
}

// acts tells whether something is to be done about a target.
func (p *pass) acts(t *Target, d Decision) bool {
	if p.o.Wants != nil && !p.o.Wants(t, d) {
		return false
	}
	return p.o.Force || p.memos[t.key()] || d.Outcome == Renew || d.Outcome == Deliver
}

// judge looks at a target and decides. Where unseen is set it may decide without a look
// that a new certificate is due.
func (p *pass) judge(ctx context.Context, t *Target, unseen bool) (*View, Decision, error) {
	out, err := p.outlook(ctx, t.Backend)
	if err != nil && ctx.Err() != nil {
		return nil, Decision{}, err
	}
	defer t.forget() // the next time it is looked at again
	if unseen {
		if v, d := p.unseen(ctx, t, out); v != nil {
			return v, d, nil
		}
	}
	// An authority that cannot be asked now has nothing to say; the clock still has.
	v := p.look(ctx, t, out)
	if err := v.away(t); err != nil {
		return nil, Decision{}, err
	}
	return v, p.decide(t, v), nil
}

// decide decides on what was seen of a target.
func (p *pass) decide(t *Target, v *View) Decision {
	v.State.Seen = p.o.Seen
	d := Decide(v.State, t.Policy, p.r.Now())
	if p.o.Force { // also against a clock that seems wrong: a person may know better
		d.Outcome, d.Check, d.Reason = Renew, "force", "it was asked for"
	}
	return d
}

// planned is how a target stands to which nothing is done.
func (p *pass) planned(ctx context.Context, t *Target, v *View, d Decision) Result {
	res := Result{Name: t.Name, Target: t, Decision: d, Reason: d.Reason, Leaf: v.leaf(), Places: v.Places, Next: d.Next, Former: v.former, Stale: v.Stale}
	if p.o.Try && (d.Outcome == Renew || d.Outcome == Deliver) {
		res.Foreign = v.try(ctx, t)
	}
	switch d.Outcome {
	case Renew:
		res.Standing = StandsDue
	case Deliver:
		res.Standing = StandsDrifted
	case Held:
		res.Standing = StandsHeld
		if !d.Ends.After(p.r.Now()) {
			res.Standing, res.Err = StandsFailed, errors.New(d.Reason)
		}
	case Waiting:
		res.Standing = StandsWaiting
	case Refused:
		res.Standing, res.Err = StandsFailed, errors.New(d.Reason)
	default:
		res.Standing = StandsFresh
	}
	if p.memos[t.key()] {
		p.remembered(ctx, t, &res)
	}
	return res
}

// remembered adds what the journal knows of a target.
func (p *pass) remembered(ctx context.Context, t *Target, res *Result) {
	m, err := p.r.recall(ctx, t)
	if err != nil {
		res.Standing, res.Err = StandsFailed, err
		return
	}
	res.Failures, res.Since = m.Failures, m.Since
	switch {
	case m.Failures > 0 || m.holding():
		res.Next = m.Next
	case !m.Served.IsZero() && (res.Next.IsZero() || m.Served.Add(keptWhole).Before(res.Next)):
		res.Next = m.Served.Add(keptWhole) // what is remembered is taken away then
	}
	w := &work{r: p.r, t: t, m: m, now: p.r.Now()}
	res.Steps = w.steps()
	res.AlarmAt, res.Alarm = w.alarm()
	if m.Confirm != nil {
		res.Confirm = m.Confirm.Problem
	}
	switch {
	case m.holding():
		if !slices.Contains([]Outcome{Renew, Deliver}, res.Decision.Outcome) {
			res.Reason = cmp.Or(m.Reason, res.Reason) // and not why nothing else is to be done
		}
		res.Standing = StandsPending
		res.Err = errors.New(cmp.Or(m.Problem, "a delivery was begun and is not finished"))
	case m.Failures > 0:
		res.Standing, res.Err = StandsFailed, errors.New(m.Problem)
	}
}

// second works a target that something is to be done about.
func (p *pass) second(ctx context.Context, t *Target, err error) {
	if err != nil {
		p.tell(failure(t, err))
		return
	}
	release, err := p.r.Lock(ctx, t)
	if err != nil {
		p.tell(failure(t, err))
		return
	}
	res := p.locked(ctx, t)
	if err := errors.Join(p.r.keep(ctx, t), release()); err != nil && res.Err == nil {
		res.Standing, res.Err = StandsFailed, err
	}
	p.tell(res)
}

// locked works a target: another may have had it since it was first looked at.
func (p *pass) locked(ctx context.Context, t *Target) Result {
	m, recalled := p.r.recall(ctx, t)
	var v *View
	var d Decision
	if recalled == nil && m.empty() {
		v, d = p.again(ctx, t)
	}
	glanced := v != nil
	if !glanced {
		var err error
		if v, d, err = p.judge(ctx, t, recalled == nil && m.empty()); err != nil {
			return failure(t, err)
		}
		glanced = v.unseen
	}
	if recalled != nil {
		return failure(t, recalled)
	}
	if p.o.Wants != nil && !p.o.Wants(t, d) {
		return p.planned(ctx, t, v, d)
	}
	w := &work{r: p.r, t: t, m: m, now: p.r.Now(), revoked: p.revoked, replace: p.o.Replace, ascent: &p.ascent}
	w.sees(v, d)
	if m.holding() && (p.o.Force || w.superseded()) {
		m.forget()
	}
	if !m.holding() && d.Outcome != Renew && d.Outcome != Deliver {
		return p.settled(ctx, w)
	}
	err := w.do(ctx, p.authority)
	if glanced && m.holding() && errors.Is(err, issue.ErrChanged) {
		var settled bool
		if settled, err = p.overtaken(ctx, w, err); settled && err == nil {
			return p.settled(ctx, w)
		}
	}
	w.result.Failures, w.result.Since = m.Failures, m.Since
	if err == nil {
		return w.result
	}
	return p.unfinished(ctx, w, err)
}

// overtaken goes on where another has written a place since it was looked at: with what
// is there now. What was made for it has no use where nothing is to be done any more,
// and no place has it.
func (p *pass) overtaken(ctx context.Context, w *work, changed error) (settled bool, err error) {
	v, d, err := p.judge(ctx, w.t, false)
	if err != nil {
		return false, errors.Join(changed, err)
	}
	w.sees(v, d)
	if d.Outcome == Renew || d.Outcome == Deliver || w.reached() {
		return false, w.do(ctx, p.authority)
	}
	w.m.forget()
	return true, p.r.remember(ctx, w.t, w.m)
}

// sees takes what was seen of the target, and decided on it.
func (w *work) sees(v *View, d Decision) {
	w.v, w.d = v, d
	w.result = Result{Name: w.t.Name, Target: w.t, Decision: d, Reason: d.Reason, Leaf: v.Leaf, Places: v.Places, Next: d.Next, Former: v.former, Stale: v.Stale}
}

// settled is a target that needs nothing any more: what its journal remembers of
// failures is over.
func (p *pass) settled(ctx context.Context, w *work) Result {
	p.mu.Lock()
	was := p.memos[w.t.key()]
	delete(p.memos, w.t.key())
	p.mu.Unlock()
	res := p.planned(ctx, w.t, w.v, w.d)
	if !was || w.d.Outcome == Refused || !w.m.Served.IsZero() && w.now.Before(w.m.Served.Add(keptWhole)) {
		return res
	}
	if err := p.r.Memory.Remove(ctx, w.t.key()); err != nil {
		res.Standing, res.Err = StandsFailed, err
	}
	return res
}

// unfinished is a target whose work failed: its journal says so, and what is held.
func (p *pass) unfinished(ctx context.Context, w *work, err error) Result {
	if w.result.Standing == "" {
		w.result.Standing = StandsFailed
	}
	if w.result.Leaf == nil {
		w.result.Leaf = w.v.leaf()
	}
	if interrupted := context.Cause(ctx); interrupted != nil && errors.Is(err, interrupted) {
		if w.m.holding() { // what was signed is not lost
			err = errors.Join(err, p.r.remember(ctx, w.t, w.m))
		}
		w.result.Err = err
		return w.result
	}
	// The work itself may have taken longer than the wait.
	w.m.failed(err.Error(), p.r.Now(), p.r.Backoff, w.failure())
	if written := p.r.remember(ctx, w.t, w.m); written != nil {
		err = errors.Join(err, written)
	}
	w.result.Err = err
	w.result.AlarmAt, w.result.Alarm = w.alarm()
	w.result.Failures, w.result.Since, w.result.Next = w.m.Failures, w.m.Since, w.m.Next
	w.emit(EventFailed, w.m.Problem, err)
	return w.result
}

// superseded tells whether what an earlier pass began is of no use any more: the
// credential on its way is due itself, or another has been delivered since.
func (w *work) superseded() bool {
	c, err := w.m.credential()
	if err != nil || len(c.Chain) == 0 || len(c.Roots) == 0 {
		return true
	}
	was, err := issue.RecordOf(map[string]string{issue.FactOrder: w.m.Order})
	if err != nil {
		return true
	}
	if changed, _ := orderedOtherwise(was, w.t.Record); len(changed) > 0 {
		return true
	}
	leaf := c.Leaf()
	if w.v.lead >= 0 && !w.v.Leaf.Equal(leaf) && w.v.Leaf.NotBefore.After(leaf.NotBefore) {
		return true
	}
	s := State{NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, IssuerUntil: w.v.State.IssuerUntil}
	s.Revoked = w.v.State.Revoked
	if w.v.lead < 0 || !w.v.Leaf.Equal(leaf) {
		s.Revoked = revokedIn(w.revoked, c)
	}
	return Decide(s, w.t.Policy, w.now).Outcome == Renew || w.m.Again && w.d.Outcome == Renew && w.d.Check != "missing"
}

func failure(t *Target, err error) Result {
	res := Result{Standing: StandsFailed, Err: err}
	if t != nil {
		res.Name, res.Target, res.Places = t.Name, t, make([]string, len(t.Places))
	}
	return res
}

func (p *pass) tell(res Result) {
	p.telling.Lock()
	defer p.telling.Unlock()
	if p.o.Each != nil {
		p.o.Each(res)
	}
}

// outlook asks an authority once a pass.
func (p *pass) outlook(ctx context.Context, ref string) (ca.Outlook, error) {
	return ask(p, p.outlooks, ref, func() (ca.Outlook, error) { return p.r.Outlook(ctx, ref) })
}

// authority opens one once a pass.
func (p *pass) authority(ctx context.Context, ref string) (ca.Authority, error) {
	return ask(p, p.authorities, ref, func() (ca.Authority, error) { return p.r.Open(ctx, ref) })
}

func ask[T any](p *pass, known map[string]*opened[T], ref string, f func() (T, error)) (T, error) {
	p.mu.Lock()
	o, ok := known[ref]
	if !ok {
		o = &opened[T]{}
		known[ref] = o
	}
	p.mu.Unlock()
	o.once.Do(func() { o.value, o.err = f() })
	return o.value, o.err
}
