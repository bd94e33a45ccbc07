//go:build integration && linux

package main

import (
	"crypto/x509"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/awspca/localaws"
)

// orderTrial is a whole order at AWS Private CA, from the journal to the place.
func orderTrial(t *testing.T) (trial, *cloud) {
	t.Helper()
	c, err := newCloud(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	dir := filepath.Join(t.TempDir(), "world")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := trial{t: t, world: dir, args: []string{"issue", "--service", "payment", "--backend", "awspca:" + c.arns["CA"]},
		env: []string{"MESHPKI_TEST_NOW=2026-11-21T12:00:00Z"}}
	for name, value := range c.environment(server.URL) {
		if strings.HasPrefix(name, "AWS_") {
			r.env = append(r.env, name+"="+value)
		}
	}
	// The directory is there: what is killed is the order.
	r.must(t, dir, "issue", "--service", "first", "--backend", "awspca:"+c.arns["CA"])
	r.holds = func(t *testing.T, dir string) {
		t.Helper()
		secrets(t, dir)
	}
	r.mended = func(t *testing.T, dir string) {
		t.Helper()
		r.must(t, dir, append(slices.Clone(r.args), "--if-due")...)
		chain := certificates(t, filepath.Join(dir, "pki/services/default/payment/tls.crt"))
		if len(chain) != 2 || chain[0].Subject.CommonName != "payment" {
			t.Errorf("the chain is %d certificates for %q", len(chain), chain[0].Subject.CommonName)
		}
		r.must(t, dir, "verify", "pki/services/default/payment/tls.crt", "--roots", "pki/services/default/payment/ca.crt")
		r.must(t, dir, "log", "verify")
	}
	return r, c
}

// secrets sees that nothing of AWS's key is kept, and that what is kept of an order
// with a private key is its owner's alone.
func secrets(t *testing.T, dir string) {
	t.Helper()
	key := localaws.ExampleKey()
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.Contains(string(data), key.Secret) {
			t.Errorf("%s holds AWS's secret key", name)
		}
		if strings.Contains(string(data), "PRIVATE KEY") && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s holds a private key and has mode %s", name, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Killed at each writing call of an order and resumed: no key is certified twice, and
// no order was placed that was not gone on with.
func TestKilledWhileOrdering(t *testing.T) {
	r, c := orderTrial(t)
	t.Cleanup(func() { // when every run is over
		keys := map[string]int{}
		for _, made := range c.Certificates() {
			der, err := x509.MarshalPKIXPublicKey(made.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			keys[string(der)]++
		}
		for _, n := range keys {
			if n > 1 {
				t.Errorf("a key was certified %d times", n)
			}
		}
		t.Logf("%d certificates, one for each key", len(keys))
	})
	r.killed()
}

func TestOrderingFailsAnywhere(t *testing.T) {
	r, _ := orderTrial(t)
	r.failing("ENOSPC")
}
