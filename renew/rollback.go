package renew

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// errNoPrevious says that a place keeps nothing to go back to.
var errNoPrevious = errors.New("it keeps no previous set with its key")

// errNoHistory says that a place is of a kind that never keeps a previous set.
var errNoHistory = errors.New("it keeps one set, and none before it: a private key that is replaced stays nowhere")

// Rollback lays out again what a target had before, in all of its places: the key
// and the certificate of the previous generation, with the roots that are trusted
// now. It refuses what has expired or is revoked, and places that would go back to
// different certificates. Hook and confirmation follow as after a renewal.
func (r *Renewer) Rollback(ctx context.Context, t *Target) (Result, error) {
	p := r.newPass(Options{})
	var err error
	if p.revoked, err = r.Revoked(ctx); err != nil {
		return Result{}, fmt.Errorf("read the revocations: %w", err)
	}
	release, err := r.Lock(ctx, t)
	if err != nil {
		return Result{}, err
	}
	res, err := p.rollback(ctx, t)
	return res, errors.Join(err, release())
}

func (p *pass) rollback(ctx context.Context, t *Target) (Result, error) {
	c, err := previous(ctx, t)
	if err != nil {
		return Result{}, err
	}
	now, leaf := p.r.Now(), c.Leaf()
	if now.After(leaf.NotAfter) {
		return Result{}, fmt.Errorf("the certificate before, %s, expired on %s", ca.FormatSerial(leaf.SerialNumber), onDay(leaf.NotAfter))
	}
	if who := revokedIn(p.revoked, c); who != "" {
		return Result{}, fmt.Errorf("the certificate before, %s, cannot be gone back to: %s is revoked", ca.FormatSerial(leaf.SerialNumber), who)
	}
	out, err := p.outlook(ctx, t.Backend)
	if err != nil {
		return Result{}, err
	}
	if len(out.Roots) > 0 {
		c.Roots = out.Roots
	}
	if err := c.Check(nil, now); err != nil {
		return Result{}, err
	}
	m, err := p.r.recall(ctx, t)
	if err != nil {
		return Result{}, err
	}
	m.forget()
	w := &work{r: p.r, t: t, m: m, v: p.look(ctx, t, out), now: now, revoked: p.revoked}
	w.result = Result{Name: t.Name, Target: t, Reason: "it was rolled back", Places: w.v.Places}
	if w.v.Leaf != nil {
		m.Previous = ca.FormatSerial(w.v.Leaf.SerialNumber)
	}
	m.Reason, m.Begun, m.Again = "it was rolled back", now.UTC(), true
	if err := w.deliver(ctx, c); err != nil {
		return p.unfinished(ctx, w, err), nil
	}
	return w.result, nil
}

// previous is the credential that all places of a target had before.
func previous(ctx context.Context, t *Target) (*issue.Credential, error) {
	var c *issue.Credential
	for _, p := range t.Places {
		if !p.keeps() {
			continue
		}
		before, err := previousAt(ctx, t, p)
		if set, _, broken := p.Store.Load(ctx); err == nil && broken == nil {
			if in := decode(p.Named, set.Files); len(in) > 0 && in[0].Equal(before.Leaf()) {
				err = errNoPrevious
			}
		}
		if err != nil {
			return nil, &issue.PlaceError{Place: p.Store.String(), Err: err}
		}
		if c != nil && !c.Leaf().Equal(before.Leaf()) {
			return nil, &issue.PlaceError{Place: p.Store.String(), Err: fmt.Errorf("it would go back to another certificate than %s", t.Places[0].Store)}
		}
		c = before
	}
	if c == nil {
		return nil, errNoPrevious
	}
	return c, nil
}

func previousAt(ctx context.Context, t *Target, p Place) (*issue.Credential, error) {
	h, ok := p.Store.(issue.Historian)
	if !ok {
		return nil, errNoHistory
	}
	set, _, err := h.Previous(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoPrevious
	}
	if err != nil {
		return nil, err
	}
	if r, err := issue.RecordOf(set.Facts); err == nil && (r.Service != t.Record.Service || r.Namespace != t.Record.Namespace) {
		return nil, errNoPrevious // the place was taken from another
	}
	c := &issue.Credential{Chain: decode(p.Named, set.Files)}
	if len(c.Chain) == 0 {
		return nil, errors.New("no certificate can be read from the previous set")
	}
	if c.Key, err = keyOf(p.Named, set); err != nil {
		return nil, errNoPrevious
	}
	return c, nil
}

// Purge takes the keys of revoked certificates out of what the places keep besides
// the set in use, and out of the journal: nobody is to go back to them. It gives how
// many sets lost theirs. A key in use goes when its successor is in place.
func (r *Renewer) Purge(ctx context.Context, candidates iter.Seq[Candidate]) (int, error) {
	revoked, err := r.Revoked(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the revocations: %w", err)
	}
	purged := 0
	var failed []error
	for candidate := range candidates {
		t, err := candidate(ctx)
		if err == nil {
			var n int
			n, err = r.purge(ctx, t, revoked)
			purged += n
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return purged, errors.Join(failed...)
}

func (r *Renewer) purge(ctx context.Context, t *Target, revoked ca.Revoked) (purged int, err error) {
	release, err := r.Lock(ctx, t)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, release()) }()
	m, err := r.recall(ctx, t)
	if err != nil {
		return 0, err
	}
	if m.holding() {
		c, err := m.credential()
		if err != nil || revokedIn(revoked, c) != "" {
			m.forget()
			purged++
			if err := r.remember(ctx, t, m); err != nil {
				return 0, err
			}
		}
	}
	n, err := purgePlaces(ctx, t, revoked)
	return purged + n, err
}

// purgePlaces takes the keys of what is revoked out of what places keep besides the
// set in use.
func purgePlaces(ctx context.Context, t *Target, revoked ca.Revoked) (purged int, err error) {
	var failed []error
	for _, p := range t.Places {
		purger, ok := p.Store.(issue.Purger)
		if !ok || !p.keeps() {
			continue
		}
		n, err := purger.Purge(ctx, func(files issue.Files) bool {
			chain := decode(p.Named, files)
			return chain != nil && revokedIn(revoked, &issue.Credential{Chain: chain}) != ""
		})
		purged += n
		if err != nil {
			failed = append(failed, &issue.PlaceError{Place: p.Store.String(), Err: err})
		}
	}
	return purged, errors.Join(failed...)
}
