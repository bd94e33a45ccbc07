package issue

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"

	"github.com/meshpki/meshpki/ca"
)

// newCSR makes the PKCS#10 request in DER for a key and an identity. It carries
// the wanted names and nothing else: some authorities refuse what they do not
// expect there.
func newCSR(key crypto.Signer, id ca.Identity) ([]byte, error) {
	subject, err := id.SubjectDER()
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	der, err := signCSR(&x509.CertificateRequest{
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

// signCSR makes what crypto/x509 makes of a template with a subject and names. That
// verifies each signature that it has made, which takes three times as long as making
// it, and is for keys that are not of this process. With one that is, the request is
// encoded and signed here: whoever gets it verifies it.
func signCSR(template *x509.CertificateRequest, key crypto.Signer) ([]byte, error) {
	algorithm, hash := algorithmOf(key)
	if algorithm == "" {
		return x509.CreateCertificateRequest(rand.Reader, template, key)
	}
	info, err := ca.EncodeRequest(template, key.Public())
	if err != nil {
		return nil, err
	}
	signature, err := crypto.SignMessage(key, rand.Reader, info, hash)
	if err != nil {
		return nil, err
	}
	return ca.CompleteRequest(info, []byte(algorithm), signature), nil
}

// algorithmOf is how crypto/x509 has a key of this process sign that signs faster than
// it verifies; "" for others.
func algorithmOf(key crypto.Signer) (algorithm string, hash crypto.Hash) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256():
			return ca.ECDSAWithSHA256, crypto.SHA256
		case elliptic.P384():
			return ca.ECDSAWithSHA384, crypto.SHA384
		}
	case ed25519.PrivateKey:
		return ca.PureEd25519, 0
	}
	return "", 0
}
