package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// dir is a directory of which nothing outside is reached.
type dir struct{ root *os.Root }

// OpenFile is os.OpenFile here.
func OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

// OpenDir opens the directory that a path leads to.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return newDir(root, path)
}

func newDir(root *os.Root, path string) (*Dir, error) {
	d := &Dir{dir: dir{root}, path: path}
	var err error
	if d.info, err = d.Stat(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

// Close lets go of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Stat says what the directory itself is now.
func (d *Dir) Stat() (Info, error) {
	info, err := d.root.Stat(".")
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

func infoOf(info fs.FileInfo) Info {
	return Info{Mode: info.Mode(), Size: info.Size(), UID: -1, GID: -1, id: identity{info}}
}

// identity is of one file alone, for as long as it is there.
type identity struct{ info fs.FileInfo }

func (i identity) same(other identity) bool { return os.SameFile(i.info, other.info) }

// stat says what a path leads to.
func stat(path string) (Info, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

// Open opens a directory in it.
func (d *Dir) Open(name string) (*Dir, error) {
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return newDir(root, filepath.Join(d.path, name))
}

// OpenFile opens a file, or makes it.
func (d *Dir) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return d.root.OpenFile(name, flag, mode)
}

// ReadFile reads a regular file, of at most so many bytes, that trust accepts, if that
// is not nil.
func (d *Dir) ReadFile(name string, most int64, trust func(Info) error) ([]byte, Info, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, Info{}, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, Info{}, err
	}
	info := infoOf(stat)
	data, err := readWhole(info, most, trust, f.Read)
	return data, info, err
}

// Lstat says what stands under a name.
func (d *Dir) Lstat(name string) (Info, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

// Readlink gives what a link says.
func (d *Dir) Readlink(name string) (string, error) { return d.root.Readlink(name) }

// Symlink makes a link.
func (d *Dir) Symlink(target, name string) error { return d.root.Symlink(target, name) }

// Link gives a file a second name.
func (d *Dir) Link(old, name string) error { return d.root.Link(old, name) }

// Rename gives what is there another name, in the place of what has it.
func (d *Dir) Rename(old, name string) error { return d.root.Rename(old, name) }

// Remove takes a name away: a file's, a link's, or an empty directory's.
func (d *Dir) Remove(name string) error { return d.root.Remove(name) }

// RemoveAll takes a name away with all that is below it.
func (d *Dir) RemoveAll(name string) error { return d.root.RemoveAll(name) }

// Mkdir makes a directory in it, and opens it.
func (d *Dir) Mkdir(name string, mode fs.FileMode) (*Dir, error) {
	if err := d.root.Mkdir(name, mode); err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: filepath.Join(d.path, name), Err: bare(err)}
	}
	return d.Open(name)
}

// settle does nothing: Windows has no mode bits.
func (d *Dir) settle(fs.FileMode) error { return nil }

// Names lists the directory, in no order.
func (d *Dir) Names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Sync does nothing: Windows cannot sync a directory; its file systems journal names.
func (d *Dir) Sync() error { return nil }

// create makes a file that must not exist yet and fills it.
func (d *Dir) create(n NewFile) error {
	f, err := d.OpenFile(n.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, n.Mode)
	if err != nil {
		return err
	}
	return errors.Join(n.write(f), f.Close())
}

// device: here nothing is known of the file system.
func (d *Dir) device() (device uint64, ok bool) { return 0, false }

func (d *Dir) file() (*os.File, error) { return nil, errors.ErrUnsupported }

func (d *Dir) mayWrite() bool { return false }
