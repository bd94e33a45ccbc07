package ca

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
)

// Identifiers of what a request has its extensions in (RFC 2985, Section 5.4.2).
const idExtensionRequest = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"

const versionOne = "\x02\x01\x00"

// EncodeRequest gives what is signed of a request for a public key, in DER (RFC 2986,
// Section 4.1): of a template with its subject, as RawSubject, and its names, and with
// nothing else. It is what crypto/x509 would encode, byte for byte.
func EncodeRequest(t *x509.CertificateRequest, public crypto.PublicKey) ([]byte, error) {
	spki, err := publicKeyInfo(public)
	if err != nil {
		return nil, err
	}
	d := der{b: make([]byte, 0, 512)}
	d.element(asn1.TagSequence|constructed, func() {
		d.add(versionOne)
		d.b = append(append(d.b, t.RawSubject...), spki...)
		d.element(explicit, func() {
			if len(t.DNSNames)+len(t.EmailAddresses)+len(t.IPAddresses)+len(t.URIs) == 0 {
				return
			}
			d.element(asn1.TagSequence|constructed, func() {
				d.add(idExtensionRequest)
				d.element(asn1.TagSet|constructed, func() {
					d.element(asn1.TagSequence|constructed, func() {
						d.extension(idNames, "", func() { d.names(t.DNSNames, t.EmailAddresses, t.IPAddresses, t.URIs) })
					})
				})
			})
		})
	})
	return d.b, d.err
}

// CompleteRequest puts a signature to what EncodeRequest gave; algorithm is that of the
// signature, in DER.
func CompleteRequest(info, algorithm, signature []byte) []byte {
	return frame(info, algorithm, signature)
}
