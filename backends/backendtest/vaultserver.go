//go:build integration || bench

package backendtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// VaultServer is a real Vault on the loopback, unsealed, and what its administrator
// knows of it.
type VaultServer struct {
	// Program is Vault's own, Address where it is, Roots the file with the roots of its
	// certificate; empty without TLS.
	Program, Address, Roots string
	// Unseal is the one key that unseals it, Token its root token.
	Unseal, Token string

	t       testing.TB
	dir     string
	http    *http.Client
	process *exec.Cmd
	config  string // of a node of a cluster
}

// VaultRoot is the root token of a Vault in development mode.
const VaultRoot = "root-of-the-vault-test"

// How often a Vault is looked at while it starts, and how many times: two minutes.
const (
	look  = 50 * time.Millisecond
	looks = 2400
)

// StartVault starts one in development mode, which ends with the test. The programs have
// to be there: testdata/integration/install has them. plugins are tools that it is to
// have as plugins.
func StartVault(t testing.TB, withTLS bool, plugins ...string) *VaultServer {
	t.Helper()
	v := &VaultServer{t: t, Program: Tool(t, "vault"), Token: VaultRoot, dir: t.TempDir(), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	t.Cleanup(func() { v.Stop(); v.http.CloseIdleConnections() })
	args := []string{"server", "-dev", "-dev-no-store-token", "-dev-root-token-id=" + VaultRoot}
	if withTLS {
		args = append(args, "-dev-tls", "-dev-tls-cert-dir="+v.dir)
	}
	for _, name := range plugins {
		if err := os.Link(Tool(t, name), filepath.Join(v.plugins(), name)); err != nil {
			text, err := os.ReadFile(Tool(t, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(v.plugins(), name), text, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, "-dev-plugin-dir="+v.plugins())
	}
	// A port that was free may be another's a moment later.
	for range 5 {
		if at := freePorts(t)[0]; v.begin(append(args, "-dev-listen-address=127.0.0.1:"+at), withTLS, at) {
			return v
		}
	}
	t.Fatal("vault does not start")
	return nil
}

func (v *VaultServer) plugins() string {
	dir := filepath.Join(v.dir, "plugins")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		v.t.Fatal(err)
	}
	return dir
}

// begin starts the process; false where it ends at once.
func (v *VaultServer) begin(args []string, withTLS bool, port string) bool {
	v.t.Helper()
	v.process = exec.Command(v.Program, args...)
	v.process.Env = []string{"HOME=" + v.dir, "PATH=" + os.Getenv("PATH")}
	log := filepath.Join(v.dir, "vault.log")
	out, err := os.Create(log)
	if err != nil {
		v.t.Fatal(err)
	}
	defer out.Close()
	v.process.Stdout, v.process.Stderr = out, out
	if err := v.process.Start(); err != nil {
		v.t.Fatal(err)
	}
	for i := 0; v.Unseal == ""; i++ {
		text, err := os.ReadFile(log)
		if err != nil {
			v.t.Fatal(err)
		}
		if _, after, ok := strings.Cut(string(text), "Unseal Key: "); ok && strings.Contains(after, "\n") {
			v.Unseal, _, _ = strings.Cut(after, "\n")
		}
		if strings.Contains(string(text), "address already in use") {
			v.Stop()
			return false
		}
		if i > looks {
			v.t.Fatalf("vault does not start: %s", text)
		}
		time.Sleep(look)
	}
	v.Address = "http://127.0.0.1:" + port
	if withTLS {
		v.trust("https://127.0.0.1:"+port, filepath.Join(v.dir, "vault-ca.pem"))
	}
	v.wait(http.StatusOK)
	return true
}

func (v *VaultServer) trust(address, roots string) {
	v.t.Helper()
	v.Address, v.Roots = address, roots
	data, err := os.ReadFile(roots)
	if err != nil {
		v.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	v.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 16}}
}

// wait waits until its health has that status.
func (v *VaultServer) wait(status int) {
	v.t.Helper()
	last := 0
	for range looks {
		time.Sleep(look)
		response, err := v.http.Get(v.Address + "/v1/sys/health")
		if err != nil {
			continue
		}
		response.Body.Close()
		if last = response.StatusCode; last == status {
			return
		}
	}
	v.t.Fatalf("vault's health is %d, and was to be %d", last, status)
}

// Stop kills it.
func (v *VaultServer) Stop() {
	if v.process != nil && v.process.Process != nil {
		_ = v.process.Process.Kill()
		_ = v.process.Wait()
		v.process = nil
	}
}

// HTTP is a client that trusts its certificate.
func (v *VaultServer) HTTP() *http.Client { return v.http }

// Try does what an administrator would; the status and the whole answer are given.
// wrap_ttl in what is sent has the answer wrapped.
func (v *VaultServer) Try(method, path string, body map[string]any) (int, map[string]any) {
	v.t.Helper()
	var data io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			v.t.Fatal(err)
		}
		data = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, v.Address+"/v1/"+path, data)
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", v.Token)
	if wrap := body["wrap_ttl"]; wrap != nil {
		request.Header.Set("X-Vault-Wrap-Ttl", fmt.Sprint(wrap))
	}
	response, err := v.http.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(response.Body).Decode(&answer)
	return response.StatusCode, answer
}

// Do is Try for what has to work; the answer's data is given.
func (v *VaultServer) Do(method, path string, body map[string]any) map[string]any {
	v.t.Helper()
	status, answer := v.Try(method, path, body)
	if status >= 300 {
		v.t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	data, _ := answer["data"].(map[string]any)
	return data
}

// Login gives the token that a call answers with.
func (v *VaultServer) Login(path string, body map[string]any) string {
	v.t.Helper()
	status, answer := v.Try("POST", path, body)
	auth, _ := answer["auth"].(map[string]any)
	token, _ := auth["client_token"].(string)
	if token == "" {
		v.t.Fatalf("%s: %d %v", path, status, answer)
	}
	return token
}

// VaultRole gives what an X509-SVID needs, with changes: names and values in turn.
func VaultRole(change ...any) map[string]any {
	role := map[string]any{"key_type": "any", "key_bits": 0, "allow_any_name": true, "allow_wildcard_certificates": true, "use_csr_common_name": false, "require_cn": false,
		"basic_constraints_valid_for_non_ca": true, "key_usage": []string{"DigitalSignature"}, "allowed_uri_sans": []string{"spiffe://cluster.local/*"}, "max_ttl": "720h"}
	for i := 0; i+1 < len(change); i += 2 {
		if name, ok := change[i].(string); ok {
			role[name] = change[i+1]
		}
	}
	return role
}

// Mount makes a PKI mount with the role mesh, and with a root of its own unless it is
// to get its CA.
func (v *VaultServer) Mount(name string, root bool, role map[string]any) {
	v.t.Helper()
	v.Do("POST", "sys/mounts/"+name, map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	if root {
		v.Do("POST", name+"/root/generate/internal", map[string]any{"common_name": "Root of " + name, "key_type": "ec", "key_bits": 256, "ttl": "43800h", "issuer_name": "first"})
	}
	v.Do("POST", name+"/roles/mesh", role)
}
