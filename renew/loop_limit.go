package renew

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/time/rate"
)

// Limits keeps each authority from being asked more often than it may be. The zero
// value limits those that are elsewhere, and is ready to use. It is safe for
// concurrent use and must not be copied.
type Limits struct {
	// Of says how often an authority may be asked in a second, and how often at once;
	// zero a second is without limit. nil is DefaultLimit.
	Of func(ref string) (aSecond float64, atOnce int)

	mu    sync.Mutex
	known map[string]*rate.Limiter
}

// DefaultLimit does not limit an authority of this directory, and asks any other ten
// times a second: ten thousand certificates are had in a quarter of an hour, and an
// authority that others use as well hardly notices.
func DefaultLimit(ref string) (aSecond float64, atOnce int) {
	if scheme(ref) == "local" {
		return 0, 0
	}
	return 10, 20
}

// Allow waits until the authority of that reference may be asked once more.
func (l *Limits) Allow(ctx context.Context, ref string) error {
	if err := l.limiter(ref).Wait(ctx); err != nil {
		return fmt.Errorf("wait until %s may be asked again: %w", ref, err)
	}
	return nil
}

func (l *Limits) limiter(ref string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.known[ref]; ok {
		return known
	}
	of := l.Of
	if of == nil {
		of = DefaultLimit
	}
	made := rate.NewLimiter(rate.Inf, 0)
	if aSecond, atOnce := of(ref); aSecond > 0 {
		made = rate.NewLimiter(rate.Limit(aSecond), max(atOnce, 1))
	}
	if l.known == nil {
		l.known = map[string]*rate.Limiter{}
	}
	l.known[ref] = made
	return made
}

// scheme is how a reference begins; an empty one is local.
func scheme(ref string) string {
	for i := range len(ref) {
		if ref[i] == ':' {
			return ref[:i]
		}
	}
	if ref == "" {
		return "local"
	}
	return ref
}
