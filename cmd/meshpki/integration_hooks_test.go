//go:build integration

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestRenewReloadsNginx: nginx is signalled and looked at by one pass, though it
// demands client certificates; while it is not signalled each pass says that the new
// certificate is not served.
func TestRenewReloadsNginx(t *testing.T) {
	m := newMesh(t)
	gateway := m.issue("gateway")
	n := startNginx(t, gateway)
	manifest := func(hook string) string {
		name := filepath.Join(t.TempDir(), "meshpki.yaml")
		writeFile(t, name, fmt.Sprintf("apiVersion: meshpki/v1\nservices:\n  - name: gateway\n    hook: [%s]\n    confirm: {endpoint: 'tls://%s', answers: 3}\n", hook, n.address()))
		return name
	}
	signal := manifest(fmt.Sprintf("{signal: {pidFile: %s}}", n.pid))
	program := manifest(fmt.Sprintf("{exec: [nginx, -t, -q, -c, %[1]s/nginx.conf, -p, %[1]s, -e, %[1]s/error.log]}, {signal: {pidFile: %[2]s, user: '%[3]d'}}", filepath.Dir(n.pid), n.pid, 0))
	nothing := manifest("{exec: ['true']}")
	for _, with := range []string{signal, program, signal} {
		before := n.serial()
		if a := m.run("renew", "gateway", "--force", "--config", with); a.code != 0 {
			t.Fatal(a)
		}
		now := certificates(t, gateway.chain())[0].SerialNumber
		if served := n.serial(); now.Cmp(before) == 0 || served == nil || served.Cmp(now) != 0 {
			t.Errorf("nginx serves %x, before it was %x; want %x", served, before, now)
		}
	}
	if a := m.run("renew", "gateway", "--force", "--config", nothing); a.code != 5 || !strings.Contains(a.stdout, "serves another certificate") {
		t.Error(a)
	}
	if a := m.run("renew", "--config", nothing); a.code != 5 || !strings.Contains(a.stdout, "serves another certificate") {
		t.Error(a)
	}
	if a := m.run("renew", "--config", signal); a.code != 0 {
		t.Error(a)
	}
	now := certificates(t, gateway.chain())[0].SerialNumber
	if served := n.serial(); served == nil || served.Cmp(now) != 0 {
		t.Errorf("nginx serves %x, want %x", served, now)
	}
	if a := m.run("renew", "--config", signal); a.code != 0 || a.stdout != "" {
		t.Error(a)
	}
}
