package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
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

// SubjectPublicKeyInfo of the usual keys, up to the key itself, an uncompressed point
// (RFC 5480, Section 2).
const (
	infoP256 = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
	infoP384 = "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"
)

// publicKeyInfo is the SubjectPublicKeyInfo of a public key, as x509.MarshalPKIXPublicKey
// gives it.
func publicKeyInfo(pub crypto.PublicKey) ([]byte, error) {
	if k, ok := pub.(*ecdsa.PublicKey); ok {
		head := ""
		switch k.Curve {
		case elliptic.P256():
			head = infoP256
		case elliptic.P384():
			head = infoP384
		}
		if point, err := k.Bytes(); head != "" && err == nil {
			return append([]byte(head), point...), nil
		}
	}
	return x509.MarshalPKIXPublicKey(pub)
}
