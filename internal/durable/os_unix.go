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
	if err := d.Sync(); !cannotSync(err) {
		return err
	}
	return nil
}

// cannotSync is what some file systems say of a directory; there is nothing else to do then.
func cannotSync(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) }

func openDirLock(dir string) (*os.File, error) { return OpenFile(dir, os.O_RDONLY, 0) }

// lock is on the directory's own descriptor.
func (d *Dir) lock() (try func() (bool, error), release func() error, err error) {
	return func() (bool, error) { return tryFlock(d.fd) }, func() error {
		return retry(func() error { return unix.Flock(d.fd, unix.LOCK_UN) })
	}, nil
}

func tryLock(f *os.File) (bool, error) { return tryFlock(int(f.Fd())) }

func tryFlock(fd int) (bool, error) {
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
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
