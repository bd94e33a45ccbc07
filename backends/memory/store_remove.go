package memory

import (
	"context"

	"github.com/meshpki/meshpki/issue"
)

var _ issue.Remover = (*Store)(nil)

// Remove empties the place. Nothing in it is anybody else's.
func (s *Store) Remove(ctx context.Context, was issue.Version) (kept []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at() != was {
		return nil, issue.ErrChanged
	}
	s.set, s.kept, s.empty = issue.Set{}, nil, true
	return nil, nil
}
