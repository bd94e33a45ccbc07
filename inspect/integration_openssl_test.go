//go:build integration

package inspect_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// beyondOpenSSL are the rules that `openssl verify` does not have, or has only by
// its security level.
var beyondOpenSSL = []string{"extension-malformed", "certificate-malformed", "key-too-short", "path-search-limit", "second-opinion-refuses"}

// TestDifferentialOpenSSL: no disagreement with OpenSSL over chains with random
// faults without a named reason.
func TestDifferentialOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal(err)
	}
	keys, dir := someKeys(t, 16), t.TempDir()
	write := func(name string, list ...*x509.Certificate) string {
		file := filepath.Join(dir, name)
		var data []byte
		for _, c := range list {
			data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const chains = 300
	for seed := range uint64(chains) {
		target, o := mutated(t, seed, keys).chainOf()
		r := inspect.Verify("differential", target, o)
		c := exec.CommandContext(t.Context(), openssl, "verify", "-no-CApath", "-no-CAstore", "-partial_chain", "-auth_level", "1", "-policy_check",
			"-attime", strconv.FormatInt(at.Unix(), 10), "-CAfile", write("roots.pem", o.Roots...),
			"-untrusted", write("between.pem", o.Intermediates...), write("leaf.pem", target))
		out, err := c.CombinedOutput()
		named := slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return slices.Contains(beyondOpenSSL, f.Rule) })
		if r.Trusted != (err == nil) && !named {
			t.Errorf("seed %d: trusted %v %+v, and OpenSSL says: %v %s", seed, r.Trusted, r.Findings, err, out)
		}
	}
}
