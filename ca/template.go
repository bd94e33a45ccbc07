package ca

import (
	"crypto/x509"
	"time"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// Spec says what CA certificate is wanted.
type Spec struct {
	CommonName string
	// MaxPathLen is how many CAs may stand below this one; a negative number leaves it
	// open (RFC 5280, Section 4.2.1.9).
	MaxPathLen  int
	NotBefore   time.Time
	NotAfter    time.Time
	URI         spiffeid.TrustDomain // its ID as URI SAN; none if zero
	Constraints Constraints
	// MayAlso is what CheckCA allows in the key usage besides: what an authority
	// elsewhere adds of its own. Nothing is signed with it here.
	MayAlso x509.KeyUsage
}

// caTemplate is the certificate that a Spec describes: a CA with critical basic
// constraints, critical keyCertSign and cRLSign and nothing else.
func (s Spec) caTemplate(spki []byte) (*x509.Certificate, error) {
	if why := commonNameProblem(s.CommonName); why != "" {
		return nil, &NameError{Name{CommonName, s.CommonName}, why}
	}
	if !s.NotAfter.After(s.NotBefore) {
		return nil, &ValidityError{Problem: "a CA certificate must end after it begins"}
	}
	if why := hostProblem(s.URI); !s.URI.IsZero() && why != "" {
		return nil, &NameError{Name{URI, s.URI.ID().String()}, why}
	}
	if err := s.Constraints.Validate(); err != nil {
		return nil, err
	}
	skid, err := keyID(spki)
	if err != nil {
		return nil, err
	}
	subject, err := encodeSubject(CommonNameOnly(s.CommonName))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          newSerial(),
		RawSubject:            subject,
		NotBefore:             s.NotBefore.UTC(),
		NotAfter:              s.NotAfter.UTC(),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            s.MaxPathLen,
		MaxPathLenZero:        s.MaxPathLen == 0,
		SubjectKeyId:          skid,
	}
	if s.MaxPathLen < 0 {
		t.MaxPathLen = -1
	}
	if !s.URI.IsZero() {
		t.URIs = append(t.URIs, s.URI.ID().URL())
	}
	s.Constraints.apply(t)
	return t, nil
}

// leafTemplate is the end-entity certificate for a request, whose key is taken
// from its CSR and whose time has been settled.
func leafTemplate(req Request, csr *x509.CertificateRequest, notBefore, notAfter time.Time) (*x509.Certificate, error) {
	subject, err := encodeSubject(req.Identity.subject)
	if err != nil {
		return nil, err
	}
	skid, err := keyID(csr.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          newSerial(),
		RawSubject:            subject,
		NotBefore:             notBefore.UTC(),
		NotAfter:              notAfter.UTC(),
		KeyUsage:              req.Profile.KeyUsage(KeyTypeOf(csr.PublicKey)),
		ExtKeyUsage:           req.Profile.ExtKeyUsage(),
		Policies:              req.Profile.policies(),
		BasicConstraintsValid: true, // cA false, said aloud: X509-SVID consumers look for it
		SubjectKeyId:          skid,
		DNSNames:              req.Identity.DNS(),
		IPAddresses:           req.Identity.IPs(),
		EmailAddresses:        req.Identity.Emails(),
		URIs:                  req.Identity.URIs(),
	}, nil
}
