package durable

import (
	"bytes"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback asks for a file's bytes to be written, and does not wait: the
// sync that follows does, and tells what went wrong.
func startWriteback(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// SyncData syncs a file's bytes, but not the times of its change: over blocks that
// it has already, that is no more than writing them.
func SyncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Boot names the time since this machine was started; "" where that is not known.
// What a process has written another one reads, synced or not, while it is the same.
func Boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(id))
}
