package backendtest_test

import (
	"context"
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/issue"
)

// sticky is a store that cannot be emptied as it should be.
type sticky struct {
	*memory.Store
	ignoreVersion, doesNothing, ignoreContext bool
}

func (s sticky) Remove(ctx context.Context, was issue.Version) ([]string, error) {
	if s.doesNothing {
		return nil, nil
	}
	if s.ignoreContext {
		ctx = context.WithoutCancel(ctx)
	}
	if s.ignoreVersion {
		_, was, _ = s.Load(ctx)
	}
	return s.Store.Remove(ctx, was)
}

func stickyWith(s sticky) func(*testing.T) {
	return func(t *testing.T) {
		backendtest.TestStore(t, func(*testing.T) issue.Store { s.Store = memory.NewStore("sticky"); return s }, backendtest.StoreOptions{})
	}
}
