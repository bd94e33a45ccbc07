//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// What is above places beside each other is judged once; each place itself every time.
func TestBesideEachOther(t *testing.T) {
	up := filepath.Join(t.TempDir(), "up")
	if err := MkdirAll(up, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, end := Together(t.Context())
	defer end()
	c := ConvoyOf(ctx)
	none := Owner{None, None}
	for _, path := range []string{"one", "one/below/it"} {
		if _, err := c.OpenRoot(filepath.Join(up, path), none); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is not there: %v", path, err)
		}
	}
	root, made, err := c.MakeRoot(filepath.Join(up, "one"), 0o755, none)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(up, "one")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if err := errors.Join(made.Sync(), root.Close(), made.Undo()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(up, "one")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("an empty one that was made is not taken away again")
	}
	// The directory above is replaced: what is opened is where the path leads now.
	if err := errors.Join(os.Rename(up, up+".old"), MkdirAll(filepath.Join(up, "two"), 0o755)); err != nil {
		t.Fatal(err)
	}
	root, made, err = c.MakeRoot(filepath.Join(up, "three"), 0o755, none)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(root.Close(), made.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(up, "three")); err != nil {
		t.Errorf("it was made elsewhere: %v", err)
	}
	if os.Geteuid() != 0 {
		return
	}
	for what, spoil := range map[string]func(path string) error{
		"written by all":   func(p string) error { return os.Chmod(p, 0o777) },
		"somebody else's":  func(p string) error { return os.Chown(p, 12345, 12345) },
		"a link to others": func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/var/tmp", p)) },
	} {
		path := filepath.Join(up, what)
		if err := errors.Join(os.Mkdir(path, 0o755), spoil(path)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.OpenRoot(path, none); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", what, err)
		}
		if _, _, err := c.MakeRoot(path, 0o755, none); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s, to be made: %v", what, err)
		}
		below := filepath.Join(path, "new", "one")
		_, alone := OpenRoot(below, none)
		if _, err := c.OpenRoot(below, none); err == nil || err.Error() != alone.Error() {
			t.Errorf("%s, above what is not there: %v, and alone: %v", what, err, alone)
		}
	}
}

// One trial counts for a while for what is on the same file system, not for what its
// modes keep closed, and not once something has failed.
func TestTried(t *testing.T) {
	ctx, end := Together(t.Context())
	defer end()
	c, root := ConvoyOf(ctx), openDir(t, t.TempDir())
	if c.Tried(root) {
		t.Error("nothing has been tried")
	}
	c.Good(root)
	first := c.Tried(root)
	if !first && root.mayWrite() {
		t.Error("a trial does not count")
	}
	below := filepath.Join(root.Name(), "new")
	up, there := c.above(below)
	if !there {
		t.Error("a directory is not seen")
	}
	for _, path := range []string{below, filepath.Join(below, "new")} {
		if c.TriedAbove(path) != (first && up != nil) {
			t.Errorf("a trial does not count for %s, which is yet to be made", path)
		}
	}
	c.Bad()
	if c.Tried(root) || c.TriedAbove(below) {
		t.Error("it counts although something has failed")
	}
	c.Good(root)
	for range mostTried {
		c.Tried(root)
	}
	if c.Tried(root) {
		t.Error("it counts for ever")
	}
	if os.Geteuid() == 0 {
		return
	}
	c.Good(root)
	if err := os.Chmod(root.Name(), 0o500); err != nil {
		t.Fatal(err)
	}
	if c.Tried(root) {
		t.Error("what is closed counts as tried")
	}
}
