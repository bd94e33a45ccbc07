package durable

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Who comes while the disk is waited for waits for the next sync, with all others
// that have come by then.
func TestSharedSyncIsForAllThatWait(t *testing.T) {
	const writers = 50
	begun, goOn := make(chan bool), make(chan bool)
	var syncs atomic.Int32
	s := &Shared{queue: NewQueue[struct{}]()}
	s.sync = func(*os.File) error {
		if syncs.Add(1) == 1 {
			begun <- true
			<-goOn
		}
		return nil
	}
	var all sync.WaitGroup
	wait := func() {
		all.Go(func() {
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	wait()
	<-begun
	for range writers {
		wait()
	}
	for waiting := 0; waiting < writers; {
		waiting = s.queue.Len()
	}
	goOn <- true
	all.Wait()
	if n := syncs.Load(); n != 2 {
		t.Errorf("%d syncs, want one for the first and one for all others", n)
	}
}

// The system tells once that something was lost: everybody learns it, for it may be theirs.
func TestSharedSyncTellsEverybody(t *testing.T) {
	lost := errors.New("lost")
	s := &Shared{queue: NewQueue[struct{}](), sync: func(*os.File) error { return lost }}
	if err := s.Sync(); !errors.Is(err, lost) {
		t.Errorf("the first is told %v", err)
	}
	s.sync = func(*os.File) error { return nil }
	if err := s.Sync(); !errors.Is(err, lost) {
		t.Errorf("the next is told %v", err)
	}
	if !s.broken() {
		t.Error("others would go on sharing")
	}
}

func TestConvoyJoin(t *testing.T) {
	root := openDir(t, t.TempDir())
	if s := ConvoyOf(t.Context()).Join(root); s != nil {
		t.Error("there is a convoy in a context without one")
	}
	ctx, end := Together(t.Context())
	s := ConvoyOf(context.WithoutCancel(ctx)).Join(root)
	if s == nil {
		t.Skip("this file system is not synced as a whole")
	}
	if again := ConvoyOf(ctx).Join(root); again != s {
		t.Error("two directories of one file system do not wait together")
	}
	if err := CreateAll(root, []NewFile{{Name: "key", Data: []byte("k"), Mode: 0o600}}, s); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(root.Name(), "key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	s.sync = func(*os.File) error { return errors.New("lost") }
	if err := CreateAll(root, []NewFile{{Name: "other", Mode: 0o600}}, s); err == nil {
		t.Error("what was lost is told of as written")
	}
	if ConvoyOf(ctx).Join(root) != nil {
		t.Error("a file system that has lost something is shared on")
	}
	end()
	if ConvoyOf(ctx).Join(root) != nil {
		t.Error("a convoy at its end takes others")
	}
}

func TestSyncFiles(t *testing.T) {
	dir := t.TempDir()
	var names []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	for n := range names {
		if err := SyncFiles(names[:n+1]); err != nil {
			t.Errorf("%d files: %v", n+1, err)
		}
	}
	if err := SyncFiles(append(names, filepath.Join(dir, "gone"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
}

// What nobody waits for is waited for at the end, once.
func TestSyncDirLater(t *testing.T) {
	dir := openDir(t, t.TempDir())
	for _, later := range []bool{false, true} {
		ctx, end := Together(t.Context())
		s := ConvoyOf(ctx).Join(dir)
		if s == nil {
			t.Skip("this file system is not synced as a whole")
		}
		syncs := 0
		s.sync = func(*os.File) error { syncs++; return nil }
		for range 3 {
			if !later {
				break
			}
			if err := s.SyncDirLater(dir); err != nil || syncs != 0 {
				t.Errorf("%d syncs, %v", syncs, err)
			}
		}
		end()
		if (syncs == 1) != later {
			t.Errorf("later %t: %d syncs at the end", later, syncs)
		}
	}
	var alone *Shared
	if err := alone.SyncDirLater(dir); err != nil {
		t.Error(err)
	}
}
