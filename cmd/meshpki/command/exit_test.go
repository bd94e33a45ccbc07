package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

func TestExitCode(t *testing.T) {
	place := func(err error) error { return &issue.PlaceError{Place: "out", Err: err} }
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, codeDone},
		{errors.New("anything"), codeFailed},
		{fs.ErrNotExist, codeFailed},
		{context.DeadlineExceeded, codeFailed},
		{pemfile.ErrWrongPassphrase, codeFailed},
		{pemfile.ErrTooLarge, codeFailed},
		{file.ErrNoKey, codeFailed},
		{errExists, codeFailed},
		{place(errors.New("disk full")), codeFailed},
		{place(issue.ErrForeign), codeFailed},
		{place(issue.ErrChanged), codeFailed},
		{usagef("no"), codeUsage},
		{&ca.ValidityError{Problem: "no"}, codeUsage},
		{&ca.NameError{}, codeUsage},
		{&issue.WishError{Field: "service", Why: "is none"}, codeUsage},
		{&backends.RefError{Ref: "x", Problem: "is none"}, codeUsage},
		{file.ErrNoDirectory, codeUsage},
		{file.ErrNoAuthority, codeUsage},
		{file.ErrExists, codeUsage},
		{file.ErrNotEmpty, codeUsage},
		{file.ErrRecovered, codeUsage},
		{errNo, codeNo},
		{&ca.Refusal{What: "it", Why: "no"}, codeRefused},
		{place(fs.ErrPermission), codeRefused},
		{place(syscall.EROFS), codeRefused},
		{errPartial, codePartial},
	} {
		for _, err := range []error{test.err, wrapped(test.err)} {
			if got := exitCode(err); got != test.want {
				t.Errorf("%v: exit code %d, not %d", err, got, test.want)
			}
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return withHint(fmt.Errorf("doing it: %w", err), "do another")
}

// TestExitCodesAreDocumented holds the codes against the table of docs/exit-codes.md.
func TestExitCodesAreDocumented(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "exit-codes.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(data), "| code | meaning |\n|---|---|\n")
	if !found {
		t.Fatal("docs/exit-codes.md has no table | code | meaning |")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	documented := map[int]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`).FindAllStringSubmatch(table, -1) {
		code, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		documented[code] = row[2]
	}
	codes := []int{codeDone, codeFailed, codeUsage, codeNo, codeRefused, codePartial, codeInterrupted, codeElse}
	if got := slices.Sorted(maps.Keys(documented)); !slices.Equal(got, codes) {
		t.Errorf("docs/exit-codes.md knows %v, and the command line %v", got, codes)
	}
	// The same words mean the same thing in both.
	for _, e := range exitsOf(codes[:7]...) {
		first, _, _ := strings.Cut(e.what, ";")
		if !strings.HasPrefix(documented[e.code], first) {
			t.Errorf("%d is %q in help and %q in docs/exit-codes.md", e.code, e.what, documented[e.code])
		}
	}
}

func TestPolarity(t *testing.T) {
	for _, test := range []struct {
		command    string
		code, want int
	}{
		{"verify", codeNo, codeNo}, {"verify", codeUsage, codeUsage}, {"verify", codeDone, codeDone},
		{"needs-renewal", codeDone, 0}, {"needs-renewal", codeNo, 1}, {"needs-renewal", codeFailed, 255},
		{"needs-renewal", codeUsage, 255}, {"needs-renewal", codeRefused, 255}, {"needs-renewal", codePartial, 255},
		{"needs-renewal", codeInterrupted, 255},
	} {
		if got := (&command{name: test.command}).polarity(test.code); got != test.want {
			t.Errorf("%s: %d becomes %d, not %d", test.command, test.code, got, test.want)
		}
	}
}

// world is an environment without terminals, in which nothing is set.
func world(args ...string) (env *Env, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &Env{Args: append([]string{"meshpki"}, args...), Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr,
		Getenv: func(string) string { return "" }, Now: now, Registry: &backends.Registry{}}, stdout, stderr
}

// TestPanics: a crash is a failure, told as one, and never exit 2.
func TestPanics(t *testing.T) {
	for line, want := range map[string]int{"version": 1, "needs-renewal x": 255} {
		env, _, stderr := world(strings.Fields(line)...)
		env.Stdout, env.Getenv = nil, nil // nobody can work like this
		if got := Main(t.Context(), env); got != want {
			t.Errorf("%s: exit code %d, not %d", line, got, want)
		}
		if !strings.HasPrefix(stderr.String(), "meshpki: error: internal error: ") || strings.Contains(stderr.String(), "goroutine") {
			t.Errorf("%s: it says %q", line, stderr)
		}
	}
}

func TestInterruption(t *testing.T) {
	for line, want := range map[string]int{"demo": 130, "needs-renewal nowhere.pem": 255} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		env, _, _ := world(strings.Fields(line)...)
		if got := Main(ctx, env); got != want {
			t.Errorf("%s: exit code %d, not %d", line, got, want)
		}
	}
}

// TestTell: an error's text is safe for a terminal, and is not escaped twice.
func TestTell(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("a\x1b[2Jb"), "meshpki: error: a\\x1b[2Jb\n"},
		{fmt.Errorf("%q is none", "a\x1bb"), "meshpki: error: \"a\\x1bb\" is none\n"},
		{errors.New(`C:\pki: no such file`), "meshpki: error: C:\\pki: no such file\n"},
		{usagef("no").withHint("yes"), "meshpki: error: no\nmeshpki: hint: yes\n"},
		{&fs.PathError{Op: "open", Path: "a.pem", Err: fs.ErrNotExist}, "meshpki: error: a.pem: file does not exist\n"},
		{errNo, ""},
		{errPartial, ""},
	} {
		env, _, stderr := world()
		tell(env, test.err)
		if stderr.String() != test.want {
			t.Errorf("%q, not %q", stderr, test.want)
		}
	}
	env, _, stderr := world()
	tell(env, errors.Join(errors.New("one"), errors.New("two")))
	if got := stderr.String(); strings.Contains(got, `\n`) || !strings.Contains(got, "one") || !strings.Contains(got, "two") {
		t.Errorf("of two errors it says %q", got)
	}
}
