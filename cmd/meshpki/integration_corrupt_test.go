//go:build integration && linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/backends/all"
	"github.com/meshpki/meshpki/cmd/meshpki/command"
)

// corruptions are what may have become of a file.
var corruptions = []struct {
	name string
	do   func(path string, data []byte) error
}{
	{"cut", func(path string, data []byte) error { return spoil(path, data[:len(data)/2]) }},
	{"empty", func(path string, _ []byte) error { return spoil(path, nil) }},
	{"garbage", func(path string, _ []byte) error { return spoil(path, []byte("\x00\xff\xfegarbage\n{")) }},
	{"first", func(path string, data []byte) error { return spoil(path, flipped(data, 0)) }},
	{"middle", func(path string, data []byte) error { return spoil(path, flipped(data, len(data)/2)) }},
	{"last", func(path string, data []byte) error { return spoil(path, flipped(data, len(data)-1)) }},
	{"directory", func(path string, _ []byte) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Mkdir(path, 0o755)
	}},
}

func spoil(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }

// flipped is data with a bit of one byte flipped.
func flipped(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1
	return data
}

// here runs meshpki in this process: a panic would be told of.
func here(t *testing.T, args ...string) answer {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := command.Main(t.Context(), &command.Env{
		Args: append([]string{"meshpki"}, args...), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(string) string { return "" }, Now: clock, Registry: all.Registry(), Workers: 1,
	})
	if strings.Contains(stderr.String(), "internal error") {
		t.Errorf("meshpki %s: %s", strings.Join(args, " "), stderr.String())
	}
	return answer{stdout.String(), stderr.String(), code}
}

// looking are commands that read the state directory; together they read all of it.
var looking = []string{
	"ca list", "ca show", "log show", "log verify", "status --all", "plan", "ca rotate root status", "renew --dry-run --force",
	"verify pki/services/default/payment/tls.crt", "verify out/tls.crt",
}

// working are those that go on with what is there.
var working = []string{"crl", "issue --service fresh", "issue --service fresh --backend local:wide --force", "renew"}

// corrupted is what is expected of a file that is not what was written.
type corrupted struct {
	files   string // by a regular expression of their names in the world
	noticed bool   // some command says so, and names it; otherwise nothing depends on it
}

// expectations: the first that fits counts.
var expectations = []corrupted{
	{`^pki/(cache/|transcripts/|\.lock|log\.journal)`, false}, // what can be rebuilt, or is for people
	{`/\.\.old-`, false},                           // the generation before
	{`^pki/keys/(root|root-2|asked)\.key$`, false}, // of CAs that nobody here asks for anything
	{`^pki/meshpki\.yaml$`, false},                 // a manifest is a person's
	{`/ca\.crt$`, false},                           // renewal lays it out again
	{`.`, true},
}

// stateToCorrupt makes a directory that has everything in it that one can have, and
// gives the files that are in use.
func stateToCorrupt(t *testing.T) (files []string) {
	t.Helper()
	writeFile(t, "mesh.yaml", "apiVersion: meshpki/v1\nservices:\n  - name: hooked\n    outputs: [{to: out}]\n    hook: [/bin/false]\n")
	for _, line := range []string{
		"ca init", "ca intermediate wide --max-path-len 1", "ca cross-sign issuing --by wide", "ca csr asked",
		"issue --service payment", "issue --service account", "revoke pki/services/default/account/tls.crt", "crl",
		"issue --file mesh.yaml", "ca rotate root start",
	} {
		if a := here(t, strings.Fields(line)...); a.code != 0 {
			t.Fatalf("%s: %s", line, a)
		}
	}
	if err := os.Rename("mesh.yaml", "pki/meshpki.yaml"); err != nil {
		t.Fatal(err)
	}
	if a := here(t, "renew"); a.code != 5 { // the hook fails, and the journal stays
		t.Fatalf("renew: %s", a)
	}
	for _, top := range []string{"pki", "out"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			if info, err := d.Info(); err != nil || info.Size() == 0 {
				return err
			}
			if place, rest, ok := strings.Cut(path, "/..gen-"); ok {
				now, err := os.Readlink(filepath.Join(place, "..data"))
				if err != nil || !strings.HasPrefix("..gen-"+rest, now+"/") {
					return err
				}
			}
			files = append(files, path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestCorruptState: whatever has become of a file of the state directory, no command
// panics or repairs it without a word, and what matters is reported with its place.
func TestCorruptState(t *testing.T) {
	world, scratch := t.TempDir(), t.TempDir()
	t.Chdir(world)
	files := stateToCorrupt(t)
	sound := map[string]answer{}
	t.Chdir(copied(t, world, scratch))
	for _, line := range slices.Concat(looking, working) {
		sound[line] = here(t, strings.Fields(line)...)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(world, f))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(expectations, func(e corrupted) bool { return regexp.MustCompile(e.files).MatchString(f) })
		for _, c := range corruptions {
			t.Run(f+" "+c.name, func(t *testing.T) {
				t.Chdir(copied(t, world, scratch))
				if err := c.do(f, data); err != nil {
					t.Fatal(err)
				}
				// A flipped bit may leave a file that says something else as well as before.
				must := expectations[i].noticed && !slices.Contains([]string{"first", "middle", "last"}, c.name)
				judgeCorrupted(t, f, sound, must)
			})
		}
	}
}

// copied gives a fresh copy of the world.
func copied(t *testing.T, world, scratch string) string {
	t.Helper()
	dir := filepath.Join(scratch, "world")
	t.Chdir(scratch)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", world, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v\n%s", err, out)
	}
	return dir
}

// judgeCorrupted runs every command on a directory with a file in it that is not what
// was written.
func judgeCorrupted(t *testing.T, f string, sound map[string]answer, must bool) {
	t.Helper()
	was, _ := os.ReadFile(f) // of a directory nothing
	info, err := os.Lstat(f)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(f)
	place, _, inPlace := strings.Cut(f, "/..gen-")
	noticed, all := false, ""
	for i, line := range slices.Concat(looking, working) {
		a := here(t, strings.Fields(line)...)
		said := strings.Join(strings.Fields(a.stdout+a.stderr), "")
		named := strings.Contains(said, name) || inPlace && strings.Contains(said, place)
		// A key that will be laid out again is no failure, and shown.
		noticed = noticed || named && (a.code != sound[line].code || inPlace && a.stdout != sound[line].stdout && i < len(looking))
		all += fmt.Sprintf("%s: %s\n", line, a)
		if a.code > 5 {
			t.Errorf("%s: %s", line, a)
		}
		if now, _ := os.ReadFile(f); i < len(looking) && !bytes.Equal(now, was) {
			t.Errorf("%s has changed it", line)
		}
	}
	if must && !noticed {
		t.Errorf("nothing names it:\n%s", all)
	}
	// What the program itself writes at each turn is written again, and a place that is
	// laid out anew is told of; nothing else is touched.
	if regexp.MustCompile(`^pki/(cache/|log\.journal|renew/)`).MatchString(f) || inPlace {
		return
	}
	if now, err := os.Lstat(f); !must || err != nil {
		return
	} else if data, _ := os.ReadFile(f); now.Mode() != info.Mode() || !bytes.Equal(data, was) {
		t.Errorf("it was repaired, and nothing was said:\n%s", all)
	}
}
