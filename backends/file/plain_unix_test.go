//go:build unix

package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// A set of one file is replaced at once: a reader never finds half of one, an
// older one than before, or none.
func TestReaderOfOnePlainFile(t *testing.T) { readOnePlainFile(t, 100) }

func readOnePlainFile(t *testing.T, saves int) {
	t.Helper()
	s := newPlace(t)
	content := func(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%04d\n", n), 700) }
	one := func(n int) issue.Set {
		return issue.Set{Files: issue.Files{"combined.pem": {Data: content(n), Secret: true}}, Swap: issue.SwapFiles}
	}
	v := mustSave(t, s, one(0), "")
	var stop atomic.Bool
	var all sync.WaitGroup
	reads := 0
	all.Go(func() {
		for last := 0; !stop.Load(); reads++ {
			data, err := os.ReadFile(filepath.Join(s.path, "combined.pem"))
			n := -1
			_, _ = fmt.Sscanf(string(data), "%d", &n)
			if err != nil || n < last || !bytes.Equal(data, content(n)) {
				t.Errorf("after set %d: %d bytes of set %d, %v", last, len(data), n, err)
				return
			}
			last = n
		}
	})
	for n := range saves {
		v = mustSave(t, s, one(n+1), v)
	}
	stop.Store(true)
	all.Wait()
	if reads < saves/10 {
		t.Errorf("%d reads beside %d saves prove little", reads, saves)
	}
}

func wantPlain(t *testing.T, s *Store, text string, mode fs.FileMode) {
	t.Helper()
	wantText(t, s, text)
	for name, want := range map[string]string{"tls.crt": "chain " + text, "tls.key": "key " + text} {
		path := filepath.Join(s.path, name)
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			t.Fatalf("%s: %v, %v", name, info, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != want {
			t.Errorf("%s reads %q, %v; want %q", name, data, err, want)
		}
		expected := mode
		if name == "tls.crt" {
			expected = publicMode
		}
		if info.Mode().Perm() != expected {
			t.Errorf("%s has mode %04o, want %04o", name, info.Mode().Perm(), expected)
		}
	}
	if left := append(namesWith(t, s, dataLink+"."), namesWith(t, s, probePrefix)...); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// The process died between two renames, at each of them: what is loaded is the set
// that was committed, the audit names what is not there yet, and saving it again
// finishes.
func TestUnfinishedPlainFiles(t *testing.T) {
	names := inOrder(small("").Files)
	if !slices.Equal(names, []string{"tls.crt", "tls.key"}) {
		t.Fatalf("the files are replaced in the order %q", names)
	}
	for done := range names {
		s := newPlace(t)
		v := mustSave(t, s, plain("old"), "")
		wantPlain(t, s, "old", 0o600)
		v = mustSave(t, s, plain("new"), v)
		wantPlain(t, s, "new", 0o600)
		var want []string
		for _, name := range names[done:] {
			write(t, filepath.Join(s.path, name), small("old").Files[name].Data)
			want = append(want, name+" is still that of an earlier set")
		}
		write(t, filepath.Join(s.path, dataLink+".0123456789abcdef"), []byte("key new")) // a copy that was ready
		wantText(t, s, "new")
		if found, err := s.Audit(t.Context(), plain("new")); err != nil || !slices.Equal(found, want) {
			t.Errorf("after %d renames: audit found %q, %v; want %q", done, found, err, want)
		}
		if err := s.Prepare(t.Context(), plain("new")); err != nil {
			t.Errorf("prepare: %v", err)
		}
		mustSave(t, s, plain("new"), v)
		wantPlain(t, s, "new", 0o600)
		if found, err := s.Audit(t.Context(), plain("new")); err != nil || len(found) > 0 {
			t.Errorf("audit found %q, %v", found, err)
		}
	}
}

// A doomed key that an unfinished save has left under its name goes too.
func TestPurgeFinishesPlainFiles(t *testing.T) {
	s := newPlace(t)
	v := mustSave(t, s, plain("old"), "")
	mustSave(t, s, plain("new"), v)
	write(t, filepath.Join(s.path, "tls.key"), []byte("key old"))
	if n, err := s.Purge(t.Context(), func(f issue.Files) bool { return string(f["tls.crt"].Data) == "chain old" }); n != 1 || err != nil {
		t.Errorf("purge: %d, %v", n, err)
	}
	wantPlain(t, s, "new", 0o600)
	for path, said := range readTree(t, s.path) {
		if strings.Contains(said, "key old") {
			t.Errorf("%s still holds the doomed key", path)
		}
	}
}

// Files that were there before are kept aside, and names that the set has no more
// go with it, unless somebody has changed them.
func TestPlainFilesOfOthers(t *testing.T) {
	s, _ := newStrange(t)
	write(t, filepath.Join(s.path, "tls.key"), []byte("theirs"))
	if _, err := s.Save(t.Context(), plain("x"), ""); !errors.Is(err, issue.ErrForeign) {
		t.Errorf("error %v, want issue.ErrForeign", err)
	}
	set := plain("x")
	set.Replace = true
	set.Files["ca.crt"] = issue.File{Data: []byte("roots")}
	set.Files["more.crt"] = issue.File{Data: []byte("more")}
	v := mustSave(t, s, set, "")
	wantPlain(t, s, "x", 0o600)
	if kept, err := os.ReadFile(filepath.Join(s.path, keptName, "tls.key")); err != nil || string(kept) != "theirs" {
		t.Errorf("kept aside: %q, %v", kept, err)
	}
	write(t, filepath.Join(s.path, "more.crt"), []byte("changed"))
	mustSave(t, s, plain("y"), v)
	wantPlain(t, s, "y", 0o600)
	if _, err := os.Lstat(filepath.Join(s.path, "ca.crt")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ca.crt, which the set has no more: %v", err)
	}
	for name, want := range map[string]string{"more.crt": "changed", "unrelated.txt": "keep me"} {
		if got, err := os.ReadFile(filepath.Join(s.path, name)); err != nil || string(got) != want {
			t.Errorf("%s reads %q, %v", name, got, err)
		}
	}
}

// Going from one way to the other and back shows whole sets to a reader that
// resolves the directory, and to one that opens the names under links.
func TestSwapChangesWithoutAGap(t *testing.T) {
	sets := pairs(t, 4)
	s := newPlace(t)
	v := mustSave(t, s, sets[0], "")
	readBeside(t, s.path, func(wait func()) {
		for n := range 60 {
			set := sets[n%len(sets)]
			set.Swap = []string{issue.SwapFiles, issue.SwapDirectory, issue.SwapDirectory}[n%3]
			set.Mode = []fs.FileMode{0o640, 0o600}[n%2]
			v = mustSave(t, s, set, v)
			if found, err := s.Audit(t.Context(), set); err != nil || len(found) > 0 {
				t.Errorf("audit found %q, %v", found, err)
			}
			wait()
		}
	})
}
