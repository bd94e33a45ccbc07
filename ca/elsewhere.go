package ca

import (
	"context"
	"crypto/x509"
	"errors"
)

// ErrAway in what an authority answers says that it cannot be asked now, and that
// the same request may do later: it is sealed, overloaded, throttling or not to be
// reached. A request that will never do is a *Refusal.
var ErrAway = errors.New("the authority is away")

// ErrLost in what an authority answers says that an order was placed and that what
// became of it cannot be known: asked for once more, it could be certified twice.
// Another order, for another key, is what may be placed.
var ErrLost = errors.New("what became of the order is not known")

// Superior is implemented by an Authority elsewhere that certifies CAs of ours; it
// is found by assertion.
type Superior interface {
	// CertifyCA certifies the key of a PKCS#10 request in DER as the CA that spec
	// describes, and gives its chain: that CA first, without the root.
	CertifyCA(ctx context.Context, csr []byte, spec Spec) (Chain, error)
}

// Adder is implemented by a Superior that may certify more of a CA than it is asked
// for; it is found by assertion.
type Adder interface {
	// Adds tells what may stand in the key usage besides, and why.
	Adds(spec Spec) (x509.KeyUsage, string)
}

// Subordinate is implemented by an Authority elsewhere that can be given a CA whose
// key is made and stays there; it is found by assertion.
type Subordinate interface {
	// RequestCA has the key made, if there is none that waits for its certificate,
	// and gives the request for the CA that spec describes, PKCS#10 in DER. Its key is
	// of that type, unless it is not this call that decides about it.
	RequestCA(ctx context.Context, spec Spec, keyType KeyType) (csr []byte, err error)
	// InstallCA hands over what was signed: that CA first, the root last.
	InstallCA(ctx context.Context, chain Chain) error
}

// CertificateRevoker is implemented by an Authority elsewhere that may not keep what it
// signed, and revokes what it is shown; it is found by assertion.
type CertificateRevoker interface {
	// RevokeCertificate is Revoke for a certificate that is at hand.
	RevokeCertificate(ctx context.Context, c *x509.Certificate, reason Reason) error
}

// Explainer is implemented by an Authority that knows why something of a request
// is not as asked in what it certified; it is found by assertion.
type Explainer interface {
	// Explain tells of a part of a certificate (see issue.Difference) which setting
	// there changes it, and the command that would mend that. Both may be empty.
	Explain(ctx context.Context, part string) (cause, remedy string)
}

// Decider is implemented by an Authority that decides parts of a certificate by
// itself, whatever it is asked for; it is found by assertion.
type Decider interface {
	// Decides lists the parts (see issue.Difference) that are the authority's to
	// decide for a request: what it gives there is what was ordered. The names beside
	// the subject, the key, and what makes a CA are nobody's to decide.
	Decides(req Request) []string
}
