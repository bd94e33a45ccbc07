package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

var _ issue.Remover = (*Store)(nil)

// Remove empties the place: first the keys, under the set's names and in every
// generation, then the other names, then the generations, and the directory if
// nothing else is in it. ..data goes before the generation that it leads to, and
// after its keys: for as long as there is one, a reader of the place is told whose it
// was, and that it is damaged.
func (s *Store) Remove(ctx context.Context, was issue.Version) (kept []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := s.open(ctx, anyOwner)
	if errors.Is(err, fs.ErrNotExist) && was == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	lock, err := root.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	gen, err := present(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if issue.Version(gen) != was {
		return nil, issue.ErrChanged
	}
	names, err := root.Names()
	if err != nil {
		return nil, err
	}
	e := emptying{root: root, gen: gen}
	e.sort(names)
	if e.any() {
		if err := e.empty(); err != nil {
			return nil, fmt.Errorf("cannot be removed: %w", bare(err))
		}
	}
	if len(e.kept) > 0 {
		return e.kept, nil
	}
	return nil, s.removeDir(root)
}

// emptying is what a place has, to be taken away in order.
type emptying struct {
	root        *durable.Dir
	gen         string
	keys, names []string // of files in the place itself that are ours
	generations []string
	scraps      []string // that a dead process left
	kept        []string
}

func (e *emptying) any() bool {
	return e.gen != "" || len(e.keys)+len(e.names)+len(e.generations)+len(e.scraps) > 0
}

// sort tells ours from others' before anything is taken away: a copy is known by the
// generation that has the same bytes.
func (e *emptying) sort(names []string) {
	slices.Sort(names)
	secret := map[string]bool{}
	for _, name := range names {
		if strings.HasPrefix(name, genPrefix) || strings.HasPrefix(name, oldPrefix) {
			e.generations = append(e.generations, name)
			if dir, m, err := openGeneration(e.root, name); err == nil {
				_ = dir.Close()
				for _, n := range m.Secret {
					secret[n] = true
				}
			}
		}
	}
	for _, name := range names {
		is, err := standsAt(e.root, name)
		switch {
		case slices.Contains(e.generations, name), name == dataLink && e.gen != "":
		case strings.HasPrefix(name, dataLink+"."), strings.HasPrefix(name, probePrefix):
			e.scraps = append(e.scraps, name)
		case strings.HasPrefix(name, ".."), err != nil, is != ourLink && is != ourCopy:
			e.kept = append(e.kept, name)
		case secret[name]:
			e.keys = append(e.keys, name)
		default:
			e.names = append(e.names, name)
		}
	}
}

// empty takes everything away that is ours.
func (e *emptying) empty() error {
	// A scrap may be a second name of a key.
	for _, name := range slices.Concat(e.keys, e.scraps) {
		if err := gone(e.root.Remove(name)); err != nil {
			return err
		}
	}
	if err := e.root.Sync(); err != nil {
		return err
	}
	for _, gen := range e.generations {
		if err := e.withoutKeys(gen); err != nil {
			return err
		}
	}
	for _, name := range e.names {
		if err := gone(e.root.Remove(name)); err != nil {
			return err
		}
	}
	for _, gen := range e.generations {
		if gen != e.gen {
			if err := e.root.RemoveAll(gen); err != nil {
				return err
			}
		}
	}
	if err := e.root.Sync(); err != nil {
		return err
	}
	if e.gen != "" {
		if err := gone(e.root.Remove(dataLink)); err != nil {
			return err
		}
		// Under that name nobody looks for keys in it.
		without := oldPrefix + strings.TrimPrefix(e.gen, genPrefix)
		if err := gone(e.root.Rename(e.gen, without)); err != nil {
			return err
		}
		if err := e.root.RemoveAll(without); err != nil {
			return err
		}
	}
	return e.root.Sync()
}

// withoutKeys takes the secret files out of a generation. In one that does not say
// which those are, every file may be.
func (e *emptying) withoutKeys(gen string) error {
	dir, m, err := openGeneration(e.root, gen)
	if err != nil {
		if gen == e.gen {
			return nil // it goes last, as a whole
		}
		return e.root.RemoveAll(gen)
	}
	defer dir.Close()
	for _, name := range m.Secret {
		if err := gone(dir.Remove(name)); err != nil {
			return err
		}
	}
	return dir.Sync()
}

// gone makes no error of what was not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeDir takes the empty directory away, through its parent: what is not empty, or
// was put there in its stead, stays.
func (s *Store) removeDir(root *durable.Dir) error {
	path, err := filepath.Abs(s.path)
	if err != nil {
		return err
	}
	parent, err := durable.OpenRoot(filepath.Dir(path), anyOwner)
	if err != nil {
		return nil // an empty directory of ours does no harm
	}
	defer parent.Close()
	was, err := root.Stat()
	if err != nil {
		return err
	}
	is, err := parent.Lstat(filepath.Base(path))
	if err != nil || !is.Mode.IsDir() || !was.Same(is) {
		return nil
	}
	err = parent.Remove(filepath.Base(path))
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrExist), errors.Is(err, syscall.EBUSY):
		return nil // not ours to take away, no longer empty, or a mount: it stays
	case err != nil:
		return fmt.Errorf("cannot be removed: %w", bare(err))
	}
	return parent.Sync()
}
