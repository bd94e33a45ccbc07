package durable

import "golang.org/x/sys/unix"

// search opens a directory to go through it, which needs no right to read it.
const search = unix.O_PATH
