package file

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"iter"
	"math/big"
	"path/filepath"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// Revocation is a certificate that is revoked: its entry with the reason that
// counts, the reason that counted before ("" where it was not revoked), and the
// name of the authority that signed it.
type Revocation struct {
	ca.Entry
	Before    string
	Authority string
}

// Revoke revokes a certificate that any authority of the directory signed, by its
// serial number. No key is needed: a revocation is a record. Errors to branch on:
// ca.ErrRevoked, which comes with the revocation, and ca.ErrUnknownSerial.
func (d *Directory) Revoke(ctx context.Context, serial *big.Int, reason ca.Reason) (Revocation, error) {
	return d.revoke(ctx, serial, nil, reason)
}

// RevokeCertificate is Revoke for a certificate that somebody shows: a stranger's
// with a serial number of ours is ca.ErrUnknownSerial.
func (d *Directory) RevokeCertificate(ctx context.Context, c *x509.Certificate, reason ca.Reason) (Revocation, error) {
	return d.revoke(ctx, c.SerialNumber, c.Raw, reason)
}

// revoke is Revoke; der, unless nil, is what the serial number must stand for.
func (d *Directory) revoke(ctx context.Context, serial *big.Int, der []byte, reason ca.Reason) (Revocation, error) {
	// What is found and what is recorded must be one step: of several at once, one revokes.
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return Revocation{}, err
	}
	defer lock.Release()
	entry, err := d.find(ctx, serial)
	if err != nil {
		return Revocation{}, err
	}
	if der != nil && !bytes.Equal(der, entry.Certificate) {
		return Revocation{}, ca.ErrUnknownSerial
	}
	c, err := d.census()
	if err != nil {
		return Revocation{}, err
	}
	signer := c.index(func(a Authority) bool { return hex.EncodeToString(a.Certificate.SubjectKeyId) == entry.IssuerKey })
	if signer < 0 {
		return Revocation{}, ca.ErrUnknownSerial
	}
	revoked, err := d.Ledger().Revoked(ctx)
	if err != nil {
		return Revocation{}, err
	}
	before, _ := revoked.Of(entry)
	i := ca.Issuer{Certificate: c.all[signer].Certificate, Ledger: d.Ledger(), Now: d.now}
	err = i.Revoke(ctx, serial, reason)
	entry.Reason = reason.String()
	if errors.Is(err, ca.ErrRevoked) {
		entry.Reason = before.Reason
	}
	return Revocation{entry, before.Reason, c.all[signer].Name}, err
}

// find gives the entry of the certificate with that serial number.
func (d *Directory) find(ctx context.Context, serial *big.Int) (ca.Entry, error) {
	want := ca.FormatSerial(serial)
	next, stop := iter.Pull2(d.Ledger().Find(ctx, want))
	defer stop()
	e, err, ok := next()
	if !ok {
		return ca.Entry{}, ca.ErrUnknownSerial
	}
	return e, err
}
