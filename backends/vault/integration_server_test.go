//go:build integration

package vault

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
)

// server is a real Vault in development mode, with a root token and an unseal key.
type server struct {
	t               *testing.T
	address, unseal string
	roots           string // the file with the roots of its certificate
	http            *http.Client
}

const rootToken = "root-of-the-test"

// startVault builds the pinned Vault, or finds it in the cache, and starts it.
func startVault(t *testing.T) *server {
	t.Helper()
	build := exec.CommandContext(t.Context(), filepath.Join("..", "..", "testdata", "tools", "build"), "vault")
	build.Stderr = os.Stderr
	program, err := build.Output()
	if err != nil {
		t.Fatalf("build vault: %v", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	dir := t.TempDir()
	run := exec.Command(strings.TrimSpace(string(program)), "server", "-dev", "-dev-tls", "-dev-tls-cert-dir="+dir, "-dev-no-store-token", "-dev-root-token-id="+rootToken, "-dev-listen-address="+at)
	run.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
	s := &server{t: t, address: "https://" + at, roots: filepath.Join(dir, "vault-ca.pem")}
	key := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if k, ok := strings.CutPrefix(lines.Text(), "Unseal Key: "); ok {
				key <- k
			}
		}
	}()
	select {
	case s.unseal = <-key:
	case <-time.After(time.Minute):
		t.Fatal("vault did not start")
	}
	data, err := os.ReadFile(s.roots)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	s.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	t.Cleanup(s.http.CloseIdleConnections)
	for range 600 {
		response, err := s.http.Get(s.address + "/v1/sys/health")
		if err == nil && response.StatusCode == http.StatusOK {
			response.Body.Close()
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("vault did not unseal")
	return nil
}

// try does what an administrator would; the status and the answer are given.
func (s *server) try(method, path string, body any) (int, map[string]any) {
	s.t.Helper()
	var data io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		data = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, s.address+"/v1/"+path, data)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", rootToken)
	if wrap, ok := body.(map[string]any); ok && wrap["wrap_ttl"] != nil {
		request.Header.Set("X-Vault-Wrap-Ttl", fmt.Sprint(wrap["wrap_ttl"]))
	}
	response, err := s.http.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(response.Body).Decode(&answer)
	return response.StatusCode, answer
}

// do is try for what has to work; the answer's data is given.
func (s *server) do(method, path string, body any) map[string]any {
	s.t.Helper()
	status, answer := s.try(method, path, body)
	if status >= 300 {
		s.t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	data, _ := answer["data"].(map[string]any)
	return data
}

// goodRole gives what an X509-SVID needs.
func goodRole(change ...any) map[string]any {
	role := map[string]any{"key_type": "any", "key_bits": 0, "allow_any_name": true, "allow_wildcard_certificates": true, "use_csr_common_name": false, "require_cn": false,
		"basic_constraints_valid_for_non_ca": true, "key_usage": []string{"DigitalSignature"}, "allowed_uri_sans": []string{"spiffe://cluster.local/*"}, "max_ttl": "720h"}
	for i := 0; i+1 < len(change); i += 2 {
		role[change[i].(string)] = change[i+1]
	}
	return role
}

// mount makes a PKI mount with a root of its own and a role mesh.
func (s *server) mount(name string, role map[string]any) {
	s.t.Helper()
	s.do("POST", "sys/mounts/"+name, map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	s.do("POST", name+"/root/generate/internal", map[string]any{"common_name": "Root of " + name, "key_type": "ec", "key_bits": 256, "ttl": "8760h", "issuer_name": "first"})
	s.do("POST", name+"/roles/mesh", role)
}

// open gives an authority that asks this Vault.
func (s *server) open(t *testing.T, settings backends.Vault, env ...string) *Authority {
	t.Helper()
	settings.Address, settings.CACert = s.address, s.roots
	if len(env) == 0 && settings.Auth == nil {
		env = []string{"VAULT_TOKEN", rootToken}
	}
	a, err := open(t.Context(), settings.Mount+"/mesh", backends.Options{Now: time.Now, Settings: &settings, Getenv: environment(env...)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}
