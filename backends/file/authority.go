package file

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"path/filepath"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// Revoke revokes a certificate that any authority of the directory signed, by its
// serial number. No key is needed: a revocation is a record. It gives the entry of
// the certificate, with the reason for which it is revoked. Errors to branch on:
// ca.ErrRevoked, ca.ErrUnknownSerial.
func (d *Directory) Revoke(ctx context.Context, serial *big.Int, reason ca.Reason) (ca.Entry, error) {
	return d.revoke(ctx, serial, nil, reason)
}

// RevokeCertificate is Revoke for a certificate that somebody shows: a stranger's
// with a serial number of ours is ca.ErrUnknownSerial.
func (d *Directory) RevokeCertificate(ctx context.Context, c *x509.Certificate, reason ca.Reason) (ca.Entry, error) {
	return d.revoke(ctx, c.SerialNumber, c.Raw, reason)
}

// revoke is Revoke; der, unless nil, is what the serial number must stand for.
func (d *Directory) revoke(ctx context.Context, serial *big.Int, der []byte, reason ca.Reason) (ca.Entry, error) {
	// What is found and what is recorded must be one step: of several at once, one revokes.
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return ca.Entry{}, err
	}
	defer lock.Release()
	entry, err := d.find(ctx, serial)
	if err != nil {
		return ca.Entry{}, err
	}
	if der != nil && !bytes.Equal(der, entry.Certificate) {
		return ca.Entry{}, ca.ErrUnknownSerial
	}
	all, err := d.authorities()
	if err != nil {
		return ca.Entry{}, err
	}
	for _, a := range all {
		if hex.EncodeToString(a.Certificate.SubjectKeyId) != entry.IssuerKey {
			continue
		}
		i := ca.Issuer{Certificate: a.Certificate, Ledger: d.Ledger(), Now: d.now}
		err := i.Revoke(ctx, serial, reason)
		switch {
		case errors.Is(err, ca.ErrUnknownSerial):
			continue
		case errors.Is(err, ca.ErrRevoked):
			revoked, readErr := d.Ledger().Revoked(ctx)
			first, _ := revoked.Of(entry)
			entry.Reason = first.Reason
			return entry, errors.Join(err, readErr)
		}
		entry.Reason = reason.String()
		return entry, err
	}
	return ca.Entry{}, ca.ErrUnknownSerial
}

// find gives the entry of the certificate with that serial number.
func (d *Directory) find(ctx context.Context, serial *big.Int) (ca.Entry, error) {
	want := ca.FormatSerial(serial)
	for e, err := range d.Ledger().Entries(ctx) {
		if err != nil {
			return ca.Entry{}, err
		}
		if e.Serial == want && (e.Kind == ca.KindLeaf || e.Kind == ca.KindCA) {
			return e, nil
		}
	}
	return ca.Entry{}, ca.ErrUnknownSerial
}
