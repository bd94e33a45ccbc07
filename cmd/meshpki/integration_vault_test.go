//go:build integration

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// vaultRun is meshpki in a directory of its own, and all that it ever said.
type vaultRun struct {
	t    *testing.T
	v    *realVault
	dir  string
	env  []string
	said bytes.Buffer
}

func newVaultRun(t *testing.T, v *realVault, env ...string) *vaultRun {
	return &vaultRun{t: t, v: v, dir: t.TempDir(), env: env}
}

func (r *vaultRun) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(r.t.Context(), meshpki(r.t), args...)
	c.Dir = r.dir
	c.Env = append(neutralEnv(), append([]string{"HOME=" + r.dir}, r.env...)...)
	return c
}

// must runs what has to end with that code.
func (r *vaultRun) must(want int, args ...string) string {
	r.t.Helper()
	c := r.command(args...)
	out, _ := c.CombinedOutput()
	r.said.Write(out)
	if code := c.ProcessState.ExitCode(); code != want {
		r.t.Fatalf("%s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, out)
	}
	return string(out)
}

func (r *vaultRun) write(name, text string) {
	r.t.Helper()
	name = filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// clean looks for secrets in everything that was said or kept.
func (r *vaultRun) clean(secrets ...string) {
	r.t.Helper()
	r.v.mu.Lock()
	for token := range r.v.tokens {
		secrets = append(secrets, token)
	}
	r.v.mu.Unlock()
	found := 0
	look := func(where string, data []byte) {
		for _, s := range secrets {
			if len(s) > 4 && bytes.Contains(data, []byte(s)) {
				r.t.Errorf("a secret stands in %s", where)
			}
		}
		found++
	}
	look("what was said", r.said.Bytes())
	err := filepath.WalkDir(filepath.Join(r.dir, "pki"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		look(path, data)
		return err
	})
	if err != nil || found < 5 {
		r.t.Errorf("%d files were looked at, %v", found, err)
	}
}

const vaultManifest = `apiVersion: meshpki/v1
backend: mesh
backends:
  mesh:
    vault: {mount: pki, role: mesh, address: %s, auth: {approle: {roleId: %s, secretIdFile: %s}}}
services:
  - {name: payment, namespace: prod}
  - {name: account, namespace: prod}
`

// Vault signs for a manifest over one login, is sealed and comes back; nothing is lost,
// and no secret stands anywhere.
func TestIntegrationVaultPass(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v)
	id, file, secret := v.approle(r.dir)
	r.write("pki/meshpki.yaml", fmt.Sprintf(vaultManifest, v.proxy, id, file))
	r.must(0, "backend", "check", "mesh")
	logins := v.count("/v1/auth/approle/login")
	r.must(0, "issue", "--file", "pki/meshpki.yaml")
	if n := v.count("/v1/auth/approle/login") - logins; n != 1 {
		t.Errorf("%d logins for a manifest", n)
	}
	leaf := filepath.Join(r.dir, "pki/services/prod/payment/tls.crt")
	before, err := os.ReadFile(leaf)
	if err != nil {
		t.Fatal(err)
	}
	v.Do("PUT", "sys/seal", nil)
	r.must(5, "renew", "--force", "payment")
	if after, err := os.ReadFile(leaf); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the certificate was touched: %v", err)
	}
	if said := r.must(3, "status"); !strings.Contains(strings.Join(strings.Fields(said), " "), "is sealed") {
		t.Errorf("status says\n%s", said)
	}
	r.must(3, "backend", "check", "mesh")
	v.Do("PUT", "sys/unseal", map[string]any{"key": v.Unseal})
	r.must(0, "renew", "--force")
	if after, err := os.ReadFile(leaf); err != nil || bytes.Equal(after, before) {
		t.Errorf("the certificate is the old one: %v", err)
	}
	// A policy's no is asked once, and another secret does not help.
	v.Do("PUT", "sys/policies/acl/mesh", map[string]any{"policy": `path "secret/x" { capabilities = ["read"] }`})
	asked := v.count("/v1/pki/sign/mesh")
	if said := r.must(5, "renew", "--force", "payment"); !strings.Contains(said, "refused") || v.count("/v1/pki/sign/mesh") != asked+1 {
		t.Errorf("it was asked %d times\n%s", v.count("/v1/pki/sign/mesh")-asked, said)
	}
	r.must(0, "log", "verify")
	r.clean(secret, v.Token)
}

// A crash between Vault's signing and our writing costs one certificate, which is known.
func TestIntegrationVaultCrash(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v, "VAULT_ADDR="+v.proxy, "VAULT_TOKEN="+v.Token)
	c := r.command("issue", "--service", "payment", "--backend", "vault:pki/mesh")
	v.when(func(int) { _ = c.Process.Kill() })
	if err := c.Run(); err == nil {
		t.Fatal("it was not killed")
	}
	v.when(nil)
	if said := r.must(0, "log", "show", "--pending"); !strings.Contains(said, "payment") {
		t.Errorf("what is pending is not named:\n%s", said)
	}
	r.must(0, "issue", "--service", "payment", "--backend", "vault:pki/mesh")
	keys, _ := v.Do("LIST", "pki/certs", nil)["keys"].([]any)
	if len(keys) != 3 {
		t.Errorf("%d certificates are there, want the root and two", len(keys))
	}
	if said := r.must(0, "log", "show", "--pending", "--json"); strings.Contains(said, "payment") {
		t.Errorf("something is pending:\n%s", said)
	}
	r.must(0, "revoke", "pki/services/default/payment/tls.crt")
	if keys, _ := v.Do("LIST", "pki/certs/revoked", nil)["keys"].([]any); len(keys) != 1 {
		t.Errorf("%d are revoked in Vault", len(keys))
	}
	r.clean(v.Token)
}

// What docs/vault.md shows for a shell is run there, in its order.
func TestIntegrationVaultDocs(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	v.mount("mesh", false)
	var script strings.Builder
	inside := false
	for _, line := range readDoc(t, "docs/vault.md") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside:
			script.WriteString(line + "\n")
		}
	}
	text := strings.NewReplacer("https://vault.example.com:8200", v.Address, "VAULT_CACERT=/etc/vault/ca.pem", "").Replace(script.String())
	if !strings.Contains(text, v.Address) || strings.Count(text, "meshpki") < 7 {
		t.Fatalf("the page has other commands than were meant:\n%s", text)
	}
	r := newVaultRun(t, v)
	r.write("commands", text)
	c := exec.CommandContext(t.Context(), program(t, "sh"), "-eux", "commands")
	c.Dir = r.dir
	c.Env = append(neutralEnv(), "HOME="+r.dir, "VAULT_TOKEN="+v.Token, "PATH="+filepath.Dir(meshpki(t))+":"+filepath.Dir(v.Program)+":"+os.Getenv("PATH"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// patient waits for something to be so; said, if given, is told where it does not come.
func patient(t *testing.T, what string, so func() bool, said ...func() string) {
	t.Helper()
	for range 1200 {
		if so() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, s := range said {
		t.Log(s())
	}
	t.Fatalf("waited for %s", what)
}

// A daemon with nothing due asks Vault nothing but to renew its token.
func TestIntegrationVaultIdle(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v)
	id, file, _ := v.approle(r.dir)
	v.Do("POST", "auth/approle/role/mesh", map[string]any{"token_policies": "mesh", "token_ttl": "12s", "token_max_ttl": "1h"})
	r.write("pki/meshpki.yaml", fmt.Sprintf(vaultManifest, v.proxy, id, file))
	r.must(0, "ca", "bundle", "--backend", "mesh")
	r.must(0, "issue", "--service", "third", "--backend", "mesh")
	was := v.count("/v1/pki/issuers")
	c := r.command("renew", "--daemon")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	until := func(what string, ok func() bool) {
		t.Helper()
		patient(t, what, ok, func() string { return fmt.Sprint(v.since(nil)) })
	}
	until("both are signed", func() bool { return v.count("/v1/pki/sign/mesh") == 3 })
	until("the token is renewed", func() bool { return v.count("/v1/auth/token/renew-self") >= 2 })
	if n, m := v.count("/v1/pki/sign/mesh"), v.count("/v1/auth/approle/login"); n != 3 || m != 2 || v.count("/v1/pki/issuers") != was+1 {
		t.Errorf("idle, it asked %v", v.since(nil))
	}
	before, renewals := v.since(nil), v.count("/v1/auth/token/renew-self")
	until("it is renewed once more", func() bool { return v.count("/v1/auth/token/renew-self") >= renewals+2 })
	if asked := v.since(before); len(asked) != 1 {
		t.Errorf("idle, it asked %v", asked)
	}
	// A reload reads the CAs anew, and keeps the token.
	before = v.since(nil)
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("the issuers are read", func() bool { return v.since(before)["/v1/pki/issuers"] == 1 })
	if asked := v.since(before); asked["/v1/auth/approle/login"] != 0 || asked["/v1/pki/sign/mesh"] != 0 {
		t.Errorf("after a reload, it asked %v", asked)
	}
}
