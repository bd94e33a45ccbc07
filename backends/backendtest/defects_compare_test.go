package backendtest_test

import (
	"context"
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/issue"
)

// hazy is a store that does not know whether it is as it was.
type hazy struct {
	*memory.Store
	always, never, ignoreVersion, ignoreContext bool
}

func (h hazy) Unchanged(ctx context.Context, was issue.Version) (bool, error) {
	if h.ignoreContext {
		ctx = context.WithoutCancel(ctx)
	}
	same, err := h.Store.Unchanged(ctx, was)
	if h.ignoreVersion { // it has been there once
		_, now, _ := h.Load(ctx)
		return was <= now && (was != "" || now == ""), err
	}
	return (same || h.always) && !h.never, err
}

func (h hazy) Save(ctx context.Context, s issue.Set, was issue.Version) (issue.Version, error) {
	if h.ignoreVersion {
		_, was, _ = h.Load(ctx)
	}
	return h.Store.Save(ctx, s, was)
}

func hazyWith(h hazy) func(*testing.T) {
	return func(t *testing.T) {
		backendtest.TestStore(t, func(*testing.T) issue.Store { h.Store = memory.NewStore("hazy"); return h }, backendtest.StoreOptions{})
	}
}
