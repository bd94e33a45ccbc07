package issue

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// Order is what a user wants, validated: an identity, a profile, a lifetime.
type Order struct {
	Service, Namespace string
	Identity           ca.Identity
	Profile            ca.Profile
	Validity           ca.Validity
	KeyType            ca.KeyType

	// Key is used instead of a new one.
	Key crypto.Signer
	// CSR, in DER, is the request as it is sent. Without Key it is somebody else's,
	// and no key is made; with Key it is that key's: see Seal.
	CSR []byte
	// Replaces is the certificate that this one is to replace; nil where there is none.
	Replaces *x509.Certificate
	// Resume and Pending carry a slow authority's work over a crash: see ca.Request.
	Token   [32]byte
	Resume  []byte
	Pending func(resume []byte) error
	// Ascent, if not nil, is shared by orders whose certificates have the same CAs
	// above them.
	Ascent *Ascent

	own      bool     // CSR was made here, for a new key and this identity: see Seal
	decided  []string // parts that are the authority's to decide
	verified bool     // the leaf was verified with its issuer's key where it was made
}

// Obtain makes the key, asks the authority, and holds what comes back against
// what was asked: the key, every name, the usages, the lifetime, the chain up to
// the authority's roots. Nothing is written. What does not match is a *Mismatch.
func Obtain(ctx context.Context, authority ca.Authority, o Order, now time.Time) (*Credential, error) {
	if err := o.Check(now); err != nil {
		return nil, err
	}
	if issuer, own := authority.(*ca.Issuer); own && o.CSR == nil {
		return o.obtainHere(ctx, issuer, now)
	}
	req, key, err := o.request()
	if err != nil {
		return nil, err
	}
	chain, err := authority.Issue(ctx, req)
	if err != nil {
		return nil, err
	}
	c := &Credential{Key: key, Chain: chain}
	if c.Roots, err = authority.Roots(ctx); err != nil {
		return nil, fmt.Errorf("read the roots: %w", err)
	}
	if d, ok := authority.(ca.Decider); ok {
		o.decided = d.Decides(req)
	}
	if err := o.checkAnswer(c, req.CSR, now); err != nil {
		explain(ctx, authority, err, nil)
		return nil, err
	}
	explain(ctx, authority, nil, c)
	return c, nil
}

// checkAnswer is CheckAnswer; the request for a key that is here is not read once more.
func (o Order) checkAnswer(c *Credential, csr []byte, now time.Time) error {
	if c.Key == nil {
		return CheckAnswer(c, csr, o, now)
	}
	return o.check(c, c.Key.Public(), now)
}

// obtainHere is Obtain where key and certificate are made in one process: then nothing
// is proved to the authority by a signature, and its own is not verified once more.
func (o Order) obtainHere(ctx context.Context, issuer *ca.Issuer, now time.Time) (*Credential, error) {
	key, err := o.key()
	if err != nil {
		return nil, err
	}
	chain, err := issuer.IssueKey(ctx, key.Public(), o.wish(nil))
	if err != nil {
		return nil, err
	}
	c := &Credential{Key: key, Chain: chain}
	if c.Roots, err = issuer.Roots(ctx); err != nil {
		return nil, fmt.Errorf("read the roots: %w", err)
	}
	o.verified = true
	if err := o.check(c, key.Public(), now); err != nil {
		return nil, err
	}
	return c, nil
}

// key is the one of the order, or a new one.
func (o Order) key() (crypto.Signer, error) {
	if o.Key != nil {
		return o.Key, nil
	}
	return NewKey(o.KeyType)
}

// wish is the order as an authority is asked, with that request.
func (o Order) wish(csr []byte) ca.Request {
	return ca.Request{
		CSR: csr, Identity: o.Identity, Profile: o.Profile, Validity: o.Validity,
		Service: o.Service, Namespace: o.Namespace, Replaces: o.Replaces,
		Token: o.Token, Resume: o.Resume, Pending: o.Pending, Own: o.own,
	}
}

// Check asks the rules of the order's own profile about all of it, whoever is to sign.
// What they refuse is a *ca.RuleRefusal.
func (o Order) Check(now time.Time) error {
	kt := o.KeyType
	switch {
	case o.Key != nil:
		kt = ca.KeyTypeOf(o.Key.Public())
	case o.CSR != nil:
		csr, err := ca.ParseCSR(o.CSR)
		if err != nil {
			return err
		}
		kt = ca.KeyTypeOf(csr.PublicKey)
	}
	return o.Profile.Check(o.Identity, kt, o.Validity.NotAfter.Sub(now))
}

// request is the order as an authority is asked, with the key that it is for: that
// of the order, a new one, or none where somebody else holds it.
func (o Order) request() (ca.Request, crypto.Signer, error) {
	req := o.wish(o.CSR)
	if req.CSR != nil {
		return req, o.Key, nil
	}
	key, err := o.key()
	if err != nil {
		return req, nil, err
	}
	req.CSR, err = newCSR(key, o.Identity)
	req.Own = o.Key == nil
	return req, key, err
}

// Seal makes the key and the request of an order now, so that they can be written
// down before an authority is asked, and asked for again after a crash.
func (o *Order) Seal() error {
	req, key, err := o.request()
	if err != nil {
		return err
	}
	o.CSR, o.Key, o.own = req.CSR, key, req.Own
	return nil
}

// Preview is Obtain for an authority that can show what it would certify; the key
// that it is made for is thrown away. Where the authority cannot, it gives nil. With it
// comes what the authority foretells of its parts, where it does.
func Preview(ctx context.Context, authority ca.Authority, o Order) (*x509.Certificate, []ca.Foretold, error) {
	p, ok := authority.(ca.Previewer)
	if !ok {
		return nil, nil, nil
	}
	req, _, err := o.request()
	if err != nil {
		return nil, nil, err
	}
	leaf, err := p.Preview(ctx, req)
	if f, ok := authority.(ca.Foreteller); ok && err == nil {
		told, err := f.Foretell(ctx, req)
		return leaf, told, err
	}
	return leaf, nil, err
}

// TokenOf makes the idempotency token of an order from what identifies it: the
// request in DER and the latest end.
func TokenOf(csr []byte, notAfter time.Time) [32]byte {
	return sha256.Sum256(fmt.Appendf(slices.Clone(csr), "|%d", notAfter.Unix()))
}
