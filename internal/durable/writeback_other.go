//go:build !linux

package durable

import "os"

// startWriteback does nothing here: the sync that follows does it all.
func startWriteback(*os.File) {}

// SyncData syncs a file.
func SyncData(f *os.File) error { return f.Sync() }

// Boot is not known here.
func Boot() string { return "" }
