//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// strangers are what can stand under a set's name, each made at a path. outside is
// a directory that nothing may ever be written to.
var strangers = map[string]func(path, outside string) error{
	"a file":                  func(path, _ string) error { return os.WriteFile(path, []byte("theirs"), 0o640) },
	"an empty file":           func(path, _ string) error { return os.WriteFile(path, nil, 0o600) },
	"a link to a file":        func(path, outside string) error { return os.Symlink(filepath.Join(outside, "victim"), path) },
	"a link to nowhere":       func(path, outside string) error { return os.Symlink(filepath.Join(outside, "new"), path) },
	"a link up":               func(path, _ string) error { return os.Symlink("../outside/victim", path) },
	"a link to a directory":   func(path, outside string) error { return os.Symlink(outside, path) },
	"a link that looks ours":  func(path, _ string) error { return os.Symlink(dataLink+"/other", path) },
	"a link through a prefix": func(path, _ string) error { return os.Symlink("./"+dataLink+"/tls.key", path) },
	"another name of a file":  func(path, outside string) error { return os.Link(filepath.Join(outside, "victim"), path) },
}

// newStrange is a place beside a directory with a file that must never change.
func newStrange(t *testing.T) (s *Store, outside string) {
	t.Helper()
	base := t.TempDir()
	outside = filepath.Join(base, "outside")
	s = NewStore(filepath.Join(base, "tls"))
	for _, dir := range []string{outside, s.path} {
		if err := os.Mkdir(dir, dirMode); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(outside, "victim"), filepath.Join(s.path, "unrelated.txt")} {
		if err := os.WriteFile(path, []byte("keep me"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s, outside
}

func wantForeign(t *testing.T, s *Store, set issue.Set, was issue.Version) {
	t.Helper()
	if _, err := s.Save(t.Context(), set, was); !errors.Is(err, issue.ErrForeign) {
		t.Errorf("save: error %v, want issue.ErrForeign", err)
	}
	if err := s.Prepare(t.Context(), set); !errors.Is(err, issue.ErrForeign) {
		t.Errorf("prepare: error %v, want issue.ErrForeign", err)
	}
}

func TestForeignNames(t *testing.T) {
	for what, put := range strangers {
		for _, full := range []bool{false, true} {
			name := what + " in an empty place"
			if full {
				name = what + " beside a set"
			}
			t.Run(name, func(t *testing.T) {
				s, outside := newStrange(t)
				var v issue.Version
				if full {
					v = mustSave(t, s, issue.Set{Files: issue.Files{"tls.crt": {Data: []byte("old")}}}, "")
				}
				if err := put(filepath.Join(s.path, "tls.key"), outside); err != nil {
					t.Fatal(err)
				}
				before := readTree(t, filepath.Dir(s.path))
				wantForeign(t, s, small("new"), v)
				wantUnchanged(t, filepath.Dir(s.path), before)

				set := small("new")
				set.Replace = true
				if err := s.Prepare(t.Context(), set); err != nil {
					t.Errorf("prepare to replace: %v", err)
				}
				mustSave(t, s, set, v)
				wantText(t, s, "new")
				wantReplaced(t, s, before)
			})
		}
	}
}

// wantReplaced is for a place where tls.key was somebody else's: that is kept
// aside as it was, and nothing else has changed.
func wantReplaced(t *testing.T, s *Store, before tree) {
	t.Helper()
	after := readTree(t, filepath.Dir(s.path))
	if kept, was := after["tls/"+keptName+"/tls.key"], before["tls/tls.key"]; kept != was {
		t.Errorf("kept aside is %q, it was %q", kept, was)
	}
	if key, err := os.ReadFile(filepath.Join(s.path, "tls.key")); err != nil || string(key) != "key new" {
		t.Errorf("tls.key reads %q, %v", key, err)
	}
	for _, path := range []string{"outside", "outside/victim", "tls/unrelated.txt"} {
		if after[path] != before[path] {
			t.Errorf("%s was %q, is %q", path, before[path], after[path])
		}
	}
	if _, there := after["outside/new"]; there {
		t.Error("a link was followed")
	}
}

func TestForeignDirectoryIsNeverReplaced(t *testing.T) {
	s, _ := newStrange(t)
	if err := os.Mkdir(filepath.Join(s.path, "tls.key"), dirMode); err != nil {
		t.Fatal(err)
	}
	before := readTree(t, s.path)
	set := small("new")
	wantForeign(t, s, set, "")
	set.Replace = true
	wantForeign(t, s, set, "")
	wantUnchanged(t, s.path, before)
}

// Replacing twice keeps both of what was there.
func TestReplacedTwice(t *testing.T) {
	s, _ := newStrange(t)
	set := small("ours")
	set.Replace = true
	var v issue.Version
	for _, text := range []string{"first", "second"} {
		path := filepath.Join(s.path, "tls.key")
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		v = mustSave(t, s, set, v)
	}
	kept, err := filepath.Glob(filepath.Join(s.path, keptName, "tls.key*"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("kept aside: %q, %v", kept, err)
	}
	for i, text := range []string{"first", "second"} {
		if got, err := os.ReadFile(kept[i]); err != nil || string(got) != text {
			t.Errorf("%s holds %q, %v; want %q", kept[i], got, err, text)
		}
	}
}

// A save that fails where others' files are kept aside changes nothing at all.
func TestFailedReplacementIsTakenBack(t *testing.T) {
	for name, full := range map[string]bool{"in an empty place": false, "beside a set": true} {
		t.Run(name, func(t *testing.T) {
			s, _ := newStrange(t)
			var v issue.Version
			if full {
				v = mustSave(t, s, issue.Set{Files: issue.Files{"ca.crt": {Data: []byte("old")}}}, "")
			}
			// The second can be kept aside no more: a third name for it would be too long.
			long := strings.Repeat("k", 255)
			for _, name := range []string{"aaa", long} {
				if err := os.WriteFile(filepath.Join(s.path, name), []byte("theirs"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Join(s.path, keptName), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.path, keptName, long), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			before := readTree(t, s.path)
			set := issue.Set{Files: issue.Files{"aaa": {}, "bbb": {}, long: {}}, Replace: true}
			if _, err := s.Save(t.Context(), set, v); err == nil {
				t.Fatal("it was saved")
			}
			wantUnchanged(t, s.path, before)
		})
	}
}

// A place whose ..data is not ours is neither read nor written, and a generation
// that was made a link leads nowhere.
func TestForeignData(t *testing.T) {
	for name, target := range map[string]string{
		"a link out":                 "../outside",
		"an absolute link out":       "OUTSIDE",
		"a link out with our prefix": genPrefix + "1/../../outside",
		"a Kubernetes volume":        "..2026_11_21_21_40_00.123456789",
		"a link into the place":      "sub",
	} {
		t.Run(name, func(t *testing.T) {
			s, outside := newStrange(t)
			if target == "OUTSIDE" {
				target = outside
			}
			if err := os.Symlink(target, filepath.Join(s.path, dataLink)); err != nil {
				t.Fatal(err)
			}
			wantDataRefused(t, s)
		})
	}
	for name, put := range map[string]func(path string) error{
		"a file":      func(path string) error { return os.WriteFile(path, []byte(genPrefix+"1-x"), 0o644) },
		"a directory": func(path string) error { return os.Mkdir(path, dirMode) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newStrange(t)
			if err := put(filepath.Join(s.path, dataLink)); err != nil {
				t.Fatal(err)
			}
			wantDataRefused(t, s)
		})
	}
}

func wantDataRefused(t *testing.T, s *Store) {
	t.Helper()
	before := readTree(t, filepath.Dir(s.path))
	if _, v, err := s.Load(t.Context()); !errors.Is(err, issue.ErrForeign) || v != "" {
		t.Errorf("load: version %q, error %v; want issue.ErrForeign", v, err)
	}
	set := small("new")
	set.Replace = true
	if _, err := s.Save(t.Context(), set, ""); !errors.Is(err, issue.ErrForeign) {
		t.Errorf("save: error %v, want issue.ErrForeign", err)
	}
	wantUnchanged(t, filepath.Dir(s.path), before)
}

// Links inside a generation, put there by somebody who may write in the place, are
// not followed out of it: neither to read nor to write.
func TestLinksOutOfAGeneration(t *testing.T) {
	s, outside := newStrange(t)
	v := mustSave(t, s, small("old"), "")
	gen := filepath.Join(s.path, string(v))
	t.Run("a file", func(t *testing.T) {
		if err := os.Remove(filepath.Join(gen, "tls.key")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(outside, "victim"), filepath.Join(gen, "tls.key")); err != nil {
			t.Fatal(err)
		}
		if set, _, err := s.Load(t.Context()); err == nil {
			t.Errorf("tls.key was read as %q", set.Files["tls.key"].Data)
		} else if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v, which says that nothing is kept", err)
		}
	})
	t.Run("the generation", func(t *testing.T) {
		if err := os.RemoveAll(gen); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, gen); err != nil {
			t.Fatal(err)
		}
		before := readTree(t, outside)
		if set, _, err := s.Load(t.Context()); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("files %q were read, error %v", set.Files.Names(), err)
		}
		// Saving twice makes the link an old generation and takes it away.
		v := mustSave(t, s, small("new"), v)
		v = mustSave(t, s, small("newer"), v)
		mustSave(t, s, small("newest"), v)
		wantUnchanged(t, outside, before)
		wantText(t, s, "newest")
	})
}

// What is damaged is an error that is not fs.ErrNotExist, and its version lets it
// be replaced.
func TestDamagedGeneration(t *testing.T) {
	for name, damage := range map[string]func(gen string) error{
		"gone":           os.RemoveAll,
		"no facts":       func(gen string) error { return os.Remove(filepath.Join(gen, factsName)) },
		"empty facts":    func(gen string) error { return os.Truncate(filepath.Join(gen, factsName), 0) },
		"half the facts": func(gen string) error { return os.Truncate(filepath.Join(gen, factsName), 20) },
		"another's facts": func(gen string) error {
			return os.WriteFile(filepath.Join(gen, factsName), []byte(`{"schema":"x"}`), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPlace(t)
			first := mustSave(t, s, small("old"), "")
			if err := damage(filepath.Join(s.path, string(first))); err != nil {
				t.Fatal(err)
			}
			_, v, err := s.Load(t.Context())
			if err == nil || errors.Is(err, fs.ErrNotExist) || v != first {
				t.Fatalf("version %q, error %v", v, err)
			}
			mustSave(t, s, small("new"), v)
			wantText(t, s, "new")
		})
	}
}
