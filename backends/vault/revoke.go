package vault

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Revoke revokes a certificate that the mount keeps, by its serial number. Vault keeps
// no reason. A certificate that a role with no_store signed is not known by its
// serial number: see RevokeCertificate.
func (a *Authority) Revoke(ctx context.Context, serial *big.Int, _ ca.Reason) error {
	known, err := a.client.public(ctx, a.path("cert", colons(serial)))
	if err != nil && !isStatus(err, http.StatusBadRequest) && !isStatus(err, http.StatusNotFound) {
		return a.refused(ctx, err)
	}
	switch {
	case err != nil || known.text("certificate") == "":
		return ca.ErrUnknownSerial
	case known.number("revocation_time") > 0:
		return ca.ErrRevoked
	}
	_, err = a.client.write(ctx, a.path("revoke"), map[string]any{"serial_number": colons(serial)})
	return a.revoked(ctx, err)
}

// RevokeCertificate revokes a certificate that the mount may not keep. Revoking it
// twice is ErrRevoked where Vault can tell.
func (a *Authority) RevokeCertificate(ctx context.Context, c *x509.Certificate, _ ca.Reason) error {
	known, err := a.client.public(ctx, a.path("cert", colons(c.SerialNumber)))
	if err == nil && known.number("revocation_time") > 0 {
		return ca.ErrRevoked
	}
	_, err = a.client.write(ctx, a.path("revoke"), map[string]any{"certificate": string(pemfile.EncodeCertificates(c))})
	return a.revoked(ctx, err)
}

func (a *Authority) revoked(ctx context.Context, err error) error {
	if s, ok := err.(*said); ok && s.status == http.StatusBadRequest && strings.Contains(s.text, "not found") { //nolint:errorlint // as it comes
		return ca.ErrUnknownSerial
	}
	if err != nil {
		return a.refused(ctx, err)
	}
	return nil
}

// colons is a serial number as Vault writes it.
func colons(n *big.Int) string {
	parts := make([]string, 0, 20)
	for _, b := range n.Bytes() {
		parts = append(parts, fmt.Sprintf("%02x", b))
	}
	return strings.Join(parts, ":")
}
