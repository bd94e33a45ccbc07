// Package vault has a PKI mount of HashiCorp Vault, or of OpenBao, sign: it logs in
// once, keeps the token alive, asks within limits, and knows which setting of a role
// changes what it was asked for.
package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
)

// The calls that sign.
const (
	modeSign     = "sign"
	modeVerbatim = "sign-verbatim"
)

// Authority is a PKI mount of Vault with the role that signs. It is safe for
// concurrent use: all who use it share one token, one rate limit and one reading
// of the roots.
type Authority struct {
	settings backends.Vault
	now      func() time.Time
	client   *client
	above    ascent

	mu     sync.Mutex
	roots  []*x509.Certificate
	readAt time.Time
	role   *role
}

var (
	_ ca.Authority   = (*Authority)(nil)
	_ ca.Revoker     = (*Authority)(nil)
	_ ca.Explainer   = (*Authority)(nil)
	_ ca.Superior    = (*Authority)(nil)
	_ ca.Subordinate = (*Authority)(nil)
)

// Open takes what stands behind vault: in a reference, mount/role or the mount alone,
// and the settings of an entry, and gives an *Authority. It asks nothing yet. What
// cannot be meant is a *backends.RefError. The token is kept alive until ctx ends.
func Open(ctx context.Context, rest string, o backends.Options) (ca.Authority, error) {
	a, err := open(ctx, rest, o)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func open(ctx context.Context, rest string, o backends.Options) (*Authority, error) {
	s, err := settingsOf(rest, o)
	if err != nil {
		return nil, err
	}
	c, err := newClient(ctx, s, o)
	if err != nil {
		return nil, err
	}
	return &Authority{settings: s, now: o.Now, client: c}, nil
}

// settingsOf joins a reference with the entry's settings.
func settingsOf(rest string, o backends.Options) (backends.Vault, error) {
	var s backends.Vault
	if entry, ok := o.Settings.(*backends.Vault); ok && entry != nil {
		s = *entry
	}
	ref := "vault:" + rest
	if s.Mount == "" {
		s.Mount, s.Role = rest, ""
		if at := strings.LastIndexByte(rest, '/'); at >= 0 {
			s.Mount, s.Role = rest[:at], rest[at+1:]
		}
	} else {
		s.Mount = strings.Trim(s.Mount, "/")
	}
	for _, part := range append(strings.Split(s.Mount, "/"), s.Role+"x", s.Issuer+"x") {
		if !plainPart(part) {
			return s, &backends.RefError{Ref: ref, Problem: "is no PKI mount and role: vault:pki/mesh would be"}
		}
	}
	if s.Mode == "" {
		s.Mode = modeSign
	}
	if s.Mode != modeSign && s.Mode != modeVerbatim {
		return s, &backends.RefError{Ref: ref, Problem: "has a mode that is neither sign nor sign-verbatim"}
	}
	return s, nil
}

// plainPart tells whether a text can be one part of a path without meaning anything
// else there.
func plainPart(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:@+", r))
	})
}

// path is a path under the mount.
func (a *Authority) path(parts ...string) string {
	return a.settings.Mount + "/" + strings.Join(parts, "/")
}

// String is the reference, without a secret in it.
func (a *Authority) String() string { return strings.TrimSuffix("vault:"+a.path(a.settings.Role), "/") }

// signPath is the path of the call that signs.
func (a *Authority) signPath() (string, error) {
	s := a.settings
	if s.Role == "" && s.Mode == modeSign {
		return "", &backends.RefError{Ref: a.String(), Problem: "names no role: vault:" + s.Mount + "/<role> would"}
	}
	parts := []string{s.Mode, s.Role}
	if s.Role == "" {
		parts = parts[:1]
	}
	if s.Issuer != "" {
		parts = append([]string{"issuer", s.Issuer}, parts...)
	}
	return a.path(parts...), nil
}

// Issue has the role sign. What Vault will never sign is a *ca.Refusal or a
// *ca.ValidityError; what it cannot do now wraps ca.ErrAway.
func (a *Authority) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	now := a.now()
	if err := check(req, now); err != nil {
		return nil, err
	}
	path, err := a.signPath()
	if err != nil {
		return nil, err
	}
	if a.settings.Mode == modeVerbatim && !req.Identity.SPIFFEID().IsZero() {
		return nil, noShape()
	}
	body := a.body(req, now)
	answer, err := a.client.sign(ctx, path, body)
	if limit, beyond := beyondCA(err); beyond {
		answer, err = a.upTo(ctx, path, body, req, limit)
	}
	if err != nil {
		return nil, a.refused(ctx, err)
	}
	chain, err := a.chainOf(answer)
	if err != nil {
		return nil, fmt.Errorf("%s: what it signed cannot be read: %w", a, err)
	}
	return a.withoutRoots(ctx, chain)
}

// upTo asks again for a life that ends with the issuer's, where the order leaves that open.
func (a *Authority) upTo(ctx context.Context, path string, body map[string]any, req ca.Request, limit time.Time) (*signed, error) {
	beyond := &ca.ValidityError{NotAfter: req.Validity.NotAfter, Limit: limit, Issuer: "the CA of " + a.String()}
	if !req.Validity.UpTo {
		return nil, beyond
	}
	// Vault adds nothing to a ttl; a second is for what passes on the way.
	left := (limit.Sub(a.now()) - time.Second).Truncate(time.Second)
	if left < time.Second {
		return nil, beyond
	}
	body["ttl"] = seconds(left)
	return a.client.sign(ctx, path, body)
}

// withoutRoots takes the roots off a chain. One that none of the known roots is over
// has them read again: the mount has a new issuer.
func (a *Authority) withoutRoots(ctx context.Context, chain ca.Chain) (ca.Chain, error) {
	isRoot := func(c *x509.Certificate) bool { return selfSigned(c) }
	end := slices.IndexFunc(chain[1:], isRoot) + 1
	if end == 0 {
		end = len(chain)
	}
	last := chain[end-1]
	roots, read, err := a.rootsSince(ctx, a.now().Add(-rootsKept))
	if err != nil {
		return nil, err
	}
	signed := func(r *x509.Certificate) bool { return last.CheckSignatureFrom(r) == nil }
	known := end < len(chain) && slices.ContainsFunc(roots, chain[end].Equal)
	if !known && !slices.ContainsFunc(roots, signed) {
		// Of many who see it at the same time, one reads.
		if roots, _, err = a.rootsSince(ctx, read.Add(1)); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(chain[:end], func(c *x509.Certificate) bool {
		return slices.ContainsFunc(roots, c.Equal) && !c.Equal(chain[0])
	}), nil
}

// Roots are those that the chains of all the mount's issuers end at: a new issuer's
// stands beside the old one's for as long as both are there. They are read once, and
// again when something is signed and that was an hour ago: who has nothing to be
// signed asks nothing.
func (a *Authority) Roots(ctx context.Context) ([]*x509.Certificate, error) {
	roots, _, err := a.rootsSince(context.WithValue(ctx, glance{}, true), time.Time{})
	return roots, err
}

// Refresh has the roots read anew the next time that somebody wants them.
func (a *Authority) Refresh() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roots, a.role = nil, nil
}

// rootsSince gives the roots as they were read at that moment or later, and when that was.
func (a *Authority) rootsSince(ctx context.Context, since time.Time) ([]*x509.Certificate, time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.roots != nil && !a.readAt.Before(since) {
		return slices.Clone(a.roots), a.readAt, nil
	}
	found, err := a.readRoots(ctx)
	switch {
	case err == nil:
		a.roots, a.readAt = found, a.now()
	case a.roots != nil && errors.Is(err, ca.ErrAway): // what was known an hour ago is as true as ever
	default:
		return nil, a.readAt, err
	}
	return slices.Clone(a.roots), a.readAt, nil
}
