//go:build integration

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// notFQDN is what zlint has against a SPIFFE ID whose trust domain has no dot or
// a '_'. Both are legal (SPIFFE-ID, Section 2.1).
const notFQDN = "e_ext_san_uri_host_not_fqdn_or_ip"

// zlint reads certificates under the rules of the RFCs and fails the test for
// every error but those allowed.
func zlint(t *testing.T, allowed string, names ...string) {
	t.Helper()
	var files []string
	for _, name := range names {
		for _, c := range certificates(t, name) {
			files = append(files, save(t, c))
		}
	}
	out := succeed(t, pinned(t, "zlint"), append([]string{"-includeSources", "RFC5280,RFC5480,RFC5891,RFC8813"}, files...)...)
	seen := allowed == ""
	d := json.NewDecoder(strings.NewReader(out))
	for i, file := range files {
		var results map[string]struct {
			Result  string `json:"result"`
			Details string `json:"details"`
		}
		if err := d.Decode(&results); err != nil {
			t.Fatalf("certificate %d of %d: %v in %s", i+1, len(files), err, out)
		}
		passed := 0
		for lint, r := range results {
			switch r.Result {
			case "pass":
				passed++
			case "error", "fatal":
				if seen = seen || lint == allowed; lint != allowed {
					t.Errorf("%s: %s %s\n%s", lint, r.Result, r.Details, succeed(t, program(t, "openssl"), "x509", "-in", file, "-noout", "-text"))
				}
			case "warn":
				t.Logf("%s: %s (certificate of %s)", lint, r.Details, certificates(t, file)[0].Subject)
			}
		}
		if passed < 20 {
			t.Errorf("only %d of %d lints passed: was the certificate read? %s", passed, len(results), out)
		}
	}
	if !seen {
		t.Errorf("%s was allowed for nothing", allowed)
	}
}

// TestZlint: no error in any certificate of any profile and key type, the
// authority's own included.
func TestZlint(t *testing.T) {
	for _, keyType := range append(keyTypes, "rsa-4096") {
		t.Run(keyType, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, "--key-type", keyType)
			files := []string{m.issue("first").roots()}
			for _, p := range profiles {
				if keyType == "rsa-4096" && p.name != "workload" {
					continue
				}
				files = append(files, m.issue(p.name, "--profile", p.name, "--key-type", keyType).chain())
			}
			zlint(t, "", files...)
		})
	}
}

// TestZlintReadsVariants: the same for what flags change.
func TestZlintReadsVariants(t *testing.T) {
	for _, v := range []struct {
		name    string
		init    []string
		issue   []string
		allowed string
	}{
		{name: "all kinds of names", issue: []string{"--dns", "payment.example.com", "--dns", "*.payment.example.com", "--ip", "10.0.0.5", "--ip", "fd00::5", "--email", "payment@example.com"}},
		{name: "a subject of its own", issue: []string{"--subject", "CN=payment,OU=Money,O=Example,C=SE"}},
		{name: "no subject", issue: []string{"--no-subject"}},
		{name: "no default names", issue: []string{"--no-default-dns"}},
		{name: "no names but the ID", issue: []string{"--no-default-dns", "--no-subject"}},
		{name: "a SPIFFE ID of its own", issue: []string{"--spiffe-id", "spiffe://cluster.local/payment/v2"}},
		{name: "the longest service name", issue: []string{"--common-name", "x", "--dns", strings.Repeat("a", 63) + ".example.com"}},
		{name: "valid for a year", issue: []string{"--validity", "1y"}},
		{name: "an authority with a URI", init: []string{"--spiffe-uri"}},
		{name: "a constrained authority", init: []string{"--permit-dns", "cluster.local", "--permit-spiffe", "cluster.local", "--permit-cidr", "10.0.0.0/8"}},
		{name: "a long-lived authority", init: []string{"--root-validity", "30y", "--intermediate-validity", "20y"}},
		{name: "a name beyond ASCII", init: []string{"--name", "Zürich Mesh"}},
		{name: "a trust domain without a dot", init: []string{"--trust-domain", "mesh"}, allowed: notFQDN},
		{name: "a trust domain with an underscore", init: []string{"--trust-domain", "mesh.my_org"}, allowed: notFQDN},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, v.init...)
			c := m.issue("payment", v.issue...)
			zlint(t, v.allowed, c.chain(), c.roots())
			ask(t, question{target: c.chain(), roots: c.roots(), trusted: true})
		})
	}
}

// TestZlintCanFail: a certificate with a fault that zlint knows, so that a run
// that finds nothing means something.
func TestZlintCanFail(t *testing.T) {
	dir := t.TempDir()
	cert := filepath.Join(dir, "cert.pem")
	succeed(t, program(t, "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", filepath.Join(dir, "key.pem"), "-out", cert, "-subj", "/CN=x", "-set_serial", "-5", "-days", "1")
	if _, err := os.Stat(cert); err != nil {
		t.Fatal(err)
	}
	out := succeed(t, pinned(t, "zlint"), "-includeSources", "RFC5280", cert)
	if !strings.Contains(out, `"error"`) {
		t.Errorf("zlint finds nothing wrong with a negative serial number: %s", out)
	}
}
