//go:build integration && linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestIssueFileIsCutShort: interrupted by a signal that it hears, and by one that it does
// not, issue --file goes on where it stopped, and issues nothing twice.
func TestIssueFileIsCutShort(t *testing.T) {
	t.Parallel()
	const services = 1500 // so many are not all in hand at once
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		m := newMesh(t)
		list := filepath.Join(t.TempDir(), "mesh.yaml")
		text := "apiVersion: meshpki/v1\nservices:\n"
		for i := range services {
			text += fmt.Sprintf("  - name: s%d\n    namespace: prod\n", i)
		}
		writeFile(t, list, text)
		c := exec.CommandContext(t.Context(), meshpki(t), "issue", "--file", list, "--dir", m.dir)
		c.Env = neutralEnv()
		must(t, c.Start())
		until(t, "some are issued", func() error {
			if made, _ := os.ReadDir(filepath.Join(m.dir, "services", "prod")); len(made) < 5 {
				return fmt.Errorf("%d so far", len(made))
			}
			return nil
		})
		must(t, c.Process.Signal(signal))
		err := c.Wait()
		exit, failed := errors.AsType[*exec.ExitError](err)
		if signal == syscall.SIGINT && failed && exit.ExitCode() != 130 {
			t.Errorf("after %s: %v", signal, err)
		}
		before, _ := filepath.Glob(filepath.Join(m.dir, "services", "prod", "*", "tls.crt"))
		var answer struct{ Data []struct{ State string } }
		must(t, json.Unmarshal([]byte(m.must("issue", "--file", list, "--json")), &answer))
		count := map[string]int{}
		for _, d := range answer.Data {
			count[d.State]++
		}
		// What was done by then is fresh; only what was begun may be made again.
		if len(answer.Data) != services || count["failed"] > 0 || count["fresh"] < len(before)-4 || count["fresh"] > len(before) {
			t.Errorf("after %s with %d done: %v", signal, len(before), count)
		}
		if failed && count["issued"] == 0 {
			t.Errorf("after %s there was nothing left to do: the test tries too little", signal)
		}
		m.must("log", "verify")
		if said := m.must("issue", "--file", list); !strings.Contains(said, fmt.Sprintf("%d fresh", services)) {
			t.Error(said)
		}
	}
}

// TestIssueFileShowsHowFar: on a terminal, and nowhere else.
func TestIssueFileShowsHowFar(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	list := filepath.Join(t.TempDir(), "mesh.yaml")
	writeFile(t, list, "apiVersion: meshpki/v1\nservices: [{name: a}, {name: b}, {name: c}]\n")
	c := exec.CommandContext(t.Context(), meshpki(t), "issue", "--file", list, "--dir", m.dir)
	c.Env = append(neutralEnv(), "TERM=xterm")
	shown, err := onTerminal(c, 80)
	if err != nil || !strings.Contains(string(shown), "3 of 3") && !strings.Contains(string(shown), "3/3") {
		t.Errorf("%v: %q", err, shown)
	}
	if a := m.run("issue", "--file", list, "--force"); a.stderr != "" {
		t.Errorf("elsewhere it says %s", a)
	}
}
