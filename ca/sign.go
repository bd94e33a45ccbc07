package ca

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

// sign makes the certificate of a template under a parent (the template itself
// for a root). The bytes to be signed are read back and judged first, so that
// nothing unseen reaches the key; what the key gives back is verified by
// crypto/x509 before it is returned.
func sign(template, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	seen := &examiner{Signer: signer, examine: func(c *x509.Certificate) error {
		return lint(c, template, parent, pub)
	}}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, seen)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	if cert := seen.completed(der); cert != nil {
		return cert, nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return cert, nil
}

// signHere is sign for what nearly every certificate is: a leaf without anything unusual
// in it, by a key that is at hand. All that sign does is done here too, once and where
// it costs least: the certificate is encoded by encodeLeaf, read back and judged,
// signed, and its signature is held against the private key.
func signHere(template *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer, p *proof) (*x509.Certificate, error) {
	spki, err := publicKeyInfo(pub)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	tbs, err := encodeLeaf(template, p.issuer, spki, p.algorithm)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	if err := checkSize(tbs); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(frame(tbs, p.algorithm, nil))
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", noCertificate(err))
	}
	if err := lint(cert, template, p.issuer, pub); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	h := p.hash.New()
	h.Write(tbs)
	digest := h.Sum(nil)
	signature, err := signer.Sign(rand.Reader, digest, p.hash)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	if !p.valid(digest, signature) {
		return nil, errors.New("sign certificate: the key made a signature that is not its own")
	}
	// All else has been read from the same bytes, under an empty signature.
	cert.Raw, cert.Signature = frame(tbs, p.algorithm, signature), signature
	return cert, nil
}

// checkSize refuses what would not fit into a ledger.
func checkSize(tbs []byte) error {
	if len(tbs) <= MaxSigned {
		return nil
	}
	return &Refusal{What: fmt.Sprintf("a certificate of %d bytes", len(tbs)), Why: fmt.Sprintf("a ledger records %d at the most", MaxSigned)}
}

func noCertificate(err error) error {
	return fmt.Errorf("what was to be signed is no certificate: %w", err)
}

// examiner is a signer that shows what it is about to sign to a judge, as a
// certificate whose signature is still empty, and signs only what passes.
type examiner struct {
	crypto.Signer
	examine func(*x509.Certificate) error

	// What was seen, and the signature that it got.
	cert           *x509.Certificate
	tbs, algorithm []byte
	signature      []byte
}

// completed is the certificate that was seen, with its signature in it; nil where that
// is not the one in DER.
func (e *examiner) completed(der []byte) *x509.Certificate {
	if e.cert == nil || !bytes.Equal(der, frame(e.tbs, e.algorithm, e.signature)) {
		return nil
	}
	e.cert.Raw, e.cert.Signature = der, der[len(der)-len(e.signature):]
	return e.cert
}

// SignMessage makes it a crypto.MessageSigner, which gets the bytes themselves
// and not their hash.
func (e *examiner) SignMessage(r io.Reader, tbs []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := checkSize(tbs); err != nil {
		return nil, err
	}
	cert, algorithm, err := parseTBS(tbs)
	if err != nil {
		return nil, noCertificate(err)
	}
	if err := e.examine(cert); err != nil {
		return nil, err
	}
	signature, err := crypto.SignMessage(e.Signer, r, tbs, opts)
	e.cert, e.tbs, e.algorithm, e.signature = cert, tbs, algorithm, signature
	return signature, err
}

// parseTBS reads a TBSCertificate as a certificate with an empty signature:
// parsing does not check it (RFC 5280, Section 4.1). With it comes the signature's
// algorithm.
func parseTBS(tbs []byte) (cert *x509.Certificate, algorithm []byte, err error) {
	var inner, element cryptobyte.String
	outer := cryptobyte.String(tbs)
	if !outer.ReadASN1(&inner, cbasn1.SEQUENCE) || !outer.Empty() || !inner.SkipOptionalASN1(cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!inner.SkipASN1(cbasn1.INTEGER) || !inner.ReadAnyASN1Element(&element, nil) {
		return nil, nil, errors.New("it does not begin like one (RFC 5280, Section 4.1)")
	}
	cert, err = x509.ParseCertificate(frame(tbs, element, nil))
	return cert, element, err
}

// maxSerial bounds a serial number to 20 octets (RFC 5280, Section 4.1.2.2).
var maxSerial = new(big.Int).Lsh(big.NewInt(1), 159)

// lint judges a certificate before it is signed: it must say what the template
// says, in the form that the standards ask for.
func lint(c, template, parent *x509.Certificate, pub crypto.PublicKey) error {
	checks := []struct {
		ok   bool
		what string
	}{
		{c.Version == 3, "version (RFC 5280, Section 4.1.2.1)"},
		{c.SerialNumber.Sign() > 0 && c.SerialNumber.Cmp(maxSerial) < 0 && c.SerialNumber.Cmp(template.SerialNumber) == 0, "serial number (RFC 5280, Section 4.1.2.2)"},
		{bytes.Equal(c.RawSubject, template.RawSubject), "subject (RFC 5280, Section 4.1.2.6)"},
		{bytes.Equal(c.RawIssuer, parent.RawSubject), "issuer (RFC 5280, Section 4.1.2.4)"},
		{sameSecond(c.NotBefore, template.NotBefore) && sameSecond(c.NotAfter, template.NotAfter) && c.NotBefore.Before(c.NotAfter), "validity (RFC 5280, Section 4.1.2.5)"},
		{pemfile.SamePublicKey(pub, c.PublicKey), "public key (RFC 5280, Section 4.1.2.7)"},
		{c.BasicConstraintsValid && c.IsCA == template.IsCA && criticalIn(c, oidBasicConstraints), "basic constraints (RFC 5280, Section 4.2.1.9)"},
		{!c.IsCA || c.MaxPathLen == template.MaxPathLen && c.MaxPathLenZero == template.MaxPathLenZero, "path length (RFC 5280, Section 4.2.1.9)"},
		{c.KeyUsage != 0 && c.KeyUsage == template.KeyUsage && criticalIn(c, oidKeyUsage), "key usage (RFC 5280, Section 4.2.1.3)"},
		{c.IsCA == (c.KeyUsage&x509.KeyUsageCertSign != 0), "key usage of a CA (RFC 5280, Section 4.2.1.3)"},
		{slices.Equal(c.ExtKeyUsage, template.ExtKeyUsage) && len(c.UnknownExtKeyUsage) == 0, "extended key usage (RFC 5280, Section 4.2.1.12)"},
		{slices.EqualFunc(c.Policies, template.Policies, x509.OID.Equal), "certificate policies (RFC 5280, Section 4.2.1.4)"},
		{len(c.SubjectKeyId) > 0 && bytes.Equal(c.SubjectKeyId, template.SubjectKeyId), "subject key identifier (RFC 5280, Section 4.2.1.2)"},
		{len(c.AuthorityKeyId) > 0 && bytes.Equal(c.AuthorityKeyId, template.AuthorityKeyId), "authority key identifier (RFC 5280, Section 4.2.1.1)"},
		{sameNames(c, template), "subject alternative names (RFC 5280, Section 4.2.1.6)"},
		{c.IsCA || len(c.RawSubject) > 2 || criticalIn(c, oidSubjectAltName), "subject alternative names, critical without a subject (RFC 5280, Section 4.2.1.6)"},
		{sameConstraints(c, template), "name constraints (RFC 5280, Section 4.2.1.10)"},
		{sameURLs(c, template), "CRL distribution points and authority information access (RFC 5280, Section 4.2.1.13)"},
		{len(c.UnhandledCriticalExtensions) == 0, "critical extensions (RFC 5280, Section 4.2)"},
		{svidShape(c), "shape of an X509-SVID (X509-SVID, Section 4)"},
	}
	for _, check := range checks {
		if !check.ok {
			return errors.New("the certificate would not be as ordered: " + check.what)
		}
	}
	return nil
}

var (
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
)

func criticalIn(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return e.Critical
		}
	}
	return false
}

func sameSecond(a, b time.Time) bool { return a.Unix() == b.Unix() }

func sameNames(a, b *x509.Certificate) bool {
	return slices.Equal(a.DNSNames, b.DNSNames) && slices.Equal(a.EmailAddresses, b.EmailAddresses) &&
		slices.EqualFunc(a.IPAddresses, b.IPAddresses, net.IP.Equal) &&
		slices.EqualFunc(a.URIs, b.URIs, func(x, y *url.URL) bool { return x.String() == y.String() })
}

func sameConstraints(a, b *x509.Certificate) bool {
	sameNet := func(x, y *net.IPNet) bool { return x.String() == y.String() }
	return slices.Equal(a.PermittedDNSDomains, b.PermittedDNSDomains) && slices.Equal(a.ExcludedDNSDomains, b.ExcludedDNSDomains) &&
		slices.Equal(a.PermittedURIDomains, b.PermittedURIDomains) && slices.Equal(a.ExcludedURIDomains, b.ExcludedURIDomains) &&
		slices.Equal(a.PermittedEmailAddresses, b.PermittedEmailAddresses) && slices.Equal(a.ExcludedEmailAddresses, b.ExcludedEmailAddresses) &&
		slices.EqualFunc(a.PermittedIPRanges, b.PermittedIPRanges, sameNet) && slices.EqualFunc(a.ExcludedIPRanges, b.ExcludedIPRanges, sameNet) &&
		a.PermittedDNSDomainsCritical == b.PermittedDNSDomainsCritical
}

// svidShape holds a certificate whose only URI is a SPIFFE ID against the rules
// for its kind: a leaf's ID has a path and its key signs data and no certificate
// or CRL (X509-SVID, Section 4.3), a CA's has none (X509-SVID, Section 3.2).
func svidShape(c *x509.Certificate) bool {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != spiffeid.Scheme {
		return true
	}
	id, err := spiffeid.Parse(c.URIs[0].String())
	if err != nil {
		return false
	}
	if c.IsCA {
		return id.Path() == ""
	}
	return id.Path() != "" && c.KeyUsage&x509.KeyUsageDigitalSignature != 0 && c.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) == 0
}
