package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const partsWork = true

// partCall does something about a byte of a file. What holds it is the open file, not
// the process: a lock of the process's would go with any other file of that name that it
// closes.
func partCall(f *os.File, command int, what int16, at int64) error {
	l := unix.Flock_t{Type: what, Start: at, Len: 1}
	return retry(func() error { return unix.FcntlFlock(f.Fd(), command, &l) })
}

// knowsParts says whether the system and the file system do that;
// errors.ErrUnsupported where they do not.
func knowsParts(f *os.File) error {
	err := partCall(f, unix.F_OFD_GETLK, unix.F_WRLCK, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}

func lockPart(f *os.File, at int64) (bool, error) {
	err := partCall(f, unix.F_OFD_SETLK, unix.F_WRLCK, at)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}

func unlockPart(f *os.File, at int64) error {
	return partCall(f, unix.F_OFD_SETLK, unix.F_UNLCK, at)
}
