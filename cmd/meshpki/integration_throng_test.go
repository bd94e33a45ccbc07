//go:build integration

package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// throng is how many processes are at work at once, and for how long they come again.
const (
	throng     = 64
	throngTime = 30 * time.Second
)

// released is what a throng was given: by whoever asked, it can be in use.
type released struct {
	mu      sync.Mutex
	leaves  map[string]string // fingerprint by serial number
	revoked map[string]bool
	lists   map[string]string // SHA-256 by number
}

// TestThrong: 64 processes issue, revoke and write CRLs at once, for 30 seconds. What
// they were given is in the ledger, each thing once, and the ledger holds.
func TestThrong(t *testing.T) {
	m := newMesh(t)
	out := t.TempDir()
	got := &released{leaves: map[string]string{}, revoked: map[string]bool{}, lists: map[string]string{}}
	end := time.Now().Add(throngTime)
	var all sync.WaitGroup
	for i := range throng {
		all.Go(func() {
			for n := 0; time.Now().Before(end) && !t.Failed(); n++ {
				got.turn(m, i, n, filepath.Join(out, fmt.Sprintf("%d.crl", i)))
			}
		})
	}
	all.Wait()
	t.Logf("%d certificates, %d revoked, %d CRLs", len(got.leaves), len(got.revoked), len(got.lists))
	if len(got.leaves) < throng || len(got.revoked) < throng/2 || len(got.lists) < 2 {
		t.Errorf("that is too little to tell")
	}
	m.must("log", "verify")
	got.recorded(m)

	m.must("crl", "--as", "der", "--out", filepath.Join(out, "last.crl"))
	listed := map[string]bool{}
	for _, e := range got.list(t, filepath.Join(out, "last.crl")).RevokedCertificateEntries {
		listed[hex.EncodeToString(e.SerialNumber.Bytes())] = true
	}
	for serial := range got.revoked {
		if !listed[serial] {
			t.Errorf("%s is revoked and not in the CRL", serial)
		}
	}
	if len(listed) != len(got.revoked) {
		t.Errorf("%d are revoked, and the CRL has %d", len(got.revoked), len(listed))
	}
}

// turn is the nth turn of a process: it issues; every second time it revokes what it
// was given; and one in eight writes a CRL.
func (r *released) turn(m mesh, i, n int, crl string) {
	service := fmt.Sprintf("service-%d", i)
	var leaf struct {
		Data []struct{ Serial, Fingerprint string }
	}
	if !m.said(&leaf, "issue", "--service", service, "--force", "--json") {
		return
	}
	serial := leaf.Data[0].Serial
	r.mu.Lock()
	if r.leaves[serial] != "" {
		m.t.Errorf("serial %s was given twice", serial)
	}
	r.leaves[serial] = leaf.Data[0].Fingerprint
	r.mu.Unlock()
	if n%2 == 1 {
		var revoked struct {
			Data []struct{ Serial string }
		}
		if !m.said(&revoked, "revoke", serial, "--json") {
			return
		}
		r.mu.Lock()
		r.revoked[revoked.Data[0].Serial] = true
		r.mu.Unlock()
	}
	if i%8 != 0 {
		return
	}
	var list struct {
		Data struct{ Number, SHA256 string }
	}
	if !m.said(&list, "crl", "--as", "der", "--out", crl, "--json") {
		return
	}
	c := r.list(m.t, crl)
	if sum := sha256.Sum256(c.Raw); hex.EncodeToString(sum[:]) != list.Data.SHA256 || c.Number.String() != list.Data.Number {
		m.t.Errorf("%s is not the CRL that was told of: %s", crl, list.Data.Number)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lists[list.Data.Number] != "" {
		m.t.Errorf("CRL number %s was given twice", list.Data.Number)
	}
	r.lists[list.Data.Number] = list.Data.SHA256
}

// said runs a command that has to end well, and reads what it says.
func (m mesh) said(into any, args ...string) bool {
	a := m.run(args...)
	if a.code != 0 {
		m.t.Errorf("%v: %s", args, a)
		return false
	}
	if err := json.Unmarshal([]byte(a.stdout), into); err != nil {
		m.t.Errorf("%v: %v", args, err)
		return false
	}
	return true
}

// list reads a CRL.
func (r *released) list(t *testing.T, name string) *x509.RevocationList {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseRevocationList(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return c
}

// recorded holds the ledger against what was given out: each once, and nothing else.
func (r *released) recorded(m mesh) {
	m.t.Helper()
	var log struct {
		Data []struct{ Kind, Serial, Fingerprint, Number, SHA256 string }
	}
	m.said(&log, "log", "show", "--json")
	leaves, revoked, lists, last := map[string]int{}, map[string]int{}, map[string]int{}, new(big.Int)
	for _, e := range log.Data {
		switch e.Kind {
		case "leaf":
			if leaves[e.Serial]++; r.leaves[e.Serial] != e.Fingerprint {
				m.t.Errorf("%s was never given out, or is another", e.Serial)
			}
		case "revocation":
			revoked[e.Serial]++
		case "crl":
			number, ok := new(big.Int).SetString(e.Number, 10)
			if lists[e.Number]++; !ok || number.Cmp(last) <= 0 || r.lists[e.Number] != e.SHA256 {
				m.t.Errorf("CRL number %s follows %s, or is another", e.Number, last)
			}
			last = number
		}
	}
	eachOnce(m.t, "certificate", leaves, len(r.leaves))
	eachOnce(m.t, "revocation", revoked, len(r.revoked))
	eachOnce(m.t, "CRL", lists, len(r.lists))
}

// eachOnce sees that each was counted once, and that as many are there.
func eachOnce(t *testing.T, what string, counts map[string]int, want int) {
	t.Helper()
	for name, n := range counts {
		if n != 1 {
			t.Errorf("%s %s is recorded %d times", what, name, n)
		}
	}
	if len(counts) != want {
		t.Errorf("%d of them are recorded as %s, and %d were given out", len(counts), what, want)
	}
}
