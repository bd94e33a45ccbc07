package vault

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/meshpki/meshpki/ca"
)

// podToken is where a pod finds its own token.
const podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path

// logIn gives what a login gave, or the token that is given. Whatever proves who asks
// is read anew each time: files with secrets are exchanged.
func (s *session) logIn(ctx context.Context, c *client) (*api.SecretAuth, error) {
	body := map[string]any{}
	var err error
	switch a := s.auth; a.Method {
	case "approle":
		body["role_id"] = a.RoleID
		body["secret_id"], err = s.secretID(ctx, c)
	case "kubernetes", "jwt":
		body["role"] = a.Role
		file := a.TokenFile
		if file == "" && a.Method == "kubernetes" {
			file = podToken
		}
		body["jwt"], err = readSecret(file, "the token that proves who asks")
	case "cert":
		if a.Role != "" {
			body["name"] = a.Role
		}
	case "aws":
		body, err = s.callerIdentity(ctx, c)
	default:
		token, err := s.given()
		return &api.SecretAuth{ClientToken: token}, err
	}
	if err != nil {
		return nil, err
	}
	path := "auth/" + strings.Trim(firstOf(s.auth.Mount, s.auth.Method), "/") + "/login"
	got, err := c.again(ctx, "log in at "+path, c.api, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, path, body)
	})
	if refusal, ok := errors.AsType[*said](err); ok {
		return nil, &remedied{&ca.Refusal{What: "the login at " + path, Why: "Vault at " + c.address + " says: " + refusal.text}, s.loginRemedy(path, refusal)}
	}
	if err != nil {
		return nil, err
	}
	if got.auth == nil || got.auth.ClientToken == "" {
		return nil, errors.New("log in at " + path + ": Vault gave no token, as where a second factor is wanted")
	}
	return got.auth, nil
}

func (s *session) loginRemedy(path string, refusal *said) string {
	if refusal.status == http.StatusNotFound || strings.Contains(refusal.text, "no handler") {
		return "vault auth list names what is mounted; mount: under auth: names another"
	}
	switch s.auth.Method {
	case "approle":
		return "a secret identifier ends: vault write -f auth/" + firstOf(s.auth.Mount, "approle") + "/role/<role>/secret-id gives another"
	case "cert":
		return "vault read " + strings.TrimSuffix(path, "login") + "certs/<name> shows which certificates are let in"
	}
	return "vault read " + strings.TrimSuffix(path, "login") + "role/" + firstOf(s.auth.Role, "<role>") + " shows who is let in"
}

// secretID is the secret identifier of an AppRole: as the file has it, or behind the
// wrapping token in it. A wrapping token opens once; who opened it before us has the
// secret, and that is said.
func (s *session) secretID(ctx context.Context, c *client) (string, error) {
	text, err := readSecret(s.auth.SecretIDFile, "the secret identifier")
	if err != nil || !s.auth.Wrapped {
		return text, err
	}
	if s.wrapping == text && s.unwrapped != "" {
		return s.unwrapped, nil
	}
	unwrap, err := c.with(text)
	if err != nil {
		return "", err
	}
	got, err := c.again(ctx, "unwrap the secret identifier", unwrap, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, "sys/wrapping/unwrap", nil)
	})
	if _, ok := errors.AsType[*said](err); ok {
		return "", &remedied{&ca.Refusal{What: "the wrapped secret identifier", Why: "it has ended, or somebody has opened it before: then it has to be taken for stolen"},
			"vault write -wrap-ttl=10m -f auth/" + firstOf(s.auth.Mount, "approle") + "/role/<role>/secret-id wraps another"}
	}
	if err != nil {
		return "", err
	}
	id := got.text("secret_id")
	if id == "" {
		return "", errors.New("what was wrapped is no secret identifier")
	}
	s.wrapping, s.unwrapped = text, id
	return id, nil
}
