package acme

import (
	"os"
	"os/exec"
	"syscall"
)

func rootDirectory() string { return os.Getenv("SystemRoot") }

// systemEnviron is what programs of the system do not start without.
func systemEnviron() []string { return []string{"SystemRoot=" + os.Getenv("SystemRoot")} }

// ownGroup keeps what is typed at the console from a program.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
