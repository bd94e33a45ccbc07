package awspca

import (
	"crypto/sha1" // the name of a file in the cache of AWS's tools
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/awspca/localaws"
)

// giver hands out credentials as AWS's own services do: STS, SSO, the metadata of a
// machine, the agent of a container. It wants to be asked for them as they are.
func giver(t *testing.T, key localaws.AccessKey, token string) http.Handler {
	t.Helper()
	end := time.Now().Add(time.Hour).UTC()
	document := fmt.Sprintf(`{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":%q,"SecretAccessKey":%q,"Token":%q,"Expiration":%q,"LastUpdated":%q}`,
		key.ID, key.Secret, key.Session, end.Format(time.RFC3339), end.Add(-2*time.Hour).Format(time.RFC3339))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		refuse := func() { http.Error(w, "not like that", http.StatusForbidden) }
		say := func(kind, text string) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, text)
		}
		switch path := strings.TrimSuffix(r.URL.Path, "/"); {
		case r.Method == http.MethodPut && path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			say("text/plain", token)
		case strings.HasPrefix(path, "/latest/meta-data/iam/security-credentials") && r.Header.Get("X-Aws-Ec2-Metadata-Token") != token:
			refuse()
		case path == "/latest/meta-data/iam/security-credentials":
			say("text/plain", "mesh-role")
		case path == "/latest/meta-data/iam/security-credentials/mesh-role":
			say("application/json", document)
		case path == "/container":
			if r.Header.Get("Authorization") != token {
				refuse()
				return
			}
			say("application/json", document)
		case path == "/federation/credentials":
			if r.Header.Get("X-Amz-Sso_bearer_token") != token || r.URL.Query().Get("role_name") != "mesh-role" {
				refuse()
				return
			}
			say("application/json", fmt.Sprintf(`{"roleCredentials":{"accessKeyId":%q,"secretAccessKey":%q,"sessionToken":%q,"expiration":%d}}`, key.ID, key.Secret, key.Session, end.UnixMilli()))
		case strings.Contains(string(body), "Action=AssumeRoleWithWebIdentity"):
			if !strings.Contains(string(body), "WebIdentityToken="+token) {
				refuse()
				return
			}
			say("text/xml", fmt.Sprintf(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId>`+
				`<SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
				key.ID, key.Secret, key.Session, end.Format(time.RFC3339)))
		default:
			refuse()
		}
	})
}

// Credentials come from wherever AWS's own tools have them, and are those that the
// service sees; where they are not given out, that is said, and nothing secret.
func TestCredentialSources(t *testing.T) {
	const token = "a-token-of-the-test"
	key := localaws.AccessKey{ID: "ASIAMESHPKIEXAMPLE", Secret: "kept/very+secret", Session: "the-session-of-the-test"}
	home := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sum := sha1.Sum([]byte("mesh"))
	write(".aws/sso/cache/"+hex.EncodeToString(sum[:])+".json", fmt.Sprintf(`{"startUrl":"https://sso.example/start","region":"eu-central-1","accessToken":%q,"expiresAt":%q}`, token, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	config := write("config", "[profile sso]\nsso_session = mesh\nsso_account_id = 111122223333\nsso_role_name = mesh-role\n"+
		"[sso-session mesh]\nsso_region = eu-central-1\nsso_start_url = https://sso.example/start\n[profile plain]\nregion = us-east-1\n")
	shared := write("credentials", fmt.Sprintf("[plain]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n", key.ID, key.Secret, key.Session))
	web, wrong := write("token", token), write("wrong", "another")
	s := &localaws.Server{Keys: []localaws.AccessKey{key}}
	s.Now, s.Clock = now, time.Now
	aws := httptest.NewServer(s)
	t.Cleanup(aws.Close)
	arn := hierarchy(t, s, localaws.Spec{})
	services := httptest.NewServer(giver(t, key, token))
	t.Cleanup(services.Close)
	for name, c := range map[string]struct {
		env  map[string]string
		says string // "" where it is to succeed
	}{
		"environment":               {map[string]string{"AWS_ACCESS_KEY_ID": key.ID, "AWS_SECRET_ACCESS_KEY": key.Secret, "AWS_SESSION_TOKEN": key.Session}, ""},
		"profile":                   {map[string]string{"AWS_PROFILE": "plain"}, ""},
		"SSO":                       {map[string]string{"AWS_PROFILE": "sso", "AWS_ENDPOINT_URL_SSO": services.URL}, ""},
		"web identity":              {map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/mesh", "AWS_WEB_IDENTITY_TOKEN_FILE": web, "AWS_ENDPOINT_URL_STS": services.URL}, ""},
		"a machine's role":          {map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": services.URL}, ""},
		"a pod's role":              {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": services.URL + "/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN": token}, ""},
		"another's web identity":    {map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/mesh", "AWS_WEB_IDENTITY_TOKEN_FILE": wrong, "AWS_ENDPOINT_URL_STS": services.URL}, "there are no AWS credentials"},
		"a pod without its token":   {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": services.URL + "/container"}, "there are no AWS credentials"},
		"a profile that is nowhere": {map[string]string{"AWS_PROFILE": "nobody"}, `there is no profile "nobody"`},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, aws.URL)
			for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": shared, "HOME": home, "USERPROFILE": home} {
				t.Setenv(name, value)
			}
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			_, err := authority(t, arn, backends.AWSPCA{Rate: -1}, now).Issue(t.Context(), request(t, nil, "payment"))
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			for _, secret := range []string{token, key.Secret, key.Session} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}
		})
	}
	if n := len(s.Certificates()); n != 6 {
		t.Errorf("%d certificates", n)
	}
}
