package file

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

// mostStripped is how many generations are kept without their secret files.
const mostStripped = 10

// stripped are directories that lost files, to be synced.
type stripped []*durable.Dir

func (s stripped) sync(shared *durable.Shared) error {
	var errs []error
	if shared != nil && len(s) > 0 {
		for _, dir := range s {
			errs = append(errs, dir.Close())
		}
		return errors.Join(append(errs, shared.Sync())...)
	}
	for _, dir := range s {
		errs = append(errs, dir.Sync(), dir.Close())
	}
	return errors.Join(errs...)
}

// before gives the generations with a prefix that came before one, the newest first.
func before(names []string, prefix, gen string) []string {
	kept := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !strings.HasPrefix(name, prefix) || number(name) >= number(gen)
	})
	slices.SortFunc(kept, func(a, b string) int {
		return cmp.Or(cmp.Compare(number(b), number(a)), cmp.Compare(a, b))
	})
	return kept
}

// keep takes away what a place has no more use for: generations that are too old,
// the secret files of those that are older than is wanted whole, what a dead
// process left, and names that the set no longer has. What cannot be removed is
// left for the next time: the set itself is in place. The generation before, old,
// always stays whole.
func keep(root *durable.Dir, gen, old string, set issue.Set) (changed stripped) {
	names, err := root.Names()
	if err != nil {
		return nil
	}
	whole := before(names, genPrefix, gen)
	if i := slices.Index(whole, old); i > 0 {
		whole = slices.Insert(slices.Delete(whole, i, i+1), 0, old)
	}
	rest := whole[min(max(set.Whole, 1), len(whole)):]
	whole = whole[:len(whole)-len(rest)]
	without := before(names, oldPrefix, gen)
	for i, name := range rest {
		if i < mostStripped {
			if dir, err := strip(root, name); err == nil {
				changed = append(changed, dir)
				without = append(without, oldPrefix+strings.TrimPrefix(name, genPrefix))
				continue
			}
		}
		_ = root.RemoveAll(name)
	}
	without = before(without, oldPrefix, gen)
	for _, name := range without[min(mostStripped, len(without)):] {
		_ = root.RemoveAll(name)
	}
	for _, name := range names {
		_, wanted := set.Files[name]
		switch {
		case strings.HasPrefix(name, genPrefix) && name != gen && !slices.Contains(whole, name) && !slices.Contains(rest, name):
			_ = root.RemoveAll(name) // it was never the present one
		case strings.HasPrefix(name, dataLink+"."), strings.HasPrefix(name, probePrefix):
			_ = root.Remove(name)
		case !strings.HasPrefix(name, "..") && !wanted:
			if is, err := standsAt(root, name); err == nil && (is == ourLink || is == ourCopy) {
				_ = root.Remove(name)
			}
		}
	}
	return changed
}

// strip takes the secret files out of a generation, and says so in its name. Its
// directory is still to be synced.
func strip(root *durable.Dir, gen string) (*durable.Dir, error) {
	dir, m, err := openGeneration(root, gen)
	if err != nil {
		return nil, err
	}
	for _, name := range m.Secret {
		if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, dir.Close())
		}
	}
	if err := root.Rename(gen, oldPrefix+strings.TrimPrefix(gen, genPrefix)); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// Previous gives the newest whole generation before the present one.
func (s *Store) Previous(ctx context.Context) (issue.Set, issue.Version, error) {
	if err := ctx.Err(); err != nil {
		return issue.Set{}, "", err
	}
	root, err := s.open(ctx, anyOwner)
	if err != nil {
		return issue.Set{}, "", err
	}
	defer root.Close()
	for {
		gen, err := present(root)
		if err != nil {
			return issue.Set{}, "", err
		}
		set, version, err := newestWhole(root, gen)
		// A save may have taken the very generation away that was looked at.
		if now, again := present(root); err == nil || again != nil || now == gen || ctx.Err() != nil {
			return set, version, err
		}
	}
}

func newestWhole(root *durable.Dir, gen string) (issue.Set, issue.Version, error) {
	names, err := root.Names()
	if err != nil {
		return issue.Set{}, "", err
	}
	for _, name := range before(names, genPrefix, gen) {
		if g, err := readGeneration(root, name); err == nil && len(g.missing) == 0 {
			return g.set, issue.Version(name), nil
		}
	}
	return issue.Set{}, "", fs.ErrNotExist
}

// Purge takes the secret files out of the kept generations of which doomed says so.
func (s *Store) Purge(ctx context.Context, doomed func(issue.Files) bool) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	root, err := s.open(ctx, anyOwner)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer root.Close()
	lock, err := s.lock(ctx, root)
	if err != nil {
		return 0, err
	}
	defer lock.Release()
	gen, err := present(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	names, err := root.Names()
	if err != nil {
		return 0, err
	}
	var changed stripped
	var failed []error
	for _, name := range names {
		if !strings.HasPrefix(name, genPrefix) || name == gen {
			continue
		}
		dir, err := purge(root, name, gen, doomed)
		if dir != nil {
			changed = append(changed, dir)
		}
		failed = append(failed, err)
	}
	return len(changed), errors.Join(append(failed, changed.sync(nil))...)
}

// purge strips one generation if it is doomed; the directory is given back to be
// synced. One that cannot be read is no set, and goes as a whole.
func purge(root *durable.Dir, name, gen string, doomed func(issue.Files) bool) (*durable.Dir, error) {
	files, err := remains(root, name)
	if err != nil {
		return nil, root.RemoveAll(name)
	}
	if !slices.ContainsFunc(files.Names(), func(n string) bool { return files[n].Secret }) || !doomed(files) {
		return nil, nil
	}
	if err := finishCopies(root, name, gen, files); err != nil {
		return nil, err
	}
	return strip(root, name)
}

// remains reads what is left of a generation.
func remains(root *durable.Dir, gen string) (issue.Files, error) {
	dir, m, err := openGeneration(root, gen)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := filesIn(dir)
	if err != nil {
		return nil, err
	}
	files := issue.Files{}
	for _, name := range names {
		data, err := readFile(dir, name, largest)
		if err != nil {
			return nil, err
		}
		files[name] = issue.File{Data: data, Secret: slices.Contains(m.Secret, name)}
	}
	return files, nil
}

// finishCopies replaces copies of a generation's secret files, which a process
// that died has left under the place's own names, by those of the present one.
func finishCopies(root *durable.Dir, name, gen string, files issue.Files) error {
	for _, n := range files.Names() {
		if !files[n].Secret || !isCopyOf(root, name, n, int64(len(files[n].Data))) || gen == "" {
			continue
		}
		if info, err := root.Lstat(n); err != nil || !info.Mode.IsRegular() || isCopyOf(root, gen, n, info.Size) {
			continue // a link, or the same in both
		}
		tmp := dataLink + "." + durable.Suffix()
		file, err := copyOf(root, gen, n, tmp, labels{})
		if errors.Is(err, fs.ErrNotExist) {
			err = root.Remove(n) // the present set has no such file
		} else if err == nil {
			if err = durable.CreateAll(root, []durable.NewFile{file}, nil); err == nil {
				err = root.Rename(tmp, n)
			}
		}
		if err == nil {
			err = root.Sync()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
