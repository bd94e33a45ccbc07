package renew

import (
	"os"
	"os/exec"
	"syscall"
)

func rootDirectory() string { return os.Getenv("SystemRoot") }

// systemEnviron is what programs of the system do not start without.
func systemEnviron(f HookFacts) []string {
	if f.Lookup != nil {
		if root, ok := f.Lookup("SystemRoot"); ok {
			return []string{"SystemRoot=" + root}
		}
	}
	return nil
}

// ownGroup keeps what is typed at the console from a program.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// endGroup ends the program alone: there are no groups to end here, so what it
// started goes on.
func endGroup(cmd *exec.Cmd, _ bool) { _ = cmd.Process.Kill() }

// closeInherited has nothing to do: a handle is handed on only where it is named.
func closeInherited() error { return nil }

// awaitExit has nothing to do: a process is held by its handle, not by its number.
func awaitExit(int) bool { return false }

func signalOf(*os.ProcessState) string { return "" }

// There are no signals here.
const signals = false

func signalByName(string) os.Signal { return nil }

func userNumber(string) (uint32, error) { return 0, nil }

func usersOf(int) ([]uint32, error) { return nil, os.ErrProcessDone }

func openPlain(name string) (*os.File, error) { return os.Open(name) }

// safeSocket has nothing to check: modes do not say here who may write.
func safeSocket(string) error { return nil }

func mayName(*os.File, uint32) error { return nil }
