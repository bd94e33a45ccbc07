//go:build integration && linux

package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
)

// Vault's ACME server, over a root and a role of its own.
func TestACMEVault(t *testing.T) {
	t.Parallel()
	s := newACMEServer(t)
	listen := freePort(t)
	const token = "a-token-of-this-test"
	background(t, []string{"HOME=" + t.TempDir()}, pinned(t, "vault"), "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+token, "-dev-listen-address="+local(listen))
	awaitPort(t, local(listen))
	address := "http://" + local(listen)
	set := func(path string, body map[string]any) {
		t.Helper()
		s.ask(http.MethodPost, address+"/v1/"+path, token, body)
	}
	set("sys/mounts/pki", map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "8760h",
		"passthrough_request_headers": []string{"If-Modified-Since"}, "allowed_response_headers": []string{"Last-Modified", "Location", "Replay-Nonce", "Link"}}})
	set("pki/root/generate/internal", map[string]any{"common_name": "Vault Root", "ttl": "8000h", "key_type": "ec", "key_bits": 256})
	set("pki/config/cluster", map[string]any{"path": address + "/v1/pki"})
	set("pki/roles/mesh", map[string]any{"allow_any_name": true, "allow_wildcard_certificates": true, "key_type": "any", "max_ttl": "720h", "ttl": "240h",
		"require_cn": false, "key_usage": []string{"DigitalSignature"}, "no_store": false, "use_csr_common_name": false})
	set("pki/config/acme", map[string]any{"enabled": true, "allowed_roles": []string{"*"}, "allow_role_ext_key_usage": true, "dns_resolver": s.dns})
	s.roots = filepath.Join(t.TempDir(), "root.pem")
	writeFile(t, s.roots, s.ask(http.MethodGet, address+"/v1/pki/ca/pem", "", nil))
	s.directory, s.caCert = address+"/v1/pki/roles/mesh/acme/directory", s.roots
	m := s.directoryFor(fmt.Sprintf("{dns: {hook: [%q]}}", s.hook()), "", "")
	checkMutual(t, m.mutual("payment.example.com"))
	m.must("renew", "--force")
}
