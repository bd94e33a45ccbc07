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
type Lock struct{ release func() error }

// Release gives the lock back. Its file stays: taking it away would let two
// holders lock two different files of one name.
func (l *Lock) Release() error { return l.release() }

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

// Acquire is AcquireDir on a directory that is open, and stays so for as long as the
// lock is held. It has one at a time.
func (d *Dir) Acquire(ctx context.Context) (*Lock, error) {
	try, release, err := d.lock()
	if err != nil {
		return nil, err
	}
	return waitFor(ctx, d.path, try, release)
}

// AcquireFile is Acquire on an open file; the lock closes it when released.
func AcquireFile(ctx context.Context, f *os.File) (*Lock, error) { return wait(ctx, f) }

func wait(ctx context.Context, f *os.File) (*Lock, error) {
	return waitFor(ctx, f.Name(), func() (bool, error) { return tryLock(f) }, f.Close)
}

// waitFor polls: a lock that is waited for in the kernel could not be given up when
// ctx ends. Most locks are held for a few milliseconds.
func waitFor(ctx context.Context, name string, try func() (bool, error), release func() error) (*Lock, error) {
	const shortest, longest = 200 * time.Microsecond, 20 * time.Millisecond
	for pause := shortest; ; pause = min(2*pause, longest) {
		ok, err := try()
		switch {
		case ok:
			return &Lock{release}, nil
		case err != nil:
			return nil, errors.Join(fmt.Errorf("lock %s: %w", filepath.Clean(name), err), release())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s: %w (%w)", filepath.Clean(name), ErrLocked, context.Cause(ctx)), release())
		case <-time.After(pause):
		}
	}
}
