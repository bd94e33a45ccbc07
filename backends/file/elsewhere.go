package file

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// Elsewhere gives the entry of a certificate that an authority elsewhere signed for
// this directory, and the reference of that authority. der, unless nil, is what the
// serial number must stand for. One that nothing is known of is ca.ErrUnknownSerial.
func (d *Directory) Elsewhere(ctx context.Context, serial *big.Int, der []byte) (ca.Entry, string, error) {
	entry, err := d.find(ctx, serial)
	if err != nil {
		return entry, "", err
	}
	if entry.Token == "" || der != nil && !bytes.Equal(der, entry.Certificate) {
		return entry, "", ca.ErrUnknownSerial
	}
	for e, err := range ca.Sift(ctx, d.Ledger(), ca.KindIntent) {
		if err != nil {
			return entry, "", err
		}
		if e.Token == entry.Token && e.Note != "" {
			return entry, e.Note, nil
		}
	}
	return entry, "", ca.ErrUnknownSerial
}

// RecordRevocation records that an authority elsewhere has revoked a certificate of
// its, so that renewal takes it for due. Recording it twice changes nothing and is
// ca.ErrRevoked, which comes with the revocation.
func (d *Directory) RecordRevocation(ctx context.Context, entry ca.Entry, reason ca.Reason) (Revocation, error) {
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return Revocation{}, err
	}
	defer lock.Release()
	revoked, err := d.Ledger().Revoked(ctx)
	if err != nil {
		return Revocation{}, err
	}
	before, twice := revoked.Of(entry)
	c, err := x509.ParseCertificate(entry.Certificate)
	if err != nil {
		return Revocation{}, errors.New("the entry of the certificate is damaged")
	}
	issuer := ca.Issuer{Certificate: &x509.Certificate{SubjectKeyId: c.AuthorityKeyId, NotAfter: d.now().Add(time.Hour)}, Ledger: d.Ledger(), Now: d.now}
	err = issuer.Revoke(ctx, c.SerialNumber, reason)
	if err != nil && !errors.Is(err, ca.ErrRevoked) {
		return Revocation{}, fmt.Errorf("record the revocation: %w", err)
	}
	entry.Reason = reason.String()
	if twice && err != nil {
		entry.Reason = before.Reason
	}
	return Revocation{Entry: entry, Before: before.Reason}, err
}
