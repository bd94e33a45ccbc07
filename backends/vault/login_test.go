package vault

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

func fileWith(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Each way in sends what it has to, and an AWS identity as a request that STS can judge.
func TestLogins(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "aws-secret-key-of-the-test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	for _, c := range []struct {
		auth backends.VaultAuth
		path string
		want map[string]any
	}{
		{backends.VaultAuth{Method: "approle", RoleID: "r", SecretIDFile: fileWith(t, "s-1")}, "auth/approle/login", map[string]any{"role_id": "r", "secret_id": "s-1"}},
		{backends.VaultAuth{Method: "kubernetes", Mount: "k8s/prod/", Role: "mesh", TokenFile: fileWith(t, "a.b.c")}, "auth/k8s/prod/login", map[string]any{"role": "mesh", "jwt": "a.b.c"}},
		{backends.VaultAuth{Method: "jwt", Role: "mesh", TokenFile: fileWith(t, "a.b.c")}, "auth/jwt/login", map[string]any{"role": "mesh", "jwt": "a.b.c"}},
		{backends.VaultAuth{Method: "aws", Role: "mesh", Region: "eu-central-1", ServerID: "vault.example.com"}, "auth/aws/login",
			map[string]any{"role": "mesh", "iam_http_request_method": "POST"}},
		{backends.VaultAuth{Method: "aws", Role: "mesh", Region: "cn-north-1", ServerID: "vault.example.com"}, "auth/aws/login", nil},
	} {
		t.Run(c.auth.Method+c.auth.Region, func(t *testing.T) {
			f := newFake(t, clock)
			if _, err := issue.Obtain(t.Context(), f.open(t, backends.Vault{Auth: &c.auth}), order(t, time.Hour), start); err != nil {
				t.Fatal(err)
			}
			if f.count("PUT "+c.path) != 1 {
				t.Fatalf("it called %v", f.calls)
			}
			body := f.bodies[0]
			for name, want := range c.want {
				if body[name] != want {
					t.Errorf("%s is %v, want %v", name, body[name], want)
				}
			}
			if c.auth.Method != "aws" {
				return
			}
			at, _ := base64.StdEncoding.DecodeString(fmt.Sprint(body["iam_request_url"]))
			headers, _ := base64.StdEncoding.DecodeString(fmt.Sprint(body["iam_request_headers"]))
			host := map[string]string{"eu-central-1": "sts.eu-central-1.amazonaws.com", "cn-north-1": "sts.cn-north-1.amazonaws.com.cn"}[c.auth.Region]
			if string(at) != "https://"+host+"/" || !strings.Contains(string(headers), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/"+c.auth.Region+"/sts/aws4_request") ||
				!strings.Contains(string(headers), "x-vault-aws-iam-server-id") || strings.Contains(fmt.Sprint(body)+string(headers), "aws-secret-key") {
				t.Errorf("it asks %s with %s", at, headers)
			}
		})
	}
}

// What a refusal says holds no secret, whatever Vault answers.
func TestNoSecrets(t *testing.T) {
	secret := "5f2a-the-secret-identifier"
	for _, status := range []int{400, 403, 404, 500, 503} {
		f := newFake(t, clock)
		a := f.open(t, backends.Vault{Auth: &backends.VaultAuth{Method: "approle", RoleID: "r", SecretIDFile: fileWith(t, secret)}})
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/login") {
				return false
			}
			f.fail(w, status, "invalid role or secret ID")
			return true
		}
		_, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%d: %v", status, err)
		}
		if _, refused := ca.IsRefusal(err); refused != (status < 500) || errors.Is(err, ca.ErrAway) != (status >= 500) {
			t.Errorf("%d: %v", status, err)
		}
	}
	for text, what := range map[string]string{"": "an empty file", "two\nlines-of-secret": "two lines", "with\x00zero-secret": "a zero"} {
		if _, err := readSecret(fileWith(t, text), "the token"); err == nil || strings.Contains(err.Error(), "-secret") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The token is renewed after two thirds of its life, and had anew at its end.
func TestTokenLife(t *testing.T) {
	now := start
	f := newFake(t, func() time.Time { return now })
	a := f.open(t, backends.Vault{Auth: &backends.VaultAuth{Method: "approle", RoleID: "r", SecretIDFile: fileWith(t, "s-1")}})
	ask := func() {
		t.Helper()
		o := order(t, time.Hour)
		o.Validity.NotAfter = now.Add(time.Hour)
		if _, err := issue.Obtain(t.Context(), a, o, now); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	now = start.Add(39 * time.Minute)
	ask()
	if f.count("PUT auth/token/renew-self") != 0 {
		t.Error("it was renewed before two thirds of its life")
	}
	now = start.Add(41 * time.Minute)
	ask()
	if f.count("PUT auth/token/renew-self") != 1 || f.logins != 1 {
		t.Errorf("%d renewals, %d logins", f.count("PUT auth/token/renew-self"), f.logins)
	}
	now = now.Add(2 * time.Hour)
	ask()
	if f.logins != 2 {
		t.Errorf("%d logins after its end", f.logins)
	}
}

// Namespaces go with every call.
func TestNamespace(t *testing.T) {
	f := newFake(t, clock)
	seen := map[string]bool{}
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		seen[r.Header.Get("X-Vault-Namespace")] = true
		return false
	}
	if _, err := issue.Obtain(t.Context(), f.open(t, backends.Vault{Namespace: "team-a"}), order(t, time.Hour), start); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || !seen["team-a"] {
		t.Errorf("sent to %v", seen)
	}
}

// FuzzChain reads whatever a server may give for a chain.
func FuzzChain(f *testing.F) {
	f.Add("-----BEGIN CERTIFICATE-----\n", "x", `["x"]`)
	f.Fuzz(func(t *testing.T, leaf, above, raw string) {
		issuer, err := json.Marshal(above)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = new(Authority).chainOf(&signed{leaf, []byte(raw), []byte(raw)})
		list, err := json.Marshal([]string{above, leaf})
		if err != nil {
			t.Fatal(err)
		}
		chain, err := new(Authority).chainOf(&signed{leaf, issuer, list})
		if err == nil && (len(chain) == 0 || len(pemfile.EncodeCertificates(chain...)) == 0) {
			t.Error("a chain of nothing")
		}
		_, _ = beyondCA(&said{"write", 400, leaf + "beyond the expiration of the CA" + above})
		_ = clean(leaf)
	})
}
