//go:build integration || bench

package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// realVault is a Vault in development mode, and a proxy before it that remembers who
// asked what, and can be told to do something when an answer is on its way.
type realVault struct {
	*backendtest.VaultServer
	t     *testing.T
	proxy string // its address
	drop  func() // has it hang up on everybody

	mu     sync.Mutex
	calls  map[string]int
	tokens map[string]bool
	onSign func(n int) // is called with a signed certificate in hand, the n-th
	signed int
}

// vaultEntry is a manifest by whose backend an AppRole of Vault signs.
const vaultEntry = "apiVersion: meshpki/v1\nbackend: mesh\nbackends:\n  mesh:\n    vault: {mount: pki, role: mesh, address: %q, auth: {approle: {roleId: %q, secretIdFile: %q}}}\n"

func startVault(t *testing.T, plugins ...string) *realVault {
	t.Helper()
	v := &realVault{VaultServer: backendtest.StartVault(t, false, plugins...), t: t, calls: map[string]int{}, tokens: map[string]bool{}}
	v.stand()
	return v
}

// stand puts the proxy before it.
func (v *realVault) stand() {
	to, err := url.Parse(v.Address)
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
			if !strings.Contains(r.Request.URL.Path, "/sign/") || r.StatusCode != http.StatusOK {
				return nil
			}
			v.mu.Lock()
			v.signed++
			f, n := v.onSign, v.signed
			v.mu.Unlock()
			if f != nil {
				f(n)
			}
			return nil
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		ErrorLog:  log.New(io.Discard, "", 0), // who is killed hangs up
	}
	server := httptest.NewServer(proxy)
	v.t.Cleanup(server.Close)
	v.proxy, v.drop = server.URL, server.CloseClientConnections
}

// when has f called with each signed certificate in hand; the first of them is 1.
func (v *realVault) when(f func(n int)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.onSign, v.signed = f, 0
}

// since gives the calls since those, and how often each was made.
func (v *realVault) since(before map[string]int) map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := map[string]int{}
	for path, n := range v.calls {
		if n > before[path] {
			now[path] = n - before[path]
		}
	}
	return now
}

func (v *realVault) count(path string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[path]
}

// mount makes a PKI mount, with a root unless it is to get its CA, and a role that will do.
func (v *realVault) mount(name string, root bool) { v.Mount(name, root, backendtest.VaultRole()) }

// approle gives the identifier of an AppRole that may sign, and the file with its secret.
func (v *realVault) approle(dir string) (id, secretFile, secret string) {
	v.t.Helper()
	v.Do("PUT", "sys/policies/acl/mesh", map[string]any{"policy": `path "pki/sign/mesh" { capabilities = ["update"] }`})
	v.Do("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	v.Do("POST", "auth/approle/role/mesh", map[string]any{"token_policies": "mesh", "token_ttl": "1h"})
	id = fmt.Sprint(v.Do("GET", "auth/approle/role/mesh/role-id", nil)["role_id"])
	secret = fmt.Sprint(v.Do("POST", "auth/approle/role/mesh/secret-id", map[string]any{})["secret_id"])
	secretFile = filepath.Join(dir, "secret-id")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		v.t.Fatal(err)
	}
	return id, secretFile, secret
}
