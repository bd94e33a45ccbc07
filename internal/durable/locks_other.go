//go:build !linux

package durable

import (
	"errors"
	"os"
)

// Here each lock has a file of its own.
const partsWork = false

func knowsParts(*os.File) error { return errors.ErrUnsupported }

func lockPart(*os.File, int64) (bool, error) { return false, errors.ErrUnsupported }

func unlockPart(*os.File, int64) error { return errors.ErrUnsupported }
