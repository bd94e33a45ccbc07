//go:build integration && linux

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	pruneBefore = `apiVersion: meshpki/v1
services:
  - name: gone
    outputs: [{to: out/gone}, {to: out/plain, layout: pem, swap: files}]
  - name: moved
    outputs: [{to: out/moved}]
  - name: stays
    outputs: [{to: out/stays}]
`
	pruneAfter = `apiVersion: meshpki/v1
services:
  - name: moved
    outputs: [{to: out/moved-to}]
  - name: stays
    outputs: [{to: out/stays}]
`
)

// pruneTrial removes a service that has several places and a generation before, and
// a place that another service has left.
func pruneTrial(t *testing.T) trial {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "world")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := trial{t: t, world: dir, args: []string{"apply", "--prune", "--yes"}, env: []string{"MESHPKI_CONFIG=mesh.yaml"}}
	writeFile(t, filepath.Join(dir, "mesh.yaml"), pruneBefore)
	r.must(t, dir, "ca", "init")
	r.must(t, dir, "apply")
	r.must(t, dir, "renew", "--force", "gone")
	writeFile(t, filepath.Join(dir, "mesh.yaml"), pruneAfter)
	r.must(t, dir, "renew")
	writeFile(t, filepath.Join(dir, "out", "gone", "notes"), "theirs\n")
	r.moved = func(t *testing.T, to string) { rename(t, to, dir) }
	r.holds = func(t *testing.T, dir string) {
		t.Helper()
		for _, place := range []string{"out/stays", "out/moved-to"} {
			if err := checkSet(filepath.Join(dir, place)); err != nil {
				t.Errorf("%s: %v", place, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "out", "gone", "notes")); err != nil {
			t.Error(err)
		}
		// What is left of a key is known to plan.
		if a := r.in(t, dir, "plan"); a.code != 3 && len(keysUnder(t, dir, "out/gone", "out/plain", "out/moved", "pki/services/default/gone")) > 0 {
			t.Errorf("keys are left, and plan says\n%s", a)
		}
	}
	r.mended = func(t *testing.T, dir string) {
		t.Helper()
		r.must(t, dir, "apply", "--prune", "--yes")
		if left := keysUnder(t, dir, "out/gone", "out/plain", "out/moved", "pki/services/default/gone"); len(left) > 0 {
			t.Errorf("keys are left: %q", left)
		}
		for _, place := range []string{"out/plain", "out/moved", "pki/services/default/gone"} {
			if _, err := os.Lstat(filepath.Join(dir, place)); err == nil {
				t.Errorf("%s is left", place)
			}
		}
		r.must(t, dir, "plan")
		r.must(t, dir, "log", "verify")
	}
	return r
}

// rename puts the path of a copy into its sets in place of that of its original.
func rename(t *testing.T, dir, from string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != ".meshpki.json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, bytes.ReplaceAll(data, []byte(from), []byte(dir)), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// keysUnder lists the files below some directories that have a private key in them.
func keysUnder(t *testing.T, dir string, below ...string) (found []string) {
	t.Helper()
	for _, b := range below {
		_ = filepath.WalkDir(filepath.Join(dir, b), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil //nolint:nilerr // what is not there holds no key
			}
			if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), "PRIVATE KEY") {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

func TestKilledWhilePruning(t *testing.T) { pruneTrial(t).killed() }

func TestPruningFailsAnywhere(t *testing.T) {
	for _, fault := range []string{"EIO", "EROFS"} {
		r := pruneTrial(t)
		r.failing(fault)
	}
}
