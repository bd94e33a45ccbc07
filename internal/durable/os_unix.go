//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

func chmod(f *os.File, mode fs.FileMode) error { return f.Chmod(mode) }

func syncDir(d *os.File) error {
	err := d.Sync()
	// Some file systems cannot sync a directory and say so; there is nothing else to do then.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

func openDirLock(dir string) (*os.File, error) { return os.Open(dir) }

func openRootLock(root *os.Root) (*os.File, error) { return root.Open(".") }

func tryLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return false, err
		}
	}
}
