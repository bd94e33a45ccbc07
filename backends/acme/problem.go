package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/ca"
)

// errNoAccount says that the server does not know the account any more.
var errNoAccount = errors.New("the account is made anew by the next try")

// errNonce says that the server refuses nonces that it has just handed out
// (RFC 8555, Section 6.5).
var errNonce = errors.New("it takes none of its own nonces")

// isProblem tells whether a server answered with a problem of that type.
func isProblem(err error, kind string) bool {
	p, ok := errors.AsType[acme.Problem](err)
	return ok && p.Type == kind
}

// passing are problems that are over by themselves (RFC 8555, Section 6.7).
var passing = map[string]bool{
	acme.ProblemTypeRateLimited: true, acme.ProblemTypeServerInternal: true, acme.ProblemTypeBadNonce: true,
	acme.ProblemTypeConnection: true, acme.ProblemTypeDNS: true,
}

// said turns the failure of a call into an error: ca.ErrAway where the same will do
// later, a *ca.Refusal where the server has refused, else as it is.
func (a *Authority) said(doing string, err error) error {
	if p, ok := errors.AsType[acme.Problem](err); ok {
		return a.problem(doing, p)
	}
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%s %s: its certificate is not trusted (%w): caCert of the backend's entry names a file with the roots that it is trusted by", doing, a.directory, untrusted.Err)
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", doing, a.directory, err)
	case errors.Is(err, errLong):
		return fmt.Errorf("%s %s: %w", doing, a.directory, errLong)
	}
	what := err.Error()
	if u, ok := errors.AsType[*url.Error](err); ok { // without the client's own words around it
		what = u.Err.Error()
	}
	return fmt.Errorf("%s %s: %w: %s", doing, a.directory, ca.ErrAway, short(what))
}

// problem is the error for what a server answered.
func (a *Authority) problem(doing string, p acme.Problem) error {
	kind, _ := strings.CutPrefix(p.Type, acme.ProblemTypeNamespace)
	what := fmt.Sprintf("%s %s: it says %s: %s", doing, a.directory, short(kind), short(p.Detail))
	for i, s := range p.Subproblems {
		if i == 3 {
			break
		}
		what += fmt.Sprintf("; %s: %s", short(s.Identifier.Value), short(s.Detail))
	}
	if p.Type == acme.ProblemTypeAccountDoesNotExist {
		return fmt.Errorf("%s: %w", what, errNoAccount)
	}
	if p.Type == acme.ProblemTypeBadNonce { // ten times in a row
		return fmt.Errorf("%s: %w: %w", what, errNonce, ca.ErrAway)
	}
	if passing[p.Type] || p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests {
		return fmt.Errorf("%s: %w", what, ca.ErrAway)
	}
	return &refused{ca.Refusal{What: "the order", Why: what, Citation: citation(p.Type)}}
}

func citation(kind string) string {
	switch kind {
	case acme.ProblemTypeAlreadyReplaced:
		return "RFC 9773, Section 7.4"
	case acme.ProblemTypeIncorrectResponse, acme.ProblemTypeUnauthorized, acme.ProblemTypeTLS:
		return "RFC 8555, Section 8"
	case acme.ProblemTypeBadRevocationReason:
		return revocation
	case acme.ProblemTypeExternalAccountRequired:
		return "RFC 8555, Section 7.3.4"
	}
	return "RFC 8555, Section 6.7"
}

// refused is a *ca.Refusal in the server's own words.
type refused struct{ ca.Refusal }

func (r *refused) Error() string { return r.Why + " (" + r.Citation + ")" }

// Unwrap makes it a *ca.Refusal for whoever asks.
func (r *refused) Unwrap() error { return &r.Refusal }

// short is a text of a server's as an error has it: on one line, escaped, and no
// longer than need be.
func short(s string) string {
	const most = 300
	cut := ""
	if len(s) > most {
		s, cut = s[:most], "…"
	}
	quoted := strconv.Quote(strings.ToValidUTF8(s, "?"))
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`) + cut
}
