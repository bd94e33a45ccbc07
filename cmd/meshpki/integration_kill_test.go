//go:build integration && linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// writing are the system calls that change what is on a disk. An open is one where
// it makes a file.
const writing = "openat,mkdirat,unlinkat,renameat,renameat2,linkat,symlinkat,write,pwrite64,fsync,fdatasync,syncfs," +
	"sync_file_range,ftruncate,fallocate,fchmod,fchmodat,fchown,fchownat,utimensat,fsetxattr"

// trial is one command that is disturbed at each of its writing system calls, each
// time on a copy of the same world.
type trial struct {
	t     *testing.T
	world string // a directory that is made ready
	env   []string
	args  []string
	// holds is what must hold at once, whatever happened; mended, what must hold in the
	// end: it may run what a person or a timer would run next.
	holds, mended func(t *testing.T, dir string)
	// moved, if not nil, sees to what in a copy names the world that it was made of.
	moved func(t *testing.T, dir string)
}

// syscallAt is the nth call of its kind on the thread that is traced, from 1.
type syscallAt struct {
	name string
	n    int
	line string
}

func (s syscallAt) String() string { return fmt.Sprintf("%s #%d: %s", s.name, s.n, s.line) }

var syscallLine = regexp.MustCompile(`^(\d+) +([a-z0-9_]+)\((.*)$`)

// asMeshpki is this test binary under the name by which it is meshpki, with a clock
// that stands still.
func asMeshpki(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "meshpki")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// run runs meshpki in a directory under strace with those options.
func (r trial) strace(t *testing.T, name, dir string, options ...string) (answer, *os.ProcessState) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := slices.Concat(options, []string{"--", name}, r.args)
	c := exec.CommandContext(ctx, program(t, "strace"), args...)
	c.Dir = dir
	c.Env = append(append(neutralEnv(),
		"MESHPKI_TEST_ONE_THREAD=1",
		// A signal by which Go's scheduler interrupts a slow call makes it be called again,
		// and the next ones have other numbers.
		"GODEBUG=asyncpreemptoff=1"), r.env...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("strace %s: %v\n%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), stderr.String())
	}
	return answer{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}, c.ProcessState
}

// calls records the writing calls of a clean run: of several the one with the fewest,
// in which the runtime has written least for itself.
func (r trial) calls(t *testing.T, name string) []syscallAt {
	t.Helper()
	var calls []syscallAt
	least := 0
	for range 4 {
		if these, n := r.record(t, name); calls == nil || n < least {
			calls, least = these, n
		}
	}
	if len(calls) < 5 {
		t.Fatalf("only %d writing calls were seen: %v", len(calls), calls)
	}
	r.onOneThread(t, name)
	return calls
}

// record gives the writing calls of one run, and how many calls there were in all.
func (r trial) record(t *testing.T, name string) (calls []syscallAt, all int) {
	t.Helper()
	dir := r.copy(t)
	log := filepath.Join(t.TempDir(), "strace")
	if a, _ := r.strace(t, name, dir, "-o", log, "-s", "64", "-e", "trace="+writing, "-e", "signal=none"); a.code != 0 {
		t.Fatalf("a clean run: %s", a)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.SplitSeq(string(data), "\n") {
		m := regexp.MustCompile(`^([a-z0-9_]+)\((.*)$`).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if strings.HasPrefix(m[1], "syscall_") {
			continue // fchmodat2, of which an old strace knows no name to inject by
		}
		counts[m[1]]++
		all++
		if m[1] == "write" && strings.Contains(m[2], `"\1\0\0\0\0\0\0\0", 8)`) {
			continue // the runtime wakes a thread of its own
		}
		if m[1] == "openat" && !strings.Contains(m[2], "O_CREAT") {
			continue
		}
		calls = append(calls, syscallAt{m[1], counts[m[1]], m[2]})
	}
	return calls, all
}

// onOneThread sees that no other thread of the process writes to the disk: its calls
// would be missed.
func (r trial) onOneThread(t *testing.T, name string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	if a, _ := r.strace(t, name, r.copy(t), "-f", "-o", log, "-s", "64", "-e", "trace=execve,openat,mkdirat,unlinkat,renameat,renameat2,linkat,symlinkat,fsync,fdatasync,syncfs,ftruncate", "-e", "signal=none"); a.code != 0 {
		t.Fatalf("a clean run: %s", a)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	first, programs := "", map[string]bool{}
	for line := range strings.SplitSeq(string(data), "\n") {
		m := syscallLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if m[2] == "execve" {
			programs[m[1]] = true // a program of a hook, from here on
		}
		if first == "" {
			first = m[1]
		}
		if m[1] != first && !programs[m[1]] && (m[2] != "openat" || strings.Contains(m[3], "O_CREAT")) {
			t.Fatalf("another thread writes: %s", line)
		}
	}
}

// copy gives a fresh copy of the world.
func (r trial) copy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "world")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", r.world, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v\n%s", err, out)
	}
	if r.moved != nil {
		r.moved(t, dir)
	}
	return dir
}

// killed runs the command once for each of its writing calls, and kills it there.
func (r trial) killed() {
	name := asMeshpki(r.t)
	calls := r.calls(r.t, name)
	r.t.Logf("killed at each of %d writing calls", len(calls))
	for _, at := range calls {
		r.t.Run(fmt.Sprintf("%s-%d", at.name, at.n), func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting for a disk
			// Writes by which the runtime wakes itself come when they come, and shift the
			// numbers of the others: then it is tried again.
			for range 12 {
				dir := r.copy(t)
				_, state := r.strace(t, name, dir, "-o", os.DevNull, "-e", "trace="+writing, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", at.name, at.n))
				// strace ends itself by the signal that ended what it traced.
				if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL {
					r.judge(t, dir, at)
					return
				}
			}
			t.Fatalf("it was not killed at %s", at)
		})
	}
}

// failing runs the command once for each of its writing calls and has the call fail.
func (r trial) failing(fault string) {
	name := asMeshpki(r.t)
	calls := r.calls(r.t, name)
	for _, at := range calls {
		r.t.Run(fmt.Sprintf("%s-%s-%d", fault, at.name, at.n), func(t *testing.T) {
			t.Parallel()
			dir := r.copy(t)
			a, state := r.strace(t, name, dir, "-o", os.DevNull, "-e", "trace="+writing, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", at.name, fault, at.n))
			switch {
			case !state.Exited():
				t.Fatalf("it did not end by itself at %s: %s", at, state)
			case strings.Contains(a.stderr, "internal error"), a.code > 5 && a.code != 130:
				t.Fatalf("at %s: %s", at, a)
			case a.code != 0 && a.stderr == "" && a.stdout == "" && !strings.HasPrefix(at.line, "1,") && !strings.HasPrefix(at.line, "2,"):
				t.Fatalf("at %s it failed with %d and said nothing", at, a.code)
			}
			r.judge(t, dir, at)
		})
	}
}

// judge looks at a world after the disturbance.
func (r trial) judge(t *testing.T, dir string, at syscallAt) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("disturbed at %s", at)
		}
	}()
	r.holds(t, dir)
	r.mended(t, dir)
}

// in runs meshpki in a directory, undisturbed.
func (r trial) in(t *testing.T, dir string, args ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, meshpkiNow(t), args...)
	c.Dir = dir
	c.Env = append(neutralEnv(), r.env...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%v: %v", args, errors.Join(err, ctx.Err()))
	}
	return answer{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// must is in for what has to end well.
func (r trial) must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	a := r.in(t, dir, args...)
	if a.code != 0 {
		t.Fatalf("meshpki %s: %s", strings.Join(args, " "), a)
	}
	return a.stdout
}

// meshpkiNow is asMeshpki, made once a test.
func meshpkiNow(t *testing.T) string { t.Helper(); return asMeshpki(t) }
