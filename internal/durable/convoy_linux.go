package durable

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The file systems of which syncfs is known to write everything, names too, and to
// wait for the disk's own memory. A file system over another (overlayfs, FUSE) would
// not be told what goes wrong below it.
const (
	superExt   = 0xef53
	superXFS   = 0x58465342
	superBtrfs = 0x9123683e
)

// deviceOf names the file system of a directory.
func deviceOf(root *os.Root) (device uint64, ok bool) {
	info, err := root.Stat(".")
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(st.Dev), true //nolint:unconvert // not of that type on every system
}

// syncsWhole tells whether the file system of an open directory can be synced as a
// whole, with an answer that can be believed.
func syncsWhole(d *os.File) bool {
	var sfs unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &sfs); err != nil {
		return false
	}
	switch uint32(sfs.Type) { //nolint:gosec // a magic number has 32 bits, whatever the type
	case superExt, superXFS, superBtrfs:
		return tellsErrors()
	}
	return false
}

// tellsErrors says whether syncfs tells of bytes that could not be written: from
// Linux 5.8 on.
func tellsErrors() bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}

// syncWhole syncs the file system that a directory is on, and then the directory: an
// old ext2 empties the disk's own memory only for that.
func syncWhole(d *os.File) error {
	for {
		err := unix.Syncfs(int(d.Fd()))
		if err == nil {
			return d.Sync()
		}
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("syncfs", err)
		}
	}
}
