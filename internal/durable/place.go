package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// Owner is whose a directory may be besides root's, by number.
type Owner struct{ UID, GID int }

// Numbers of an Owner that stand for no number.
const (
	// None is no one: what is not root's alone is refused.
	None = -1
	// Any is whoever a path meets first; from there on it has to be theirs or root's.
	Any = -2
)

// UntrustedError says that others can change what a path leads to. It is
// fs.ErrPermission.
type UntrustedError struct {
	Path    string // the culprit: the file, or a directory over it
	Problem string
}

func (e *UntrustedError) Error() string {
	return fmt.Sprintf("%s %s: root uses only what no one else can change", e.Path, e.Problem)
}

// Is makes it a refusal.
func (e *UntrustedError) Is(target error) bool { return target == fs.ErrPermission }

// OpenRoot opens a directory as a handle. For a process of root's, others must not
// be able to change what the path leads to: each component is root's, and no one
// else may write it; a directory that everybody may write and whose entries only
// their owners move, such as /tmp, counts as long as the next component does. From
// the first directory that is owner's, which only they may write, all that
// follows is in their hands: it has to be theirs or root's, and no link is
// followed. What is not so is an *UntrustedError.
func OpenRoot(path string, owner Owner) (*Dir, error) { return openTrusted(path, owner, false) }

// OpenAbove opens the nearest directory over a path that is there, as OpenRoot
// does, but for one that everybody may write: what is made in such a one cannot be
// moved by others. It gives the names that are missing below it, from there on.
func OpenAbove(path string, owner Owner) (root *Dir, missing []string, err error) {
	for dir := filepath.Clean(path); ; {
		up := filepath.Dir(dir)
		missing = append(missing, filepath.Base(dir))
		root, err = openTrusted(up, owner, true)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || up == dir {
			slices.Reverse(missing)
			return root, missing, err
		}
		dir = up
	}
}

// Made are directories that MakeRoot had to make, to be settled by Sync or Undo,
// and closed. The zero value is none.
type Made struct {
	all   []made
	fresh bool // the last one is of our making
}

type made struct {
	parent *Dir
	name   string
	kept   bool // the parent is another's to close
}

// MakeRoot is OpenRoot on a directory that it makes, with its missing parents and
// with that mode whatever the umask, if it is not there.
func MakeRoot(path string, mode fs.FileMode, owner Owner) (*Dir, *Made, error) {
	m := &Made{}
	root, err := OpenRoot(path, owner)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, m, err
	}
	root, missing, err := OpenAbove(path, owner)
	if err != nil {
		return nil, m, err
	}
	for _, name := range missing {
		if root, err = m.make(root, name, mode); err != nil {
			return nil, m, errors.Join(err, m.Undo())
		}
	}
	return root, m, nil
}

// make makes a directory in a parent, which it takes care of from then on.
func (m *Made) make(parent *Dir, name string, mode fs.FileMode) (*Dir, error) {
	root, err := parent.Mkdir(name, mode)
	switch {
	case err == nil:
		m.all, m.fresh = append(m.all, made{parent: parent, name: name}), true
		return root, nil
	case !errors.Is(err, fs.ErrExist):
		return nil, errors.Join(err, parent.Close())
	}
	m.fresh = false
	defer parent.Close()
	// Made by another in the meantime.
	if root, err = parent.Open(name); err != nil {
		if info, err := parent.Lstat(name); err == nil && info.Mode&fs.ModeSymlink != 0 {
			return nil, &fs.PathError{Op: "mkdir", Path: filepath.Join(parent.Name(), name), Err: errors.New("there is a link of that name, and no directory")}
		}
		return nil, err
	}
	if err := root.settle(0); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// New tells whether the directory itself was made: there was nothing in it.
func (m *Made) New() bool { return m.fresh }

// Sync makes the new directories durable under their names.
func (m *Made) Sync() error {
	var errs []error
	for _, d := range m.all {
		errs = append(errs, d.parent.Sync())
	}
	return errors.Join(errs...)
}

// Undo takes away those of the new directories that are empty.
func (m *Made) Undo() error {
	for _, d := range slices.Backward(m.all) {
		if err := d.parent.Remove(d.name); err != nil {
			break // somebody else has put something there
		}
	}
	return m.Close()
}

// Close lets go of the parents.
func (m *Made) Close() error {
	var errs []error
	for _, d := range m.all {
		if !d.kept {
			errs = append(errs, d.parent.Close())
		}
	}
	m.all = nil
	return errors.Join(errs...)
}
