//go:build integration || bench

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// realVault is a Vault in development mode, and a proxy before it that remembers who
// asked what, and can be told to do something when an answer is on its way.
type realVault struct {
	t                *testing.T
	program, address string
	proxy            string // its address
	unseal           string

	mu     sync.Mutex
	calls  map[string]int
	tokens map[string]bool
	onSign func() // is called with a signed certificate in hand
}

const vaultRoot = "root-of-the-vault-test"

func startVault(t *testing.T) *realVault {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	v := &realVault{t: t, program: pinned(t, "vault"), address: "http://" + at, calls: map[string]int{}, tokens: map[string]bool{}}
	run := exec.Command(v.program, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+vaultRoot, "-dev-listen-address="+at)
	run.Env = []string{"HOME=" + t.TempDir()}
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
	key := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if k, ok := strings.CutPrefix(lines.Text(), "Unseal Key: "); ok {
				key <- k
			}
		}
	}()
	select {
	case v.unseal = <-key:
	case <-time.After(patience):
		t.Fatal("vault did not start")
	}
	for i := 0; ; i++ {
		if response, err := http.Get(v.address + "/v1/sys/health"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
		}
		if i == 600 {
			t.Fatal("vault did not unseal")
		}
		time.Sleep(50 * time.Millisecond)
	}
	v.stand()
	return v
}

// stand puts the proxy before it.
func (v *realVault) stand() {
	to, err := url.Parse(v.address)
	if err != nil {
		v.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			v.mu.Lock()
			defer v.mu.Unlock()
			v.calls[r.In.URL.Path]++
			v.tokens[r.In.Header.Get("X-Vault-Token")] = true
		},
		ModifyResponse: func(r *http.Response) error {
			v.mu.Lock()
			f := v.onSign
			v.mu.Unlock()
			if strings.Contains(r.Request.URL.Path, "/sign/") && r.StatusCode == http.StatusOK && f != nil {
				f()
			}
			return nil
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}
	server := httptest.NewServer(proxy)
	v.t.Cleanup(server.Close)
	v.proxy = server.URL
}

func (v *realVault) count(path string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[path]
}

// do does what an administrator would.
func (v *realVault) do(method, path string, body any) map[string]any {
	v.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, v.address+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", vaultRoot)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(response.Body).Decode(&answer)
	if response.StatusCode >= 300 {
		v.t.Fatalf("%s %s: %d %v", method, path, response.StatusCode, answer)
	}
	data, _ := answer["data"].(map[string]any)
	return data
}

// mount makes a PKI mount, with a root unless it is to get its CA, and a role that will do.
func (v *realVault) mount(name string, root bool) {
	v.t.Helper()
	v.do("POST", "sys/mounts/"+name, map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	if root {
		v.do("POST", name+"/root/generate/internal", map[string]any{"common_name": "Root of " + name, "key_type": "ec", "ttl": "43800h"})
	}
	v.do("POST", name+"/roles/mesh", map[string]any{"key_type": "any", "allow_any_name": true, "use_csr_common_name": false, "require_cn": false,
		"basic_constraints_valid_for_non_ca": true, "key_usage": []string{"DigitalSignature"}, "allowed_uri_sans": "spiffe://cluster.local/*", "max_ttl": "720h"})
}

// approle gives the identifier of an AppRole that may sign, and the file with its secret.
func (v *realVault) approle(dir string) (id, secretFile, secret string) {
	v.t.Helper()
	v.do("PUT", "sys/policies/acl/mesh", map[string]any{"policy": `path "pki/sign/mesh" { capabilities = ["update"] }`})
	v.do("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	v.do("POST", "auth/approle/role/mesh", map[string]any{"token_policies": "mesh", "token_ttl": "1h"})
	id = fmt.Sprint(v.do("GET", "auth/approle/role/mesh/role-id", nil)["role_id"])
	secret = fmt.Sprint(v.do("POST", "auth/approle/role/mesh/secret-id", map[string]any{})["secret_id"])
	secretFile = filepath.Join(dir, "secret-id")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		v.t.Fatal(err)
	}
	return id, secretFile, secret
}
