package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ErrLocked says that another process, or another part of this one, holds a lock.
var ErrLocked = errors.New("in use by another process")

// Lock is held until it is released, or until its process ends in whatever way:
// a dead process holds nothing.
type Lock struct{ f *os.File }

// Release gives the lock back. Its file stays: taking it away would let two
// holders lock two different files of one name.
func (l *Lock) Release() error { return l.f.Close() }

// Acquire takes the lock file of that name, which it makes if need be, and waits
// for it until ctx ends; then the error wraps ErrLocked. The directory must exist.
func Acquire(ctx context.Context, name string) (*Lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return wait(ctx, f)
}

// AcquireDir is Acquire on the directory itself, without a file of its own in it
// where the platform can lock directories.
func AcquireDir(ctx context.Context, dir string) (*Lock, error) {
	f, err := openDirLock(dir)
	if err != nil {
		return nil, err
	}
	return wait(ctx, f)
}

// AcquireRoot is AcquireDir on a directory that is open.
func AcquireRoot(ctx context.Context, root *os.Root) (*Lock, error) {
	f, err := openRootLock(root)
	if err != nil {
		return nil, err
	}
	return wait(ctx, f)
}

// AcquireFile is Acquire on an open file; the lock closes it when released.
func AcquireFile(ctx context.Context, f *os.File) (*Lock, error) { return wait(ctx, f) }

// wait polls: a lock that is waited for in the kernel could not be given up when
// ctx ends. Most locks are held for a few milliseconds.
func wait(ctx context.Context, f *os.File) (*Lock, error) {
	const shortest, longest = 200 * time.Microsecond, 20 * time.Millisecond
	for pause := shortest; ; pause = min(2*pause, longest) {
		ok, err := tryLock(f)
		switch {
		case ok:
			return &Lock{f}, nil
		case err != nil:
			return nil, errors.Join(fmt.Errorf("lock %s: %w", filepath.Clean(f.Name()), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s: %w (%w)", filepath.Clean(f.Name()), ErrLocked, context.Cause(ctx)), f.Close())
		case <-time.After(pause):
		}
	}
}
