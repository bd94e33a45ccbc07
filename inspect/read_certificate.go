package inspect

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// ReadCertificate parses a certificate as crypto/x509 does, past what is a gap of
// its own: distribution points that are named relative to a CRL's issuer
// (RFC 5280, Section 4.2.1.13). The error is that of crypto/x509.
func ReadCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err == nil {
		return c, nil
	}
	mended := withoutPoints(der)
	if mended == nil {
		return nil, err
	}
	c, again := x509.ParseCertificate(mended)
	if again != nil {
		return nil, err
	}
	return restored(c, der), nil
}

// pointsOID is the extension's type in DER; hiddenOID is as long and nobody's.
var (
	pointsOID = []byte{asn1.TagOID, 3, 0x55, 0x1d, 0x1f}
	hiddenOID = []byte{asn1.TagOID, 3, 0x55, 0x1d, 0x7f}
)

// withoutPoints is a copy of the DER in which the one extension for distribution
// points goes by a type that nobody reads, nil where there is not exactly one.
func withoutPoints(der []byte) []byte {
	if bytes.Count(der, pointsOID) != 1 || bytes.Contains(der, hiddenOID) {
		return nil
	}
	return bytes.Replace(der, pointsOID, hiddenOID, 1)
}

// restored gives a certificate that was parsed from a changed copy its own bytes
// back. The change lies within the extensions and is as long as what it replaced.
func restored(c *x509.Certificate, der []byte) *x509.Certificate {
	at := bytes.Index(der, c.RawSubjectPublicKeyInfo) // ahead of the extensions, so unchanged
	start := bytes.Index(c.Raw, c.RawTBSCertificate)
	if at < 0 || start < 0 {
		return c
	}
	c.Raw = der
	c.RawTBSCertificate = der[start : start+len(c.RawTBSCertificate)]
	hidden := asn1.ObjectIdentifier{2, 5, 29, 0x7f}
	c.Extensions = slices.Clone(c.Extensions)
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(hidden) {
			c.Extensions[i].Id = asn1.ObjectIdentifier{2, 5, 29, 31}
		}
	}
	c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, hidden.Equal)
	return c
}
