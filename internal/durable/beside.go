package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// mostParents is how many directories a convoy keeps open to reach those below them.
const mostParents = 64

// parent is a directory with many in it that are opened one after the other. What is
// above it, and it, was judged when it was opened.
type parent struct {
	root *os.Root // nil where each of those below is judged for itself
	info fs.FileInfo
}

// OpenRoot is OpenRoot, for directories beside each other: what is above them is
// judged once.
func (c *Convoy) OpenRoot(path string, owner Owner) (*os.Root, error) {
	if up := c.parent(filepath.Dir(path)); up != nil {
		switch root, err := openBelow(up, filepath.Base(path)); {
		case err == nil:
			return root, nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return OpenRoot(path, owner)
}

// MakeRoot is MakeRoot, for directories beside each other.
func (c *Convoy) MakeRoot(path string, mode fs.FileMode, owner Owner) (*os.Root, *Made, error) {
	up := c.parent(filepath.Dir(path))
	if up == nil {
		return MakeRoot(path, mode, owner)
	}
	name := filepath.Base(path)
	root, err := openBelow(up, name)
	if err == nil {
		return root, &Made{}, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if root, err = Mkdir(up, name, mode); err == nil {
			return root, &Made{all: []made{{parent: up, name: name, kept: true}}}, nil
		}
	}
	return MakeRoot(path, mode, owner)
}

var errElsewhere = errors.New("has to be judged with all that leads to it")

// openBelow opens a directory in one that nobody else can change, if nobody else can
// change that either.
func openBelow(up *os.Root, name string) (*os.Root, error) {
	info, err := up.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || !ownAlone(info) {
		return nil, errElsewhere
	}
	return OpenDir(up, name)
}

// parent gives a directory to reach those below it from; nil where they are to be
// reached by their whole path. One that has been moved or replaced is not used.
func (c *Convoy) parent(dir string) *os.Root {
	if c == nil {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, known := c.parents[dir]
	if !known {
		if c.parents == nil || len(c.parents) == mostParents {
			return nil
		}
		p = newParent(dir)
		c.parents[dir] = p
	}
	if p.root == nil || !os.SameFile(info, p.info) {
		return nil
	}
	return p.root
}

func newParent(dir string) parent {
	if !plain(dir) {
		return parent{}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return parent{}
	}
	info, err := root.Stat(".")
	if err != nil {
		_ = root.Close() // nothing was written through it
		return parent{}
	}
	return parent{root, info}
}
