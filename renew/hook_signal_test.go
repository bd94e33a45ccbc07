//go:build unix

package renew

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pidFile writes a pid file, one that its owner alone can change.
func pidFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.pid")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// sleeper starts a process, of the user nobody if asked, and gives its number.
func sleeper(t *testing.T, nobody bool) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "60")
	if nobody {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	// Run under nohup, it would pass on that SIGHUP is ignored; what is handled is not.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP, syscall.SIGINT)
	defer signal.Stop(handled)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func TestSignal(t *testing.T) {
	for _, name := range append(strings.Fields(SignalNames), "") {
		if name == "WINCH" {
			continue // it ends nobody; see TestSignalWinch
		}
		cmd := sleeper(t, false)
		s := Step{Signal: &Signal{PIDFile: pidFile(t, fmt.Sprintf("%d\n", cmd.Process.Pid)), Signal: name}}
		if _, err := s.Run(t.Context(), hookFacts()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = cmd.Wait()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if want := signalByName(s.Signal.name()); !status.Signaled() || status.Signal() != want {
			t.Errorf("%s: it ended with %v, want %v", name, cmd.ProcessState, want)
		}
	}
}

// TestSignalEveryTime reads the file each time, and says what is wrong with it.
func TestSignalEveryTime(t *testing.T) {
	name := pidFile(t, "")
	s := Step{Signal: &Signal{PIDFile: name}}
	_, err := s.Run(t.Context(), hookFacts())
	if err == nil || !strings.HasSuffix(err.Error(), "it is empty: the number of a process is expected") {
		t.Error(err)
	}
	cmd := sleeper(t, false)
	if err := os.WriteFile(name, fmt.Appendf(nil, "  %d\r\n", cmd.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), hookFacts()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), hookFacts()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func TestParsePID(t *testing.T) {
	if pid, err := parsePID("12345\n"); err != nil || pid != 12345 {
		t.Error(pid, err)
	}
	for _, text := range []string{
		"", "\n", "0", "1", "-1", "-12", "+12", "012", "0x10", "1e3", "12 13", "12\n13", "12a", "a", "99999999999", "2147483648",
		"１２", "12\x00", "\x1b[31m12", fmt.Sprint(os.Getpid()), strings.Repeat("1", 32),
	} {
		if pid, err := parsePID(text); err == nil {
			t.Errorf("%q is taken for %d", text, pid)
		} else if strings.ContainsAny(err.Error(), "\x1b\x00\n") {
			t.Errorf("%q: %q shows what it should not", text, err)
		}
	}
}

func FuzzParsePID(f *testing.F) {
	f.Add("12\n")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, text string) {
		if pid, err := parsePID(text); err == nil && (pid < 2 || strings.Trim(text, " \t\r\n") != fmt.Sprint(pid)) {
			t.Errorf("%q is taken for %d", text, pid)
		}
	})
}

// TestSignalGone: the number of a process that is over hits nobody.
func TestSignalGone(t *testing.T) {
	cmd := sleeper(t, false)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	s := Step{Signal: &Signal{PIDFile: pidFile(t, fmt.Sprint(cmd.Process.Pid))}}
	want := fmt.Sprintf("there is no process %d, which %s names", cmd.Process.Pid, s.Signal.PIDFile)
	if _, err := s.Run(t.Context(), hookFacts()); err == nil || err.Error() != want {
		t.Errorf("%v; want %s", err, want)
	}
}

// TestSignalReused is a number given to another process between the looks at it:
// what was held first is signalled, or nobody.
func TestSignalReused(t *testing.T) {
	first := sleeper(t, false)
	held, err := os.FindProcess(first.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Process.Kill()
	_ = first.Wait()
	if err := held.Signal(syscall.SIGHUP); err == nil {
		t.Error("a process that is over was signalled")
	}
}

func TestSignalOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can have a process of another user")
	}
	cmd := sleeper(t, true)
	pid := cmd.Process.Pid
	for _, test := range []struct{ user, want string }{
		{"", "is of user 65534 and not of 0: it was not signalled"},
		{"root", "is of user 65534 and not of 0: it was not signalled"},
		{"1", "is of user 65534 and not of 1: it was not signalled"},
		{"no-such-user", `there is no user "no-such-user"`},
		{"65534", ""},
	} {
		s := Step{Signal: &Signal{PIDFile: pidFile(t, fmt.Sprint(pid)), User: test.user}}
		_, err := s.Run(t.Context(), hookFacts())
		if (err == nil) != (test.want == "") || err != nil && !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%q: %v; want %s", test.user, err, test.want)
		}
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGHUP {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}

// TestSignalOthersFile: who may write the file must not choose among root's processes.
func TestSignalOthersFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can have a file of another user")
	}
	cmd := sleeper(t, false)
	s := Step{Signal: &Signal{PIDFile: pidFile(t, fmt.Sprint(cmd.Process.Pid))}}
	if err := os.Chown(s.Signal.PIDFile, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), hookFacts()); err == nil || !strings.Contains(err.Error(), "it is user 65534's, who is neither root nor user 0") {
		t.Error(err)
	}
	if err := syscall.Kill(cmd.Process.Pid, 0); err != nil {
		t.Error(err)
	}
}

// TestSignalOddFiles: what is no plain file is neither waited on nor gone by.
func TestSignalOddFiles(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pipe, t.TempDir(), "/dev/zero"} {
		if _, err := (Step{Signal: &Signal{PIDFile: name}}).Run(t.Context(), hookFacts()); err == nil || !strings.Contains(err.Error(), "not a plain file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignalWinch(t *testing.T) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGWINCH)
	defer signal.Stop(told)
	// This very process is refused, and so is used for the sending alone.
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(signalByName("WINCH")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Error("it did not arrive")
	}
}
