//go:build integration

package vault

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// Of two that share one storage the standby passes requests on, or sends those who ask
// to the other one; when the leader steps down nothing is lost, and while there is none
// it is away.
func TestIntegrationVaultStandby(t *testing.T) {
	t.Parallel()
	active, standby := backendtest.StartVaultCluster(t)
	active.Mount("pki", true, backendtest.VaultRole())
	settings := backends.Vault{Mount: "pki", Role: "mesh"}
	at := func(v *backendtest.VaultServer) *Authority {
		t.Helper()
		return (&server{v}).open(t, settings)
	}
	a := at(standby)
	mustObtain(t, a)
	redirected := at(standby)
	redirected.client.api.SetCloneHeaders(true)
	redirected.client.api.AddHeader("X-Vault-No-Request-Forwarding", "true")
	mustObtain(t, redirected)
	checks, err := Check(t.Context(), "pki/mesh", backends.Options{Now: time.Now, Getenv: environment("VAULT_TOKEN", standby.Token),
		Settings: &backends.Vault{Mount: "pki", Role: "mesh", Address: standby.Address}}, nil)
	if err != nil || !slices.ContainsFunc(checks, func(c backends.Check) bool {
		return c.Name == "seal" && c.State == backends.StateOK && strings.Contains(c.Says, "standby")
	}) {
		t.Errorf("%v, %v", checks, err)
	}
	// One of two that is left has no majority, and nobody to pass requests on to.
	active.Stop()
	away := at(standby)
	away.client.patience = 0
	if _, err := issue.Obtain(t.Context(), away, liveOrder(t, time.Hour), time.Now()); !errors.Is(err, ca.ErrAway) {
		t.Errorf("without a leader: %v", err)
	}
	found, err := Check(t.Context(), "pki/mesh", backends.Options{Now: time.Now, Getenv: environment("VAULT_TOKEN", standby.Token),
		Settings: &backends.Vault{Mount: "pki", Role: "mesh", Address: standby.Address}}, nil)
	if err != nil || !slices.ContainsFunc(found, func(c backends.Check) bool { return c.State == backends.StateFailed }) {
		t.Errorf("without a leader, what is checked is %v, %v", found, err)
	}
	active.Restart()
	a.client.patience = 2 * time.Minute
	mustObtain(t, a)
}

// What cannot be reached is away, and says why in words.
func TestIntegrationVaultUnreachable(t *testing.T) {
	t.Parallel()
	silent := listenOnly(t)
	for _, c := range []struct{ name, address, says string }{
		{"no such name", "https://vault.meshpki.invalid:8200", "there is no address of vault.meshpki.invalid"},
		{"nobody listens", "http://127.0.0.1:1", "connection refused"},
		{"no answer", "http://" + silent, "did not answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := open(t.Context(), "pki/mesh", backends.Options{Now: time.Now, Settings: &backends.Vault{Mount: "pki", Role: "mesh", Address: c.address},
				Getenv: environment("VAULT_TOKEN", "hvs.a-token-that-nobody-gave")})
			if err != nil {
				t.Fatal(err)
			}
			a.client.patience = 0
			a.client.api.SetClientTimeout(time.Second)
			_, err = issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now())
			if !errors.Is(err, ca.ErrAway) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hvs.") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// agent is Vault's own: it logs in, keeps the token in a file, and puts it in behind a
// socket.
func agent(t *testing.T, s *server, auth backends.VaultAuth, signed func(*testing.T, *Authority)) {
	dir, err := os.MkdirTemp("", "agent") //nolint:usetesting // the names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, sink, config := filepath.Join(dir, "agent.sock"), filepath.Join(dir, "token"), filepath.Join(dir, "agent.hcl")
	text := strings.NewReplacer("ADDRESS", s.Address, "ROOTS", s.Roots, "ROLE", secret(t, auth.RoleID), "SECRET", auth.SecretIDFile, "SINK", sink, "SOCKET", socket).Replace(`
vault { address = "ADDRESS" ca_cert = "ROOTS" }
auto_auth {
  method "approle" { config = { role_id_file_path = "ROLE" secret_id_file_path = "SECRET" remove_secret_id_file_after_reading = false } }
  sink "file" { config = { path = "SINK" } }
}
api_proxy { use_auto_auth_token = true }
listener "unix" { address = "SOCKET" tls_disable = true }
`)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.Command(s.Program, "agent", "-config="+config)
	run.Env = []string{"HOME=" + dir}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		_, noToken := os.Stat(sink)
		_, noSocket := os.Stat(socket)
		if noToken == nil && noSocket == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the agent has not logged in")
		}
	}
	a, err := open(t.Context(), "ways/mesh", backends.Options{Now: time.Now, Settings: &backends.Vault{Mount: "ways", Role: "mesh", Address: "unix://" + socket},
		Getenv: environment("HOME", dir)})
	if err != nil {
		t.Fatal(err)
	}
	signed(t, a)
	at, err := open(t.Context(), "ways/mesh", backends.Options{Now: time.Now, Settings: &backends.Vault{Mount: "ways", Role: "mesh"},
		Getenv: environment("HOME", dir, "VAULT_AGENT_ADDR", "unix://"+socket)})
	if err != nil {
		t.Fatal(err)
	}
	signed(t, at)
	// The token in its file is one that is renewed by the agent.
	fromSink := s.open(t, backends.Vault{Mount: "ways", Role: "mesh", Auth: &backends.VaultAuth{Method: "token", TokenFile: sink}})
	signed(t, fromSink)
}

// kubernetes: a ServiceAccount of a real cluster is let in by its token, another is not.
func kubernetes(t *testing.T, s *server, signed func(*testing.T, *Authority), enter func(*testing.T, backends.VaultAuth) *Authority) {
	k := backendtest.StartKubeServer(t)
	reviewer := k.Token(t, "default", "reviewer")
	k.Must(t, http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", map[string]any{"metadata": map[string]any{"name": "reviewer"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "reviewer", "namespace": "default"}}})
	roots, err := os.ReadFile(k.CA)
	if err != nil {
		t.Fatal(err)
	}
	s.Do("POST", "sys/auth/k8s/prod", map[string]any{"type": "vault-kubernetes"})
	s.Do("POST", "auth/k8s/prod/config", map[string]any{"kubernetes_host": k.URL, "kubernetes_ca_cert": string(roots), "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true})
	s.Do("POST", "auth/k8s/prod/role/mesh", map[string]any{"bound_service_account_names": "meshpki", "bound_service_account_namespaces": "default", "token_policies": "mesh", "token_ttl": "1h"})
	auth := backends.VaultAuth{Method: "kubernetes", Mount: "k8s/prod", Role: "mesh", TokenFile: secret(t, k.Token(t, "default", "meshpki"))}
	a := enter(t, auth)
	signed(t, a)
	revokedInTheMiddle(t, s, a)
	stranger := k.Token(t, "default", "stranger")
	auth.TokenFile = secret(t, stranger)
	_, err = issue.Obtain(t.Context(), enter(t, auth), liveOrder(t, time.Hour), time.Now())
	if _, ok := ca.IsRefusal(err); !ok || strings.Contains(err.Error(), stranger[:40]) {
		t.Errorf("another account: %v", err)
	}
	auth.TokenFile = filepath.Join(t.TempDir(), "none")
	if _, err = issue.Obtain(t.Context(), enter(t, auth), liveOrder(t, time.Hour), time.Now()); err == nil || !strings.Contains(err.Error(), auth.TokenFile) {
		t.Errorf("without a token: %v", err)
	}
}

// listenOnly is the address of somebody who takes connections and never says anything.
func listenOnly(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String() // the system takes them; nobody reads
}
