package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// exitcode N PROGRAM [ARGS…] runs a program that must end with exactly that code.
func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := codeOf(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// fails N SENTENCE PROGRAM [ARGS…] runs a program that must end with that code, say
// nothing on standard output, and on standard error that one sentence, with a hint
// at most, on lines of 80 columns that are safe for a terminal. hint SENTENCE then
// holds the hint.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fails N sentence program [args...]")
	}
	exitcode(ts, false, append([]string{args[0]}, args[2:]...))
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("it says on standard output:\n%s", out)
	}
	columns(ts, false, []string{"80", "stderr"})
	noControl(ts, false, []string{"stderr"})
	said := sentences(ts.ReadFile("stderr"))
	if len(said) == 0 || said[0] != "meshpki: error: "+args[1] {
		ts.Fatalf("it says\n  %s\nnot\n  meshpki: error: %s", strings.Join(said, "\n  "), args[1])
	}
	if len(said) > 2 || len(said) == 2 && !strings.HasPrefix(said[1], "meshpki: hint: ") {
		ts.Fatalf("it says more than an error and a hint:\n  %s", strings.Join(said, "\n  "))
	}
}

// hint SENTENCE holds the hint of the last failure; without a sentence there is none.
func hint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: hint [sentence]")
	}
	want := ""
	if len(args) == 1 {
		want = "meshpki: hint: " + args[0]
	}
	got := strings.Join(sentences(ts.ReadFile("stderr"))[1:], "\n")
	if got != want {
		ts.Fatalf("the hint is %q, not %q", got, want)
	}
}

// sentences joins the wrapped lines of standard error again.
func sentences(text string) []string {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(strings.ReplaceAll(text, "\n  ", " "), "\n")
}

// codeOf is the exit code that an error of running a program stands for.
func codeOf(ts *testscript.TestScript, err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// parallel [-watch DIR] N CODE=TIMES[,CODE=TIMES…] PROGRAM [ARGS…] starts a program N
// times at once, with {n} in its arguments counted from 1, and holds the exit codes
// against those expected. Meanwhile it reads the set in DIR over and over, as a
// service would: it must be whole each time.
func parallel(ts *testscript.TestScript, neg bool, args []string) {
	watch := ""
	if len(args) > 2 && args[0] == "-watch" {
		watch, args = ts.MkAbs(args[1]), args[2:]
	}
	if neg || len(args) < 3 {
		ts.Fatalf("usage: parallel [-watch dir] N code=times[,code=times] program [args...]")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	runs := make([]*exec.Cmd, n)
	for i := range runs {
		words := slices.Clone(args[2:])
		for w := range words {
			words[w] = strings.ReplaceAll(words[w], "{n}", strconv.Itoa(i+1))
		}
		runs[i] = exec.Command(words[0], words[1:]...)
		runs[i].Dir, runs[i].Env = ts.MkAbs("."), environ(ts)
		runs[i].Stdout, runs[i].Stderr = &bytes.Buffer{}, &bytes.Buffer{}
	}
	for _, r := range runs {
		ts.Check(r.Start())
	}
	ends := make([]error, n)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for i, r := range runs {
			ends[i] = r.Wait()
		}
	}()
	for reads := 0; watch != ""; reads++ {
		if err := readOnce(watch); err != nil {
			<-over
			ts.Fatalf("a reader of %s: %v", watch, err)
		}
		select {
		case <-over:
			ts.Logf("read %d times", reads)
			watch = ""
		default:
		}
	}
	<-over
	codes := map[int]int{}
	for i, r := range runs {
		codes[codeOf(ts, ends[i])]++
		fmt.Fprint(ts.Stdout(), r.Stdout)
		fmt.Fprint(ts.Stderr(), r.Stderr)
	}
	if want := expectedCodes(ts, args[1]); !maps.Equal(codes, want) {
		ts.Fatalf("exit codes (code:times) %v, not %v", codes, want)
	}
}

func expectedCodes(ts *testscript.TestScript, text string) map[int]int {
	want := map[int]int{}
	for pair := range strings.SplitSeq(text, ",") {
		code, times, _ := strings.Cut(pair, "=")
		c, err := strconv.Atoi(code)
		ts.Check(err)
		want[c], err = strconv.Atoi(times)
		ts.Check(err)
	}
	return want
}

// readOnce reads the set of a directory as a service does that resolves the
// directory once. Where it was so slow that its generation has been cleared away,
// it has seen nothing.
func readOnce(dir string) error {
	generation, err := os.Readlink(filepath.Join(dir, "..data"))
	if err != nil {
		return err
	}
	resolved := filepath.Join(dir, generation)
	err = checkSet(resolved)
	if _, gone := os.Stat(resolved); errors.Is(gone, fs.ErrNotExist) {
		return nil
	}
	return err
}

// tty COLUMNS OUT PROGRAM [ARGS…] runs a program on a terminal that many columns
// wide, and keeps what it wrote there in a file.
func tty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: tty columns out program [args...]")
	}
	wide, err := strconv.ParseUint(args[0], 10, 16)
	ts.Check(err)
	cmd := exec.Command(args[2], args[3:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
	out, err := onTerminal(cmd, uint16(wide))
	if err != nil {
		ts.Fatalf("%v; it wrote:\n%s", err, out)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), bytes.ReplaceAll(out, []byte("\r\n"), []byte("\n")), 0o644))
}

// asuser N PROGRAM [ARGS…] is exitcode for a user whom permissions bind: root runs
// it as somebody else, to whom the script's files are given.
func asUser(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: asuser N program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	ts.Check(unprivileged(cmd, ts.Getenv("WORK")))
	if got := codeOf(ts, cmd.Run()); got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// smalldisk DIR BYTES makes an empty disk of that size be the directory.
func smallDisk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: smalldisk dir bytes")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	unmount, err := mountSmall(dir, args[1])
	ts.Check(err)
	ts.Defer(unmount)
}

// scriptCondition answers for the conditions that are ours: [mount] whether a small
// disk can be had, [user] whether a user can be had whom permissions bind, [root]
// whether this is root.
func scriptCondition(cond string) (bool, error) {
	switch cond {
	case "mount":
		dir, err := os.MkdirTemp("", "meshpki-mount")
		if err != nil {
			return false, err
		}
		defer os.RemoveAll(dir)
		unmount, err := mountSmall(dir, "64k")
		if err == nil {
			unmount()
		}
		return err == nil, nil
	case "user":
		return canBeOther(), nil
	case "root":
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}
