package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

// Prepare sees whether a set could be saved: the place is a directory or can be
// made one, may be written, and nobody else's files stand under the set's names.
func (s *Store) Prepare(ctx context.Context, set issue.Set) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	owner, err := checkSet(set)
	if err != nil {
		return err
	}
	convoy := durable.ConvoyOf(ctx)
	root, err := convoy.OpenRoot(s.path, owner.trusted())
	if errors.Is(err, fs.ErrNotExist) {
		return s.prepareParent(convoy, owner)
	}
	if err != nil {
		if info, err := os.Stat(s.path); err == nil && !info.IsDir() {
			return fmt.Errorf("is a file: %w", issue.ErrForeign)
		}
		return err
	}
	defer root.Close()
	if err := try(convoy, root); err != nil {
		return err
	}
	_, err = look(root, set)
	return err
}

// prepareParent tries the nearest directory above that is there.
func (s *Store) prepareParent(convoy *durable.Convoy, owner owner) error {
	if convoy.TriedAbove(s.path) {
		return nil
	}
	root, _, err := durable.OpenAbove(s.path, owner.trusted())
	if err != nil {
		return fmt.Errorf("cannot be made: %w", err)
	}
	defer root.Close()
	if err := try(convoy, root); err != nil {
		return fmt.Errorf("cannot be made: %s %w", filepath.Clean(root.Name()), err)
	}
	return nil
}

// try sees whether a directory can be written, unless a trial of another says so.
func try(convoy *durable.Convoy, root *durable.Dir) error {
	if convoy.Tried(root) {
		return nil
	}
	if err := writable(root); err != nil {
		return err
	}
	convoy.Good(root)
	return nil
}

// writable makes a file in the directory and takes it away again.
func writable(root *durable.Dir) error {
	name := probePrefix + durable.Suffix()
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secretMode)
	if err != nil {
		return fmt.Errorf("cannot be written: %w", bare(err))
	}
	_, err = f.Write(make([]byte, 4096)) // a full disk takes a name but no bytes
	if err != nil {
		err = fmt.Errorf("cannot be written: %w", bare(err))
	}
	gone := root.Remove(name)
	if errors.Is(gone, fs.ErrNotExist) {
		gone = nil // a Save took it for a dead process's
	}
	return errors.Join(err, f.Close(), gone)
}

// standing is what stands under a name that a set wants.
type standing int

const (
	nothing standing = iota
	ourLink          // through ..data
	ourCopy          // a plain file of one of our generations
	theirs           // anything else
)

// look says what stands under each name of the set. What is not ours is
// issue.ErrForeign unless it may be replaced; a directory never is.
func look(root *durable.Dir, set issue.Set) (map[string]standing, error) {
	taken := make(map[string]standing, len(set.Files))
	for _, name := range set.Files.Names() {
		is, err := standsAt(root, name)
		if err != nil {
			return nil, err
		}
		if is == theirs {
			info, err := root.Lstat(name)
			if err != nil {
				return nil, err
			}
			if !set.Replace || info.Mode.IsDir() {
				return nil, fmt.Errorf("%s stands there and was %w", name, issue.ErrForeign)
			}
		}
		taken[name] = is
	}
	return taken, nil
}

func standsAt(root *durable.Dir, name string) (standing, error) {
	target, err := root.Readlink(name)
	if err == nil && target == filepath.Join(dataLink, name) {
		return ourLink, nil
	}
	if err == nil {
		return theirs, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nothing, nil
	}
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nothing, nil
	case err != nil:
		return nothing, err
	case info.Mode.IsRegular() && isOurCopy(root, name, info.Size):
		return ourCopy, nil
	}
	return theirs, nil
}

// isOurCopy tells whether a plain file is one of any generation that is there: a
// process may have died between two of its copies.
func isOurCopy(root *durable.Dir, name string, size int64) bool {
	names, err := root.Names()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(names, func(gen string) bool {
		return strings.HasPrefix(gen, genPrefix) && isCopyOf(root, gen, name, size)
	})
}

// isCopyOf tells whether the file of a name is what that generation has of the name.
func isCopyOf(root *durable.Dir, gen, name string, size int64) bool {
	path := gen + "/" + name
	if info, err := root.Lstat(path); err != nil || info.Size != size {
		return false
	}
	ours, err := readFile(root, path, largest)
	if err != nil {
		return false
	}
	theirs, err := readFile(root, name, largest)
	return err == nil && bytes.Equal(ours, theirs)
}
