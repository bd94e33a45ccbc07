package durable

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

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

// syncsWhole tells whether the file system of an open directory can be synced as a
// whole, with an answer that can be believed.
func syncsWhole(d *os.File, device uint64) bool {
	var sfs unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &sfs); err != nil {
		return false
	}
	switch uint32(sfs.Type) { // a magic number has 32 bits, whatever the type
	case superExt:
		return isExt4(device) && tellsErrors()
	case superXFS, superBtrfs:
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

// isExt4 tells whether ext4's own code serves a device: that of ext2, which has the same
// magic number, does not wait for the disk's own memory.
func isExt4(device uint64) bool {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	number := fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
	for line := range strings.Lines(string(mounts)) {
		head, tail, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(head); len(fields) > 2 && fields[2] == number {
			return strings.HasPrefix(tail, "ext4 ")
		}
	}
	return false
}

// syncWhole syncs the file system that a directory is on.
func syncWhole(d *os.File) error {
	return os.NewSyscallError("syncfs", retry(func() error { return unix.Syncfs(int(d.Fd())) }))
}

// syncTogether syncs the file system of open files, and asks each of them whether all of
// it was written. whole is false where that cannot be had.
func syncTogether(files []*os.File) (whole bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(files[0].Fd()), &st); err != nil {
		return false, nil //nolint:nilerr // then each is synced for itself
	}
	if !syncsWhole(files[0], uint64(st.Dev)) { //nolint:unconvert // not of that type on every system
		return false, nil
	}
	if err := syncWhole(files[0]); err != nil {
		return true, err
	}
	const wait = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for _, f := range files {
		if err := unix.SyncFileRange(int(f.Fd()), 0, 0, wait); err != nil {
			return true, &fs.PathError{Op: "sync", Path: f.Name(), Err: err}
		}
	}
	return true, nil
}
