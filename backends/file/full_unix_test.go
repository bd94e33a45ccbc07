//go:build unix

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// limited is a task for a process whose files may not grow beyond n bytes: a write
// that would is done in part, and then fails, as on a full disk. It says the error.
func limited(n uint64, task func(path string) error) func(path string) error {
	return func(path string) error {
		signal.Ignore(syscall.SIGXFSZ)
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		limit.Cur = n
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		err := task(path)
		if !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("error %w, want %w", err, syscall.EFBIG)
		}
		fmt.Println(err)
		return nil
	}
}

var platformTasks = map[string]func(path string) error{
	"attack": attack,
	"save without room": limited(64<<10, func(path string) error {
		s := NewStore(path)
		_, v, err := s.Load(context.Background())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_, err = s.Save(context.Background(), bigSet(), v)
		return err
	}),
	"record without room": limited(32<<10, func(path string) error { return NewLedger(path).Record(context.Background(), bigEntry()) }),
	// The first entry of the ledger does not fit.
	"init without room": limited(300, func(path string) error {
		o := initOptions()
		o.OfflineRoot = path + ".key"
		_, err := Init(context.Background(), path, o)
		return err
	}),
}

func bigSet() issue.Set {
	set := small("big")
	set.Files["z.crt"] = issue.File{Data: make([]byte, 200<<10)}
	return set
}

func bigEntry() ca.Entry {
	e := entry(3)
	e.Certificate = make([]byte, 40<<10)
	return e
}

func TestSaveWithoutRoom(t *testing.T) {
	for name, full := range map[string]bool{"in an empty place": false, "beside a set": true} {
		t.Run(name, func(t *testing.T) {
			s, _ := newStrange(t)
			var v issue.Version
			if full {
				v = mustSave(t, s, small("old"), "")
			}
			before := readTree(t, s.path)
			if said := runChildren(t, 1, "save without room", s.path)[0]; !strings.Contains(said, "z.crt") {
				t.Errorf("error %q does not name z.crt", said)
			}
			wantUnchanged(t, s.path, before)
			mustSave(t, s, bigSet(), v)
			set, _, err := s.Load(t.Context())
			if err != nil || len(set.Files["z.crt"].Data) != 200<<10 {
				t.Errorf("after there was room again: files %q, %v", set.Files.Names(), err)
			}
		})
	}
}

// An entry that could be written in part only is taken back: nothing that was
// recorded before is lost, and nothing stands in the way of the next.
func TestRecordWithoutRoom(t *testing.T) {
	l := newLedger(t)
	record(t, l, 3)
	before := readTree(t, l.path(logDir))
	if said := runChildren(t, 1, "record without room", l.dir)[0]; !strings.Contains(said, "log.journal") {
		t.Errorf("error %q does not name the file", said)
	}
	wantUnchanged(t, l.path(logDir), before)
	if err := l.Record(t.Context(), bigEntry()); err != nil {
		t.Fatal(err)
	}
	wantLedger(t, l, append(entries(3), bigEntry()))
}

func TestInitWithoutRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pki")
	runChildren(t, 1, "init without room", path)
	wantOnlyLock(t, path)
	if _, err := os.Stat(path + ".key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the root's key is left: %v", err)
	}
	if _, err := Init(t.Context(), path, initOptions()); err != nil {
		t.Errorf("after there was room again: %v", err)
	}
}

func TestPlacesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	before := readTree(t, dir)
	for _, path := range []string{file, filepath.Join(file, "below"), filepath.Join(file, "far", "below"), filepath.Join(dir, "loop"),
		filepath.Join(dir, strings.Repeat("n", 300)), filepath.Join(dir, "nul\x00")} {
		s := NewStore(path)
		for what, try := range map[string]func() error{
			"load":    func() error { _, _, err := s.Load(t.Context()); return err },
			"save":    func() error { _, err := s.Save(t.Context(), small("x"), ""); return err },
			"prepare": func() error { return s.Prepare(t.Context(), small("x")) },
		} {
			if err := try(); err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, issue.ErrChanged) {
				t.Errorf("%s at %.40q: error %v", what, path, err)
			}
		}
		if _, err := Init(t.Context(), path, initOptions()); err == nil {
			t.Errorf("init at %.40q went well", path)
		}
		if _, err := Open(path, clock); err == nil {
			t.Errorf("open at %.40q went well", path)
		}
	}
	wantUnchanged(t, dir, before)
}

// A ledger whose directory is gone, or a file, or unreadable, is an error.
func TestLedgerThatIsNone(t *testing.T) {
	dir := t.TempDir()
	l := NewLedger(filepath.Join(dir, "missing"))
	if err := l.Record(t.Context(), entry(0)); err == nil {
		t.Error("an entry was recorded in a directory that is not there")
	}
	l = NewLedger(dir)
	record(t, NewLedger(dir), 1)
	name := l.path(logDir, "checkpoint")
	if err := errors.Join(os.Remove(name), os.Mkdir(name, dirMode)); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(t.Context(), entry(0)); err == nil {
		t.Error("an entry was recorded behind a directory")
	}
	for _, err := range l.Entries(t.Context()) {
		if err == nil {
			t.Error("an entry was read from a directory")
		}
	}
	if _, err := l.Revoked(t.Context()); err == nil {
		t.Error("revocations were read from a directory")
	}
}
