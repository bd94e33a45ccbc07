package durable

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// trays are those of one directory that a convoy has.
type trays struct {
	of    *Convoy
	mu    sync.Mutex
	dir   string
	list  []*tray // the last is in use
	begun bool    // there was one
	none  bool    // there is to be none
}

// trays gives those of a directory; nil where there is no convoy, or it cannot wait for
// the disk together.
func (c *Convoy) trays(dir string) *trays {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[dir]
}

// Hold is WriteFile of a file that is to be in a directory for a moment only, and that is
// not there: its maker drops it, or has it Kept, before another could look for it. When it
// returns, what is held would survive a crash. false says that it is not, and has to be
// written.
func (c *Convoy) Hold(dir, name string, data []byte) (bool, error) {
	s := c.traysFor(dir)
	if s == nil || len(name)+len(data) > traySize/8 {
		return false, nil
	}
	for range 8 {
		t, err := s.now()
		if t == nil || err != nil {
			return false, err
		}
		err = t.hold(name, data)
		if !errors.Is(err, errTrayFull) {
			return err == nil, err
		}
	}
	return false, nil
}

// traysFor is trays, which it makes if need be.
func (c *Convoy) traysFor(dir string) *trays {
	if s := c.trays(dir); s != nil || c == nil {
		return s
	}
	if err := MkdirAll(dir, 0o700); err != nil {
		return nil // writing says why
	}
	in, err := OpenDir(dir)
	if err != nil {
		return nil
	}
	defer in.Close()
	can := c.Join(in) != nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared == nil {
		return nil // it is over
	}
	if c.held[dir] == nil {
		c.held[dir] = &trays{of: c, dir: dir, none: !can}
	}
	return c.held[dir]
}

// now is the tray in use; nil where none is to be.
func (s *trays) now() (*tray, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.none {
		return nil, nil
	}
	if n := len(s.list); n > 0 {
		t := s.list[n-1]
		t.mu.Lock()
		full, failed := t.full, t.failed
		t.mu.Unlock()
		if failed != nil {
			s.none = true
			return nil, nil
		}
		if !full {
			return t, nil
		}
	}
	size := int64(traySize)
	if !s.begun {
		size = trayFirst
	}
	t, err := newTray(s.dir, size)
	if err != nil {
		s.none = true // the files themselves may still be written
		return nil, nil
	}
	t.of = s.of
	s.begun, s.list = true, append(s.list, t)
	return t, nil
}

// Drop takes a file that is held away, without a wait: what a crash brings back was there.
// false says that it is not held.
func (c *Convoy) Drop(dir, name string) (bool, error) {
	s := c.trays(dir)
	if s == nil {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range s.list {
		dropped, err := t.drop(name)
		if !dropped {
			continue
		}
		if t.spent() {
			err = errors.Join(err, t.end())
			s.list = append(s.list[:i:i], s.list[i+1:]...)
		}
		return true, err
	}
	return false, nil
}

// Keep writes a file that is still held under its own name: nobody else looks into a tray
// whose process lives.
func (c *Convoy) Keep(dir, name string, mode fs.FileMode) error {
	s := c.trays(dir)
	if s == nil {
		return nil
	}
	var data []byte
	found := false
	s.mu.Lock()
	for _, t := range s.list {
		if data, found = t.find(name); found {
			break
		}
	}
	s.mu.Unlock()
	if !found {
		return nil
	}
	if err := c.WriteFile(filepath.Join(dir, name), data, mode); err != nil {
		return err
	}
	_, err := c.Drop(dir, name)
	return err
}

// end takes the trays away; what is still held in one keeps it there, for Recover.
func (s *trays) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.list {
		whole := true
		for _, h := range t.left() {
			if err := WriteFile(filepath.Join(s.dir, h.name), h.data, trayMode); err != nil {
				whole = false
			}
		}
		if whole {
			_ = t.end() // one that stays has nothing in it that is not in its place
		} else {
			_ = t.file.Close()
		}
	}
	if len(s.list) > 0 {
		_ = os.Remove(filepath.Join(s.dir, trayDir)) // another may have one in it
	}
	s.list, s.none = nil, true
}

// Recover lays out what processes that are dead have held for a directory, under the
// files' own names; what stands there is newer. Whoever comes during that waits for it.
// Trays of processes that live are left alone.
func (c *Convoy) Recover(ctx context.Context, dir string) error {
	in := filepath.Join(dir, trayDir)
	entries, err := os.ReadDir(in)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var others []string
	for _, e := range entries {
		// What is no file is none of ours, and a pipe would be waited for.
		if e.Type().IsRegular() && !c.owns(dir, e.Name()) {
			others = append(others, e.Name())
		}
	}
	if len(others) == 0 {
		return nil
	}
	lock, err := AcquireDir(ctx, in)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	for _, name := range others {
		if err := recoverTray(dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_ = os.Remove(in) // unless a process that lives has one in it
	return nil
}

// owns tells whether a tray is one of this convoy's.
func (c *Convoy) owns(dir, name string) bool {
	s := c.trays(dir)
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.list {
		if filepath.Base(t.path) == strings.TrimPrefix(name, ".new-") {
			return true
		}
	}
	return false
}

// recoverTray is Recover of one tray.
func recoverTray(dir, name string) (err error) {
	path := filepath.Join(dir, trayDir, name)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if free, err := tryLock(f); err != nil || !free {
		return err // its process lives
	}
	if strings.HasPrefix(name, ".new-") {
		return os.Remove(path) // which never was one
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	live, err := parseTray(data)
	if err != nil {
		return damaged(path, err)
	}
	for name, data := range live {
		if name != filepath.Base(name) {
			return damaged(path, errTrayDamaged)
		}
		is := filepath.Join(dir, name)
		if _, err := os.Lstat(is); err == nil {
			continue
		}
		if err := WriteFile(is, data, trayMode); err != nil {
			return err
		}
	}
	return os.Remove(path)
}
