package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

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

// replacement is what is prepared for a name, to be renamed over it.
type replacement struct {
	name, ready string
	fresh       bool   // nothing stood there
	kept        string // a second name for what did, to put it back
	aside       bool   // which stays, for it is not ours
}

// publisher makes a generation the present one.
type publisher struct {
	root   *durable.Dir
	gen    string
	set    issue.Set
	taken  map[string]standing
	labels labels
	shared *durable.Shared
	plain  bool // copies under the names, instead of links
	done   steps
	copies []durable.NewFile
	swaps  []replacement
}

// publish makes a generation the present one: first whatever readers do not see,
// then the one rename of ..data that shows all files at once, then what is not a
// link through it, each name by a rename. What fails is taken back, the generation
// with it; what has gone well, the caller can take back.
func publish(root *durable.Dir, gen, old string, set issue.Set, taken map[string]standing, labels labels, shared *durable.Shared) (done steps, err error) {
	p := &publisher{root: root, gen: gen, set: set, taken: taken, labels: labels, shared: shared, plain: !linksWork || set.Swap == issue.SwapFiles}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cannot be written: %w", bare(err)), p.done.undo())
		}
	}()
	p.done.did(func() error { return root.RemoveAll(gen) })
	if err := p.prepare(); err != nil {
		return nil, err
	}
	if err := swap(root, gen, old); err != nil {
		return nil, err
	}
	p.done.did(func() error {
		if old == "" {
			return root.Remove(dataLink)
		}
		return swap(root, old, gen)
	})
	for _, r := range p.swaps {
		if err := root.Rename(r.ready, r.name); err != nil {
			return nil, err
		}
		p.done.did(func() error {
			switch {
			case r.fresh:
				return root.Remove(r.name)
			case r.kept == "":
				return fmt.Errorf("%s cannot be put back", r.name)
			}
			return root.Rename(r.kept, r.name)
		})
	}
	return p.done, nil
}

// inOrder gives the names of a set in the order in which plain files are replaced:
// what is trusted and the certificates first, the keys last. Readers open them in
// the same order (Go's tls.LoadX509KeyPair, nginx and OpenSSL's tools read the
// certificate before its key), so that one that follows the writer mismatches
// least; and whoever watches for the last of them finds all the others new.
func inOrder(f issue.Files) []string {
	names := f.Names()
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case f[a].Secret == f[b].Secret:
			return 0
		case f[b].Secret:
			return -1
		}
		return 1
	})
	return names
}

// prepare does what no reader sees: links that lead nowhere yet, or to the same
// bytes as before, and what will be renamed over other names.
func (p *publisher) prepare() error {
	for _, name := range inOrder(p.set.Files) {
		is := p.taken[name]
		var err error
		switch {
		case is == theirs:
			err = p.keepAside(name)
		case p.plain:
			err = p.replaceLater(name, is)
		case is == nothing:
			if err = p.root.Symlink(filepath.Join(dataLink, name), name); err == nil {
				p.done.did(func() error { return p.root.Remove(name) })
			}
		case is == ourCopy:
			err = p.linkNow(name)
		}
		if err != nil {
			return err
		}
	}
	if slices.ContainsFunc(p.swaps, func(r replacement) bool { return r.aside }) {
		if err := p.syncKept(); err != nil {
			return err
		}
	}
	if len(p.copies) == 0 {
		return nil
	}
	return durable.CreateAll(p.root, p.copies, p.shared)
}

// syncKept makes durable what was kept aside.
func (p *publisher) syncKept() error {
	aside, err := p.root.Open(keptName)
	if err != nil {
		return err
	}
	return errors.Join(aside.Sync(), aside.Close())
}

// keepAside gives a file that is not ours a second name, so that it is kept and
// its first one is never missing.
func (p *publisher) keepAside(name string) error {
	if aside, err := p.root.Mkdir(keptName, 0o700); err == nil {
		p.done.did(func() error { return p.root.Remove(keptName) })
		if err := aside.Close(); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	kept := keptName + "/" + name
	if _, err := p.root.Lstat(kept); err == nil {
		kept += "." + durable.Suffix()
	}
	if err := p.root.Link(name, kept); err != nil {
		return fmt.Errorf("keep %s aside: %w", name, bare(err))
	}
	p.done.did(func() error { return p.root.Remove(kept) })
	ready, err := p.ready(name)
	if err != nil {
		return err
	}
	p.swaps = append(p.swaps, replacement{name: name, ready: ready, kept: kept, aside: true})
	return nil
}

// replaceLater prepares a copy for a name that is ours, or nobody's.
func (p *publisher) replaceLater(name string, is standing) error {
	r := replacement{name: name, fresh: is == nothing}
	if is != nothing {
		kept := dataLink + "." + durable.Suffix()
		if err := p.root.Link(name, kept); err == nil { // else it cannot be put back
			r.kept = kept
			p.done.did(func() error { return p.root.Remove(kept) })
		}
	}
	var err error
	if r.ready, err = p.ready(name); err != nil {
		return err
	}
	p.swaps = append(p.swaps, r)
	return nil
}

// linkNow replaces a copy by a link before the swap: it still leads to the bytes of
// the set that is there.
func (p *publisher) linkNow(name string) error {
	ready, err := p.ready(name)
	if err != nil {
		return err
	}
	return p.root.Rename(ready, name)
}

// ready makes what is to be renamed over a name; a copy is made with all others.
func (p *publisher) ready(name string) (string, error) {
	tmp := dataLink + "." + durable.Suffix()
	if p.plain {
		file, err := copyOf(p.root, p.gen, name, tmp, p.labels)
		if err != nil {
			return "", err
		}
		p.copies = append(p.copies, file)
	} else if err := p.root.Symlink(filepath.Join(dataLink, name), tmp); err != nil {
		return "", err
	}
	p.done.did(func() error { return p.root.Remove(tmp) })
	return tmp, nil
}

// copyOf is a copy of a generation's file, to be made under a name of the place
// with the same owner and mode.
func copyOf(root *durable.Dir, gen, name, to string, labels labels) (durable.NewFile, error) {
	path := gen + "/" + name
	data, err := readFile(root, path, largest)
	if err != nil {
		return durable.NewFile{}, err
	}
	info, err := root.Lstat(path)
	if err != nil {
		return durable.NewFile{}, err
	}
	return durable.NewFile{Name: to, Data: data, Mode: secretMode, Finish: func(f *os.File) error {
		return errors.Join(labels.apply(f, name), takeAfter(f, info))
	}}, nil
}
