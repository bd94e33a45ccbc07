package memory

import (
	"bytes"
	"context"
	"iter"
	"sync"

	"github.com/meshpki/meshpki/ca"
)

// Ledger remembers what was signed until the process ends. The zero value is an
// empty one. It is safe for concurrent use and must not be copied.
type Ledger struct {
	mu      sync.Mutex
	entries []ca.Entry
	revoked []ca.Entry // those of them that revoke
}

var _ ca.Ledger = (*Ledger)(nil)

// Record keeps a copy of the entry.
func (l *Ledger) Record(ctx context.Context, e ca.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.Certificate = bytes.Clone(e.Certificate)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	if e.Kind == ca.KindRevocation {
		l.revoked = append(l.revoked, e)
	}
	return nil
}

// Entries gives every entry that was recorded before the reading began, the
// oldest first. Its only error is that of ctx.
func (l *Ledger) Entries(ctx context.Context) iter.Seq2[ca.Entry, error] {
	return func(yield func(ca.Entry, error) bool) {
		l.mu.Lock()
		entries := l.entries
		l.mu.Unlock()
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(ca.Entry{}, err)
				return
			}
			e.Certificate = bytes.Clone(e.Certificate)
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Revoked gives what has been revoked so far. Its only error is that of ctx.
func (l *Ledger) Revoked(ctx context.Context) (ca.Revoked, error) {
	var revoked ca.Revoked
	if err := ctx.Err(); err != nil {
		return revoked, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.revoked {
		revoked.Add(e)
	}
	return revoked, nil
}
