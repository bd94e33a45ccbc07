//go:build unix

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

// linksWork tells whether a set can be swapped by one rename of a symlink.
const linksWork = true

func readLink(root *os.Root, name string) (string, error) { return root.Readlink(name) }

// steps are what has been done, to be taken back in reverse when the whole fails.
type steps []func() error

func (s *steps) did(undo func() error) { *s = append(*s, undo) }

func (s steps) undo() error {
	var errs []error
	for _, step := range slices.Backward(s) {
		if err := step(); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// publish makes a generation the present one: links for names that are new, which
// lead nowhere yet, then the one rename that shows all files at once, then the
// names that were somebody else's, theirs, each replaced by a rename. What fails is
// taken back, the generation with it.
func publish(root *os.Root, gen, old string, set issue.Set, theirs []string) (err error) {
	var done steps
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cannot be written: %w", bare(err)), done.undo())
		}
	}()
	done.did(func() error { return root.RemoveAll(gen) })
	for _, name := range set.Files.Names() {
		if _, err := root.Lstat(name); err == nil {
			continue // a link of ours, or one of theirs
		}
		if err := root.Symlink(filepath.Join(dataLink, name), name); err != nil {
			return err
		}
		done.did(func() error { return root.Remove(name) })
	}
	ready, err := keepAside(root, theirs, &done)
	if err != nil {
		return err
	}
	if err := swap(root, gen); err != nil {
		return err
	}
	done.did(func() error {
		if old == "" {
			return root.Remove(dataLink)
		}
		return swap(root, old)
	})
	for i, name := range theirs {
		if err := root.Rename(ready[i].link, name); err != nil {
			return err
		}
		done.did(func() error { return root.Rename(ready[i].kept, name) })
	}
	return durable.SyncDir(root, ".")
}

// swap makes a generation the present one with one rename.
func swap(root *os.Root, gen string) error {
	tmp := dataLink + "." + durable.Suffix()
	if err := root.Symlink(gen, tmp); err != nil {
		return err
	}
	if err := root.Rename(tmp, dataLink); err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	return nil
}

// replacement is what is prepared for a name that somebody else's file has.
type replacement struct {
	kept string // a second name for that file
	link string // our link, to be renamed over it
}

// keepAside gives files that are not ours a second name, so that they are kept
// and their first one is never missing, and prepares the links that replace them.
func keepAside(root *os.Root, theirs []string, done *steps) ([]replacement, error) {
	if len(theirs) == 0 {
		return nil, nil
	}
	if err := root.Mkdir(keptName, 0o700); err == nil {
		done.did(func() error { return root.Remove(keptName) })
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	var ready []replacement
	for _, name := range theirs {
		r := replacement{filepath.Join(keptName, name), dataLink + "." + durable.Suffix()}
		if _, err := root.Lstat(r.kept); err == nil {
			r.kept += "." + durable.Suffix()
		}
		if err := root.Link(name, r.kept); err != nil {
			return nil, fmt.Errorf("keep %s aside: %w", name, bare(err))
		}
		done.did(func() error { return root.Remove(r.kept) })
		if err := root.Symlink(filepath.Join(dataLink, name), r.link); err != nil {
			return nil, err
		}
		done.did(func() error { return root.Remove(r.link) })
		ready = append(ready, r)
	}
	return ready, durable.SyncDir(root, keptName)
}

// owner is a user and a group by number; -1 leaves what is there.
type owner struct{ uid, gid int }

// lookupOwner finds the numbers for names.
func lookupOwner(name, group string) (owner, error) {
	o := owner{-1, -1}
	var err error
	if name != "" {
		if o.uid, err = parseID(name); err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return o, fmt.Errorf("owner %+q: there is no such user here", name)
			}
			if o.uid, err = parseID(u.Uid); err != nil {
				return o, fmt.Errorf("owner %+q: %w", name, err)
			}
		}
	}
	if group != "" {
		if o.gid, err = parseID(group); err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return o, fmt.Errorf("group %+q: there is no such group here", group)
			}
			if o.gid, err = parseID(g.Gid); err != nil {
				return o, fmt.Errorf("group %+q: %w", group, err)
			}
		}
	}
	return o, nil
}

// parseID reads the number of a user or group; the highest one stands for none.
func parseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return int(n), err
}

func (o owner) apply(f *os.File) error {
	if o.uid < 0 && o.gid < 0 {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}
