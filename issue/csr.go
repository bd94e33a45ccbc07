package issue

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
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

// signCSR has crypto/x509 make a request. It verifies each signature that it has made,
// which takes three times as long as making it, and is for keys that are not of this
// process. With one that is, the request is signed here: whoever gets it verifies it.
func signCSR(template *x509.CertificateRequest, key crypto.Signer) ([]byte, error) {
	algorithm := algorithmOf(key)
	if algorithm == nil {
		return x509.CreateCertificateRequest(rand.Reader, template, key)
	}
	tbs, opts, err := ca.ToBeSigned(key.Public(), func(s crypto.Signer) error {
		_, err := x509.CreateCertificateRequest(rand.Reader, template, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	signature, err := crypto.SignMessage(key, rand.Reader, tbs, opts)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: tbs}, pkix.AlgorithmIdentifier{Algorithm: algorithm},
		asn1.BitString{Bytes: signature, BitLength: len(signature) * 8},
	})
}

// algorithmOf is how crypto/x509 has a key of this process sign that signs faster than
// it verifies (RFC 5758, Section 3.2; RFC 8410, Section 3); nil for others.
func algorithmOf(key crypto.Signer) asn1.ObjectIdentifier {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256():
			return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
		case elliptic.P384():
			return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
		}
	case ed25519.PrivateKey:
		return asn1.ObjectIdentifier{1, 3, 101, 112}
	}
	return nil
}
