//go:build !linux

package durable

import (
	"errors"
	"os"
)

// deviceOf: here each file is synced for itself.
func deviceOf(*os.Root) (device uint64, ok bool) { return 0, false }

func syncsWhole(*os.File, uint64) bool { return false }

func syncWhole(*os.File) error { return errors.ErrUnsupported }

func syncTogether([]*os.File) (whole bool, err error) { return false, nil }

func mayWrite(*os.Root) bool { return false }
