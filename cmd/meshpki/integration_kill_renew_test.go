//go:build integration && linux

package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const killManifest = `apiVersion: meshpki/v1
services:
  - name: payment
    namespace: prod
    outputs:
      - to: out/a
        layout: [tls, pem]
      - to: out/b
        layout: combined
    hook: [HOOK]
`

// renewalTrial is a whole renewal with two places, three layouts, one of them a
// single file, and a hook.
func renewalTrial(t *testing.T) trial {
	t.Helper()
	return renewalTrialOf(t, killManifest)
}

// renewalTrialOf is the same with another manifest.
func renewalTrialOf(t *testing.T, manifest string) trial {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "world")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The hook writes down of which certificate it was told.
	hook := filepath.Join(t.TempDir(), "hook")
	const script = "#!/bin/sh\n" +
		"first=$(printf '%s' \"$MESHPKI_HOOK_FILES\" | head -n 1)\n" +
		"echo \"$MESHPKI_HOOK_SERIAL\" >>\"${first%/out/*}/served\"\n"
	if err := os.WriteFile(hook, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "mesh.yaml"), strings.Replace(manifest, "HOOK", hook, 1))
	r := trial{t: t, world: dir, args: []string{"renew"}, env: []string{"MESHPKI_CONFIG=mesh.yaml"}}
	r.must(t, dir, "ca", "init")
	r.must(t, dir, "issue", "--file", "mesh.yaml")
	old := pairs(t, dir)
	r.env = append(r.env, "MESHPKI_TEST_NOW=2026-12-15T12:00:00Z")
	r.holds = func(t *testing.T, dir string) {
		t.Helper()
		for name, leaf := range pairs(t, dir) { // each a matching pair, whatever happened
			if leaf == "" {
				t.Errorf("%s has no pair", name)
			}
		}
	}
	r.mended = func(t *testing.T, dir string) {
		t.Helper()
		r.must(t, dir, "renew")
		now := pairs(t, dir)
		for name, leaf := range now {
			if leaf == old[name] || leaf != now["out/a/tls"] {
				t.Errorf("%s does not have the new one", name)
			}
		}
		if said := r.must(t, dir, "renew"); said != "" {
			t.Errorf("a further pass had something to do: %s", said)
		}
		served, err := os.ReadFile(filepath.Join(dir, "served"))
		if err != nil || len(strings.Fields(string(served))) == 0 {
			t.Fatalf("the hook was not run: %v", err)
		}
		last := strings.Fields(string(served))
		serial := certificates(t, filepath.Join(dir, "out/a/tls.crt"))[0].SerialNumber.Text(16)
		if strings.TrimLeft(last[len(last)-1], "0") != serial {
			t.Errorf("the hook was told of %s, and %s is in place", last[len(last)-1], serial)
		}
		r.must(t, dir, "log", "verify")
	}
	return r
}

// pairs loads every pair of the trial's places, as a server does, and gives their leaves.
func pairs(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, files := range map[string][2]string{
		"out/a/tls":          {"out/a/tls.crt", "out/a/tls.key"},
		"out/a/pem":          {"out/a/cert.pem", "out/a/key.pem"},
		"out/b/combined.pem": {"out/b/combined.pem", "out/b/combined.pem"},
	} {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, files[0]), filepath.Join(dir, files[1]))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found[name] = string(pair.Certificate[0])
	}
	return found
}

func TestKilledWhileRenewing(t *testing.T) { renewalTrial(t).killed() }

func TestRenewingFailsAnywhere(t *testing.T) {
	for _, fault := range []string{"ENOSPC", "EIO", "EROFS", "EACCES"} {
		r := renewalTrial(t)
		r.failing(fault)
	}
}
