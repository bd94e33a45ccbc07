package ca

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
)

// errCSR is a request that cannot be read.
var errCSR = errors.New("it is no certificate request in PEM or DER, or a corrupt one (RFC 2986)")

// ParseCSR reads a PKCS#10 request in DER (RFC 2986) and takes from it what may
// be believed: its key, once the key is strong enough (else a *Refusal) and its
// signature proves that the sender holds it.
func ParseCSR(der []byte) (*x509.CertificateRequest, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		// What the parser says of it is for those who know the parser.
		return nil, errCSR
	}
	if err := CheckKey(csr.PublicKey); err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, &Refusal{"the certificate request", "its signature does not match its key, so the sender may not hold it", "RFC 2986, Section 4.2"}
	}
	return csr, nil
}

// publicKeyBits is the subjectPublicKey of a SubjectPublicKeyInfo in DER, without
// the algorithm: what key identifiers are made from (RFC 5280, Section 4.2.1.2).
func publicKeyBits(spki []byte) ([]byte, error) {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	rest, err := asn1.Unmarshal(spki, &info)
	if err != nil || len(rest) > 0 {
		return nil, errors.New("the public key is malformed")
	}
	return info.Key.RightAlign(), nil
}
