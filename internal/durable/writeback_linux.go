package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback asks for a file's bytes to be written, and does not wait: the
// sync that follows does, and tells what went wrong.
func startWriteback(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}
