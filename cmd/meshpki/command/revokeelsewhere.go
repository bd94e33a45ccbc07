package command

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
)

// revokeElsewhere has a certificate revoked by the authority elsewhere that signed
// it, and then records that. backend is that authority's reference; "" where neither
// the ledger nor --backend names one.
func (c *call) revokeElsewhere(ctx context.Context, d *file.Directory, serial *big.Int, cert *x509.Certificate, reason ca.Reason) (done file.Revocation, backend string, err error) {
	var der []byte
	if cert != nil {
		der = cert.Raw
	}
	entry, ref, err := d.Elsewhere(ctx, serial, der)
	known := err == nil
	backend = orElse(c.String("backend"), ref)
	if backend == "" {
		return done, "", nil
	}
	if !known && !errors.Is(err, ca.ErrUnknownSerial) {
		return done, backend, err
	}
	done.Reason = reason.String()
	authority, err := c.env.Registry.Authority(ctx, backend, c.options())
	if err != nil {
		return done, backend, err
	}
	if known && cert == nil {
		if cert, err = x509.ParseCertificate(entry.Certificate); err != nil {
			return done, backend, errors.New("the entry of the certificate is damaged")
		}
	}
	err = revokeAt(ctx, authority, backend, serial, cert, reason)
	if !known || err != nil && !errors.Is(err, ca.ErrRevoked) {
		return done, backend, err
	}
	done, err = d.RecordRevocation(ctx, entry, reason)
	return done, backend, err
}

// revokeAt asks an authority to revoke: by the certificate, where it is at hand and
// the authority can take it.
func revokeAt(ctx context.Context, authority ca.Authority, ref string, serial *big.Int, cert *x509.Certificate, reason ca.Reason) error {
	shown, ok := authority.(ca.CertificateRevoker)
	if ok && cert != nil {
		return shown.RevokeCertificate(ctx, cert, reason)
	}
	if r, ok := authority.(ca.Revoker); ok {
		return r.Revoke(ctx, serial, reason)
	}
	if ok {
		return usagef("%s revokes what it is shown, and the ledger does not have serial %s: name a file with the certificate", ref, ca.FormatSerial(serial))
	}
	return usagef("%s revokes nothing", ref)
}
