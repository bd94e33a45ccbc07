//go:build !linux

package durable

import (
	"errors"
	"os"
)

// syncsWhole: here each file is synced for itself.
func syncsWhole(*os.File, uint64) bool { return false }

func syncWhole(*os.File) error { return errors.ErrUnsupported }

func syncTogether([]*os.File) (whole bool, err error) { return false, nil }
