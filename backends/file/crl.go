package file

import (
	"context"
	"encoding/hex"
	"path/filepath"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// CRL signs the list of the certificates of an authority that are revoked, valid
// until nextUpdate, and hands it to release once it is recorded; "" is the issuing
// intermediate. Of several at once one comes after the other, release included, so
// that the last one that is released has the highest number and the most entries.
// Errors to branch on: ErrNoAuthority, ErrNoKey, *ca.Refusal, *ca.ValidityError.
func (d *Directory) CRL(ctx context.Context, name string, from KeySource, nextUpdate time.Time, release func(*ca.CRL) error) error {
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
	crl, err := issuer.CRL(ctx, nextUpdate)
	if err != nil {
		return err
	}
	return release(crl)
}

// SignedCRL tells whether a CRL of an authority, of that SHA-256 in hex, was signed here.
func (d *Directory) SignedCRL(ctx context.Context, a Authority, sha256 string) (bool, error) {
	own := hex.EncodeToString(a.Certificate.SubjectKeyId)
	for e, err := range ca.Sift(ctx, d.Ledger(), ca.KindCRL) {
		if err != nil {
			return false, err
		}
		if e.IssuerKey == own && e.SHA256 == sha256 {
			return true, nil
		}
	}
	return false, nil
}
