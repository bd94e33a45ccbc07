//go:build unix

package file

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshpki/meshpki/issue"
)

// reader loads the pair of a place again and again, as a server would that
// resolves ..data once for each load.
type reader struct {
	place    string
	finished atomic.Int64 // loads that came to their end
	stop     atomic.Bool
}

// run goes on until it is told to stop; nothing at all is right only while the
// place has no set.
func (r *reader) run() error {
	seen := false
	for !r.stop.Load() {
		gen, err := os.Readlink(filepath.Join(r.place, dataLink))
		switch {
		case err == nil:
			seen = true
			load := loadByPath
			if r.finished.Load()%2 == 1 {
				load = loadByHandle
			}
			if err := load(filepath.Join(r.place, gen)); err != nil {
				return fmt.Errorf("after %d loads, %s: %w", r.finished.Load(), gen, err)
			}
		case !errors.Is(err, fs.ErrNotExist) || seen:
			return err
		}
		r.finished.Add(1)
	}
	if !seen {
		return errors.New("no set was ever seen")
	}
	return nil
}

func loadByPath(dir string) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return err
	}
	roots, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	return sameSet(pair, roots)
}

// loadByHandle keeps the directory open over all three files.
func loadByHandle(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var files [3][]byte
	for i, name := range []string{"tls.key", "tls.crt", "ca.crt"} {
		if files[i], err = root.ReadFile(name); err != nil {
			return err
		}
	}
	pair, err := tls.X509KeyPair(files[1], files[0])
	if err != nil {
		return err
	}
	return sameSet(pair, files[2])
}

func sameSet(pair tls.Certificate, roots []byte) error {
	block, _ := pem.Decode(roots)
	if block == nil || !bytes.Equal(block.Bytes, pair.Certificate[0]) {
		return errors.New("the roots are of another set than the pair")
	}
	return nil
}

// readBeside has a reader run while write is at work. write is given a function
// that waits until the reader has finished a load: so it is never two sets behind,
// which is all that a place promises.
func readBeside(t *testing.T, place string, write func(wait func())) {
	t.Helper()
	r := &reader{place: place}
	var failed error
	var all sync.WaitGroup
	all.Go(func() {
		failed = r.run()
		r.stop.Store(true)
	})
	write(func() {
		for now := r.finished.Load(); r.finished.Load() == now && !r.stop.Load(); {
			time.Sleep(100 * time.Microsecond)
		}
	})
	r.stop.Store(true)
	all.Wait()
	if failed != nil {
		t.Error(failed)
	}
}

func TestReaderBesideSaves(t *testing.T) { readDirectory(t, 300) }

func readDirectory(t *testing.T, saves int) {
	t.Helper()
	sets := pairs(t, 7)
	s := newPlace(t)
	v := mustSave(t, s, sets[0], "")
	readBeside(t, s.path, func(wait func()) {
		for n := range saves {
			v = mustSave(t, s, sets[n%len(sets)], v)
			wait()
		}
	})
}

func TestReaderBesideFirstSave(t *testing.T) {
	sets := pairs(t, 1)
	for range 40 {
		s := newPlace(t)
		readBeside(t, s.path, func(wait func()) {
			wait()
			mustSave(t, s, sets[0], "")
			wait()
			wait()
		})
		if t.Failed() {
			return
		}
	}
}

// A reader that opens one name after the other sees all of the first set once it
// has seen any of it.
func TestFirstSaveShowsAllNames(t *testing.T) {
	set := pairs(t, 1)[0]
	for range 40 {
		s := newPlace(t)
		var stop atomic.Bool
		var all sync.WaitGroup
		all.Go(func() {
			for !stop.Load() {
				if _, err := os.ReadFile(filepath.Join(s.path, "ca.crt")); err != nil {
					continue
				}
				for _, name := range set.Files.Names() {
					if _, err := os.ReadFile(filepath.Join(s.path, name)); err != nil {
						t.Errorf("ca.crt is there and %s is not: %v", name, err)
					}
				}
			}
		})
		mustSave(t, s, set, "")
		stop.Store(true)
		all.Wait()
	}
}

func generations(t *testing.T, s *Store) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.path, genPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

func TestPreviousGenerationIsKept(t *testing.T) {
	s := newPlace(t)
	var v, before issue.Version
	for n := range 5 {
		set := small(fmt.Sprint(n))
		set.Files[fmt.Sprintf("only-%d", n)] = issue.File{Data: []byte("x")}
		before, v = v, mustSave(t, s, set, v)
		if !strings.HasPrefix(string(v), fmt.Sprintf("%s%d-", genPrefix, n+1)) {
			t.Errorf("save %d made generation %s", n+1, v)
		}
		if got, want := len(generations(t, s)), min(n+1, 2); got != want {
			t.Errorf("%d generations are kept after %d saves, want %d", got, n+1, want)
		}
		if n == 0 {
			continue
		}
		old := filepath.Join(s.path, string(before))
		for name, want := range map[string]string{"tls.key": fmt.Sprint("key ", n-1), fmt.Sprintf("only-%d", n-1): "x"} {
			if got, err := os.ReadFile(filepath.Join(old, name)); err != nil || string(got) != want {
				t.Errorf("the previous generation's %s: %q, %v", name, got, err)
			}
		}
		if _, err := os.Lstat(filepath.Join(s.path, fmt.Sprintf("only-%d", n-1))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the link of a name that the set has no more: %v", err)
		}
	}
}

// What a process left that was killed anywhere in a save is cleared away by the
// next one, and never seen.
func TestLeftoversAreCleared(t *testing.T) {
	s := newPlace(t)
	v := mustSave(t, s, small("old"), "")
	half := filepath.Join(s.path, genPrefix+"2-0123456789abcdef")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{filepath.Join(half, "tls.key"): "half a k", filepath.Join(s.path, probePrefix+"123"): ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		dataLink + ".00ff00ff00ff00ff": filepath.Base(half),                  // killed before the rename
		"extra.crt":                    filepath.Join(dataLink, "extra.crt"), // made for a set that never came
	} {
		if err := os.Symlink(target, filepath.Join(s.path, link)); err != nil {
			t.Fatal(err)
		}
	}
	wantText(t, s, "old")
	if _, err := os.ReadFile(filepath.Join(s.path, "extra.crt")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to a file that no set has: %v", err)
	}
	v = mustSave(t, s, small("new"), v)
	wantText(t, s, "new")
	want := map[string]bool{dataLink: true, "tls.crt": true, "tls.key": true, string(v): true}
	for _, gen := range generations(t, s) {
		want[gen] = true
	}
	names, err := os.ReadDir(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if !want[n.Name()] {
			t.Errorf("%s is left", n.Name())
		}
	}
	if len(generations(t, s)) != 2 {
		t.Errorf("generations %q are kept, want the present and the previous one", generations(t, s))
	}
}
