//go:build integration && linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// acmeServer is a real ACME server, and the DNS server that it asks.
type acmeServer struct {
	t         *testing.T
	directory string
	caCert    string // what its own certificate is trusted by
	roots     string // what its certificates lead to
	httpPort  int    // where it looks for http-01, and for tls-alpn-01
	tlsPort   int
	dns       string // where names are resolved
	records   string // where records are set
	control   string // Pebble's management
}

// background starts a program that is ended with the test.
func background(t *testing.T, env []string, name string, args ...string) (log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), filepath.Base(name)+".log")
	out, err := os.Create(log)
	must(t, err)
	c := exec.Command(name, args...)
	c.Env, c.Stdout, c.Stderr = append(neutralEnv(), env...), out, out
	must(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		out.Close()
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(name), text[max(0, len(text)-4000):])
		}
	})
	return log
}

// awaitPort waits until something listens.
func awaitPort(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody listens at %s: %v", address, err)
		}
	}
}

func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// newACMEServer starts the DNS server, in which every name is this machine.
func newACMEServer(t *testing.T) *acmeServer {
	t.Helper()
	s := &acmeServer{t: t, httpPort: freePort(t), tlsPort: freePort(t)}
	dns, control := freePort(t), freePort(t)
	s.dns, s.records = local(dns), "http://"+local(control)
	background(t, nil, pinned(t, "challtestsrv"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dnsserver", s.dns,
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", local(control))
	awaitPort(t, local(control))
	return s
}

const pebbleConfig = `{"pebble": {
  "listenAddress": %q, "managementListenAddress": %q, "certificate": %q, "privateKey": %q, "httpPort": %d, "tlsPort": %d,
  "ocspResponderURL": "", "domainBlocklist": ["blocked-domain.example"], "retryAfter": {"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
  "externalAccountBindingRequired": %t, "externalAccountMACKeys": {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"},
  "profiles": {"default": {"description": "the usual one", "validityPeriod": 7776000}, "shortlived": {"description": "six days", "validityPeriod": 518400}}
}}`

const pebbleSecret = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

// startPebble starts Pebble, strict, with those settings in its environment.
func startPebble(t *testing.T, eab bool, env ...string) *acmeServer {
	t.Helper()
	s := newACMEServer(t)
	own := newMesh(t).issue("pebble", "--dns", "localhost", "--ip", "127.0.0.1")
	listen, control := freePort(t), freePort(t)
	config := filepath.Join(t.TempDir(), "pebble.json")
	writeFile(t, config, fmt.Sprintf(pebbleConfig, local(listen), local(control), own.chain(), own.key(), s.httpPort, s.tlsPort, eab))
	background(t, append([]string{"PEBBLE_AUTHZREUSE=0"}, env...), pinned(t, "pebble"), "-strict", "-config", config, "-dnsserver", s.dns)
	awaitPort(t, local(listen))
	awaitPort(t, local(control))
	s.directory, s.caCert, s.control = "https://"+local(listen)+"/dir", own.roots(), "https://"+local(control)
	s.roots = filepath.Join(t.TempDir(), "roots.pem")
	var all []byte
	for i := range 3 {
		if root := s.ask(http.MethodGet, s.control+"/roots/"+strconv.Itoa(i), "", nil); strings.Contains(root, "BEGIN") {
			all = append(all, root...)
		}
	}
	writeFile(t, s.roots, string(all))
	return s
}

// ask makes a request to a server of a test, whoever its certificate is from.
func (s *acmeServer) ask(method, url, token string, body any) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	data, err := json.Marshal(body)
	must(s.t, err)
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	must(s.t, err)
	if token != "" {
		r.Header.Set("X-Vault-Token", token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Do(r)
	must(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.t, err)
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotFound {
		s.t.Fatalf("%s %s: %s %s", method, url, resp.Status, text)
	}
	return string(text)
}

// suggest has Pebble suggest a window for a certificate.
func (s *acmeServer) suggest(c credential, from, to time.Time) {
	s.t.Helper()
	leaf := certificates(s.t, c.chain())[0]
	answer := fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q},"explanationURL":"https://acme.example.com/incident"}`, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	s.ask(http.MethodPost, s.control+"/set-renewal-info/", "", map[string]string{
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})), "ariResponse": answer})
}

// hook is a program that sets records for dns-01.
func (s *acmeServer) hook() string {
	s.t.Helper()
	name := filepath.Join(s.t.TempDir(), "acme-dns")
	text := fmt.Sprintf("#!/bin/sh\nset -eu\ncase $1 in\npresent) path=set-txt ;;\ncleanup) path=clear-txt ;;\nesac\n"+
		`exec curl -sfS -d "{\"host\":\"$2.\",\"value\":\"$3\"}" %s/$path`+"\n", s.records)
	must(s.t, os.WriteFile(name, []byte(text), 0o755))
	must(s.t, os.Chmod(name, 0o755))
	return name
}

// directoryFor is a state directory with a manifest for this server and those
// challenges; more goes under the entry, services under services.
func (s *acmeServer) directoryFor(challenge, more, services string) mesh {
	s.t.Helper()
	dir := s.t.TempDir()
	if s.roots != "" {
		more += "      roots: " + s.roots + "\n"
	}
	manifest := fmt.Sprintf("apiVersion: meshpki/v1\nbackends:\n  there:\n    acme:\n      directory: %s\n      caCert: %s\n      challenge: %s\n%s",
		s.directory, s.caCert, challenge, more)
	if services != "" {
		manifest += "backend: there\nservices:\n" + services
	}
	m := mesh{s.t, filepath.Join(dir, "pki")}
	must(s.t, os.MkdirAll(m.dir, 0o755))
	writeFile(s.t, filepath.Join(m.dir, "meshpki.yaml"), manifest)
	return m
}

func (s *acmeServer) http() string { return fmt.Sprintf(`{http: {listen: %q}}`, local(s.httpPort)) }

// order is a service with that name, and no other.
func (m mesh) order(name string, flags ...string) answer {
	m.t.Helper()
	service, _, _ := strings.Cut(strings.TrimPrefix(name, "*."), ".")
	return m.run(append([]string{"issue", "--service", service, "--backend", "there", "--identity", "plain", "--no-default-dns", "--dns", name, "--profile", "server"}, flags...)...)
}

// ordered is order for what must succeed.
func (m mesh) ordered(name string, flags ...string) credential {
	m.t.Helper()
	if a := m.order(name, flags...); a.code != 0 {
		m.t.Fatalf("%s: %s", name, a)
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(name, "*."), ".")
	return credential{m.t, filepath.Join(m.dir, "services", "default", service)}
}
