//go:build !windows

package renew

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

const signals = true

func signalByName(name string) os.Signal {
	return map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH,
		"INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM,
	}[name]
}

// userNumber is the number of a user, by name or number; "" is whoever runs this.
func userNumber(name string) (uint32, error) {
	if name == "" {
		return uint32(os.Geteuid()), nil
	}
	digits := name
	if u, err := user.Lookup(name); err == nil {
		digits = u.Uid
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("there is no user %s", quoted(name))
	}
	return uint32(n), nil
}

// openPlain opens a file that is a plain one: a pipe in its place would be waited
// on for ever.
func openPlain(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: not a plain file", fs.ErrInvalid)}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// mayName refuses a pid file of somebody else than root, the user that runs this
// and the user whose process is to be signalled: it could name any process of his.
func mayName(f *os.File, want uint32) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && stat.Uid != 0 && stat.Uid != want && stat.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("it is user %d's, who is neither root nor user %d, whose process is to be signalled", stat.Uid, want)
	}
	return nil
}
