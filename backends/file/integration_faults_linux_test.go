//go:build integration

package file

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// TestIntegrationReaders is TestReaderBesideSaves and TestReaderOfOnePlainFile, a
// thousand times each.
func TestIntegrationReaders(t *testing.T) {
	t.Run("a directory", func(t *testing.T) { readDirectory(t, 1000) })
	t.Run("a file", func(t *testing.T) { readOnePlainFile(t, 1000) })
}

// faultTasks are the saves that meet a fault.
func faultTasks() map[string]issue.Set {
	return map[string]issue.Set{"save links": small("new"), "save files": plain("new")}
}

// straced does a task under strace and gives what it said, and whether it was
// killed; options are strace's.
func straced(t *testing.T, task, path string, options ...string) (said string, ended error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "strace", append(options, os.Args[0])...)
	c.Env = append(os.Environ(), childTask+"="+task, childPath+"="+path)
	out, err := c.CombinedOutput()
	return string(out), err
}

// TestIntegrationFaultsInASave has every writing call of a save fail in four ways,
// and kills the process at each: what stands then is the old set or the new one,
// the old where the save said that it failed, and the next save ends in the new.
func TestIntegrationFaultsInASave(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal(err)
	}
	calls := []string{"mkdirat", "write", "fchmod", "fsync", "symlinkat", "linkat", "renameat", "renameat2", "unlinkat"}
	for task, set := range faultTasks() {
		t.Run(task, func(t *testing.T) {
			met := 0
			for _, call := range calls {
				trace := filepath.Join(t.TempDir(), "trace")
				if said, err := straced(t, task, faultPlace(t, set), "-f", "-o", trace, "-e", "trace="+call); err != nil || !strings.Contains(said, "saved") {
					t.Fatalf("a clean run: %s, %v", said, err)
				}
				recorded, err := os.ReadFile(trace)
				if err != nil {
					t.Fatal(err)
				}
				n := bytes.Count(recorded, []byte(call+"("))
				for i := range n {
					for _, fault := range []string{"error=EIO", "error=ENOSPC", "error=EROFS", "error=EACCES", "signal=KILL"} {
						met++
						fault := fmt.Sprintf("%s:%s:when=%d", call, fault, i+1)
						faulty(t, task, set, fault)
					}
				}
			}
			if met < 50 {
				t.Errorf("only %d faults were met", met)
			}
			t.Logf("%d faults", met)
		})
	}
}

// faultPlace is a place with two sets, the old one present.
func faultPlace(t *testing.T, like issue.Set) string {
	t.Helper()
	s := newPlace(t)
	var v issue.Version
	for _, text := range []string{"older", "old"} {
		set := small(text)
		set.Swap = like.Swap
		v = mustSave(t, s, set, v)
	}
	return s.path
}

func faulty(t *testing.T, task string, set issue.Set, fault string) {
	t.Helper()
	path := faultPlace(t, set)
	s := NewStore(path)
	said, _ := straced(t, task, path, "-f", "-o", filepath.Join(t.TempDir(), "trace"), "-e", "inject="+fault)
	is, v, err := s.Load(t.Context())
	if err != nil {
		t.Fatalf("%s: load: %v", fault, err)
	}
	text := is.Facts["text"]
	if d := string(is.Files["tls.crt"].Data) + string(is.Files["tls.key"].Data); d != "chain "+text+"key "+text || text != "old" && text != "new" {
		t.Errorf("%s: %q is there, of set %q", fault, d, text)
	}
	killed := strings.Contains(fault, "KILL")
	if saved := strings.Contains(said, "saved"); !killed && saved != (text == "new") && !strings.HasPrefix(fault, "write:") {
		t.Errorf("%s: it said %q, and set %q is there", fault, said, text)
	}
	found, err := s.Audit(t.Context(), set)
	if err != nil || len(found) > 0 && (!killed || set.Swap != issue.SwapFiles) {
		t.Errorf("%s: audit found %q, %v; it said %q", fault, found, err, said)
	}
	mustSave(t, s, set, v)
	wantText(t, s, "new")
	if found, err := s.Audit(t.Context(), set); err != nil || len(found) > 0 {
		t.Errorf("%s: after the next save, audit found %q, %v", fault, found, err)
	}
	if left := namesWith(t, s, dataLink+"."); len(left) > 0 || len(generations(t, s)) > 2 {
		t.Errorf("%s: after the next save, left over: %q, %q", fault, left, generations(t, s))
	}
}
