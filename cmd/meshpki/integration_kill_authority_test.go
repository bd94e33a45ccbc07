//go:build integration && linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// authorityTrial is a command on an authority that has issued and revoked before.
func authorityTrial(t *testing.T, args ...string) trial {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "world")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := trial{t: t, world: dir, args: args}
	r.must(t, dir, "ca", "init")
	r.must(t, dir, "issue", "--service", "payment")
	r.must(t, dir, "issue", "--service", "account")
	r.must(t, dir, "revoke", "pki/services/default/account/tls.crt")
	r.holds = func(t *testing.T, dir string) {
		t.Helper()
		r.works(t, dir)
	}
	r.mended = func(t *testing.T, dir string) {
		t.Helper()
		r.must(t, dir, args...)
		r.works(t, dir)
	}
	return r
}

// works sees that an authority does all that it did: what was released is in its
// record, no serial number is there twice, and every command goes on.
func (r trial) works(t *testing.T, dir string) {
	t.Helper()
	r.recorded(t, dir)
	for _, args := range [][]string{
		{"ca", "list"}, {"ca", "show"}, {"crl"}, {"issue", "--service", "fresh", "--force"},
		{"verify", "pki/services/default/fresh/tls.crt"}, {"revoke", "pki/services/default/fresh/tls.crt"},
	} {
		r.must(t, dir, args...)
	}
	r.recorded(t, dir)
}

// recorded sees that the record is whole, and has nothing twice.
func (r trial) recorded(t *testing.T, dir string) {
	t.Helper()
	r.must(t, dir, "log", "verify")
	var log struct {
		Data []struct{ Kind, Serial string }
	}
	if err := json.Unmarshal([]byte(r.must(t, dir, "log", "show", "--json")), &log); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range log.Data {
		if e.Kind != "leaf" && e.Kind != "ca" {
			continue
		}
		if seen[e.Serial] {
			t.Errorf("serial %s was used twice", e.Serial)
		}
		seen[e.Serial] = true
	}
}

func TestKilledWhileIssuing(t *testing.T) {
	authorityTrial(t, "issue", "--service", "ledger", "--force").killed()
}

func TestKilledWhileRevoking(t *testing.T) {
	authorityTrial(t, "revoke", "pki/services/default/payment/tls.crt").killed()
}

func TestKilledWhileWritingACRL(t *testing.T) {
	authorityTrial(t, "crl", "--out", "issuing.crl").killed()
}

func TestAuthorityFailsAnywhere(t *testing.T) {
	for _, fault := range []string{"ENOSPC", "EIO"} {
		for _, args := range [][]string{
			{"issue", "--service", "ledger", "--force"},
			{"revoke", "pki/services/default/payment/tls.crt"},
			{"crl", "--out", "issuing.crl"},
		} {
			t.Run(fault+"-"+args[0], func(t *testing.T) { authorityTrial(t, args...).failing(fault) })
		}
	}
}

// initTrial is the making of an authority, from nothing.
func initTrial(t *testing.T) trial {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "world")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := trial{t: t, world: dir, args: []string{"ca", "init"}}
	r.holds = func(*testing.T, string) {}
	r.mended = func(t *testing.T, dir string) {
		t.Helper()
		// Either it is there and whole, or the next run makes it, or finishes it.
		if a := r.in(t, dir, "ca", "list"); a.code != 0 {
			if a := r.in(t, dir, "ca", "init"); a.code != 0 && a.code != 2 {
				t.Fatalf("init again: %s", a)
			}
		}
		r.works(t, dir)
	}
	return r
}

func TestKilledWhileInitialising(t *testing.T) { initTrial(t).killed() }

func TestInitialisingFailsAnywhere(t *testing.T) {
	for _, fault := range []string{"ENOSPC", "EIO"} {
		t.Run(fault, func(t *testing.T) { initTrial(t).failing(fault) })
	}
}
