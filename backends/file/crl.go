package file

import (
	"context"
	"path/filepath"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// CRL signs the list of the certificates of an authority that are revoked,
// as it is ordered, and hands it to release once it is recorded; "" is the issuing
// intermediate. Of several at once one comes after the other, release included, so
// that the last one that is released has the highest number and the most entries.
// Errors to branch on: ErrNoAuthority, ErrNoKey, ca.ErrOtherCRL, *ca.Refusal, *ca.ValidityError.
func (d *Directory) CRL(ctx context.Context, name string, from KeySource, o ca.CRLOrder, release func(*ca.CRL) error) error {
	a, err := d.Authority(name)
	if err != nil {
		return err
	}
	// What must be refused is, before anyone is asked for a passphrase.
	if err := (&ca.Issuer{Certificate: a.Certificate, Now: d.now}).CheckCRL(); err != nil {
		return err
	}
	issuer, err := d.issuer(name, from)
	if err != nil {
		return err
	}
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return err
	}
	defer lock.Release()
	crl, err := issuer.CRL(ctx, o)
	if err != nil {
		return err
	}
	return release(crl)
}
