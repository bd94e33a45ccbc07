package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// oidNameConstraints is the extension of RFC 5280, Section 4.2.1.10.
var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// RequestCA makes a PKCS#10 request (RFC 2986) for a CA certificate, in DER. It
// proves that its sender holds the key; what else it states is a wish, which a
// signer shows and does not follow.
func RequestCA(spec Spec, signer crypto.Signer) ([]byte, error) {
	if err := CheckKey(signer.Public()); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	template, err := spec.caTemplate(spki)
	if err != nil {
		return nil, err
	}
	wish, err := unsigned(template, signer.Public())
	if err != nil {
		return nil, err
	}
	stated := []asn1.ObjectIdentifier{oidBasicConstraints, oidKeyUsage, oidSubjectAltName, oidNameConstraints}
	request := &x509.CertificateRequest{RawSubject: template.RawSubject}
	for _, e := range wish.Extensions {
		if slices.ContainsFunc(stated, e.Id.Equal) {
			request.ExtraExtensions = append(request.ExtraExtensions, e)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, request, signer)
	if err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	return der, nil
}

// unsigned gives the certificate of a template as one that nobody signed who
// matters: a key that is thrown away.
func unsigned(template *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	stranger, err := NewKey(ECP256)
	if err != nil {
		return nil, err
	}
	// Without a public key the parent is not held against the key that signs.
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{RawSubject: template.RawSubject}, pub, stranger)
	if err != nil {
		return nil, fmt.Errorf("draft certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Wish reads what a request asks to be, as a certificate that nobody signed: to be
// shown beside what will be signed, and for nothing else.
func Wish(csr *x509.CertificateRequest) (*x509.Certificate, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: csr.RawSubject}
	for _, e := range csr.Extensions {
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: e.Id, Critical: e.Critical, Value: e.Value})
	}
	wish, err := unsigned(template, csr.PublicKey)
	if err != nil {
		return nil, &Refusal{"the certificate request", "what it asks for cannot be read", "RFC 2986, Section 4.1"}
	}
	return wish, nil
}

// CommonNameOf is the common name of a request whose subject is that alone, as
// those of CAs made here are; any other subject is a *Refusal.
func CommonNameOf(csr *x509.CertificateRequest) (string, error) {
	refuse := func(why string) error {
		return &Refusal{"the subject of the certificate request", why, "RFC 5280, Section 4.1.2.6"}
	}
	if len(csr.Subject.Names) != 1 || !csr.Subject.Names[0].Type.Equal(oidCommonName) {
		return "", refuse("it is not one common name and nothing else")
	}
	if why := commonNameProblem(csr.Subject.CommonName); why != "" {
		return "", refuse("its common name " + why)
	}
	return csr.Subject.CommonName, nil
}

// PreviewCA gives the certificate that IssueCA would make, signed by a key that is
// thrown away: nothing reaches the CA's key, and nothing is recorded.
func (i *Issuer) PreviewCA(ctx context.Context, spec Spec, pub crypto.PublicKey) (*x509.Certificate, error) {
	template, err := i.draftCA(ctx, spec, pub)
	if err != nil {
		return nil, err
	}
	return pretend(template, i.Certificate, pub)
}

// CheckCA holds a CA certificate that somebody else signed against what was wanted:
// its key, subject, usages, path length, names and constraints must be these and
// no others. The first that is not is a *Refusal.
func CheckCA(c *x509.Certificate, spec Spec, pub crypto.PublicKey) error {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return fmt.Errorf("check the certificate: %w", err)
	}
	// The time is the signer's to give, and any that it gives will do for the template.
	spec.NotBefore, spec.NotAfter = c.NotBefore, c.NotAfter
	want, err := spec.caTemplate(spki)
	if err != nil {
		return err
	}
	if want, err = unsigned(want, pub); err != nil {
		return err
	}
	checks := []struct {
		same           bool
		what, citation string
	}{
		{pemfile.SamePublicKey(pub, c.PublicKey), "key", "RFC 5280, Section 4.1.2.7"},
		{bytes.Equal(c.RawSubject, want.RawSubject), "subject", "RFC 5280, Section 4.1.2.6"},
		{c.BasicConstraintsValid && c.IsCA && criticalIn(c, oidBasicConstraints), "basic constraints", "RFC 5280, Section 4.2.1.9"},
		{c.MaxPathLen == want.MaxPathLen && c.MaxPathLenZero == want.MaxPathLenZero, "path length", "RFC 5280, Section 4.2.1.9"},
		{c.KeyUsage&^spec.MayAlso == want.KeyUsage && criticalIn(c, oidKeyUsage), "key usage", "RFC 5280, Section 4.2.1.3"},
		{len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0, "extended key usage", "RFC 5280, Section 4.2.1.12"},
		{sameNames(c, want), "subject alternative names", "RFC 5280, Section 4.2.1.6"},
		{sameConstraints(c, want), "name constraints", "RFC 5280, Section 4.2.1.10"},
		{len(c.UnhandledCriticalExtensions) == 0, "critical extensions", "RFC 5280, Section 4.2"},
	}
	for _, check := range checks {
		if !check.same {
			return &Refusal{"the certificate", "it differs from what was asked for in its " + check.what, check.citation}
		}
	}
	return nil
}

// Anchor finds the CAs above a CA certificate among others: its own issuer first,
// the root named last. What does not lead there at that time is a *Refusal.
func Anchor(c *x509.Certificate, others []*x509.Certificate, root *x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	refuse := func(why string) error {
		return &Refusal{"the certificate", why, "RFC 5280, Section 6.1"}
	}
	if root.CheckSignatureFrom(root) != nil {
		return nil, refuse(fmt.Sprintf("%s, named as the root, is none: it is not signed by itself", caName(root)))
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, o := range others {
		if !o.Equal(c) {
			between.AddCert(o)
		}
	}
	chains, err := c.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return nil, refuse(invalidity(invalid, now))
	}
	if err != nil {
		return nil, refuse(fmt.Sprintf("its chain does not end at the root named, %s", caName(root)))
	}
	shortest := slices.MinFunc(chains, func(a, b []*x509.Certificate) int { return len(a) - len(b) })
	if len(shortest) < 2 {
		return nil, refuse("it is the root itself")
	}
	return shortest[1:], nil
}

// invalidity says what is wrong with a certificate of a chain.
func invalidity(e x509.CertificateInvalidError, now time.Time) string {
	switch {
	case e.Reason == x509.Expired && now.Before(e.Cert.NotBefore):
		return fmt.Sprintf("%s is valid only from %s on", caName(e.Cert), e.Cert.NotBefore.UTC().Format(time.RFC3339))
	case e.Reason == x509.Expired:
		return fmt.Sprintf("%s expired on %s", caName(e.Cert), e.Cert.NotAfter.UTC().Format(time.DateOnly))
	case e.Reason == x509.TooManyIntermediates:
		return "a CA above it has a path length that does not allow it"
	case e.Reason == x509.CANotAuthorizedForThisName:
		return "the constraints of a CA above it do not permit its name"
	}
	return fmt.Sprintf("%s may not stand in its chain", caName(e.Cert))
}
