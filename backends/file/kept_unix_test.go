//go:build unix

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meshpki/meshpki/issue"
)

// namesWith lists what a place has under a prefix.
func namesWith(t *testing.T, s *Store, prefix string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.path, prefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Of many generations the newest are whole, ten have no keys any more, and the
// rest is gone.
func TestOldGenerationsLoseTheirKeys(t *testing.T) {
	s := newPlace(t)
	var v issue.Version
	for n := range 20 {
		set := small(fmt.Sprint(n))
		set.Whole = 3
		v = mustSave(t, s, set, v)
	}
	if got := len(generations(t, s)); got != 4 {
		t.Errorf("%d generations are whole, want the present one and 3", got)
	}
	old := namesWith(t, s, oldPrefix)
	if len(old) != mostStripped {
		t.Errorf("%d are kept without keys, want %d", len(old), mostStripped)
	}
	for _, dir := range old {
		names, err := os.ReadDir(dir)
		if err != nil || len(names) != 2 || names[0].Name() != factsName || names[1].Name() != "tls.crt" {
			t.Errorf("%s holds %v, %v", dir, names, err)
		}
		if n := number(filepath.Base(dir)); n < 7 || n > 16 {
			t.Errorf("%s is kept, want 7 to 16", dir)
		}
	}
	// Fewer are wanted: the keys of the others go.
	mustSave(t, s, small("last"), v)
	if got := len(generations(t, s)); got != 2 {
		t.Errorf("%d generations are whole, want 2", got)
	}
	if old := namesWith(t, s, oldPrefix); len(old) != mostStripped || number(filepath.Base(old[0])) < 10 {
		t.Errorf("kept without keys: %q", old)
	}
}

// What an early version has left is read, kept and stripped like any other.
func TestGenerationsWithoutAList(t *testing.T) {
	s := newPlace(t)
	v := mustSave(t, s, small("old"), "")
	path := filepath.Join(s.path, string(v), factsName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	early := strings.Replace(string(data), `"files"`, `"unknown"`, 1)
	write(t, path, []byte(early))
	wantText(t, s, "old")
	mustSave(t, s, small("new"), v)
	if set, _, err := s.Previous(t.Context()); err != nil || set.Facts["text"] != "old" || len(set.Files) != 2 {
		t.Errorf("previous: %q, %v", set.Files.Names(), err)
	}
	if n, err := s.Purge(t.Context(), func(issue.Files) bool { return true }); n != 1 || err != nil {
		t.Errorf("purge: %d, %v", n, err)
	}
	if set, _, err := s.Previous(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("previous, without its key: %q, %v", set.Files.Names(), err)
	}
}

// A file that somebody has taken away is missing in what is loaded, and named; the
// generation is not whole any more.
func TestMissingFile(t *testing.T) {
	for _, name := range []string{"tls.crt", "tls.key"} {
		s := newPlace(t)
		v := mustSave(t, s, small("old"), "")
		if err := os.Remove(filepath.Join(s.path, string(v), name)); err != nil {
			t.Fatal(err)
		}
		set, at, err := s.Load(t.Context())
		if _, there := set.Files[name]; there || err != nil || at != v || len(set.Files) != 1 {
			t.Errorf("without %s: files %q, version %q, %v", name, set.Files.Names(), at, err)
		}
		if found, err := s.Audit(t.Context(), issue.Set{}); err != nil || len(found) != 1 || found[0] != name+" is missing" {
			t.Errorf("audit: %q, %v", found, err)
		}
		mustSave(t, s, small("new"), v)
		if _, _, err := s.Previous(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("previous: error %v", err)
		}
	}
}

// Pipes, directories and files without end under our names are damage, not a wait.
func TestWhatIsNoFile(t *testing.T) {
	for what, put := range map[string]func(path string) error{
		"a pipe":              func(path string) error { return unix.Mkfifo(path, 0o644) },
		"a directory":         func(path string) error { return os.Mkdir(path, 0o755) },
		"a file too large":    func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) },
		"a link to the pipe":  func(path string) error { return os.Symlink("../pipe", path) },
		"a link out of there": func(path string) error { return os.Symlink("/etc/passwd", path) },
	} {
		for _, name := range []string{"tls.key", factsName, ""} {
			s := newPlace(t)
			v := mustSave(t, s, small("old"), "")
			if err := unix.Mkfifo(filepath.Join(s.path, "pipe"), 0o644); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(s.path, string(v), name)
			if err := errors.Join(os.RemoveAll(path), put(path)); err != nil {
				t.Fatal(err)
			}
			if _, at, err := s.Load(t.Context()); err == nil || errors.Is(err, fs.ErrNotExist) || at != v {
				t.Errorf("%s for %q: version %q, %v", what, name, at, err)
			}
			mustSave(t, s, small("new"), v)
			wantText(t, s, "new")
		}
	}
}

// Audit names exactly what has drifted.
func TestAuditNamesWhatDrifted(t *testing.T) {
	s := newPlace(t)
	set := small("x")
	v := mustSave(t, s, set, "")
	gen := filepath.Join(s.path, string(v))
	for _, c := range []struct {
		drift func() error
		want  string
	}{
		{func() error { return os.Chmod(filepath.Join(gen, "tls.key"), 0o644) }, "tls.key has mode 0644 and should have 0600"},
		{func() error { return os.Chmod(filepath.Join(gen, "tls.crt"), 0o600) }, "tls.crt has mode 0600 and should have 0644"},
		{func() error { return os.Chmod(gen, 0o700) }, "the directory of the set has mode 0700 and should have 0755"},
		{func() error { return os.Remove(filepath.Join(s.path, "tls.key")) }, "tls.key is missing"},
		{func() error {
			return errors.Join(os.Remove(filepath.Join(s.path, "tls.key")), os.WriteFile(filepath.Join(s.path, "tls.key"), []byte("x"), 0o600))
		}, "tls.key is no link to the set: somebody has replaced it"},
		{func() error {
			return errors.Join(os.Remove(filepath.Join(s.path, "tls.key")), os.WriteFile(filepath.Join(s.path, "tls.key"), set.Files["tls.key"].Data, 0o600))
		}, "tls.key is a file and should be a link"},
	} {
		if err := c.drift(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []issue.Set{set, {}} {
			if found, err := s.Audit(t.Context(), want); err != nil || len(found) != 1 || found[0] != c.want {
				t.Errorf("audit found %q, %v; want %q", found, err, c.want)
			}
		}
		set.Replace = true
		v = mustSave(t, s, set, v)
		gen = filepath.Join(s.path, string(v))
		if found, err := s.Audit(t.Context(), set); err != nil || len(found) > 0 {
			t.Errorf("audit after it was saved again: %q, %v", found, err)
		}
	}
	if found, err := s.Audit(t.Context(), issue.Set{Swap: issue.SwapFiles}); err != nil || fmt.Sprint(found) != "[tls.crt is a link and should be a file tls.key is a link and should be a file]" {
		t.Errorf("audit for plain files: %q, %v", found, err)
	}
	if _, err := s.Audit(t.Context(), issue.Set{Owner: "no-such-user"}); err == nil {
		t.Error("an owner that does not exist is none to compare with")
	}
}

func TestAuditNamesOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files away")
	}
	s := newPlace(t)
	set := small("x")
	set.Owner, set.Group = "4242", "4243"
	v := mustSave(t, s, set, "")
	if err := os.Chown(filepath.Join(s.path, string(v), "tls.key"), 4244, 4245); err != nil {
		t.Fatal(err)
	}
	found, err := s.Audit(t.Context(), set)
	want := "[tls.key belongs to 4244 and should belong to 4242 tls.key has group 4245 and should have 4243]"
	if err != nil || fmt.Sprint(found) != want {
		t.Errorf("audit found %q, %v; want %s", found, err, want)
	}
}

// A first save that fails leaves no directory behind that it made, and none that
// it did not.
func TestFailedFirstSaveLeavesNothing(t *testing.T) {
	base := t.TempDir()
	if err := os.Mkdir(filepath.Join(base, "there"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := readTree(t, base)
	for _, place := range []string{"there", "new", "new/below/it"} {
		s := NewStore(filepath.Join(base, place))
		if _, err := s.Save(t.Context(), small("x"), "made-up"); !errors.Is(err, issue.ErrChanged) {
			t.Errorf("%s: error %v, want issue.ErrChanged", place, err)
		}
		wantUnchanged(t, base, before)
		if said := runChildren(t, 1, "save without room", s.path)[0]; !strings.Contains(said, "z.crt") {
			t.Errorf("error %q does not name z.crt", said)
		}
		wantUnchanged(t, base, before)
	}
}
