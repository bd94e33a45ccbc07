//go:build !windows

package command

import (
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// identity tells a file from another that has taken its place.
func identity(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// monotonic is the clock that a service manager compares reloads by.
func monotonic() (time.Duration, bool) {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		return 0, false
	}
	return time.Duration(at.Nano()), true
}
