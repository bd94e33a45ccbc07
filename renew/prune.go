package renew

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/meshpki/meshpki/issue"
)

// Leftover is what a target has kept somewhere that no order names any more.
type Leftover struct {
	Target *Target
	// Whole says that nothing of the target is wanted: its journal goes too.
	Whole bool
	// Stores are those places, in the order in which they are emptied: last the one
	// that knows of the others.
	Stores []issue.Store
}

// Left is a place of a leftover.
type Left struct {
	Place string
	// Ours says that a set of the target is kept there, or was until now.
	Ours bool
	// Other is the service (payment.prod) that has the place now.
	Other string
	// Kept are the names of what stays there, for it is not ours.
	Kept []string
	Err  error

	version issue.Version
}

// Look says of each place what it keeps, in order.
func (l Leftover) Look(ctx context.Context) []Left {
	out := make([]Left, len(l.Stores))
	for i, s := range l.Stores {
		out[i] = l.look(ctx, s)
	}
	return out
}

func (l Leftover) look(ctx context.Context, s issue.Store) Left {
	left := Left{Place: s.String()}
	set, version, err := s.Load(ctx)
	left.version = version
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return left
	case err != nil && set.Facts == nil:
		left.Err = err
		return left
	}
	r, err := issue.RecordOf(set.Facts)
	switch {
	case err != nil:
		left.Err = err
	case r.Service != l.Target.Record.Service || r.Namespace != l.Target.Record.Namespace:
		left.Other = r.Service + "." + r.Namespace
	default:
		left.Ours = true
	}
	return left
}

// Prune empties the places of a leftover, its target locked meanwhile: each that
// keeps a set of the target, and no other. What is not ours stays, and is named. When
// all of them are empty, the journal of a whole target is forgotten, and what was kept of
// its deliveries. It may be done again, and finishes what was interrupted. The error says
// that it could not be tried; that of a single place stands with it.
func (r *Renewer) Prune(ctx context.Context, l Leftover) ([]Left, error) {
	release, err := r.Lock(ctx, l.Target)
	if err != nil {
		return nil, err
	}
	out, err := r.prune(ctx, l)
	return out, errors.Join(err, release())
}

func (r *Renewer) prune(ctx context.Context, l Leftover) ([]Left, error) {
	out := make([]Left, len(l.Stores))
	failed := false
	for i, s := range l.Stores {
		if err := context.Cause(ctx); err != nil {
			return out[:i], err
		}
		out[i] = l.look(ctx, s)
		left := &out[i]
		last := i == len(l.Stores)-1
		if l.Whole && last && failed {
			// Without it nobody would know of the others.
			left.Err = errors.New("it is kept until the others are gone")
			continue
		}
		if left.Err == nil && left.Other == "" {
			left.Kept, left.Err = remove(ctx, s, left.version)
		}
		failed = failed || left.Err != nil
	}
	if failed || !l.Whole {
		return out, nil
	}
	if err := r.Memory.Remove(ctx, l.Target.key()); err != nil {
		return out, fmt.Errorf("forget the journal of %s: %w", l.Target.Name, err)
	}
	if r.Written != nil {
		r.Written.Keep(l.Target.key(), nil)
	}
	return out, nil
}

func remove(ctx context.Context, s issue.Store, was issue.Version) ([]string, error) {
	remover, ok := s.(issue.Remover)
	if ok {
		return remover.Remove(ctx, was)
	}
	if was == "" {
		return nil, nil
	}
	return nil, errors.New("nothing can be removed from a place of this kind: do it by hand")
}
