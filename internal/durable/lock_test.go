package durable

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Some tests need other processes: this test binary, run again with one of these
// as its only work.
const roleVariable = "MESHPKI_DURABLE_TEST_ROLE"

// TestOtherProcess is what such a process does; by itself it does nothing.
func TestOtherProcess(t *testing.T) {
	switch os.Getenv(roleVariable) {
	case "full":
		full(t)
	case "hold":
		hold(t)
	case "count":
		count(t, ".")
	}
}

// command prepares another process in that role, in that directory.
func command(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestOtherProcess$", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// again runs another process to its end.
func again(t *testing.T, role, dir string) {
	t.Helper()
	if out, err := command(t, role, dir).CombinedOutput(); err != nil {
		t.Errorf("the other process (%s): %v\n%s", role, err, out)
	}
}

// locks are the ways to take one, each on a file, a part of one, or a directory of its own.
func locks(dir string) map[string]func(context.Context) (*Lock, error) {
	var one Locks
	return map[string]func(context.Context) (*Lock, error){
		"Acquire":       func(ctx context.Context) (*Lock, error) { return Acquire(ctx, filepath.Join(dir, "lock")) },
		"AcquireDir":    func(ctx context.Context) (*Lock, error) { return AcquireDir(ctx, dir) },
		"Locks":         func(ctx context.Context) (*Lock, error) { return one.Acquire(ctx, dir, "one") },
		"other's Locks": func(ctx context.Context) (*Lock, error) { return new(Locks).Acquire(ctx, dir, "others") },
		"AcquireFile": func(ctx context.Context) (*Lock, error) {
			f, err := os.OpenFile(filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				return nil, err
			}
			return AcquireFile(ctx, f)
		},
	}
}

func TestLockExcludes(t *testing.T) {
	for name, acquire := range locks(t.TempDir()) {
		var inside, entered atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 20 {
					lock, err := acquire(t.Context())
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					if n := inside.Add(1); n != 1 {
						t.Errorf("%s: %d holders at once", name, n)
					}
					entered.Add(1)
					inside.Add(-1)
					if err := lock.Release(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
		all.Wait()
		if entered.Load() != 160 {
			t.Errorf("%s: %d of 160 got in", name, entered.Load())
		}
	}
}

func TestLockGivesUp(t *testing.T) {
	for name, acquire := range locks(t.TempDir()) {
		held, err := acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		interrupted := errors.New("interrupted")
		cancelled, cancel := context.WithCancelCause(t.Context())
		cancel(interrupted)
		brief, stop := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer stop()
		for cause, ctx := range map[error]context.Context{interrupted: cancelled, context.DeadlineExceeded: brief} {
			start := time.Now()
			lock, err := acquire(ctx)
			if lock != nil || !errors.Is(err, ErrLocked) || !errors.Is(err, cause) {
				t.Errorf("%s while it is held: %v; want ErrLocked and %v", name, err, cause)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: an error of several lines: %q", name, err)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("%s gave up only after %s", name, d)
			}
		}
		if err := held.Release(); err != nil {
			t.Fatal(err)
		}
		again, err := acquire(t.Context())
		if err != nil {
			t.Errorf("%s after its release: %v", name, err)
			continue
		}
		if err := again.Release(); err != nil {
			t.Error(err)
		}
	}
}

// TestLockIsHandedOn: one that waits gets it once it is free.
func TestLockIsHandedOn(t *testing.T) {
	for name, acquire := range locks(t.TempDir()) {
		held, err := acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var released atomic.Bool
		time.AfterFunc(50*time.Millisecond, func() { released.Store(true); held.Release() })
		lock, err := acquire(t.Context())
		if err != nil || !released.Load() {
			t.Errorf("%s: got it %v while it was held, %v", name, !released.Load(), err)
			continue
		}
		lock.Release()
	}
}

func TestLockFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := Acquire(t.Context(), filepath.Join(dir, "missing", "lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v; want fs.ErrNotExist", err)
	}
	if _, err := AcquireDir(t.Context(), filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v; want fs.ErrNotExist", err)
	}
	name := filepath.Join(dir, "lock")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := Acquire(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if read(t, name) != "content" {
		t.Error("taking a lock changed the file")
	}
	other, err := Acquire(t.Context(), filepath.Join(dir, "other"))
	if err != nil {
		t.Fatalf("a lock of another name: %v", err)
	}
	other.Release()
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	if err := lock.Release(); err == nil {
		t.Error("a lock that is not held is released")
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("the lock's file is gone after its release: %v", err)
	}
}

// hold takes the lock, says so, and keeps it until it is killed or told to end.
func hold(t *testing.T) {
	if _, err := Acquire(t.Context(), "lock"); err != nil {
		t.Fatal(err)
	}
	if _, err := AcquireDir(t.Context(), "."); err != nil {
		t.Fatal(err)
	}
	var mine Locks
	for _, name := range []string{"one", "others"} {
		if _, err := mine.Acquire(t.Context(), ".", name); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	// It ends without releasing anything.
}

// TestLockOfTheDead: another process holds the locks; they are free as soon as it
// is dead, killed or not.
func TestLockOfTheDead(t *testing.T) {
	for _, kill := range []bool{true, false} {
		dir := t.TempDir()
		cmd := command(t, "hold", dir)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "held"; {
		}
		ways := locks(dir)
		delete(ways, "AcquireFile")
		for name, acquire := range ways {
			brief, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if _, err := acquire(brief); !errors.Is(err, ErrLocked) {
				t.Errorf("%s: another process holds it: %v; want ErrLocked", name, err)
			}
			stop()
		}
		if kill {
			err = cmd.Process.Kill()
		} else {
			err = in.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		for name, acquire := range ways {
			soon, stop := context.WithTimeout(t.Context(), time.Minute)
			lock, err := acquire(soon)
			if err != nil {
				t.Errorf("%s: its holder is dead: %v", name, err)
			} else {
				lock.Release()
			}
			stop()
		}
	}
}

// count adds to a number in a file, many times, reading and writing it under the lock:
// first of a file's, and then of a part of one's.
func count(t *testing.T, dir string) {
	name := filepath.Join(dir, "number")
	var parts Locks
	for i := range 40 {
		var lock *Lock
		var err error
		if i < 20 {
			lock, err = Acquire(t.Context(), filepath.Join(dir, "lock"))
		} else {
			name = filepath.Join(dir, "number2")
			lock, err = parts.Acquire(t.Context(), dir, "number")
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strconv.Itoa(n+1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLockBetweenProcesses(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"number", "number2"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("0"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { again(t, "count", dir) })
	}
	count(t, dir)
	all.Wait()
	for _, n := range []string{"number", "number2"} {
		if got := read(t, filepath.Join(dir, n)); got != "100" {
			t.Errorf("five processes counted to %s in %s; want 100", got, n)
		}
	}
}

// Each name has a lock of its own, of many names no file is left for each, and who comes
// after the files were taken away excludes whoever comes then.
func TestLocksByName(t *testing.T) {
	dir := t.TempDir()
	var here, there Locks
	if _, err := here.Acquire(t.Context(), filepath.Join(dir, "missing"), "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v; want fs.ErrNotExist", err)
	}
	for n := range 200 {
		lock, err := here.Acquire(t.Context(), dir, fmt.Sprint(n))
		if err != nil {
			t.Fatalf("the name %d, while others are held: %v", n, err)
		}
		defer lock.Release()
	}
	if got := names(t, dir); partsWork && len(got) > 16 {
		t.Errorf("%d files for 200 locks", len(got))
	}
	first, err := here.Acquire(t.Context(), dir, "first")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Release(); err != nil {
		t.Error(err)
	}
	if err := first.Release(); err == nil {
		t.Error("a lock that is not held is released")
	}
	if !partsWork {
		return
	}
	for _, name := range names(t, dir) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	now, err := here.Acquire(t.Context(), dir, "first")
	if err != nil {
		t.Fatal(err)
	}
	defer now.Release()
	brief, stop := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer stop()
	if _, err := there.Acquire(brief, dir, "first"); !errors.Is(err, ErrLocked) {
		t.Errorf("the files were replaced, and it is held: %v; want ErrLocked", err)
	}
}
