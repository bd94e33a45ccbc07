package renew

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitExit waits for a child to be over and leaves it there to be reaped, so that
// its number is given to nobody else meanwhile. It tells whether it could.
func awaitExit(pid int) bool {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
