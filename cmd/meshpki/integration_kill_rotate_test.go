//go:build integration && linux

package main

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// rotationStep is a command of a rotation, in a world that is ready for it, and the
// phase before and after it.
type rotationStep struct {
	name, before, after string
	ready               [][]string
	args                []string
	env                 []string
}

func rotationSteps() []rotationStep {
	rotate := func(words ...string) []string { return append([]string{"ca", "rotate"}, words...) }
	start, next, abort, renew := rotate("root", "start"), rotate("root", "advance"), rotate("root", "abort"), []string{"renew"}
	retireAt := []string{"MESHPKI_TEST_NOW=2027-06-01T12:00:00Z"}
	return []rotationStep{
		{"start", "none", "overlap", nil, start, nil},
		{"switch", "overlap", "switch", [][]string{start, renew}, next, nil},
		{"drop", "switch", "drop", [][]string{start, renew, next, renew}, next, nil},
		{"end", "drop", "none", [][]string{start, renew, next, renew, next, renew}, next, nil},
		{"abort-overlap", "overlap", "none", [][]string{start, renew}, abort, nil},
		{"abort-switch", "switch", "none", [][]string{start, renew, next, renew}, abort, nil},
		{"renew-overlap", "overlap", "overlap", [][]string{start}, renew, nil},
		{"renew-switch", "switch", "switch", [][]string{start, renew, next}, renew, nil},
		{"intermediate", "none", "none", nil, rotate("intermediate"), nil},
		{"retire", "none", "none", [][]string{rotate("intermediate")}, rotate("intermediate", "--retire", "issuing"), retireAt},
	}
}

// rotationTrial disturbs one step. Afterwards a phase stands, the one before or the
// one after; every command works; and doing it again brings the one after.
func rotationTrial(t *testing.T, s rotationStep) trial {
	t.Helper()
	r := authorityTrial(t, s.args...)
	for _, args := range s.ready {
		r.must(t, r.world, args...)
	}
	r.env = s.env
	r.holds = func(t *testing.T, dir string) {
		t.Helper()
		if p := r.phase(t, dir); p != s.before && p != s.after {
			t.Fatalf("the phase is %s: neither %s nor %s", p, s.before, s.after)
		}
		r.must(t, dir, "renew")
		r.works(t, dir)
	}
	r.mended = func(t *testing.T, dir string) {
		t.Helper()
		r.must(t, dir, "renew")
		a := r.in(t, dir, s.args...)
		done := a.code == 2 && (s.name == "start" || s.name == "intermediate" || s.after == "none")
		if p := r.phase(t, dir); p != s.after && !(s.name == "switch" && p == "drop" || s.name == "drop" && p == "none") || a.code != 0 && !done {
			t.Fatalf("done again, the phase is %s: %s", p, a)
		}
		r.must(t, dir, "renew")
		r.must(t, dir, "verify", filepath.Join("pki", "services", "default", "payment", "tls.crt"))
		r.must(t, dir, "log", "verify")
	}
	return r
}

// phase is what status tells.
func (r trial) phase(t *testing.T, dir string) string {
	t.Helper()
	var status struct{ Data struct{ Phase string } }
	if err := json.Unmarshal([]byte(r.must(t, dir, "ca", "rotate", "root", "status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	return status.Data.Phase
}

func TestKilledWhileRotating(t *testing.T) {
	for _, s := range rotationSteps() {
		t.Run(s.name, func(t *testing.T) { rotationTrial(t, s).killed() })
	}
}

func TestRotatingFailsAnywhere(t *testing.T) {
	for _, fault := range []string{"ENOSPC", "EIO"} {
		for _, s := range rotationSteps() {
			t.Run(fault+"-"+s.name, func(t *testing.T) { rotationTrial(t, s).failing(fault) })
		}
	}
}
