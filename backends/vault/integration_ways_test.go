//go:build integration

package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

const policy = `path "ways/sign/mesh" { capabilities = ["update"] }
path "ways/roles/mesh" { capabilities = ["read"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }`

// secret writes a file that holds one.
func secret(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// waysIn goes every way in that this build of Vault has.
func waysIn(t *testing.T, s *server) {
	s.mount("ways", backendtest.VaultRole())
	s.Do("PUT", "sys/policies/acl/mesh", map[string]any{"policy": policy})
	s.Do("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	s.Do("POST", "auth/approle/role/mesh", map[string]any{"token_policies": "mesh", "token_ttl": "1h"})
	s.Do("POST", "auth/approle/role/batch", map[string]any{"token_policies": "mesh", "token_ttl": "2s", "token_type": "batch"})
	signed := func(t *testing.T, a *Authority) {
		t.Helper()
		if _, err := issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now()); err != nil {
			t.Error(err)
		}
	}
	enter := func(t *testing.T, auth backends.VaultAuth) *Authority {
		return s.open(t, backends.Vault{Mount: "ways", Role: "mesh", Auth: &auth})
	}
	appRole := func(t *testing.T, role string) backends.VaultAuth {
		id := s.Do("GET", "auth/approle/role/"+role+"/role-id", nil)["role_id"].(string)
		given := s.Do("POST", "auth/approle/role/"+role+"/secret-id", map[string]any{})["secret_id"].(string)
		return backends.VaultAuth{Method: "approle", RoleID: id, SecretIDFile: secret(t, given)}
	}
	t.Run("approle", func(t *testing.T) {
		a := enter(t, appRole(t, "mesh"))
		signed(t, a)
		revokedInTheMiddle(t, s, a)
		// What the policy forbids is refused, without another login.
		second := a.client.session.token
		err := a.Revoke(t.Context(), mustObtain(t, a).Leaf().SerialNumber, ca.Superseded)
		if _, ok := ca.IsRefusal(err); !ok || a.client.session.token != second {
			t.Errorf("error %v", err)
		}
	})
	t.Run("wrapped secret", func(t *testing.T) {
		auth := appRole(t, "mesh")
		_, answer := s.Try("POST", "auth/approle/role/mesh/secret-id", map[string]any{"wrap_ttl": "60s"})
		token := answer["wrap_info"].(map[string]any)["token"].(string)
		auth.SecretIDFile, auth.Wrapped = secret(t, token), true
		a := enter(t, auth)
		signed(t, a)
		revokedInTheMiddle(t, s, a) // what was wrapped is still known
		_, err := issue.Obtain(t.Context(), enter(t, auth), liveOrder(t, time.Hour), time.Now())
		if _, ok := ca.IsRefusal(err); !ok || !strings.Contains(err.Error(), "somebody has opened it before") || strings.Contains(err.Error(), token) {
			t.Errorf("opened twice: %v", err)
		}
	})
	t.Run("batch tokens", func(t *testing.T) {
		a := enter(t, appRole(t, "batch"))
		signed(t, a)
		first := a.client.session.token
		time.Sleep(3 * time.Second)
		signed(t, a)
		if a.client.session.token == first || !strings.HasPrefix(first, "hvb.") {
			t.Error("the batch token that ended is not had anew")
		}
	})
	t.Run("a file", func(t *testing.T) { file(t, s, signed, enter) })
	t.Run("vault login", func(t *testing.T) {
		home := t.TempDir()
		if err := os.WriteFile(filepath.Join(home, ".vault-token"), []byte(s.Token), 0o600); err != nil {
			t.Fatal(err)
		}
		signed(t, s.open(t, backends.Vault{Mount: "ways", Role: "mesh"}, "HOME", home))
	})
	t.Run("an agent's socket", func(t *testing.T) { agent(t, s, appRole(t, "mesh"), signed) })
	t.Run("kubernetes", func(t *testing.T) { kubernetes(t, s, signed, enter) })
	t.Run("jwt", func(t *testing.T) { jwt(t, s, signed, enter) })
	t.Run("certificate", func(t *testing.T) { certificate(t, s, signed, enter) })
	t.Run("sealed", func(t *testing.T) { sealed(t, s, enter(t, appRole(t, "mesh"))) })
}

// file: a token in a file is read again when it changes.
func file(t *testing.T, s *server, signed func(*testing.T, *Authority), enter func(*testing.T, backends.VaultAuth) *Authority) {
	given := func() string {
		_, answer := s.Try("POST", "auth/token/create", map[string]any{"policies": []string{"mesh"}, "ttl": "1h"})
		return answer["auth"].(map[string]any)["client_token"].(string)
	}
	name := secret(t, given())
	a := enter(t, backends.VaultAuth{Method: "token", TokenFile: name})
	signed(t, a)
	first := a.client.session.token
	next := given()
	if err := os.WriteFile(name, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.Do("POST", "auth/token/revoke", map[string]any{"token": first})
	signed(t, a)
	s.Do("POST", "auth/token/revoke", map[string]any{"token": next})
	_, err := issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now())
	if _, ok := ca.IsRefusal(err); !ok || strings.Contains(err.Error(), next) {
		t.Errorf("with a token that is revoked: %v", err)
	}
}

// revokedInTheMiddle revokes the token of who has logged in, who then logs in once more.
func revokedInTheMiddle(t *testing.T, s *server, a *Authority) {
	t.Helper()
	first := a.client.session.token
	s.Do("POST", "auth/token/revoke", map[string]any{"token": first})
	mustObtain(t, a)
	if a.client.session.token == first {
		t.Error("it has the token that was revoked")
	}
}

func mustObtain(t *testing.T, a *Authority) *issue.Credential {
	t.Helper()
	c, err := issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func jwt(t *testing.T, s *server, signed func(*testing.T, *Authority), enter func(*testing.T, backends.VaultAuth) *Authority) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.Do("POST", "sys/auth/ci", map[string]any{"type": "jwt"})
	s.Do("POST", "auth/ci/config", map[string]any{"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "bound_issuer": "ci"})
	s.Do("POST", "auth/ci/role/mesh", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault"}, "token_policies": "mesh", "token_ttl": "1h"})
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	text := part(map[string]string{"alg": "ES256", "typ": "JWT"}) + "." +
		part(map[string]any{"iss": "ci", "sub": "meshpki", "aud": "vault", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()})
	sum := sha256.Sum256([]byte(text))
	r, sig, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	sig.FillBytes(raw[32:])
	token := text + "." + base64.RawURLEncoding.EncodeToString(raw)
	a := enter(t, backends.VaultAuth{Method: "jwt", Mount: "ci", Role: "mesh", TokenFile: secret(t, token)})
	signed(t, a)
	revokedInTheMiddle(t, s, a)
	_, err = issue.Obtain(t.Context(), enter(t, backends.VaultAuth{Method: "jwt", Mount: "ci", Role: "mesh", TokenFile: secret(t, token[:len(token)-4])}), liveOrder(t, time.Hour), time.Now())
	if _, ok := ca.IsRefusal(err); !ok || strings.Contains(err.Error(), token[:40]) {
		t.Errorf("with another signature: %v", err)
	}
}

// certificate: the leaf that the mount signed is the way in for the next.
func certificate(t *testing.T, s *server, signed func(*testing.T, *Authority), enter func(*testing.T, backends.VaultAuth) *Authority) {
	root := s.open(t, backends.Vault{Mount: "ways", Role: "mesh"})
	c := mustObtain(t, root)
	dir := t.TempDir()
	key, err := pemfile.EncodeKey(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	crtFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if err := errors.Join(os.WriteFile(crtFile, pemfile.EncodeCertificates(c.Chain...), 0o600), os.WriteFile(keyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.Do("POST", "sys/auth/cert", map[string]any{"type": "cert"})
	s.Do("POST", "auth/cert/certs/mesh", map[string]any{"certificate": string(pemfile.EncodeCertificates(c.Roots...)), "allowed_uri_sans": "spiffe://cluster.local/ns/prod/sa/*", "token_policies": "mesh"})
	auth := backends.VaultAuth{Method: "cert", Role: "mesh", CertFile: crtFile, KeyFile: keyFile}
	a := enter(t, auth)
	signed(t, a)
	revokedInTheMiddle(t, s, a)
	// Another Vault's certificate is not taken for this one's.
	strange := s.open(t, backends.Vault{Mount: "ways", Role: "mesh"})
	strange.client.patience = 0
	transport, _ := strange.client.api.CloneConfig().HttpClient.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	_, err = issue.Obtain(t.Context(), strange, liveOrder(t, time.Hour), time.Now())
	if !errors.Is(err, ca.ErrAway) || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("under other roots: %v", err)
	}
}

// sealed: it is waited for while it is sealed, and is not when that takes too long.
func sealed(t *testing.T, s *server, a *Authority) {
	mustObtain(t, a)
	s.Do("PUT", "sys/seal", nil)
	impatient := s.open(t, backends.Vault{Mount: "ways", Role: "mesh"})
	impatient.client.patience = 0
	if _, err := issue.Obtain(t.Context(), impatient, liveOrder(t, time.Hour), time.Now()); !errors.Is(err, ca.ErrAway) || !strings.Contains(err.Error(), "is sealed") {
		t.Errorf("error %v", err)
	}
	checks, err := Check(t.Context(), "ways/mesh", backends.Options{Now: time.Now, Settings: &backends.Vault{Mount: "ways", Role: "mesh", Address: s.Address, CACert: s.Roots}}, nil)
	if err != nil || !slices.ContainsFunc(checks, func(c backends.Check) bool {
		return c.Name == "seal" && c.State == backends.StateFailed && c.Remedy != ""
	}) {
		t.Errorf("%v, %v", checks, err)
	}
	done := make(chan error)
	go func() {
		_, err := issue.Obtain(context.WithoutCancel(t.Context()), a, liveOrder(t, time.Hour), time.Now())
		done <- err
	}()
	time.Sleep(time.Second)
	s.Do("PUT", "sys/unseal", map[string]any{"key": s.Unseal})
	if err := <-done; err != nil {
		t.Errorf("unsealed in the middle: %v", err)
	}
}

// examined: what backend check finds is so.
func examined(t *testing.T, s *server) {
	s.mount("examined", backendtest.VaultRole("max_ttl", "1h"))
	s.Do("POST", "examined/config/urls", map[string]any{"crl_distribution_points": []string{s.Address + "/v1/examined/nothing"}})
	o := liveOrder(t, time.Hour)
	want := backends.Want{Name: "payment.prod", Identity: o.Identity, Profile: o.Profile, KeyType: ca.ECP256, Validity: 24 * time.Hour}
	check := func(token string) map[string]backends.State {
		found, err := Check(t.Context(), "examined/mesh", backends.Options{Now: time.Now, Getenv: environment("VAULT_TOKEN", token),
			Settings: &backends.Vault{Mount: "examined", Role: "mesh", Address: s.Address, CACert: s.Roots}}, []backends.Want{want})
		if err != nil {
			t.Fatal(err)
		}
		states := map[string]backends.State{}
		for _, c := range found {
			if c.State == backends.StateFailed && c.Remedy == "" {
				t.Errorf("no remedy for %v", c)
			}
			if before, ok := states[c.Name]; !ok || before == backends.StateOK {
				states[c.Name] = c.State
			}
		}
		return states
	}
	all := check(s.Token)
	for name, state := range map[string]backends.State{"address": backends.StateOK, "seal": backends.StateOK, "clock": backends.StateOK, "issuer": backends.StateOK,
		"roots": backends.StateOK, "mount": backends.StateOK, "policy": backends.StateOK, "role": backends.StateFailed, "crl": backends.StateFailed, "token": backends.StateWarning} {
		if all[name] != state {
			t.Errorf("%s is %q, want %q", name, all[name], state)
		}
	}
	if got := check("no-such-token"); got["token"] != backends.StateFailed {
		t.Errorf("a token that is not known: %v", got)
	}
	s.Do("PUT", "sys/policies/acl/nothing", map[string]any{"policy": `path "examined/roles/mesh" { capabilities = ["read"] }`})
	_, answer := s.Try("POST", "auth/token/create", map[string]any{"policies": []string{"nothing"}, "ttl": "1h"})
	if got := check(answer["auth"].(map[string]any)["client_token"].(string)); got["policy"] != backends.StateFailed {
		t.Errorf("a policy that lacks what is needed: %v", got)
	}
	// What is suggested has nothing left to be found.
	suggested, err := Suggest("examined/mesh", backends.Options{Settings: &backends.Vault{Mount: "examined", Role: "mesh"}}, []backends.Want{want})
	if err != nil || len(suggested) != 2 {
		t.Fatal(suggested, err)
	}
	role := map[string]any{}
	for _, set := range wantedRole([]backends.Want{want}) {
		role[set.name] = set.value
	}
	s.Do("POST", "examined/roles/mesh", role)
	if got := check(s.Token); got["role"] != backends.StateOK {
		t.Errorf("with the role that is suggested: %v", got)
	}
	if _, err := issue.Obtain(t.Context(), s.open(t, backends.Vault{Mount: "examined", Role: "mesh"}), liveOrder(t, 24*time.Hour), time.Now()); err != nil {
		t.Errorf("with the role that is suggested: %v", err)
	}
	// Nor does the policy need another beside it.
	_, policy, _ := strings.Cut(suggested[0].Text, "<<'EOF'\n")
	policy, _, _ = strings.Cut(policy, "EOF\n")
	s.Do("PUT", "sys/policies/acl/suggested", map[string]any{"policy": policy})
	_, answer = s.Try("POST", "auth/token/create", map[string]any{"policies": []string{"suggested"}, "no_default_policy": true, "ttl": "1h"})
	got := check(answer["auth"].(map[string]any)["client_token"].(string))
	for _, name := range []string{"token", "mount", "policy", "role", "issuer", "roots"} {
		if got[name] != backends.StateOK {
			t.Errorf("with no policy but the one that is suggested, %s is %q", name, got[name])
		}
	}
}
