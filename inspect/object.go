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
	KindOCSP        Kind = "ocspResponse"
	KindKeystore    Kind = "keystore" // PKCS#12, JKS or JCEKS that cannot be read, or not in whole
	KindPKCS7       Kind = "pkcs7"    // signed data that cannot be read, or not in whole
	KindDocument    Kind = "document" // a SPIFFE bundle or a Kubernetes object that cannot be read
	KindOther       Kind = "other"    // a block that is named, and not read
	KindEndpoint    Kind = "endpoint" // what a server shows beside its chain
	KindSet         Kind = "set"      // the files of a directory, together
)

// Object is one thing found in a source. Which of its fields are set follows
// from Kind; none of them is, but those named Damaged, when Err is.
type Object struct {
	Kind  Kind
	Index int    // place in its source, from 1
	Line  int    // line of its PEM block, from 1; 0 for DER
	Label string // type of its PEM block; "" for DER
	DER   []byte // what was parsed; never kept of a private key
	// Within says where in its source it was: the entry of a keystore, the trust domain
	// of a bundle, the object and key of a Kubernetes document; "" for none of these.
	Within string
	// TrustDomain is the one whose bundle it stands in, where a source has the bundles of
	// several; "" elsewhere.
	TrustDomain string
	// Use is what a SPIFFE bundle has it for, "x509-svid" or "jwt-svid", "none" where it does
	// not say; "" elsewhere.
	Use string

	Certificate *x509.Certificate
	Request     *x509.CertificateRequest
	CRL         *x509.RevocationList // of a large one with its first entries alone: see ReadCRL
	CRLEntries  int                  // how many there are in all
	PublicKey   crypto.PublicKey     // of a key: its public half only
	OCSP        *OCSPFacts           // of an OCSP response
	Encrypted   bool                 // a private key of which nothing else is known
	// What could be read of an object that has an Err. It is there to be shown; nothing
	// may be decided by it.
	Damaged        *x509.Certificate
	DamagedRequest *x509.CertificateRequest
	DamagedCRL     *x509.RevocationList // CRLEntries of it
	DamagedOCSP    *OCSPFacts

	Err error // why it could not be read though it was found
}

// Unreadable tells whether nothing can be shown of an object but its Err.
func (o Object) Unreadable() bool {
	return o.Err != nil && o.Damaged == nil && o.DamagedRequest == nil && o.DamagedCRL == nil && o.DamagedOCSP == nil
}

// Certificates gives the certificates among objects, in their order. Those that a
// SPIFFE bundle has for another use than X509-SVIDs are left out: they vouch for none.
func Certificates(objects []Object) []*x509.Certificate {
	var certs []*x509.Certificate
	for _, o := range objects {
		if o.Certificate != nil && (o.Use == "" || o.Use == useX509) {
			certs = append(certs, o.Certificate)
		}
	}
	return certs
}
