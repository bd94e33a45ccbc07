// Package ca says what may be certified, and makes it so: identities, profiles,
// CA certificates, the signing of leaves and the record of everything signed.
// It never sees a subject's private key: a CSR goes in, a chain comes out.
package ca

import (
	"context"
	"crypto/x509"
	"math/big"
	"time"
)

// Authority certifies keys. It is safe for concurrent use and honours ctx.
type Authority interface {
	// Issue certifies the key of a request and gives the chain: leaf first, without
	// the root. What it refuses by its own rules is a *Refusal.
	Issue(ctx context.Context, req Request) (Chain, error)
	// Roots are the certificates to be trusted: several during a rotation.
	Roots(ctx context.Context) ([]*x509.Certificate, error)
}

// Revoker is implemented by an Authority that can revoke; it is found by assertion.
type Revoker interface {
	// Revoke revokes a certificate of this authority by its serial number. Revoking
	// it twice changes nothing and is ErrRevoked, unless the reason has now become a
	// compromise; a serial that the authority has never signed is ErrUnknownSerial.
	Revoke(ctx context.Context, serial *big.Int, reason Reason) error
}

// Judge is implemented by an Authority that can tell beforehand whether it would
// certify a name: nil, or the *Refusal. It is found by assertion.
type Judge interface {
	Judge(n Name) error
}

// Previewer is implemented by an Authority that can show what it would certify
// without doing so; it is found by assertion.
type Previewer interface {
	Preview(ctx context.Context, req Request) (*x509.Certificate, error)
}

// Foreteller is implemented by a Previewer that knows of parts of a certificate who
// decides them and what for; it is found by assertion.
type Foreteller interface {
	// Foretell tells that of what would be certified for a request.
	Foretell(ctx context.Context, req Request) ([]Foretold, error)
}

// Foretold is what an authority foretells of a part of a certificate.
type Foretold struct {
	// Part is named as in issue.Difference, or in other words of its own.
	Part string
	// Value is what it will be; "" where the preview shows it.
	Value, Why, Citation string
}

// Request is what an authority is asked for.
type Request struct {
	// CSR is a PKCS#10 request in DER. Its key and its proof of possession are
	// taken; the names, usages and times that it may state are a wish, not read.
	CSR      []byte
	Identity Identity
	Profile  Profile
	Validity Validity
	// Own says that the request was made here, for a new key and for this identity: it
	// states its names and nothing besides.
	Own bool

	// Service and Namespace say for whom this is; they go into the record.
	Service, Namespace string

	// Replaces is the certificate that this one is to replace, for an authority that
	// wants to know; nil where there is none.
	Replaces *x509.Certificate

	// Token makes the request idempotent: an authority that has been asked with the
	// same one answers with the same certificate. The zero token asks for a new one.
	Token [32]byte
	// Resume is what Pending was given in an earlier try, so that a slow authority is
	// asked only once. Empty at first.
	Resume []byte
	// Pending, if set, is called before any wait, with what Resume must be to go on
	// after a crash. Its error ends the request.
	Pending func(resume []byte) error
}

// Chain is a certificate chain: leaf first, each signed by the next, no root.
type Chain []*x509.Certificate

// Leaf is the first certificate of the chain.
func (c Chain) Leaf() *x509.Certificate { return c[0] }

// Validity is the time that a certificate is asked for (RFC 5280, Section 4.1.2.5).
type Validity struct {
	NotBefore, NotAfter time.Time
	// UpTo makes NotAfter the latest time that will do: an authority that ends before
	// it cuts it instead of refusing.
	UpTo bool
}

// Backdate is how far before now certificates begin to be valid, so that a clock
// that is a little slow still accepts them.
const Backdate = 5 * time.Minute
