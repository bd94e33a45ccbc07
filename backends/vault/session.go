package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
)

// session is the token that all calls share. It is had once, renewed while somebody
// may still want it, and had anew when it ends or is refused.
type session struct {
	auth  backends.VaultAuth
	env   func(string) string
	agent bool // an agent puts the token in

	mu     sync.Mutex
	holder *api.Client // with the token; nil before the first
	token  string
	made   time.Time
	ends   time.Time // zero: not known, or never
	renew  time.Time // from when on it is to be renewed; zero: never
	source time.Time // when the file it is from was changed
	keep   context.Context
	kept   bool // somebody keeps it alive
	proved bool // something was done with this token
	vain   bool // it was had because the one before was refused, and was refused as well
	// wrapping is the token that a secret identifier was wrapped in, and what it held:
	// it opens only once.
	wrapping, unwrapped string
}

// settle is how long after the first call the token is first looked at: who only
// issues one certificate is gone by then.
const settle = 5 * time.Second

// set takes the way in. Nothing is asked yet.
func (s *session) set(ctx context.Context, c *client, v backends.Vault, o backends.Options) error {
	s.env, s.keep = o.Env, ctx
	s.agent = strings.HasPrefix(c.address, "unix://") || v.Address == "" && o.Env("VAULT_AGENT_ADDR") != ""
	if v.Auth != nil {
		s.auth = *v.Auth
	}
	switch s.auth.Method {
	case "", "token", "approle", "kubernetes", "jwt", "aws":
		return nil
	case "cert":
		return s.presentCertificate(c)
	}
	return &backends.RefError{Ref: "the way into Vault", Problem: "is none of token, approle, kubernetes, jwt, cert and aws: " + s.auth.Method}
}

// presentCertificate has the client certificate read anew for each connection: it is
// one that is renewed.
func (s *session) presentCertificate(c *client) error {
	transport, ok := c.api.CloneConfig().HttpClient.Transport.(*http.Transport)
	if !ok || transport.TLSClientConfig == nil {
		return errors.New("the client of Vault takes no TLS certificate")
	}
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(s.auth.CertFile, s.auth.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("the client certificate: %w", err)
		}
		return &pair, nil
	}
	return nil
}

// client gives a client that has the token. Whoever comes first logs in, the others wait.
func (s *session) client(ctx context.Context, c *client) (*api.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := c.now()
	switch {
	case s.holder == nil, !s.ends.IsZero() && !now.Before(s.ends), s.fileChanged():
		if err := s.obtain(ctx, c); err != nil {
			return nil, err
		}
	case !s.renew.IsZero() && !now.Before(s.renew):
		s.extend(ctx, c)
	}
	if !s.kept {
		s.kept = true
		guard.Go(func(any) {}, func() { s.keepAlive(c) })
	}
	return s.holder, nil
}

// refused is told that the token of a client was refused. It gives a client with
// another one; nil where the token is good, and the policy it is that says no.
func (s *session) refused(ctx context.Context, c *client, holder *api.Client) (*api.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != holder && s.holder != nil {
		return s.holder, nil // somebody else has had another one
	}
	_, err := c.again(ctx, "look up the token", holder, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Auth().Token().LookupSelfWithContext(ctx)
	})
	if err == nil {
		return nil, nil
	}
	if !isStatus(err, http.StatusForbidden) {
		return nil, err
	}
	before, made := s.token, s.made
	if !s.logsIn() {
		// What is given can only be read again.
		if err := s.obtain(ctx, c); err != nil || s.token == before {
			return nil, errors.Join(err, &remedied{&ca.Refusal{What: "the token", Why: "Vault at " + c.address + " does not know it: it has ended or was revoked"}, s.tokenRemedy()})
		}
		return s.holder, nil
	}
	// A policy may also forbid that a token be looked up: what a new one is refused is
	// its policy's no, and is not tried with still another.
	if (!s.proved || s.vain) && c.now().Before(made.Add(sulk)) {
		return nil, nil
	}
	if err := s.obtain(ctx, c); err != nil {
		return nil, err
	}
	return s.holder, nil
}

// heard is told whether something could be done with a token that was just had anew,
// or had before.
func (s *session) heard(holder *api.Client, anew, forbidden bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != holder {
		return
	}
	s.proved = s.proved || !forbidden
	s.vain = s.vain || anew && forbidden
}

func (s *session) logsIn() bool { return s.auth.Method != "" && s.auth.Method != "token" }

// way names the way in.
func (s *session) way() string {
	switch {
	case s.logsIn():
		return s.auth.Method
	case s.auth.TokenFile != "":
		return "the token in " + s.auth.TokenFile
	case s.env("VAULT_TOKEN") != "":
		return "VAULT_TOKEN"
	}
	return "the token of vault login"
}

func (s *session) tokenRemedy() string {
	if s.auth.TokenFile != "" {
		return "put a new token into " + s.auth.TokenFile
	}
	return "vault login, or a way in that lasts, under auth: in the manifest"
}

// obtain has a token: by logging in, or from where it is kept. The lock is held.
func (s *session) obtain(ctx context.Context, c *client) error {
	auth, err := s.logIn(ctx, c)
	if err != nil {
		return err
	}
	holder, err := c.with(auth.ClientToken)
	if err != nil {
		return err
	}
	s.holder, s.token, s.made, s.proved, s.vain = holder, auth.ClientToken, c.now(), false, false
	s.lasts(auth, c.now())
	return nil
}

// lasts notes how long a token lives, and from when on it is to be renewed.
func (s *session) lasts(auth *api.SecretAuth, now time.Time) {
	s.ends, s.renew = time.Time{}, time.Time{}
	if auth.LeaseDuration <= 0 {
		return
	}
	life := time.Duration(auth.LeaseDuration) * time.Second
	s.ends = now.Add(life - min(life/10, 10*time.Second))
	if auth.Renewable {
		s.renew = now.Add(life * 2 / 3)
	}
	if !s.logsIn() {
		// Only Vault knows when a token ends that was given: it is used until it is refused.
		s.ends = time.Time{}
	}
}

// extend renews the token. One that cannot be renewed is used to its end.
func (s *session) extend(ctx context.Context, c *client) {
	s.renew = time.Time{}
	got, err := c.again(ctx, "renew the token", s.holder, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Auth().Token().RenewSelfWithContext(ctx, 0)
	})
	now := c.now()
	switch {
	case errors.Is(err, ca.ErrAway):
		s.renew = now.Add(sulk)
	case err == nil && got.auth != nil:
		s.lasts(got.auth, now)
		if got.auth.LeaseDuration < 2 {
			s.renew = time.Time{} // its greatest life is over
		}
	}
}

// learn asks how long a token lives that was given.
func (s *session) learn(ctx context.Context, c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == nil || s.logsIn() || s.agent || !s.renew.IsZero() {
		return
	}
	got, err := c.again(ctx, "look up the token", s.holder, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Auth().Token().LookupSelfWithContext(ctx)
	})
	if err != nil || got.number("ttl") <= 0 || !got.is("renewable") {
		return
	}
	s.renew = c.now().Add(time.Duration(got.number("ttl")) * time.Second * 2 / 3)
}

// keepAlive renews the token for as long as the program lives, also while nothing is
// signed. It reads no clock: it looks at the session's own times.
func (s *session) keepAlive(c *client) {
	ctx := s.keep
	if c.sleep(ctx, settle) != nil {
		return
	}
	s.learn(ctx, c)
	for {
		s.mu.Lock()
		wait := time.Hour
		if !s.renew.IsZero() {
			wait = min(max(s.renew.Sub(c.now()), time.Second), time.Hour)
		}
		s.mu.Unlock()
		if c.sleep(ctx, wait) != nil {
			return
		}
		s.mu.Lock()
		if !s.renew.IsZero() && !c.now().Before(s.renew) {
			s.extend(ctx, c)
		}
		s.mu.Unlock()
	}
}

// fileChanged tells whether the file that the token is from has been written since.
func (s *session) fileChanged() bool {
	if s.auth.Method != "token" {
		return false
	}
	info, err := os.Stat(s.auth.TokenFile)
	return err == nil && !info.ModTime().Equal(s.source)
}

// given finds the token that somebody else keeps: in the entry's file, in the
// environment, or in the file that vault login writes.
func (s *session) given() (string, error) {
	if s.auth.Method == "token" {
		info, err := os.Stat(s.auth.TokenFile)
		if err != nil {
			return "", fmt.Errorf("the token of Vault: %w", err)
		}
		s.source = info.ModTime()
		return readSecret(s.auth.TokenFile, "the token of Vault")
	}
	if t := s.env("VAULT_TOKEN"); t != "" {
		return t, nil
	}
	if home := firstOf(s.env("HOME"), s.env("USERPROFILE")); home != "" {
		t, err := readSecret(filepath.Join(home, ".vault-token"), "the token of Vault")
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
	}
	if s.agent {
		return "", nil
	}
	return "", &remedied{errors.New("there is no token of Vault: neither VAULT_TOKEN nor ~/.vault-token is there"),
		"vault login, or a way in under backends: in the manifest"}
}

// readSecret reads a file with one secret in it. What is in it stands in no error.
func readSecret(name, what string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if info.Size() > 1<<20 {
		return "", fmt.Errorf("%s: %s is too large for one", what, name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s: %s does not hold one", what, name)
	}
	return text, nil
}
