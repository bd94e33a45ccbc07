package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/ca"
)

// RevokeCertificate has the server revoke a certificate, in the name of the account
// that ordered it (RFC 8555, Section 7.6). ca.ErrRevoked says that it was revoked
// before, ca.ErrUnknownSerial that the server never made it. No account is made for it.
func (a *Authority) RevokeCertificate(ctx context.Context, c *x509.Certificate, reason ca.Reason) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if _, err := a.readKey(a.keyPath()); errors.Is(err, fs.ErrNotExist) {
		return &ca.Refusal{What: "revoking", Why: "there is no account with " + a.directory + " here, and a server revokes for the account that ordered: use the state directory that the order was made with, or name the account's key under accountKeyFile", Citation: revocation}
	}
	return a.insist(func() error { return a.revoke(ctx, c, reason) })
}

// revocation is the clause that revoking goes by.
const revocation = "RFC 8555, Section 7.6"

// revoke is RevokeCertificate, once.
func (a *Authority) revoke(ctx context.Context, c *x509.Certificate, reason ca.Reason) error {
	s, err := a.login(ctx)
	if err != nil {
		return err
	}
	if s.directory.RevokeCert == "" {
		return &ca.Refusal{What: "revoking", Why: a.directory + " revokes nothing: its directory names no place for it", Citation: "RFC 8555, Section 7.1.1"}
	}
	err = s.client.RevokeCertificate(ctx, s.account, c, s.account.PrivateKey, int(reason))
	if p, ok := errors.AsType[acme.Problem](err); ok {
		switch {
		case p.Type == acme.ProblemTypeAlreadyRevoked:
			return ca.ErrRevoked
		case p.Status == http.StatusNotFound:
			return ca.ErrUnknownSerial
		case p.Type == acme.ProblemTypeUnauthorized:
			return &ca.Refusal{What: "revoking", Why: "it was ordered by another account: " + short(p.Detail), Citation: revocation}
		}
	}
	if err != nil {
		return a.said("revoke a certificate at", err)
	}
	a.forget(c)
	return nil
}
