package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// chmod does nothing: Windows has no mode bits; files inherit the directory's access list.
func chmod(*os.File, fs.FileMode) error { return nil }

// syncDir does nothing: Windows cannot sync a directory; its file systems journal names.
func syncDir(*os.File) error { return nil }

func openDirLock(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "..lock"), os.O_RDWR|os.O_CREATE, 0o600)
}

// lock is on a file of its own in the directory.
func (d *Dir) lock() (try func() (bool, error), release func() error, err error) {
	f, err := d.OpenFile("..lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return func() (bool, error) { return tryLock(f) }, f.Close, nil
}

// tryLock locks one byte far behind the end of the file: a Windows lock would keep
// others from reading what it covers.
func tryLock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, err
}
