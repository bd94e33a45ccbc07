//go:build !windows

package acme

import (
	"os/exec"
	"syscall"
)

func rootDirectory() string { return "/" }

// systemEnviron is what programs of the system need besides; nothing here.
func systemEnviron() []string { return nil }

// ownGroup puts a program into a session and group of its own: no terminal for it to
// ask questions on, and one number to end all of it by.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
