//go:build integration

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/internal/pemfile"
)

func (r *vaultRun) read(name string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

func (r *vaultRun) put(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *vaultRun) readFile(name string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// daemonFor lets a daemon log until it is ready, as JSON.
func (r *vaultRun) daemonFor() {
	r.t.Helper()
	c := r.command("renew", "--daemon", "--log-format", "json")
	logged := filepath.Join(r.dir, "pki", "daemon.log")
	f, err := os.Create(logged)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	c.Stdout, c.Stderr = f, f
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	for range 600 {
		if bytes.Contains(r.readFile(logged), []byte(`"ready"`)) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Errorf("the daemon is not ready:\n%s", r.readFile(logged))
}

// any runs what may end with any code.
func (r *vaultRun) any(args ...string) string {
	out, _ := r.command(args...).CombinedOutput()
	r.said.Write(out)
	return string(out)
}

// line is what was said, on one line.
func line(said string) string { return strings.Join(strings.Fields(said), " ") }

// many is a manifest of that many services, all of one AppRole.
func (r *vaultRun) many(n int) (secret string) {
	r.t.Helper()
	id, file, secret := r.v.approle(r.t.TempDir())
	var text strings.Builder
	fmt.Fprintf(&text, vaultEntry+"services:\n", r.v.proxy, id, file)
	for i := range n {
		fmt.Fprintf(&text, "- name: service-%d\n", i)
	}
	r.write("pki/meshpki.yaml", text.String())
	return secret
}

// Between two passes the role is changed, in every way that matters: what was there
// stays as it was, the setting is named, and each service asks once.
func TestIntegrationVaultRoleChanges(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v, "VAULT_ADDR="+v.proxy, "VAULT_TOKEN="+v.Token)
	const services = "services:\n- {name: payment, namespace: prod}\n- {name: account, namespace: prod}\n"
	r.write("pki/meshpki.yaml", "apiVersion: meshpki/v1\nbackend: vault:pki/mesh\ndefaults: {validity: 30d}\n"+services)
	r.must(0, "issue", "--file", "pki/meshpki.yaml")
	const leaf, key = "pki/services/prod/payment/tls.crt", "pki/services/prod/payment/tls.key"
	before, keyBefore := r.read(leaf), r.read(key)
	for _, c := range []struct {
		change []any
		says   []string
	}{
		{[]any{"max_ttl", "1h"}, []string{"max_ttl=1h", "vault patch pki/roles/mesh max_ttl="}},
		{[]any{"key_type", "rsa"}, []string{"role requires keys of type rsa", "vault patch pki/roles/mesh key_type=any"}},
		{[]any{"allowed_uri_sans", "spiffe://other/*"}, []string{"URI", "vault patch pki/roles/mesh allowed_uri_sans="}},
		{[]any{"allow_any_name", false, "allowed_domains", "example.com"}, []string{"not allowed by this role", "allow_any_name=true"}},
		{[]any{"basic_constraints_valid_for_non_ca", false}, []string{"no basic constraints (X509-SVID, Section 4.1)", "basic_constraints_valid_for_non_ca=true"}},
		{[]any{"use_csr_sans", false, "allowed_uri_sans", ""}, []string{"URI"}},
	} {
		v.Do("POST", "pki/roles/mesh", backendtest.VaultRole(c.change...))
		asked := v.count("/v1/pki/sign/mesh")
		said := line(r.must(5, "renew", "--force"))
		if n := v.count("/v1/pki/sign/mesh") - asked; n != 2 {
			t.Errorf("%v: two services asked %d times", c.change, n)
		}
		for _, want := range c.says[:1] {
			if !strings.Contains(said, want) {
				t.Errorf("%v: %q is not in\n%s", c.change, want, said)
			}
			if status := line(r.any("status")); !strings.Contains(status, want) {
				t.Errorf("%v: %q is not in\n%s", c.change, want, status)
			}
		}
		checked := line(r.must(3, "backend", "check", "vault:pki/mesh"))
		for _, want := range c.says[1:] {
			if !strings.Contains(checked+said, want) {
				t.Errorf("%v: %q is not in\n%s\n%s", c.change, want, said, checked)
			}
		}
		if !bytes.Equal(r.read(leaf), before) || !bytes.Equal(r.read(key), keyBefore) {
			t.Fatalf("%v: the files were touched", c.change)
		}
	}
	v.Do("POST", "pki/roles/mesh", backendtest.VaultRole())
	r.must(0, "renew", "--force")
	if bytes.Equal(r.read(leaf), before) {
		t.Error("the certificate is the old one")
	}
	r.must(0, "status")
	// A life that nobody asked for may be cut, and that is said, once for all.
	r.write("pki/meshpki.yaml", "apiVersion: meshpki/v1\nbackend: vault:pki/mesh\n"+services)
	v.Do("POST", "pki/roles/mesh", backendtest.VaultRole("max_ttl", "1h"))
	if said := line(r.must(0, "renew", "--force")); strings.Count(said, "max_ttl=1h") != 1 || !strings.Contains(said, "vault patch pki/roles/mesh max_ttl=") {
		t.Errorf("of lives that were cut it says\n%s", said)
	}
	r.must(0, "issue", "--service", "third", "--backend", "vault:pki/mesh")
	r.clean()
}

// A new issuer under us is overlapped: who is renewed by it trusts both, who is not
// keeps the certificate and trusts both as well.
func TestIntegrationVaultIssuerRotated(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v, "VAULT_ADDR="+v.proxy, "VAULT_TOKEN="+v.Token)
	r.write("pki/meshpki.yaml", "apiVersion: meshpki/v1\nbackend: vault:pki/mesh\nservices:\n- {name: payment, namespace: prod}\n- {name: account, namespace: prod}\n")
	r.must(0, "issue", "--file", "pki/meshpki.yaml")
	before := r.read("pki/services/prod/account/tls.crt")
	v.Do("POST", "pki/root/rotate/internal", map[string]any{"common_name": "Second", "key_type": "ec", "ttl": "8760h", "issuer_name": "second"})
	v.Do("POST", "pki/root/replace", map[string]any{"default": "second"})
	r.must(0, "renew", "--force", "payment")
	r.must(0, "renew")
	roots := func(name string) int { return bytes.Count(r.read(name), []byte("BEGIN CERTIFICATE")) }
	for _, s := range []string{"payment", "account"} {
		if n := roots("pki/services/prod/" + s + "/ca.crt"); n != 2 {
			t.Errorf("%s trusts %d roots", s, n)
		}
		r.must(0, "verify", "pki/services/prod/"+s+"/tls.crt", "--roots", "pki/services/prod/payment/ca.crt")
	}
	if !bytes.Equal(r.read("pki/services/prod/account/tls.crt"), before) {
		t.Error("what was not due was renewed")
	}
	// The old one is taken away once nobody has anything of it.
	r.must(0, "renew", "--force")
	v.Do("DELETE", "pki/issuer/first", nil)
	r.must(0, "renew")
	if n := roots("pki/services/prod/account/ca.crt"); n != 1 {
		t.Errorf("account trusts %d roots", n)
	}
}

// Two mounts with roles of the same name are two authorities: nothing of the one gets
// into what the other signs.
func TestIntegrationVaultTwoMounts(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("team-a/pki", true)
	v.mount("team-b/pki", true)
	r := newVaultRun(t, v, "VAULT_ADDR="+v.proxy, "VAULT_TOKEN="+v.Token)
	text := "apiVersion: meshpki/v1\nbackends:\n  a: {vault: {mount: team-a/pki, role: mesh}}\n  b: {vault: {mount: team-b/pki, role: mesh}}\nservices:\n"
	for i := range 20 {
		text += fmt.Sprintf("- {name: payment-%d, backend: a}\n- {name: account-%d, backend: b}\n- {name: third-%d, backend: \"vault:team-b/pki/mesh\"}\n", i, i, i)
	}
	r.write("pki/meshpki.yaml", text)
	r.must(0, "issue", "--file", "pki/meshpki.yaml")
	a, b := []byte(r.must(0, "ca", "bundle", "--backend", "a")), []byte(r.must(0, "ca", "bundle", "--backend", "b"))
	if bytes.Equal(a, b) {
		t.Fatal("both have the same root")
	}
	r.write("a.pem", string(a))
	r.write("b.pem", string(b))
	for i := range 20 {
		for _, of := range []struct{ service, roots string }{{"payment", "a.pem"}, {"account", "b.pem"}, {"third", "b.pem"}} {
			dir := fmt.Sprintf("pki/services/default/%s-%d/", of.service, i)
			if !bytes.Equal(bytes.TrimSpace(r.read(dir+"ca.crt")), bytes.TrimSpace(r.read(of.roots))) {
				t.Errorf("%s-%d trusts others than %s", of.service, i, of.roots)
			}
			if i == 0 {
				r.must(0, "verify", dir+"tls.crt", "--roots", of.roots)
			}
		}
	}
	if n, m := v.count("/v1/team-a/pki/sign/mesh"), v.count("/v1/team-b/pki/sign/mesh"); n != 20 || m != 40 {
		t.Errorf("%d were signed by the one and %d by the other", n, m)
	}
}

// The token is revoked, and Vault is sealed and unsealed, in the middle of a pass: all
// is signed, over one more login.
func TestIntegrationVaultMiddle(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v)
	secret := r.many(150)
	v.when(func(n int) {
		if n == 20 {
			v.mu.Lock()
			tokens := []string{}
			for token := range v.tokens {
				tokens = append(tokens, token)
			}
			v.mu.Unlock()
			for _, token := range tokens {
				if token != "" {
					_, _ = v.Try("POST", "auth/token/revoke", map[string]any{"token": token})
				}
			}
		}
	})
	r.must(0, "issue", "--file", "pki/meshpki.yaml")
	if n := v.count("/v1/auth/approle/login"); n != 2 {
		t.Errorf("%d logins", n)
	}
	if keys, _ := v.Do("LIST", "pki/certs", nil)["keys"].([]any); len(keys) != 151 {
		t.Errorf("%d certificates, want 151", len(keys))
	}
	opened := make(chan struct{})
	v.when(func(n int) {
		if n != 10 {
			return
		}
		v.Do("PUT", "sys/seal", nil)
		go func() {
			defer close(opened)
			time.Sleep(time.Second)
			v.Do("PUT", "sys/unseal", map[string]any{"key": v.Unseal})
		}()
	})
	r.must(0, "renew", "--force")
	<-opened
	if said := r.must(0, "log", "show", "--pending", "--json"); strings.Contains(said, "service-") {
		t.Errorf("something is pending:\n%s", said)
	}
	r.clean(secret)
}

// A pass that is killed costs each service at most one certificate, which is known; the
// next goes on, and nothing is left pending. So it is for few and in a crowd, whose orders
// stand in one file.
func TestIntegrationVaultKilledPass(t *testing.T) {
	for _, services := range []int{30, 300} {
		t.Run(fmt.Sprint(services), func(t *testing.T) {
			t.Parallel()
			killedPass(t, services)
		})
	}
}

func killedPass(t *testing.T, services int) {
	t.Helper()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v)
	secret := r.many(services)
	c := r.command("issue", "--file", "pki/meshpki.yaml")
	v.when(func(n int) {
		if n == 8 {
			_ = c.Process.Kill()
		}
	})
	if err := c.Run(); err == nil {
		t.Fatal("it was not killed")
	}
	v.when(nil)
	pending := r.must(0, "log", "show", "--pending")
	if n := strings.Count(pending, "service-"); n == 0 {
		t.Errorf("nothing is pending:\n%s", pending)
	}
	r.must(0, "issue", "--file", "pki/meshpki.yaml")
	if left, err := os.ReadDir(filepath.Join(r.dir, "pki", "renew")); err != nil || len(left) > 0 {
		t.Errorf("of what was in hand %v stays, %v", left, err)
	}
	keys, _ := v.Do("LIST", "pki/certs", nil)["keys"].([]any)
	if n := len(keys) - 1; n < services || n > 2*services {
		t.Errorf("%d certificates for %d services", n, services)
	}
	of, said := map[string]int{}, r.must(0, "log", "show", "--json")
	for _, serial := range keys {
		if strings.Contains(said, strings.ReplaceAll(fmt.Sprint(serial), ":", "")) {
			continue
		}
		text := fmt.Sprint(v.Do("GET", "pki/cert/"+fmt.Sprint(serial), nil)["certificate"])
		certs, err := pemfile.Certificates([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range certs[0].URIs {
			of[u.String()]++
		}
	}
	for who, n := range of {
		name := who[strings.LastIndexByte(who, '/')+1:]
		if n > 1 || !strings.Contains(pending, name+".default") {
			t.Errorf("%d certificates of %s are not in the ledger; pending was\n%s", n, name, pending)
		}
	}
	if said := r.must(0, "log", "show", "--pending", "--json"); strings.Contains(said, "service-") {
		t.Errorf("something is pending:\n%s", said)
	}
	r.must(0, "log", "verify")
	r.clean(secret)
}

// A thousand services are had over one login, one reading of the roots, and a thousand
// calls that sign.
func TestIntegrationVaultThousand(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v)
	r.many(1000)
	r.must(0, "issue", "--file", "pki/meshpki.yaml")
	asked := v.since(nil)
	if asked["/v1/auth/approle/login"] != 1 || asked["/v1/pki/sign/mesh"] != 1000 || asked["/v1/pki/issuers"] != 1 {
		t.Errorf("it asked %v", asked)
	}
	var others []string
	for path := range asked {
		if !slices.Contains([]string{"/v1/auth/approle/login", "/v1/pki/sign/mesh", "/v1/pki/issuers"}, path) && !strings.HasPrefix(path, "/v1/pki/issuer/") {
			others = append(others, path)
		}
	}
	if len(others) > 0 {
		t.Errorf("it asked for %v besides", others)
	}
}
