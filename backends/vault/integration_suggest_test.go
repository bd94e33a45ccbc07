//go:build integration

package vault

import (
	"encoding/json"
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

// suggested: what --suggest prints is taken as it stands, by a shell and by Terraform's
// parser, and is enough: with that role and that policy alone nothing is left to be found,
// what is wanted is signed, and revoked.
func suggested(t *testing.T, s *server) {
	s.mount("suggested/pki", backendtest.VaultRole())
	spiffe := "spiffe://cluster.local/ns/prod/sa/payment"
	for _, c := range []struct {
		role, profile string
		names         ca.Names
	}{
		{"mesh", "workload", ca.Names{Subject: ca.CommonNameOnly("payment"), DNS: []string{"payment", "payment.prod", "payment.prod.svc.cluster.local"}, URI: []string{spiffe}}},
		{"9-mesh.a", "workload", ca.Names{URI: []string{spiffe}, IP: []string{"10.0.0.5", "fd00::5"}}},
		{"server", "server", ca.Names{DNS: []string{"*.payment.example.com", "payment.example.com"}}},
		{"client", "client", ca.Names{Email: []string{"payment@example.com"}, DNS: []string{"payment.example.com"}}},
	} {
		o := withNames(t, liveOrder(t, 24*time.Hour), c.names)
		var err error
		if o.Profile, err = ca.ProfileByName(c.profile); err != nil {
			t.Fatal(err)
		}
		want := backends.Want{Name: "payment.prod", Identity: o.Identity, Profile: o.Profile, KeyType: ca.ECP256, Validity: 24 * time.Hour}
		settings := backends.Vault{Mount: "suggested/pki", Role: c.role, Address: s.Address, CACert: s.Roots}
		texts, err := Suggest(settings.Mount+"/"+c.role, backends.Options{Settings: &settings}, []backends.Want{want})
		if err != nil || len(texts) != 2 {
			t.Fatal(texts, err)
		}
		for _, text := range texts {
			var policy string
			switch text.Form {
			case "vault":
				policy = s.byShell(t, text.Text)
			case "terraform":
				policy = s.byTerraform(t, text.Text)
			}
			token := s.Login("auth/token/create", map[string]any{"policies": []string{policy}, "no_default_policy": true, "ttl": "1h"})
			found, err := Check(t.Context(), settings.Mount+"/"+c.role, backends.Options{Now: time.Now, Getenv: environment("VAULT_TOKEN", token), Settings: &settings}, []backends.Want{want})
			if err != nil || slices.ContainsFunc(found, func(c backends.Check) bool {
				return c.State == backends.StateFailed || c.State != backends.StateOK && c.Name == "role"
			}) {
				t.Errorf("%s as %s: %v, %v", c.role, text.Form, found, err)
			}
			a, err := open(t.Context(), settings.Mount+"/"+c.role, backends.Options{Now: time.Now, Getenv: environment("VAULT_TOKEN", token), Settings: &settings})
			if err != nil {
				t.Fatal(err)
			}
			got, err := issue.Obtain(t.Context(), a, o, time.Now())
			if err != nil {
				t.Errorf("%s as %s: %v", c.role, text.Form, err)
				continue
			}
			if err := a.Revoke(t.Context(), got.Leaf().SerialNumber, ca.Superseded); err != nil {
				t.Errorf("%s as %s: revoke: %v", c.role, text.Form, err)
			}
			s.Do("DELETE", settings.Mount+"/roles/"+c.role, nil)
			s.Do("DELETE", "sys/policies/acl/"+policy, nil)
		}
	}
}

// byShell has a shell and Vault's own program do what is suggested, and gives the name of
// the policy.
func (s *server) byShell(t *testing.T, text string) string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(sh, "-eu", "-c", text)
	run.Env = []string{"PATH=" + filepath.Dir(s.Program) + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "VAULT_ADDR=" + s.Address, "VAULT_CACERT=" + s.Roots, "VAULT_TOKEN=" + s.Token}
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, text)
	}
	_, name, _ := strings.Cut(text, "vault policy write ")
	name, _, _ = strings.Cut(name, " ")
	return name
}

// byTerraform does what Terraform's provider would with what is suggested, as its own
// parser reads it: the attributes of both resources are called as in Vault.
func (s *server) byTerraform(t *testing.T, text string) string {
	t.Helper()
	read := exec.Command(backendtest.Tool(t, "hcl"))
	read.Stdin = strings.NewReader(text)
	out, err := read.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%s", out, text)
	}
	var blocks []struct {
		Type       string
		Labels     []string
		Attributes map[string]any
	}
	if err := json.Unmarshal(out, &blocks); err != nil || len(blocks) != 2 || blocks[0].Labels[0] != "vault_pki_secret_backend_role" || blocks[1].Labels[0] != "vault_policy" {
		t.Fatalf("%s: %v", out, err)
	}
	role, policy := blocks[0].Attributes, blocks[1].Attributes
	path := role["backend"].(string) + "/roles/" + role["name"].(string)
	delete(role, "backend")
	delete(role, "name")
	s.Do("POST", path, role)
	if got := s.Do("GET", path, nil); got["key_type"] != "any" {
		t.Errorf("the role is %v", got)
	}
	// The provider sends no flag that is false: it has to be told of.
	for _, flag := range []string{"server_flag", "client_flag"} {
		if told := strings.Contains(text, "vault patch "+path+" "+flag+"=false"); told != (role[flag] == false) {
			t.Errorf("%s=%v, and this is told: %t", flag, role[flag], told)
		}
	}
	s.Do("PUT", "sys/policies/acl/"+policy["name"].(string), map[string]any{"policy": policy["policy"]})
	return policy["name"].(string)
}
