package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/issue"
)

// lease is a Lease as the API server has it.
type lease struct {
	APIVersion string    `json:"apiVersion,omitempty"`
	Kind       string    `json:"kind,omitempty"`
	Metadata   meta      `json:"metadata"`
	Spec       leaseSpec `json:"spec"`
}

type leaseSpec struct {
	Holder      string `json:"holderIdentity"`
	Seconds     int    `json:"leaseDurationSeconds,omitempty"`
	Acquired    string `json:"acquireTime,omitempty"`
	Renewed     string `json:"renewTime,omitempty"`
	Transitions int    `json:"leaseTransitions"`
}

const (
	usualLife = 15 * time.Second
	// refusals is how often in a row a lease is refused before it is given up on.
	refusals = 15
)

// microTime is how a Lease writes times.
const microTime = "2006-01-02T15:04:05.000000Z"

// leader holds a lease, or tries to.
type leader struct {
	c *client
	o backends.Leading
	// Times: how long a lease lives, after how long without renewal it is given up, and how
	// often that is tried.
	life, deadline, retry time.Duration

	// What others hold is judged by our own clock: since when it has looked the same.
	seen   leaseSpec
	seenAt time.Time

	mu    sync.Mutex
	held  *lease    // nil where it is not ours
	since time.Time // before its last renewal was sent
}

// Lead tries to hold the lease for as long as ctx lasts, and has work done while it
// does. When the lease is lost, the context of the work ends at once with o.Lost as its
// cause, and term refuses. When work ends by itself, or with ctx, the lease is given
// back. The error is that of the work, or says that leases are not to be had.
func (p *platform) Lead(ctx context.Context, o backends.Leading, work func(context.Context, backends.Term) error) error {
	l := &leader{c: p.client, o: o, life: o.Life}
	if l.life == 0 {
		l.life = usualLife
	}
	l.deadline, l.retry = l.life*2/3, l.life*2/15
	for {
		if err := l.acquire(ctx); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was told to stop, which is no failure
			}
			return err
		}
		l.tell("leading")
		err, ended := l.lead(ctx, work)
		if ended {
			l.release()
			return err
		}
		l.tell("the lease is lost")
	}
}

func (l *leader) tell(what string) {
	if l.o.Tell != nil {
		l.o.Tell(what)
	}
}

// lead has the work done until it ends or the lease is lost.
func (l *leader) lead(ctx context.Context, work func(context.Context, backends.Term) error) (err error, ended bool) { //nolint:revive // the error is the work's, not ours
	hands, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	guard.Go(func(fault any) { done <- fmt.Errorf("internal error: %v", fault) }, func() { done <- work(hands, l.term) })
	for {
		timer := time.NewTimer(l.retry)
		select {
		case err := <-done:
			timer.Stop()
			return err, true
		case <-timer.C:
		}
		if l.renew() {
			continue
		}
		stop(l.o.Lost)
		err := <-done
		l.mu.Lock()
		l.held = nil
		l.mu.Unlock()
		return err, ctx.Err() != nil
	}
}

// errNotLeading says that nothing may be written: another leads, or may soon.
var errNotLeading = fmt.Errorf("this process does not lead, or not for long enough: %w", issue.ErrChanged)

// term is a backends.Term.
func (l *leader) term(least time.Duration) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil || l.life-l.elapsed(l.since) < least {
		return "", errNotLeading
	}
	return fmt.Sprintf("%s/%d", l.o.Identity, l.held.Spec.Transitions), nil
}

// elapsed is how long ago something was, by the clock that cannot be set and by that on
// the wall: whichever says more, for one of them stands still while a machine sleeps.
func (l *leader) elapsed(since time.Time) time.Duration {
	now := l.o.Now()
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

func (l *leader) at() thing {
	return thing{group: "coordination.k8s.io", version: "v1", resource: "leases", kind: "Lease", namespace: l.o.Namespace, name: l.o.Name}
}

// acquire waits until the lease is ours.
func (l *leader) acquire(ctx context.Context) error {
	refused := 0
	for {
		took, err := l.take(ctx)
		if p, known := asProblem(err); known && (errors.Is(err, fs.ErrPermission) || p.missing != "") {
			// A token may be between two, and what was granted a moment ago takes its time.
			if refused++; refused == refusals {
				return err
			}
			if refused == tries {
				l.tell("the lease is refused, and tried for a while: " + err.Error())
			}
		}
		if err == nil && took {
			return nil
		}
		if err := guard.Sleep(ctx, l.retry); err != nil {
			return err
		}
	}
}

// take takes the lease if it is free.
func (l *leader) take(ctx context.Context) (bool, error) {
	have := &lease{}
	err := l.ask(ctx, http.MethodGet, nil, have)
	before := l.o.Now()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l.write(ctx, &lease{Metadata: meta{Name: l.o.Name, Namespace: l.o.Namespace}}, before)
	case err != nil:
		return false, err
	}
	if have.Spec != l.seen || l.seenAt.IsZero() {
		l.seen, l.seenAt = have.Spec, before
	}
	life := max(time.Duration(have.Spec.Seconds)*time.Second, l.life)
	if have.Spec.Holder != "" && have.Spec.Holder != l.o.Identity && l.elapsed(l.seenAt) < life {
		return false, nil
	}
	return l.write(ctx, have, before)
}

// write makes the lease ours, if it still is as it was read.
func (l *leader) write(ctx context.Context, was *lease, before time.Time) (bool, error) {
	stamp := before.UTC().Format(microTime)
	next := &lease{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Spec: was.Spec,
		Metadata: meta{Name: l.o.Name, Namespace: l.o.Namespace, UID: was.Metadata.UID, ResourceVersion: was.Metadata.ResourceVersion}}
	next.Spec.Seconds, next.Spec.Renewed = int(max(l.life, time.Second)/time.Second), stamp
	if l.held == nil { // also where an earlier one of that name was ours: what was read then is old
		next.Spec.Acquired = stamp
		if was.Metadata.UID != "" {
			next.Spec.Transitions++
		}
	}
	next.Spec.Holder = l.o.Identity
	method := http.MethodPut
	if was.Metadata.UID == "" {
		method = http.MethodPost
	}
	got := &lease{}
	if err := l.ask(ctx, method, next, got); err != nil {
		if errors.Is(err, issue.ErrChanged) {
			err = nil // another was faster
		}
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.since = got, before
	return true, nil
}

// renew holds the lease for longer. It is false once it is lost: another has it, or it
// could not be renewed for too long.
func (l *leader) renew() bool {
	l.mu.Lock()
	held, since := l.held, l.since
	l.mu.Unlock()
	for l.elapsed(since) < l.deadline {
		// The work's context has no say: what is in hand needs the lease.
		took, err := l.write(context.Background(), held, l.o.Now())
		if took {
			return true
		}
		now := &lease{}
		if err == nil { // somebody has written it: whoever holds it now
			if l.ask(context.Background(), http.MethodGet, nil, now) == nil {
				if now.Spec.Holder != l.o.Identity || now.Spec.Transitions != held.Spec.Transitions {
					return false
				}
				held = now
			}
		}
		time.Sleep(l.retry / 4)
	}
	return false
}

// release gives the lease back, so that nobody has to wait for its end.
func (l *leader) release() {
	l.mu.Lock()
	held := l.held
	l.held = nil
	l.mu.Unlock()
	if held == nil || l.elapsed(l.since) >= l.life {
		return
	}
	next := *held
	next.Metadata.ManagedFields = nil
	next.Spec.Holder, next.Spec.Seconds = "", 1
	_ = l.ask(context.Background(), http.MethodPut, &next, &lease{}) // else it runs out
}

// ask makes one call about the lease, which has to be quick to be of any use.
func (l *leader) ask(ctx context.Context, method string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, l.deadline/2)
	defer cancel()
	r := call{method: method, about: l.at(), media: asJSON, body: body}
	data, err := encode(body)
	if err != nil {
		return err
	}
	err = l.c.try(ctx, r, data, into)
	return err
}
