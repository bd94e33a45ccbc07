// Package inspect says what is: it reads certificates, requests, revocation
// lists and keys, describes them, judges them by named rules and verifies
// certificates against roots. It never issues anything and knows nothing of the
// packages that do, so that the eye that judges is not the hand that signed.
//
// Everything here is a function of its arguments, time included, and safe for
// concurrent use.
package inspect

import (
	"crypto"
	"crypto/x509"
)

// Kind says what an object is.
type Kind string

// The kinds of objects.
const (
	KindCertificate Kind = "certificate"
	KindRequest     Kind = "request"    // PKCS#10 (RFC 2986)
	KindCRL         Kind = "crl"        // RFC 5280, Section 5
	KindKey         Kind = "privateKey" // PKCS#8, SEC 1 or PKCS#1
	KindPublicKey   Kind = "publicKey"  // SubjectPublicKeyInfo
	KindOther       Kind = "other"      // a block that is named, and not read
)

// Object is one thing found in a source. Which of its fields are set follows
// from Kind; none of them is when Err is.
type Object struct {
	Kind  Kind
	Index int    // place in its source, from 1
	Line  int    // line of its PEM block, from 1; 0 for DER
	Label string // type of its PEM block; "" for DER
	DER   []byte // what was parsed; never kept of a private key

	Certificate *x509.Certificate
	Request     *x509.CertificateRequest
	CRL         *x509.RevocationList
	PublicKey   crypto.PublicKey // of a key: its public half only
	Encrypted   bool             // a private key of which nothing else is known

	Err error // why it could not be read though it was found
}

// Certificates gives the certificates among objects, in their order.
func Certificates(objects []Object) []*x509.Certificate {
	var certs []*x509.Certificate
	for _, o := range objects {
		if o.Certificate != nil {
			certs = append(certs, o.Certificate)
		}
	}
	return certs
}
