//go:build integration

package main

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A root of ours stands over a CA whose key is made in Vault and stays there, of the
// kind that is wanted; what it signs leads to our root. What cannot be meant says so.
func TestIntegrationVaultSubordinate(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	for _, name := range []string{"mesh", "large", "half"} {
		v.mount(name, false)
	}
	v.mount("own", true)
	r := newVaultRun(t, v, "VAULT_ADDR="+v.proxy, "VAULT_TOKEN="+v.Token)
	r.must(0, "ca", "init", "--dir", "pki")
	r.must(0, "ca", "intermediate", "mesh", "--in", "vault:mesh", "--dir", "pki")
	r.must(0, "ca", "intermediate", "large", "--in", "vault:large", "--key-type", "rsa-3072", "--dir", "pki")
	for name, is := range map[string]func(any) bool{
		"mesh":  func(k any) bool { _, ok := k.(*ecdsa.PublicKey); return ok },
		"large": func(k any) bool { p, ok := k.(*rsa.PublicKey); return ok && p.N.BitLen() == 3072 },
	} {
		c := certificates(t, filepath.Join(r.dir, "pki", "ca", name+".crt"))[0]
		if !is(c.PublicKey) || !c.IsCA || !c.MaxPathLenZero {
			t.Errorf("%s has a key of %T, path length %d", name, c.PublicKey, c.MaxPathLen)
		}
		// It is there, and not here; and it signs at once: it began five minutes back.
		r.must(0, "issue", "--service", "payment-"+name, "--backend", "vault:"+name+"/mesh", "--dir", "far")
		r.must(0, "verify", "far/services/default/payment-"+name+"/tls.crt", "--roots", "pki/ca/root.crt")
	}
	r.must(0, "ca", "intermediate", "mesh", "--in", "vault:mesh", "--dir", "pki") // hands it over again
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"x1", "--in", "vault:nowhere"}, 4, "nowhere"},
		{[]string{"x2", "--in", "vault:mesh", "--key-type", "dsa"}, 2, "key-type"},
		{[]string{"x3", "--in", "vault:mesh", "--passphrase-file", "-"}, 2, "--passphrase-file does not go with --in"},
		{[]string{"x4", "--in", "vault:me sh"}, 2, "no PKI mount"},
		{[]string{"x5", "--in", "vault:mesh", "--backend", "vault:own"}, 2, "do not go together"},
		{[]string{"x6", "--in", "local:issuing"}, 2, "takes no CA"},
		{[]string{"issuing", "--in", "vault:half"}, 2, "there is an authority"},
		{[]string{"x7", "--backend", "vault:half"}, 4, "no issuer yet"},
	} {
		said := line(r.must(c.code, append([]string{"ca", "intermediate", "--dir", "pki"}, c.args...)...))
		if !strings.Contains(said, c.says) {
			t.Errorf("%v: %q is not in\n%s", c.args, c.says, said)
		}
	}
	// Who may not hand it over has it signed, and hands it over later.
	v.Do("PUT", "sys/policies/acl/half", map[string]any{"policy": `path "half/intermediate/generate/internal" { capabilities = ["update"] }`})
	half := v.Login("auth/token/create", map[string]any{"policies": []string{"half"}, "ttl": "1h"})
	r.env = []string{"VAULT_ADDR=" + v.proxy, "VAULT_TOKEN=" + half}
	if said := line(r.must(4, "ca", "intermediate", "half", "--in", "vault:half", "--dir", "pki")); !strings.Contains(said, "signed and not handed over") {
		t.Errorf("it says\n%s", said)
	}
	r.env = []string{"VAULT_ADDR=" + v.proxy, "VAULT_TOKEN=" + v.Token}
	r.must(0, "ca", "intermediate", "half", "--in", "vault:half", "--dir", "pki")
	r.must(0, "issue", "--service", "payment", "--backend", "vault:half/mesh", "--dir", "far")
	r.must(0, "log", "verify", "--dir", "pki")
	// The other way round: Vault's root over one of ours.
	r.must(0, "ca", "intermediate", "edge", "--backend", "vault:own", "--dir", "edge")
	r.must(0, "issue", "--service", "payment", "--backend", "local:edge", "--dir", "edge")
	r.clean(half)
}

// Whichever way leads in, no secret stands in anything that is said or kept, where all
// goes well and where it does not.
func TestIntegrationVaultSecrets(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	keep := t.TempDir() // what is in it is secret, and is not looked at
	id, file, secret := v.approle(keep)
	_, answer := v.Try("POST", "auth/approle/role/mesh/secret-id", map[string]any{"wrap_ttl": "10m"})
	wrapped := fmt.Sprint(answer["wrap_info"].(map[string]any)["token"])
	token := v.Login("auth/token/create", map[string]any{"policies": []string{"mesh"}, "ttl": "1h"})
	const wrongID, wrongJWT = "5f2a-a-secret-id-that-nobody-gave", "eyJhbGciOiJFUzI1NiJ9.bm90LWEtand0.c2lnbmF0dXJl"
	v.Do("POST", "sys/auth/jwt", map[string]any{"type": "jwt"})
	v.Do("POST", "sys/auth/cert", map[string]any{"type": "cert"})
	audit := filepath.Join(keep, "audit.log")
	v.Do("PUT", "sys/audit/file", map[string]any{"type": "file", "options": map[string]any{"file_path": audit}})
	r := newVaultRun(t, v)
	at := func(name string) string { return filepath.Join(keep, name) }
	for name, text := range map[string]string{"wrapped": wrapped, "token": token, "wrong-id": wrongID, "jwt": wrongJWT} {
		r.put(at(name), text)
	}
	entry := "apiVersion: meshpki/v1\nbackend: way\nbackends:\n  way:\n    vault: {mount: pki, role: mesh, address: %q, auth: %s}\nservices:\n- {name: payment}\n"
	for _, c := range []struct {
		name, auth string
		good       bool
	}{
		{"approle", fmt.Sprintf("{approle: {roleId: %q, secretIdFile: %q}}", id, file), true},
		{"wrapped", fmt.Sprintf("{approle: {roleId: %q, secretIdFile: %q, wrapped: true}}", id, at("wrapped")), true},
		{"wrapped twice", fmt.Sprintf("{approle: {roleId: %q, secretIdFile: %q, wrapped: true}}", id, at("wrapped")), false},
		{"wrong secret", fmt.Sprintf("{approle: {roleId: %q, secretIdFile: %q}}", id, at("wrong-id")), false},
		{"token", fmt.Sprintf("{token: {file: %q}}", at("token")), true},
		{"jwt", fmt.Sprintf("{jwt: {role: mesh, tokenFile: %q}}", at("jwt")), false},
		{"kubernetes", fmt.Sprintf("{kubernetes: {role: mesh, tokenFile: %q, mount: jwt}}", at("jwt")), false},
		{"certificate", fmt.Sprintf("{cert: {certFile: %q, keyFile: %q}}", "pki/services/default/payment/tls.crt", "pki/services/default/payment/tls.key"), false},
	} {
		r.write("pki/meshpki.yaml", fmt.Sprintf(entry, v.proxy, c.auth))
		said := r.any("renew", "--force", "--metrics-file", filepath.Join(r.dir, "pki", "metrics"))
		if c.name == "approle" {
			said = r.must(0, "issue", "--file", "pki/meshpki.yaml")
		}
		if failed := strings.Contains(said, "✗"); failed == c.good {
			t.Errorf("%s: it says\n%s", c.name, said)
		}
		r.any("backend", "check", "way", "--json")
		r.any("issue", "--service", "third", "--json")
		for _, args := range [][]string{{"status", "--json"}, {"log", "show", "--json"}, {"log", "show", "--pending"}, {"ca", "bundle", "--backend", "way"}} {
			r.any(args...)
		}
	}
	for _, env := range [][]string{{"VAULT_TOKEN=" + token}, {"VAULT_TOKEN=hvs.wrong\nline-of-a-token"}, {"VAULT_TOKEN=" + token, "VAULT_ADDR=https://user:pass-of-the-address@127.0.0.1:1"}} {
		r.env = append([]string{"VAULT_ADDR=" + v.proxy}, env...)
		r.any("issue", "--service", "fourth", "--backend", "vault:pki/mesh")
		r.any("backend", "check", "vault:pki/mesh")
	}
	r.daemonFor()
	key := strings.Split(string(r.read("pki/services/default/payment/tls.key")), "\n")[1]
	if strings.Contains(r.said.String(), key) {
		t.Error("a private key was said")
	}
	for _, s := range []string{secret, wrapped, token, wrongID, wrongJWT, "line-of-a-token", "pass-of-the-address"} {
		if strings.Contains(string(r.readFile(audit)), s) {
			t.Error("a secret stands in Vault's audit log")
		}
	}
	r.clean(secret, wrapped, token, wrongID, wrongJWT, "line-of-a-token", "pass-of-the-address", v.Token)
}
