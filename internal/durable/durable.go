// Package durable makes bytes survive: what it reports as written is on the
// disk, under its name, whole. It knows nothing of what the bytes mean.
package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces the file of that name, or makes it, whole or not at all: it
// writes a new file beside it, with that mode from the first byte, syncs it,
// renames it into place and syncs the directory. Safe for concurrent use; the
// last one wins.
func WriteFile(name string, data []byte, mode fs.FileMode) error {
	return (*Convoy)(nil).WriteFile(name, data, mode)
}

// WriteFile is WriteFile, with what others write.
func (c *Convoy) WriteFile(name string, data []byte, mode fs.FileMode) error {
	dir, base := filepath.Split(name)
	in, err := OpenDir(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := ".new-" + Suffix()
	shared := c.Join(in)
	if err := in.createSynced(NewFile{Name: tmp, Data: data, Mode: mode}, shared); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := in.Rename(tmp, base); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", name, bare(err)), in.Remove(tmp))
	}
	return shared.SyncDir(in)
}

// CreateFile is WriteFile for a file that must not exist yet: fs.ErrExist where it does.
func CreateFile(name string, data []byte, mode fs.FileMode) error {
	dir, base := filepath.Split(name)
	in, err := OpenDir(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer in.Close()
	if err := in.Create(base, data, mode); err != nil {
		return err
	}
	if err := in.Sync(); err != nil {
		return errors.Join(err, in.Remove(base))
	}
	return nil
}

// Create writes a file that must not exist yet and syncs it; the directory that holds
// it is for the caller to sync. A file that could not be written whole is taken away
// again.
func (d *Dir) Create(name string, data []byte, mode fs.FileMode) error {
	if err := d.createSynced(NewFile{Name: name, Data: data, Mode: mode}, nil); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(d.path, name), err)
	}
	return nil
}

// bare drops operation and paths from an error that will be wrapped with both.
func bare(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok {
		return le.Err
	}
	return err
}

// SyncName makes the name of a file durable, not its bytes.
func SyncName(name string) error {
	d, err := OpenFile(filepath.Dir(name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDir(d)
}

// Exchange puts a file in the place of another, at once, and makes that durable.
// The file's bytes are for the caller to sync. Where the platform can, what was
// there before gets the other's name, so that its blocks can be used again; else
// it is gone.
func Exchange(spare, name string) error {
	if err := Swap(spare, name); err != nil {
		return err
	}
	return SyncName(name)
}

// Swap is Exchange, but that it does not make anything durable.
func Swap(spare, name string) error {
	err := exchange(spare, name)
	if err != nil {
		err = os.Rename(spare, name)
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", name, bare(err))
	}
	return nil
}

// Chmod gives an open file a mode, where files have modes.
func Chmod(f *os.File, mode fs.FileMode) error { return chmod(f, mode) }

// MkdirAll makes a directory and its missing parents, with that mode whatever the
// umask, and syncs each directory that got a new entry.
func MkdirAll(name string, mode fs.FileMode) error {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: name, Err: errors.New("there is a file of that name")}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(filepath.Clean(name))
	if parent != name {
		if err := MkdirAll(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(name, mode); err != nil {
		if info, gone := os.Stat(name); gone == nil && info.IsDir() {
			return nil // made by another in the meantime
		}
		return err
	}
	// The umask may have cut the mode below what readers need.
	if err := os.Chmod(name, mode); err != nil {
		return err
	}
	d, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDir(d)
}

// Suffix is a name that nobody else has taken: 16 hexadecimal digits.
func Suffix() string {
	var b [8]byte
	// crypto/rand.Read does not fail: it ends the program where there is no randomness.
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
