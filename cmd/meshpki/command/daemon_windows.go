package command

import (
	"io/fs"
	"time"
)

// identity tells nothing here: time and size have to do.
func identity(fs.FileInfo) uint64 { return 0 }

// monotonic is for a service manager that is not found here.
func monotonic() (time.Duration, bool) { return 0, false }
