//go:build !windows

package renew

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/meshpki/meshpki/internal/durable"
)

func rootDirectory() string { return "/" }

// systemEnviron is what programs of the system need besides; nothing here.
func systemEnviron(HookFacts) []string { return nil }

// ownGroup puts a program into a session and group of its own: no terminal for it
// to ask questions on, and one number to end all of it by.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// endGroup asks a program's group to end, or ends it. Its leader has not been
// reaped, so the number is still its own.
func endGroup(cmd *exec.Cmd, now bool) {
	sig := syscall.SIGTERM
	if now {
		sig = syscall.SIGKILL
	}
	// There may be nobody left, which is as good.
	_ = syscall.Kill(-cmd.Process.Pid, sig)
}

// closeInherited keeps what this process was itself handed open (a lock of cron's,
// say) from being handed on: Go closes its own files for programs, and only those.
func closeInherited() error {
	dir, err := os.Open("/dev/fd")
	if err != nil {
		return fmt.Errorf("seeing which files are open: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("seeing which files are open: %w", err)
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// signalOf names the signal that ended a program, "" where none did.
func signalOf(state *os.ProcessState) string {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return ""
	}
	return signalName(status.Signal())
}

// signalName is a signal as people write it: SIGHUP.
func signalName(sig syscall.Signal) string {
	for name, s := range map[string]syscall.Signal{
		"SIGABRT": syscall.SIGABRT, "SIGALRM": syscall.SIGALRM, "SIGBUS": syscall.SIGBUS, "SIGFPE": syscall.SIGFPE,
		"SIGHUP": syscall.SIGHUP, "SIGILL": syscall.SIGILL, "SIGINT": syscall.SIGINT, "SIGKILL": syscall.SIGKILL,
		"SIGPIPE": syscall.SIGPIPE, "SIGQUIT": syscall.SIGQUIT, "SIGSEGV": syscall.SIGSEGV, "SIGSYS": syscall.SIGSYS,
		"SIGTERM": syscall.SIGTERM, "SIGTRAP": syscall.SIGTRAP, "SIGUSR1": syscall.SIGUSR1, "SIGUSR2": syscall.SIGUSR2,
		"SIGXCPU": syscall.SIGXCPU, "SIGXFSZ": syscall.SIGXFSZ,
	} {
		if s == sig {
			return name
		}
	}
	return "signal " + strconv.Itoa(int(sig))
}

// safeSocket refuses a socket that others could put another in the place of: who
// listens there is given a private key. A directory of the server's own is fine.
func safeSocket(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("everybody may write to %s: whose socket %s is cannot be known", dir, path)
	}
	return durable.Trusted(dir, durable.Any)
}
