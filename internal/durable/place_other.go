//go:build unix && !linux

package durable

import "golang.org/x/sys/unix"

// search opens a directory to go through it.
const search = unix.O_RDONLY
