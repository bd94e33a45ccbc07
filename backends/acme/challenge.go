package acme

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
)

// solver answers one type of challenge (RFC 8555, Section 8; RFC 8737, Section 3).
type solver interface {
	// kind is the challenge's type: http-01.
	kind() string
	// present puts the answer where the server looks for it, and gives what takes it
	// away again.
	present(ctx context.Context, c acme.Challenge) (remove func(context.Context) error, err error)
	// settles is how long an answer takes until everybody sees it.
	settles() time.Duration
}

// cleanTime is how long an answer may take to be taken away.
const cleanTime = time.Minute

// usualListen is where http-01 is answered where nothing else is said.
const usualListen = ":80"

// newSolvers gives what can be answered, what is preferred first.
func newSolvers(s backends.ACME) (out []solver) {
	switch {
	case s.HTTPWebroot != "":
		out = append(out, webroot{s.HTTPWebroot})
	case s.HTTPListen != "":
		out = append(out, newHTTPListener(s.HTTPListen))
	case s.TLSListen == "" && len(s.DNSHook) == 0:
		out = append(out, newHTTPListener(usualListen))
	}
	if s.TLSListen != "" {
		out = append(out, newTLSListener(s.TLSListen))
	}
	if len(s.DNSHook) > 0 {
		out = append(out, dnsHook{argv: s.DNSHook, wait: s.DNSWait, timeout: s.DNSTimeout})
	}
	return out
}

// proof is one authorization, with the challenge that is to be answered.
type proof struct {
	authorization acme.Authorization
	challenge     acme.Challenge
	solver        solver
}

// prove proves that the names of an order are ours.
func (s *session) prove(ctx context.Context, order acme.Order) (err error) {
	if order.Status != acme.StatusPending {
		return nil
	}
	var proofs []proof
	for _, url := range order.Authorizations {
		p, err := s.proofOf(ctx, url)
		if err != nil {
			return err
		}
		if p != nil {
			proofs = append(proofs, *p)
		}
	}
	var settles time.Duration
	for _, p := range proofs {
		remove, presented := p.solver.present(ctx, p.challenge)
		if presented != nil {
			return fmt.Errorf("answer %s for %s: %w", p.challenge.Type, short(p.authorization.IdentifierValue()), presented)
		}
		defer func() {
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
			defer cancel()
			// The certificate counts more than what is left behind.
			if left := remove(within); left != nil && err != nil {
				err = errors.Join(err, fmt.Errorf("take the answer to %s for %s away: %w", p.challenge.Type, short(p.authorization.IdentifierValue()), left))
			}
		}()
		settles = max(settles, p.solver.settles())
	}
	if len(proofs) > 0 && settles > 0 {
		if err := guard.Sleep(ctx, settles); err != nil {
			return err
		}
	}
	return s.validate(ctx, proofs)
}

// proofOf finds what has to be proved of one authorization; nil where nothing has.
func (s *session) proofOf(ctx context.Context, url string) (*proof, error) {
	a, err := s.client.GetAuthorization(ctx, s.account, url)
	if err != nil {
		return nil, s.said("fetch what is to be proved from", err)
	}
	switch a.Status {
	case acme.StatusValid:
		return nil, nil
	case acme.StatusPending:
	default:
		return nil, s.unproved(a, fmt.Errorf("it is %s", short(a.Status)))
	}
	var offered, ready []string
	for _, solver := range s.solvers {
		if a.Wildcard && solver.kind() != acme.ChallengeTypeDNS01 {
			continue
		}
		ready = append(ready, solver.kind())
		for _, c := range a.Challenges {
			if c.Type == solver.kind() {
				return &proof{a, c, solver}, nil
			}
		}
	}
	for _, c := range a.Challenges {
		offered = append(offered, short(c.Type))
	}
	return nil, &ca.Refusal{What: a.IdentifierValue(), Why: fmt.Sprintf("%s offers %s, and this backend is ready for %s", s.Authority.directory, list(offered), list(ready)),
		Citation: "RFC 8555, Section 8"}
}

func list(items []string) string {
	if len(items) == 0 {
		return "nothing"
	}
	return strings.Join(items, ", ")
}

// validate has the server look, and waits for what it says.
func (s *session) validate(ctx context.Context, proofs []proof) error {
	for _, p := range proofs {
		if p.challenge.Status != acme.StatusPending {
			continue // it looks already: an earlier try has asked it to
		}
		if _, err := s.client.InitiateChallenge(ctx, s.account, p.challenge); err != nil {
			return s.said("have a challenge validated by", err)
		}
	}
	for _, p := range proofs {
		a, err := s.client.PollAuthorization(ctx, s.account, p.authorization)
		if err != nil {
			return s.unproved(a, err)
		}
	}
	return nil
}

// unproved is the error for a name that the server does not take for ours.
func (s *session) unproved(a acme.Authorization, err error) error {
	doing := "prove " + short(a.IdentifierValue()) + " to"
	if a.Status == acme.StatusInvalid || a.Status == "" {
		for _, c := range a.Challenges {
			if c.Error != nil {
				return s.problem(doing, *c.Error)
			}
		}
	}
	if _, ok := errors.AsType[acme.Problem](err); !ok && a.Status != acme.StatusPending && a.Status != "" {
		return &ca.Refusal{What: a.IdentifierValue(), Why: "its authorization is " + short(a.Status) + " at " + s.Authority.directory, Citation: "RFC 8555, Section 7.1.6"}
	}
	return s.said(doing, err)
}

// webroot answers http-01 by files that a web server serves.
type webroot struct{ dir string }

func (webroot) kind() string           { return acme.ChallengeTypeHTTP01 }
func (webroot) settles() time.Duration { return 0 }

// wellKnown is where a server looks, under a web server's directory
// (RFC 8555, Section 8.3).
var wellKnown = filepath.Join(".well-known", "acme-challenge")

func (w webroot) present(_ context.Context, c acme.Challenge) (func(context.Context) error, error) {
	if !isToken(c.Token) {
		return nil, errToken
	}
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := root.MkdirAll(wellKnown, 0o755); err != nil {
		return nil, err
	}
	name := filepath.Join(wellKnown, c.Token)
	if err := root.WriteFile(name, []byte(c.KeyAuthorization), 0o644); err != nil {
		return nil, err
	}
	return func(context.Context) error {
		root, err := os.OpenRoot(w.dir)
		if err != nil {
			return err
		}
		defer root.Close()
		return root.Remove(name)
	}, nil
}

var errToken = errors.New("the server's token is none: letters, digits, '-' and '_' are (RFC 8555, Section 8.1)")

// isToken tells whether a server's token is one: it becomes the name of a file.
func isToken(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
