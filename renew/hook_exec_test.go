//go:build unix

package renew

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is the time limit of steps in these tests that are meant to reach it. The
// program has to have started by then.
const limit = 5 * time.Second

// gone tells whether a process is over, reaped or not, and waits a little for it.
func gone(pid int) bool {
	for range 100 {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return true
		}
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// firstPID finds the pid that a hook printed: its child may have spoken before.
func firstPID(t *testing.T, out []byte) int {
	t.Helper()
	for line := range strings.Lines(string(out)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			return pid
		}
	}
	t.Fatalf("there is no pid in %q", out)
	return 0
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	s := hook(t, "hang")
	s.Timeout = limit
	out, err := s.Run(t.Context(), hookFacts())
	if err == nil || !strings.HasSuffix(err.Error(), `was ended: not done within 5s; it said "waiting"`) || string(out) != "waiting\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestWholeGroupIsEnded: what the program started is ended with it, also what does
// not listen when it is asked to.
func TestWholeGroupIsEnded(t *testing.T) {
	t.Parallel()
	for _, child := range []string{"hang", "deaf"} {
		s := hook(t, "family", child)
		s.Timeout = limit
		out, err := s.Run(t.Context(), hookFacts())
		if err == nil || !strings.Contains(err.Error(), "was ended: not done within 5s") {
			t.Errorf("%s: %q, %v", child, out, err)
		}
		if pid := firstPID(t, out); !gone(pid) {
			t.Errorf("%s: process %d is still there", child, pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// TestAskedFirst: a program may tidy up before it is ended, and has failed all the same.
func TestAskedFirst(t *testing.T) {
	s := hook(t, "tidy")
	s.Timeout = limit
	out, err := s.Run(t.Context(), hookFacts())
	if err == nil || !strings.HasSuffix(err.Error(), `was ended: not done within 5s; it said "tidied up"`) || string(out) != "working\ntidied up\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestDeafIsKilled(t *testing.T) {
	t.Parallel()
	s := hook(t, "deaf")
	s.Timeout = limit
	out, err := s.Run(t.Context(), hookFacts())
	if err == nil || !strings.Contains(err.Error(), "was ended: not done within 5s") || string(out) != "not listening\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestLeftBehind: a child that goes on and holds the output open neither keeps the
// hook from being done, nor is it ended.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	out, err := hook(t, "leave", "hang").Run(t.Context(), hookFacts())
	if err != nil {
		t.Fatal(err)
	}
	pid := firstPID(t, out)
	defer syscall.Kill(pid, syscall.SIGKILL)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("process %d: %v", pid, err)
	}
}

func TestKilled(t *testing.T) {
	if _, err := hook(t, "die").Run(t.Context(), hookFacts()); err == nil || !strings.HasSuffix(err.Error(), " was killed by SIGKILL") {
		t.Error(err)
	}
}

func TestMuchOutput(t *testing.T) {
	out, err := hook(t, "much").Run(t.Context(), hookFacts())
	if err != nil || len(out) > OutputLimit || len(out) < OutputLimit-2*outputNote {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	note := "\n[... " + strconv.Itoa(len("the beginning\n")+2000*1000+len("the end\n")-outputHead-outputTail) + " bytes left out ...]\n"
	if !bytes.HasPrefix(out, []byte("the beginning\n")) || !bytes.HasSuffix(out, []byte("the end\n")) || !bytes.Contains(out, []byte(note)) {
		t.Errorf("it is not the beginning, %q and the end", note)
	}
}

func TestSurroundings(t *testing.T) {
	out, err := hook(t, "surroundings").Run(t.Context(), hookFacts())
	if err != nil || string(out) != "/ 0 EOF\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestNothingIsInherited: a file that this process was itself handed open, or opened
// without saying that it is its own, is not handed on.
func TestNothingIsInherited(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a process cannot see here what it was handed")
	}
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	out, err := hook(t, "open").Run(t.Context(), hookFacts())
	if err != nil || len(out) > 0 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestNoProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := os.WriteFile(filepath.Join(os.Getenv("PATH"), "meshpki-test-hook"), []byte("#!/bin/true\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ program, want string }{
		{"meshpki-test-hook", `no program "meshpki-test-hook" in ` + HookPath + ": file does not exist"},
		{filepath.Join(t.TempDir(), "none"), "no such file or directory"},
	} {
		_, err := Step{Exec: []string{test.program}}.Run(t.Context(), hookFacts())
		if err == nil || !strings.HasSuffix(err.Error(), test.want) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v; want %s", err, test.want)
		}
	}
	if _, err := (Step{Exec: []string{"true"}}).Run(t.Context(), hookFacts()); err != nil {
		t.Error(err)
	}
}

// TestOthersProgram: root runs nothing that somebody else can change.
func TestOthersProgram(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root is careful here")
	}
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(dir, file string) error{
		"nothing":         func(string, string) error { return nil },
		"program, mode":   func(_, file string) error { return os.Chmod(file, 0o775) },
		"program, owner":  func(_, file string) error { return os.Chown(file, 65534, 0) },
		"directory, mode": func(dir, _ string) error { return os.Chmod(dir, 0o757) },
		"directory, owner": func(dir, _ string) error {
			return os.Chown(dir, 65534, 0)
		},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "true")
		if err := os.WriteFile(file, program, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir, file); err != nil {
			t.Fatal(err)
		}
		_, err := Step{Exec: []string{file}}.Run(t.Context(), hookFacts())
		if want := name != "nothing"; errors.Is(err, os.ErrPermission) != want || (err != nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStepsRefused(t *testing.T) {
	for name, s := range map[string]Step{
		"none":             {},
		"two":              {Exec: []string{"a"}, HTTP: &HTTP{URL: "http://a/"}},
		"relative":         {Exec: []string{"bin/a"}},
		"empty":            {Exec: []string{""}},
		"parent":           {Exec: []string{".."}},
		"zero":             {Exec: []string{"a", "b\x00"}},
		"negative":         {Exec: []string{"a"}, Timeout: -1},
		"passphrase":       {Exec: []string{"a"}, Env: []string{"MESHPKI_PASSPHRASE"}},
		"passphrase, case": {Exec: []string{"a"}, Env: []string{"meshpki_passphrase_file"}},
		"root's":           {Exec: []string{"a"}, Env: []string{"MESHPKI_ROOT_PASSPHRASE_FILE"}},
		"token":            {Exec: []string{"a"}, Env: []string{"VAULT_TOKEN"}},
		"credentials":      {Exec: []string{"a"}, Env: []string{"CREDENTIALS_DIRECTORY"}},
		"path":             {Exec: []string{"a"}, Env: []string{"PATH"}},
		"own":              {Exec: []string{"a"}, Env: []string{"MESHPKI_HOOK_SERIAL"}},
		"no name":          {Exec: []string{"a"}, Env: []string{"A=B"}},
		"empty name":       {Exec: []string{"a"}, Env: []string{""}},
		"env for http":     {HTTP: &HTTP{URL: "http://a/"}, Env: []string{"LANG"}},
		"action":           {Systemctl: &Systemctl{Action: "stop", Unit: "a.service"}},
		"option":           {Systemctl: &Systemctl{Action: "reload", Unit: "--now"}},
		"glob":             {Systemctl: &Systemctl{Action: "reload", Unit: "*"}},
		"pid file":         {Signal: &Signal{PIDFile: "run/a"}},
		"signal":           {Signal: &Signal{PIDFile: "/run/a", Signal: "KILL"}},
		"remote haproxy":   {HAProxy: &HAProxy{Socket: "192.0.2.1:9999", Cert: "a"}},
		"named haproxy":    {HAProxy: &HAProxy{Socket: "localhost:9999", Cert: "a"}},
		"command":          {HAProxy: &HAProxy{Socket: "/run/a", Cert: "a;show"}},
		"two words":        {HAProxy: &HAProxy{Socket: "/run/a", Cert: "a b"}},
		"line":             {HAProxy: &HAProxy{Socket: "/run/a", Cert: "a\nshow info"}},
		"scheme":           {HTTP: &HTTP{URL: "file:///etc/passwd"}},
		"no host":          {HTTP: &HTTP{URL: "http:///x"}},
		"password":         {HTTP: &HTTP{URL: "http://a:hunter2@b/"}},
		"method":           {HTTP: &HTTP{URL: "http://a/", Method: "DELETE"}},
		"roots":            {HTTP: &HTTP{URL: "http://a/", Roots: "/x"}},
	} {
		out, err := s.Run(t.Context(), hookFacts())
		if err == nil || out != nil || s.Validate() == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

// TestSystemctl is about the words; no systemd is asked.
func TestSystemctl(t *testing.T) {
	s := Step{Systemctl: &Systemctl{Action: "reload", Unit: "payment@1.service"}}
	if got := strings.Join(s.Systemctl.argv(), " "); s.Validate() != nil || got != "systemctl --no-ask-password reload payment@1.service" {
		t.Error(got, s.Validate())
	}
}
