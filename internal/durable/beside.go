package durable

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// mostParents is how many directories a convoy keeps open to reach those below them.
const mostParents = 64

// OpenRoot is OpenRoot, for directories beside each other: what is above them is
// judged once.
func (c *Convoy) OpenRoot(path string, owner Owner) (*Dir, error) {
	up, there := c.above(path)
	if up == nil {
		return OpenRoot(path, owner)
	}
	if !there {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	root, err := openBelow(up, filepath.Base(path))
	if errors.Is(err, errElsewhere) {
		return OpenRoot(path, owner)
	}
	return root, err
}

// MakeRoot is MakeRoot, for directories beside each other.
func (c *Convoy) MakeRoot(path string, mode fs.FileMode, owner Owner) (*Dir, *Made, error) {
	up, there := c.above(path)
	if up == nil || !there {
		return MakeRoot(path, mode, owner)
	}
	name := filepath.Base(path)
	root, err := openBelow(up, name)
	if err == nil {
		return root, &Made{}, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if root, err = up.Mkdir(name, mode); err == nil {
			return root, &Made{all: []made{{parent: up, name: name, kept: true}}, fresh: true}, nil
		}
	}
	return MakeRoot(path, mode, owner)
}

var errElsewhere = errors.New("has to be judged with all that leads to it")

// openBelow opens a directory in one that nobody else can change, if nobody else can
// change that either.
func openBelow(up *Dir, name string) (*Dir, error) {
	dir, err := up.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, errElsewhere
	case !ownAlone(dir.info):
		return nil, errors.Join(errElsewhere, dir.Close())
	}
	return dir, nil
}

// above gives the nearest directory over a path that is there, and whether the path would
// be in that itself; nil where what is below is to be reached by its whole path. One that
// has been moved or replaced is not used.
func (c *Convoy) above(path string) (up *Dir, there bool) {
	if c == nil {
		return nil, false
	}
	in := filepath.Dir(path)
	for dir := in; ; dir = filepath.Dir(dir) {
		info, err := stat(dir)
		switch {
		case err == nil && info.Mode.IsDir():
			return c.parent(dir, info), dir == in
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return nil, false
		}
	}
}

// parent is a directory that is there, kept open for those below it; nil where each of
// those is to be judged for itself.
func (c *Convoy) parent(path string, info Info) *Dir {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, known := c.parents[path]
	if !known {
		if c.parents == nil || len(c.parents) == mostParents {
			return nil
		}
		p = newParent(path)
		c.parents[path] = p
	}
	if p == nil || !p.info.Same(info) {
		return nil
	}
	return p
}

// newParent opens a directory, and judges it and what is above it; nil where each of
// those below is to be judged for itself.
func newParent(path string) *Dir {
	if !plain(path) {
		return nil
	}
	dir, err := OpenDir(path)
	if err != nil {
		return nil
	}
	return dir
}
