package issue

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"go.step.sm/crypto/keyutil"

	"github.com/meshpki/meshpki/ca"
)

// NewKey makes a subject's private key.
func NewKey(kt ca.KeyType) (crypto.Signer, error) {
	switch kt {
	case ca.ECP256:
		return keyutil.GenerateSigner("EC", "P-256", 0)
	case ca.ECP384:
		return keyutil.GenerateSigner("EC", "P-384", 0)
	case ca.Ed25519:
		return keyutil.GenerateSigner("OKP", "Ed25519", 0)
	case ca.RSA2048:
		return keyutil.GenerateSigner("RSA", "", 2048)
	case ca.RSA3072:
		return keyutil.GenerateSigner("RSA", "", 3072)
	case ca.RSA4096:
		return keyutil.GenerateSigner("RSA", "", 4096)
	}
	return nil, fmt.Errorf("key type %q is not known", string(kt))
}

// newCSR makes the PKCS#10 request in DER for a key and an identity. It carries
// the wanted names and nothing else: some authorities refuse what they do not
// expect there.
func newCSR(key crypto.Signer, id ca.Identity) ([]byte, error) {
	subject, err := asn1.Marshal(id.Subject())
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: subject: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		RawSubject:     subject,
		DNSNames:       id.DNS(),
		IPAddresses:    id.IPs(),
		EmailAddresses: id.Emails(),
		URIs:           id.URIs(),
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return der, nil
}
