//go:build !linux

package durable

import (
	"errors"
	"os"
)

// device: here each file is synced for itself.
func (d *Dir) device() (device uint64, ok bool) { return 0, false }

func (d *Dir) file() (*os.File, error) { return nil, errors.ErrUnsupported }

func syncsWhole(*os.File, uint64) bool { return false }

func syncWhole(*os.File) error { return errors.ErrUnsupported }

func syncTogether([]*os.File) (whole bool, err error) { return false, nil }

func (d *Dir) mayWrite() bool { return false }
