package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// everyRun finds what differs from run to run, longest first.
var everyRun = []struct {
	found *regexp.Regexp
	said  string
}{
	{regexp.MustCompile(`(?s)-----BEGIN ([A-Z0-9 ]+)-----\n.*?-----END [A-Z0-9 ]+-----`), "<pem $1>"},
	{regexp.MustCompile(`-----BEGIN ([A-Z0-9 ]+)-----\\n.*?-----END [A-Z0-9 ]+-----`), "<pem $1>"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "<sha256>"},
	{regexp.MustCompile(`\b[0-9a-f]{40}\b`), "<key id>"},
	{regexp.MustCompile(`\b[0-9a-f]{26,34}\b`), "<serial>"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(…|\.\.\.)[0-9a-f]{4}\b`), "<serial>"},
	{regexp.MustCompile(`(\.\.gen-\d+-)[0-9a-f]{16}\b`), "$1<random>"},
	{regexp.MustCompile(`\bgo1\.[0-9.]+[^ ]* [a-z0-9]+/[a-z0-9]+`), "<go> <platform>"},
	{regexp.MustCompile(`\bmeshpki-demo-\d+`), "meshpki-demo-<random>"},
	// A signature in DER is not always as long as another, nor then is its PEM.
	{regexp.MustCompile(`(\bline |"line": |\.pem:)\d+`), "$1<n>"},
	{regexp.MustCompile(`\b127\.0\.0\.1:\d+`), "127.0.0.1:<port>"},
}

// norm FILE OUT copies a file (or stdout, stderr) with a name in place of what is
// new in each run: serial numbers, fingerprints, key identifiers, this directory.
func norm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: norm file out")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "<work>")
	for _, r := range everyRun {
		text = r.found.ReplaceAllString(text, r.said)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
}

// huge FILE [START] makes a file of 80 MiB and one byte, which begins like START
// and goes on with blank lines.
func huge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: huge file [start]")
	}
	start := "data "
	if len(args) == 2 {
		start = ts.ReadFile(args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(start), 0o644))
	ts.Check(os.Truncate(ts.MkAbs(args[0]), 80<<20+1)) // the rest takes no room
}

// truncate FILE BYTES cuts a file off.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate file bytes")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// mode OCTAL PATH… holds the permissions of files and directories against a number.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode octal path...")
	}
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, not %s", name, got, args[0])
		}
	}
}

// snapshot NAME PATH… remembers everything under the paths: names, modes, links and
// contents. unchanged [-but-locks] NAME holds them against what is there now, but
// for the empty files that services are locked by, where a service was found in
// order before something else went wrong.
func snapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: snapshot name path...")
	}
	keptOf(ts).trees[args[0]] = listTree(ts, args[1:])
	keptOf(ts).paths[args[0]] = args[1:]
}

// isLock finds the lines of a service's lock, and of the directory of locks.
var isLock = regexp.MustCompile(`/cache/locks d[^ ]*$|/cache/locks/[^ /]+\.lock -rw------- 0 `)

func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	butLocks := len(args) > 1 && args[0] == "-but-locks"
	if butLocks {
		args = args[1:]
	}
	if len(args) != 1 || keptOf(ts).paths[args[0]] == nil {
		ts.Fatalf("usage: unchanged [-but-locks] name, of a snapshot")
	}
	was := keptOf(ts).trees[args[0]]
	now := listTree(ts, keptOf(ts).paths[args[0]])
	var changes []string
	for _, line := range was {
		if !slices.Contains(now, line) {
			changes = append(changes, "- "+line)
		}
	}
	for _, line := range now {
		if !slices.Contains(was, line) && (!butLocks || !isLock.MatchString(line)) {
			changes = append(changes, "+ "+line)
		}
	}
	switch {
	case !neg && len(changes) > 0:
		ts.Fatalf("something has changed:\n%s", strings.Join(changes, "\n"))
	case neg && len(changes) == 0:
		ts.Fatalf("nothing has changed")
	}
}

// listTree describes everything under the paths, a line each. A path that does not
// exist has no line.
func listTree(ts *testscript.TestScript, paths []string) []string {
	var out []string
	for _, path := range paths {
		root := ts.MkAbs(path)
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				if os.IsNotExist(err) && name == root {
					return nil
				}
				return err
			}
			if d.IsDir() && name != root && (d.Name() == ".tmp" || d.Name() == ".home") {
				return filepath.SkipDir
			}
			line, err := describeFile(name, d)
			out = append(out, strings.TrimPrefix(line, ts.Getenv("WORK")))
			return err
		})
		ts.Check(err)
	}
	return out
}

func describeFile(name string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	line := name + " " + info.Mode().String()
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		return line + " -> " + target, err
	case info.Mode().IsRegular():
		data, err := os.ReadFile(name)
		return fmt.Sprintf("%s %d %x", line, len(data), sha256.Sum256(data)), err
	}
	return line, nil
}
