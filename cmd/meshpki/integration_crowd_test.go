//go:build integration && linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// crowd makes a state directory and a file with enough services to be worked together.
func crowd(t *testing.T) (dir, list string) {
	t.Helper()
	top := t.TempDir()
	dir, list = filepath.Join(top, "pki"), filepath.Join(top, "mesh.yaml")
	var text strings.Builder
	text.WriteString("apiVersion: meshpki/v1\nservices:\n")
	for i := range 200 {
		fmt.Fprintf(&text, "- name: s%d\n", i)
	}
	writeFile(t, list, text.String())
	succeed(t, meshpki(t), "ca", "init", "--dir", dir)
	return dir, list
}

// wholeSets sees that every set that is there is whole and recorded, and tells how many
// there are.
func wholeSets(t *testing.T, dir string) (n int) {
	t.Helper()
	links, err := filepath.Glob(filepath.Join(dir, "services", "default", "*", "..data"))
	must(t, err)
	for _, link := range links {
		if err := checkSet(filepath.Dir(link)); err != nil {
			t.Error(err)
		}
	}
	succeed(t, meshpki(t), "log", "verify", "--dir", dir)
	return len(links)
}

// Killed while hundreds of sets are in hand: each is whole or not there, what was told as
// done is there, and another run makes the others.
func TestKilledInACrowd(t *testing.T) {
	for _, told := range []int{1, 40, 150} {
		dir, list := crowd(t)
		c := exec.CommandContext(t.Context(), meshpki(t), "issue", "--file", list, "--dir", dir, "--format", "json")
		c.Env = neutralEnv()
		out, err := c.StdoutPipe()
		must(t, err)
		must(t, c.Start())
		said := make([]byte, 0, 1<<20)
		for bytes.Count(said, []byte(`"state"`)) < told {
			n, err := out.Read(said[len(said):cap(said)])
			if said = said[:len(said)+n]; err != nil {
				break
			}
		}
		must(t, c.Process.Kill())
		rest, _ := io.ReadAll(out)
		_ = c.Wait() // it was killed
		said = append(said, rest...)
		if has, done := wholeSets(t, dir), bytes.Count(said, []byte(`"state"`)); has < done {
			t.Errorf("%d were told of as done, and %d are there", done, has)
		}
		succeed(t, meshpki(t), "issue", "--file", list, "--dir", dir)
		if n := wholeSets(t, dir); n != 200 {
			t.Errorf("%d of 200 are there after another run", n)
		}
	}
}

// What the disk has not taken is told of as failed, and nothing else as done.
// (strace counts the calls of each thread for itself.)
func TestSharedSyncFails(t *testing.T) {
	for _, when := range []string{"1", "1+"} {
		dir, list := crowd(t)
		c := exec.CommandContext(t.Context(), program(t, "strace"), "-f", "-o", os.DevNull, "-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO:when="+when,
			meshpki(t), "issue", "--file", list, "--dir", dir)
		c.Env = neutralEnv()
		out, err := c.CombinedOutput()
		if code := c.ProcessState.ExitCode(); code != 5 {
			t.Fatalf("syncfs number %s fails: exit %d, %v\n%.2000s", when, code, err, out)
		}
		if !bytes.Contains(out, []byte("input/output error")) {
			t.Errorf("syncfs number %s fails, and nobody is told:\n%.2000s", when, out)
		}
		wholeSets(t, dir)
		succeed(t, meshpki(t), "issue", "--file", list, "--dir", dir)
		if n := wholeSets(t, dir); n != 200 {
			t.Errorf("%d of 200 are there after another run", n)
		}
	}
}
