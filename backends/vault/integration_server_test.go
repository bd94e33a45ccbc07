//go:build integration

package vault

import (
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
)

// server is a real Vault.
type server struct{ *backendtest.VaultServer }

// mount makes a PKI mount with a root of its own and a role mesh.
func (s *server) mount(name string, role map[string]any) { s.Mount(name, true, role) }

// open gives an authority that asks this Vault.
func (s *server) open(t *testing.T, settings backends.Vault, env ...string) *Authority {
	t.Helper()
	settings.Address, settings.CACert = s.Address, s.Roots
	if len(env) == 0 && settings.Auth == nil {
		env = []string{"VAULT_TOKEN", s.Token}
	}
	a, err := open(t.Context(), settings.Mount+"/mesh", backends.Options{Now: time.Now, Settings: &settings, Getenv: environment(env...)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}
