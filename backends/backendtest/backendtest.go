// Package backendtest holds the conformance suites of the seams: what every
// store, every ledger and every authority must do, whatever stands behind it. A
// backend's own tests call them with a factory, and with what that backend claims
// to do besides.
package backendtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// guard runs f n times at once, with the numbers from 0 to n-1, and gives the
// errors in that order. A panic is an error.
func guard(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return errs
}

// cancelled is a context that has ended.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// wantCancelled is for what was called with a context that had ended.
func wantCancelled(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%s with a context that has ended: error %v, want context.Canceled", what, err)
	}
}

// none fails the test with every error there is.
func none(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Errorf("number %d: %v", i, err)
		}
	}
}
