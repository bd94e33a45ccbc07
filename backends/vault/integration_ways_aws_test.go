//go:build integration

package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// tokenService stands for the one of AWS that tells who signed a request: the only part
// of the login that is not real. It verifies the signature with the SDK's own signer.
type tokenService struct {
	t       *testing.T
	secrets map[string]string // of the access keys
	session string            // the session token that has to come along
	arns    map[string]string // whose they are

	mu    sync.Mutex
	hosts []string
}

func (s *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.hosts = append(s.hosts, r.Host)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/xml")
	key, region := s.signer(r, body)
	if key == "" {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>")
		return
	}
	if string(body) != "Action=GetCallerIdentity&Version=2011-06-15" || !strings.Contains(r.Host, region) {
		s.t.Errorf("%s is asked %s", r.Host, body)
	}
	fmt.Fprint(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>`)
	_ = xml.EscapeText(w, []byte(s.arns[key]))
	fmt.Fprintf(w, `</Arn><UserId>%s:session</UserId><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, key)
}

// signer gives the access key that a request is signed with, and for which region;
// nothing where the signature is not that key's.
func (s *tokenService) signer(r *http.Request, body []byte) (key, region string) {
	given := r.Header.Get("Authorization")
	_, credential, _ := strings.Cut(given, "Credential=")
	scope := strings.Split(credential, "/")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if len(scope) < 5 || err != nil || time.Since(at).Abs() > 15*time.Minute || r.Header.Get("X-Amz-Security-Token") != s.session {
		return "", ""
	}
	again, err := http.NewRequest(r.Method, "https://"+r.Host+"/", bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return "", ""
	}
	_, signed, _ := strings.Cut(given, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if name != "host" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	found, err := config.LoadDefaultConfig(r.Context())
	if err != nil {
		s.t.Error(err)
		return "", ""
	}
	credentials, err := found.Credentials.Retrieve(r.Context())
	if err != nil {
		s.t.Error(err)
		return "", ""
	}
	// Not those of who asks, but what AWS knows of them.
	credentials.AccessKeyID, credentials.SecretAccessKey, credentials.SessionToken = scope[0], s.secrets[scope[0]], s.session
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, again, hex.EncodeToString(sum[:]), scope[3], scope[2], at); err != nil {
		s.t.Error(err)
	}
	if again.Header.Get("Authorization") != given {
		return "", ""
	}
	return scope[0], scope[2]
}

// The whole login by an AWS identity is Vault's own, and AWS alone is a stand-in: what
// Vault asks it is signed. Who is not bound to the role, or signs with another key, is
// not let in. The environment has the credentials, so it runs beside no other test.
func TestIntegrationVaultAWS(t *testing.T) {
	s := &server{backendtest.StartVault(t, true, "vault-aws")}
	s.mount("ways", backendtest.VaultRole())
	s.Do("PUT", "sys/policies/acl/mesh", map[string]any{"policy": policy})
	enter := func(auth backends.VaultAuth) *Authority {
		return s.open(t, backends.Vault{Mount: "ways", Role: "mesh", Auth: &auth})
	}
	const key, secret, session = "AKIDOFMESHPKIEXAMPLE", "the-secret-key-of-the-aws-test", "the-session-token-of-the-aws-test"
	sts := &tokenService{t: t, session: session, secrets: map[string]string{key: secret, "AKIDOFASTRANGER": secret},
		arns: map[string]string{key: "arn:aws:sts::111122223333:assumed-role/meshpki/i-0123456789", "AKIDOFASTRANGER": "arn:aws:sts::111122223333:assumed-role/other/i-0123456789"}}
	service := httptest.NewServer(sts)
	t.Cleanup(service.Close)
	s.Do("POST", "sys/auth/cloud", map[string]any{"type": "vault-aws"})
	t.Cleanup(func() { s.Do("DELETE", "sys/auth/cloud", nil) }) // which ends the plugin's process
	s.Do("POST", "auth/cloud/config/client", map[string]any{"sts_endpoint": service.URL, "sts_region": "eu-central-1", "iam_server_id_header_value": "vault.example.com", "max_retries": 0})
	s.Do("POST", "auth/cloud/role/mesh", map[string]any{"auth_type": "iam", "bound_iam_principal_arn": "arn:aws:iam::111122223333:role/meshpki", "resolve_aws_unique_ids": false, "token_policies": "mesh", "token_ttl": "1h"})
	as := func(key, secret string) {
		for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": session,
			"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_REGION": ""} {
			t.Setenv(name, value)
		}
	}
	auth := backends.VaultAuth{Method: "aws", Mount: "cloud", Role: "mesh", Region: "eu-central-1", ServerID: "vault.example.com"}
	as(key, secret)
	a := enter(auth)
	mustObtain(t, a)
	revokedInTheMiddle(t, s, a)
	// Vault asks more than once for each login.
	if at := slices.Compact(slices.Clone(sts.hosts)); len(at) != 1 || at[0] != "sts.eu-central-1.amazonaws.com" {
		t.Errorf("it was asked as %v", at)
	}
	for _, c := range []struct {
		name, key, secret string
		auth              func(*backends.VaultAuth)
		says              string
	}{
		{"another key's signature", key, "another", func(*backends.VaultAuth) {}, "SignatureDoesNotMatch"},
		{"another identity", "AKIDOFASTRANGER", secret, func(*backends.VaultAuth) {}, "does not belong to the role"},
		{"another role", key, secret, func(a *backends.VaultAuth) { a.Role = "none" }, "role none not found"},
		{"for another server", key, secret, func(a *backends.VaultAuth) { a.ServerID = "vault.example.org" }, "X-Vault-AWS-IAM-Server-ID"},
		{"for no server", key, secret, func(a *backends.VaultAuth) { a.ServerID = "" }, "X-Vault-AWS-IAM-Server-ID"},
	} {
		as(c.key, c.secret)
		wrong := auth
		c.auth(&wrong)
		_, err := issue.Obtain(t.Context(), enter(wrong), liveOrder(t, time.Hour), time.Now())
		if _, ok := ca.IsRefusal(err); !ok || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, kept := range []string{secret, session, c.key} {
			if strings.Contains(fmt.Sprint(err), kept) {
				t.Errorf("%s: a secret stands in %v", c.name, err)
			}
		}
	}
}
