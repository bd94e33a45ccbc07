package memory

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// AuthorityOptions say what authority is wanted; with Now alone it is one like
// `ca init` makes.
type AuthorityOptions struct {
	// Now tells the time; it must be set.
	Now func() time.Time
	// KeyType is that of both CAs; empty is EC P-256.
	KeyType ca.KeyType
	// Validity is how long the intermediate lives, the root twice as long; zero is a year.
	Validity time.Duration
	// Constraints are the intermediate's.
	Constraints ca.Constraints
	// Ledger records what is signed; nil is a new Ledger.
	Ledger ca.Ledger
}

// NewAuthority makes a root and an issuing intermediate under it, both recorded,
// and gives the intermediate, ready to sign.
func NewAuthority(ctx context.Context, o AuthorityOptions) (*ca.Issuer, error) {
	if o.KeyType == "" {
		o.KeyType = ca.ECP256
	}
	if o.Validity == 0 {
		o.Validity = 365 * 24 * time.Hour
	}
	if o.Ledger == nil {
		o.Ledger = &Ledger{}
	}
	now := o.Now()
	rootKey, err := ca.NewKey(o.KeyType)
	if err != nil {
		return nil, err
	}
	key, err := ca.NewKey(o.KeyType)
	if err != nil {
		return nil, err
	}
	root, err := ca.NewRoot(ctx, ca.Spec{CommonName: "Memory Root CA", MaxPathLen: -1,
		NotBefore: now.Add(-ca.Backdate), NotAfter: now.Add(2 * o.Validity)}, rootKey, o.Ledger, now)
	if err != nil {
		return nil, err
	}
	above := &ca.Issuer{Certificate: root, Signer: rootKey, Ledger: o.Ledger, Now: o.Now}
	chain, err := above.IssueCA(ctx, ca.Spec{CommonName: "Memory issuing CA", NotBefore: now.Add(-ca.Backdate),
		NotAfter: now.Add(o.Validity), Constraints: o.Constraints}, key.Public())
	if err != nil {
		return nil, err
	}
	return &ca.Issuer{Certificate: chain.Leaf(), Above: []*x509.Certificate{root}, Signer: key, Ledger: o.Ledger, Now: o.Now}, nil
}
