//go:build unix

package file

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// withUmask has a test run under a umask. It is the whole process's: such tests
// do not run in parallel.
func withUmask(t *testing.T, mask int) {
	t.Helper()
	old := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(old) })
}

// watcher looks at every secret file of a place as soon as it can be seen.
type watcher struct {
	place string
	judge func(info fs.FileInfo) string // what is wrong with it, or ""
	seen  int
	wrong map[string]bool
}

func (w *watcher) look() {
	gens, err := os.ReadDir(w.place)
	if err != nil {
		return
	}
	for _, gen := range gens {
		if !strings.HasPrefix(gen.Name(), genPrefix) {
			continue
		}
		info, err := os.Lstat(filepath.Join(w.place, gen.Name(), "tls.key"))
		if err != nil {
			continue
		}
		w.seen++
		if why := w.judge(info); why != "" {
			w.wrong[why] = true
		}
	}
}

// watch has a watcher look while save is at work.
func watch(t *testing.T, place string, judge func(fs.FileInfo) string, save func()) {
	t.Helper()
	w := &watcher{place: place, judge: judge, wrong: map[string]bool{}}
	var stop atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		for !stop.Load() {
			w.look()
		}
		w.look()
	})
	save()
	stop.Store(true)
	all.Wait()
	if w.seen == 0 {
		t.Error("no key was ever seen")
	}
	for why := range w.wrong {
		t.Error(why)
	}
}

func TestKeyIsSecretFromItsFirstByte(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			s := newPlace(t)
			withUmask(t, mask)
			judge := func(info fs.FileInfo) string {
				if perm := info.Mode().Perm(); perm&^0o600 != 0 {
					return fmt.Sprintf("the key was seen with mode %04o and %d bytes", perm, info.Size())
				}
				return ""
			}
			watch(t, s.path, judge, func() {
				var v issue.Version
				for n := range 40 {
					v = mustSave(t, s, small(fmt.Sprint(n)), v)
				}
			})
			wantModes(t, s, 0o600)
		})
	}
}

// A group that may read the key is set before the mode that lets it.
func TestWiderModeComesLast(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files away")
	}
	const group = 65533
	s := newPlace(t)
	withUmask(t, 0)
	judge := func(info fs.FileInfo) string {
		perm, owner := info.Mode().Perm(), info.Sys().(*syscall.Stat_t)
		if perm&^0o640 != 0 || perm&0o040 != 0 && owner.Gid != group {
			return fmt.Sprintf("the key was seen with mode %04o, owner %d and group %d", perm, owner.Uid, owner.Gid)
		}
		return ""
	}
	watch(t, s.path, judge, func() {
		var v issue.Version
		for n := range 40 {
			set := small(fmt.Sprint(n))
			set.Owner, set.Group, set.Mode = "65534", fmt.Sprint(group), 0o640
			v = mustSave(t, s, set, v)
		}
	})
	wantModes(t, s, 0o640)
}

// wantModes looks at all of a place, whatever the umask was.
func wantModes(t *testing.T, s *Store, key fs.FileMode) {
	t.Helper()
	gen := filepath.Join(s.path, dataLink)
	for path, want := range map[string]fs.FileMode{
		gen: dirMode, filepath.Join(gen, "tls.crt"): publicMode, filepath.Join(gen, factsName): publicMode, filepath.Join(gen, "tls.key"): key,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
	}
}

func TestInitModes(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			withUmask(t, mask)
			d := newDirectory(t)
			for path, want := range map[string]fs.FileMode{
				keysDir: 0o700, caDir: 0o755, logDir: 0o755, cacheDir: 0o755, settingsName: 0o644,
				"keys/root.key": 0o600, "keys/issuing.key": 0o600, "ca/root.crt": 0o644, "ca/issuing.crt": 0o644,
			} {
				info, err := os.Stat(filepath.Join(d.Path(), path))
				if err != nil {
					t.Fatal(err)
				}
				if got := info.Mode().Perm(); got != want {
					t.Errorf("%s has mode %04o, want %04o", path, got, want)
				}
			}
		})
	}
}

func TestOwnersThatAreNot(t *testing.T) {
	s := newPlace(t)
	for _, set := range []issue.Set{{Owner: "no-such-user"}, {Group: "no-such-group"}, {Owner: "-7"}, {Owner: "root\nx"}, {Group: "99999999999999999999"}} {
		set.Files = small("x").Files
		for what, try := range map[string]func() error{
			"save":    func() error { _, err := s.Save(t.Context(), set, ""); return err },
			"prepare": func() error { return s.Prepare(t.Context(), set) },
		} {
			if err := try(); err == nil {
				t.Errorf("%s for owner %q and group %q went well", what, set.Owner, set.Group)
			}
		}
	}
	if _, err := os.Stat(s.path); err == nil {
		t.Error("a directory was made for it")
	}
}

func TestOwnersByName(t *testing.T) {
	for name, want := range map[string]owner{"": {-1, -1}, "root": {0, 0}, "0": {0, 0}, "1234": {1234, 1234}} {
		if name == "root" && !fileHas("/etc/group", "root:") {
			continue // some systems call it otherwise
		}
		if got, err := lookupOwner(name, name); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", name, got, err, want)
		}
	}
}

func fileHas(path, line string) bool {
	data, err := os.ReadFile(path)
	return err == nil && strings.HasPrefix(string(data), line)
}
