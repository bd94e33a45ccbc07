package durable

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Locks are locks by name, of which nothing stays on the disk where the system can lock
// a part of a file: the part that a name has is its own, in one of a few files. A dead
// process holds none. The zero value is fit for use. Safe for concurrent use.
type Locks struct {
	mu    sync.Mutex
	files map[string]lockFile
	held  map[part]bool // by this process: to the system all of it is one holder
}

type lockFile struct {
	*os.File
	info Info
}

// part is what a name has of a file.
type part struct {
	file string
	at   int64
}

// partOf says which part a name has, in which file of a directory. Two names that share
// one, which is one in 2^62, would wait for each other.
func partOf(dir, name string) part {
	sum := sha256.Sum256([]byte(name))
	return part{filepath.Join(dir, fmt.Sprintf("%x.lock", sum[0]>>4)), int64(binary.BigEndian.Uint64(sum[1:]) >> 2)}
}

// errReplaced says that a lock's file is not the one of its name any more.
var errReplaced = errors.New("the file was replaced")

// Acquire takes the lock of a name, with files in that directory, which must exist. It
// waits until ctx ends; then the error wraps ErrLocked.
func (l *Locks) Acquire(ctx context.Context, dir, name string) (*Lock, error) {
	p := partOf(dir, name)
	for {
		f, err := l.open(p.file)
		if errors.Is(err, errors.ErrUnsupported) {
			return Acquire(ctx, filepath.Join(dir, name+".lock"))
		}
		if err != nil {
			return nil, err
		}
		lock, err := waitFor(ctx, filepath.Join(dir, name), func() (bool, error) { return l.try(f, p) }, func() error { return nil })
		if !errors.Is(err, errReplaced) {
			if lock != nil {
				lock.release = l.releaser(f, p)
			}
			return lock, err
		}
	}
}

// try takes a part, if nobody has it, and sees that it is of the file that others lock.
func (l *Locks) try(f lockFile, p part) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[p] {
		return false, nil
	}
	ok, err := lockPart(f.File, p.at)
	if !ok || err != nil {
		return false, err
	}
	if is, err := stat(p.file); err != nil || !is.Same(f.info) {
		if l.files[p.file] == f {
			delete(l.files, p.file) // not closed: other parts of it may be held
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = errReplaced
		}
		return false, errors.Join(err, unlockPart(f.File, p.at))
	}
	l.held[p] = true
	return true, nil
}

// releaser gives a part back, once: afterwards it may be another's.
func (l *Locks) releaser(f lockFile, p part) func() error {
	released := false
	return func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if released {
			return os.ErrClosed
		}
		released = true
		delete(l.held, p)
		return unlockPart(f.File, p.at)
	}
}

// open gives a file of locks, which it makes if need be.
func (l *Locks) open(name string) (lockFile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, open := l.files[name]; open {
		return f, nil
	}
	if !partsWork {
		return lockFile{}, errors.ErrUnsupported
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return lockFile{}, err
	}
	f := lockFile{File: file}
	if err = knowsParts(file); err == nil {
		f.info, err = stat(name)
	}
	if err != nil {
		return lockFile{}, errors.Join(err, file.Close())
	}
	if l.files == nil {
		l.files, l.held = map[string]lockFile{}, map[part]bool{}
	}
	l.files[name] = f
	return f, nil
}
