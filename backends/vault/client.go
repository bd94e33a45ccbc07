package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
)

// How Vault is asked again while it is away.
const (
	firstWait   = 250 * time.Millisecond
	longestWait = 4 * time.Second
	// patience is how long one call is tried for, where its context does not end before.
	patience = 20 * time.Second
	// glancePatience is that of who only looks.
	glancePatience = time.Second
	// sulk is how long after that nobody waits for it again: one try each, so that a
	// thousand targets do not wait one after the other.
	sulk = 10 * time.Second
	// callTimeout bounds one try.
	callTimeout = 30 * time.Second
	// longestAnswer is more than a certificate with its chain ever is.
	longestAnswer = 4 << 20
	usualAnswer   = 8 << 10 // has room for a chain of two
)

// client speaks to one Vault with one token. Safe for concurrent use.
type client struct {
	api     *api.Client // without a token
	address string      // as it may be shown
	session session
	now     func() time.Time
	// sleep waits, or until ctx ends; patience and timeout are as the constants.
	sleep             func(ctx context.Context, d time.Duration) error
	patience, timeout time.Duration

	mu        sync.Mutex
	awayUntil time.Time
}

// newClient makes a client by the settings, and by Vault's own environment where they
// are silent.
func newClient(ctx context.Context, s backends.Vault, o backends.Options) (*client, error) {
	config := api.DefaultConfig()
	if _, file := errors.AsType[*fs.PathError](config.Error); file {
		return nil, fmt.Errorf("the environment of Vault: %w", config.Error)
	} else if config.Error != nil {
		return nil, &backends.RefError{Ref: "the environment of Vault", Problem: "cannot be meant: " + clean(config.Error.Error())}
	}
	for _, set := range []struct{ into, name string }{{s.Address, ""}, {o.Env("VAULT_AGENT_ADDR"), "VAULT_AGENT_ADDR"}, {o.Env("VAULT_ADDR"), "VAULT_ADDR"}} {
		if set.into == "" {
			continue
		}
		config.Address, config.AgentAddress = set.into, ""
		break
	}
	if transport, ok := config.HttpClient.Transport.(*http.Transport); ok {
		transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 64, 64
	}
	tls := &api.TLSConfig{CACert: s.CACert, TLSServerName: s.ServerName}
	if s.Auth != nil && s.Auth.Method == "cert" {
		tls.ClientCert, tls.ClientKey = s.Auth.CertFile, s.Auth.KeyFile
	}
	if tls.CACert+tls.TLSServerName+tls.ClientCert+tls.ClientKey != "" {
		if err := config.ConfigureTLS(tls); err != nil {
			return nil, fmt.Errorf("the TLS settings of Vault: %w", err)
		}
	}
	config.MaxRetries, config.Timeout = 0, 0 // see again
	u, err := url.Parse(config.Address)
	if err != nil || u.User != nil {
		return nil, &backends.RefError{Ref: "the address of Vault", Problem: "is none: https://vault:8200 would be, without a password in it"}
	}
	made, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("the settings of Vault: %w", err)
	}
	made.ClearToken()
	made.SetMaxRetries(0)
	if ns := firstOf(s.Namespace, o.Env("VAULT_NAMESPACE")); ns != "" {
		made.SetNamespace(ns)
	} else {
		made.ClearNamespace()
	}
	c := &client{api: made.WithRequestCallbacks(resent), address: config.Address, now: o.Now, sleep: guard.Sleep, patience: patience, timeout: callTimeout}
	return c, c.session.set(ctx, c, s, o)
}

// with gives a client like this one that has a token; they share their connections,
// their limit and nothing of the environment.
func (c *client) with(token string) (*api.Client, error) {
	made, err := c.api.Clone()
	if err != nil {
		return nil, fmt.Errorf("the client of Vault: %w", err)
	}
	made.ClearNamespace()
	if ns := c.api.Namespace(); ns != "" {
		made.SetNamespace(ns)
	}
	made.SetMaxRetries(0)
	made.SetToken(token)
	return made.WithRequestCallbacks(resent), nil
}

// resent has a request keep its body where a server sends it on to another: vault/api
// makes the body anew then, from the object that it was made from.
func resent(r *api.Request) { r.Obj = json.RawMessage(r.BodyBytes) }

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// glance in a context is for who only looks, as status does, and has nothing signed: it
// does not wait long, and has nobody else wait less.
type glance struct{}

// call is one request, made with a client that has a token or none.
type call func(ctx context.Context, c *api.Client) (*api.Secret, error)

// write sends a request with a token.
func (c *client) write(ctx context.Context, path string, body map[string]any) (*answer, error) {
	return c.do(ctx, "write "+path, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, path, body)
	})
}

// sign has something signed. It is what is asked most, and so the answer is read for
// what is wanted of it alone.
func (c *client) sign(ctx context.Context, path string, body map[string]any) (*signed, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var got struct {
		Data signed `json:"data"`
	}
	_, err = c.do(ctx, "write "+path, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		answer, err := c.Logical().WriteRawWithContext(ctx, path, data)
		if answer != nil {
			defer answer.Body.Close()
		}
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		text.Grow(usualAnswer)
		if _, err := text.ReadFrom(io.LimitReader(answer.Body, longestAnswer)); err != nil {
			return nil, err
		}
		got.Data = signed{}
		return nil, json.Unmarshal(text.Bytes(), &got)
	})
	return &got.Data, err
}

func (c *client) read(ctx context.Context, path string) (*answer, error) {
	return c.do(ctx, "read "+path, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Logical().ReadWithContext(ctx, path)
	})
}

// public reads what needs no token, so that it also works before anybody has logged in.
func (c *client) public(ctx context.Context, path string) (*answer, error) {
	return c.again(ctx, "read "+path, c.api, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Logical().ReadWithContext(ctx, path)
	})
}

func (c *client) list(ctx context.Context, path string) (*answer, error) {
	return c.again(ctx, "list "+path, c.api, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Logical().ListWithContext(ctx, path)
	})
}

// do makes a call with the token. On 403 another token is had, once: unless the
// token is good and it is the policy that says no.
func (c *client) do(ctx context.Context, what string, f call) (*answer, error) {
	holder, err := c.session.client(ctx, c)
	if err != nil {
		return nil, err
	}
	got, err := c.again(ctx, what, holder, f)
	if !isStatus(err, http.StatusForbidden) {
		if err == nil {
			c.session.heard(holder, false, false)
		}
		return got, err
	}
	fresh, again := c.session.refused(ctx, c, holder)
	if again != nil {
		return nil, again
	}
	if fresh == nil {
		return nil, err
	}
	got, err = c.again(ctx, what, fresh, f)
	c.session.heard(fresh, true, isStatus(err, http.StatusForbidden))
	return got, err
}

// again makes a call until it is answered: what will pass is tried again, with a
// longer wait each time, for as long as there is patience.
func (c *client) again(ctx context.Context, what string, with *api.Client, f call) (*answer, error) {
	wait, waited := firstWait, time.Duration(0)
	limit := c.patience
	_, looks := ctx.Value(glance{}).(bool)
	switch {
	case c.sulking():
		limit = 0
	case looks:
		limit = min(limit, glancePatience)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, err := c.try(ctx, with, f)
		if err == nil {
			c.away(false)
			return answerOf(got), nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", what, ctx.Err())
		}
		err = c.classify(what, err)
		if !errors.Is(err, ca.ErrAway) {
			return nil, err
		}
		pause := wait/2 + rand.N(wait/2) //nolint:gosec // it spreads the tries, and hides nothing
		if after, ok := errors.AsType[*away](err); ok && after.retry > pause {
			pause = after.retry
		}
		if waited+pause > limit {
			if !looks {
				c.away(true)
			}
			return nil, err
		}
		if stop := c.sleep(ctx, pause); stop != nil {
			return nil, errors.Join(err, stop)
		}
		waited += pause
		wait = min(2*wait, longestWait)
	}
}

// try makes a call once, which takes no longer than one may.
func (c *client) try(ctx context.Context, with *api.Client, f call) (*api.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return f(ctx, with)
}

func (c *client) sulking() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Before(c.awayUntil)
}

func (c *client) away(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awayUntil = time.Time{}
	if is {
		c.awayUntil = c.now().Add(sulk)
	}
}

// signed is what Vault says of what it has signed, in PEM. What is above it is the same
// for one certificate after the other, and is kept as it came.
type signed struct {
	Certificate string          `json:"certificate"`
	Issuer      json.RawMessage `json:"issuing_ca"` // a text
	Chain       json.RawMessage `json:"ca_chain"`   // a list of texts
}

var errNoTexts = errors.New("it is no list of texts")

// above are the texts of the CAs.
func (s *signed) above() ([]string, error) {
	var issuer string
	var texts []string
	if len(s.Issuer) > 0 && json.Unmarshal(s.Issuer, &issuer) != nil || len(s.Chain) > 0 && json.Unmarshal(s.Chain, &texts) != nil {
		return nil, errNoTexts
	}
	return append(texts, issuer), nil
}

// answer is what Vault said.
type answer struct {
	data map[string]any
	auth *api.SecretAuth
	wrap *api.SecretWrapInfo
}

// answerOf is never nil: where nothing is, there is an answer without data.
func answerOf(s *api.Secret) *answer {
	if s == nil {
		return &answer{}
	}
	return &answer{s.Data, s.Auth, s.WrapInfo}
}

func (a *answer) text(name string) string {
	s, _ := a.data[name].(string)
	return strings.TrimSpace(s)
}

func (a *answer) list(name string) []string { return texts(a.data[name]) }

// texts reads a list of texts, or one with commas in it, as roles have had both.
func texts(v any) []string {
	var out []string
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				out = append(out, s)
			}
		}
	case string:
		for s := range strings.SplitSeq(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

func (a *answer) number(name string) int64 { return numberOf(a.data[name]) }

func numberOf(v any) int64 {
	switch v := v.(type) {
	case json.Number:
		n, _ := v.Int64()
		return n
	case float64:
		return int64(v)
	}
	return 0
}

func (a *answer) is(name string) bool { v, _ := a.data[name].(bool); return v }
