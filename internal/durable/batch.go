package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// NewFile is a file to be made by CreateAll.
type NewFile struct {
	Name string
	Data []byte
	// Mode is what it has from the first byte on.
	Mode fs.FileMode
	// Finish, if set, changes owner and mode on the open file, once it is written.
	Finish func(f *os.File) error
}

// CreateAll writes files that must not exist yet into a directory and syncs them and
// the directory: with what others have written, where shared is not nil. It hands all of them to the disk before it waits for any, so that a file
// system with a journal commits them together. When it fails, what it has made is for
// the caller to take away.
func CreateAll(dir *Dir, files []NewFile, shared *Shared) (err error) {
	named := func(name string, err error) error {
		return fmt.Errorf("write %s: %w", filepath.Join(dir.Name(), name), bare(err))
	}
	if shared != nil {
		for _, n := range files {
			if err := dir.create(n); err != nil {
				return named(n.Name, err)
			}
		}
		return shared.Sync()
	}
	open := make([]*os.File, 0, len(files))
	defer func() {
		for _, f := range open {
			err = errors.Join(err, bare(f.Close()))
		}
	}()
	for _, n := range files {
		f, err := dir.OpenFile(n.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, n.Mode)
		if err != nil {
			return named(n.Name, err)
		}
		open = append(open, f)
		if err := n.write(f); err != nil {
			return named(n.Name, err)
		}
		startWriteback(f)
	}
	for i, f := range open {
		if err := f.Sync(); err != nil {
			return named(files[i].Name, err)
		}
	}
	return dir.Sync()
}

// createSynced makes a file that must not exist yet, and syncs it; the directory is for
// the caller to sync. One that could not be written whole is taken away again.
func (d *Dir) createSynced(n NewFile, shared *Shared) error {
	if shared == nil {
		f, err := d.OpenFile(n.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, n.Mode)
		if err != nil {
			return bare(err)
		}
		if err := n.fill(f); err != nil {
			return errors.Join(err, d.Remove(n.Name))
		}
		return nil
	}
	err := d.create(n)
	if errors.Is(err, fs.ErrExist) {
		return bare(err)
	}
	if err == nil {
		err = shared.Sync()
	}
	if err != nil {
		return errors.Join(bare(err), gone(d.Remove(n.Name)))
	}
	return nil
}

// gone makes no error of what was not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// fill fills a file, syncs it and closes it.
func (n NewFile) fill(f *os.File) error {
	err := n.write(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(bare(err), bare(f.Close()))
}

// write fills a file.
func (n NewFile) write(f *os.File) error {
	if _, err := f.Write(n.Data); err != nil {
		return err
	}
	// The mode asked for at creation was cut by the umask.
	if err := chmod(f, n.Mode); err != nil {
		return err
	}
	if n.Finish != nil {
		if err := n.Finish(f); err != nil {
			return err
		}
	}
	return nil
}

// mostAlone is how many files are synced each for itself, where they could be synced
// with their file system.
const mostAlone = 3

// SyncFiles syncs files of one file system, and their names.
func SyncFiles(names []string) (err error) {
	var open []*os.File
	defer func() {
		for _, f := range open {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, name := range names {
		f, err := OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		open = append(open, f)
		startWriteback(f)
	}
	if len(open) > mostAlone {
		if whole, err := syncTogether(open); whole {
			return err
		}
	}
	for i, f := range open {
		if err := errors.Join(f.Sync(), SyncName(names[i])); err != nil {
			return err
		}
	}
	return nil
}

// SyncAll syncs open files. It hands all of them to the disk before it waits for
// any, as CreateAll does.
func SyncAll(files ...*os.File) error {
	for _, f := range files {
		startWriteback(f)
	}
	for _, f := range files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}
