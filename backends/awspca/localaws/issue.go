package localaws

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// tokenLife is how long an idempotency token is remembered.
	tokenLife = 5 * time.Minute
	// backdate is how long before the request a certificate begins.
	backdate = time.Hour
	// mostShortLived is the longest life in the short-lived mode.
	mostShortLived = 7 * 24 * time.Hour
	usualLimit     = 1_000_000
)

// issued is a certificate that was issued, or will be.
type issued struct {
	arn         string
	authority   *authority
	certificate *x509.Certificate
	made        time.Time
	asked       int
	revoked     bool
}

// remembered is what an idempotency token stands for.
type remembered struct {
	arn string
	at  time.Time
}

type validity struct {
	Type  string
	Value int64
}

// at is the time that a validity means; minimum tells whether it may be shorter than a day.
func (v validity) at(now time.Time) (time.Time, *Fault) {
	n := int(v.Value)
	switch v.Type {
	case "ABSOLUTE":
		return time.Unix(v.Value, 0).UTC(), nil
	case "END_DATE":
		text := strconv.FormatInt(v.Value, 10)
		layout := "060102150405"
		if len(text) == 14 {
			layout = "20060102150405"
		}
		t, err := time.Parse(layout, text)
		if err != nil {
			return t, invalid("the end date is none: %s", text)
		}
		if len(text) != 14 && t.Year() >= 2050 {
			t = t.AddDate(-100, 0, 0)
		}
		return t, nil
	case "DAYS":
		return now.AddDate(0, 0, max(n, 1)), nil
	case "MONTHS":
		return now.AddDate(0, max(n, 1), 0), nil
	case "YEARS":
		return now.AddDate(max(n, 1), 0, 0), nil
	}
	return time.Time{}, invalid("the validity type %q is none", v.Type)
}

type issueInput struct {
	CertificateAuthorityArn       string
	Csr                           []byte
	SigningAlgorithm, TemplateArn string
	Validity                      validity
	ValidityNotBefore             *validity
	ApiPassthrough                *passthrough
	IdempotencyToken              string
	notBefore, notAfter           time.Time
}

// issue is IssueCertificate: it gives a name for what will be there soon.
func (s *Server) issue(in issueInput) (any, *Fault) {
	a, f := s.find(in.CertificateAuthorityArn)
	if f != nil {
		return nil, f
	}
	token := in.CertificateAuthorityArn + " " + in.IdempotencyToken
	if known, ok := s.tokens[token]; ok && in.IdempotencyToken != "" && s.Now().Sub(known.at) < tokenLife {
		return map[string]string{"CertificateArn": known.arn}, nil
	}
	t, f := s.template(in.TemplateArn)
	if f != nil {
		return nil, f
	}
	csr, f := readRequest(in.Csr)
	if f != nil {
		return nil, f
	}
	if f := a.ready(t); f != nil {
		return nil, f
	}
	if f := s.settle(a, &in); f != nil {
		return nil, f
	}
	most := s.Rules.Certificates
	if most == 0 {
		most = usualLimit
	}
	if a.issued >= most {
		return nil, &Fault{Code: "LimitExceededException", Message: fmt.Sprintf("An AWS Private CA quota has been exceeded: %d certificates", most)}
	}
	c, f := a.sign(t, csr, in)
	if f != nil {
		return nil, f
	}
	a.issued++
	one := &issued{arn: fmt.Sprintf("%s/certificate/%032x", a.arn, c.SerialNumber), authority: a, certificate: c, made: s.Now()}
	if s.issued == nil {
		s.issued, s.tokens = map[string]*issued{}, map[string]remembered{}
	}
	s.issued[one.arn] = one
	s.tokens[token] = remembered{one.arn, s.Now()}
	return map[string]string{"CertificateArn": one.arn}, nil
}

// ready tells whether an authority can sign by a template.
func (a *authority) ready(t template) *Fault {
	if a.certificate == nil {
		if t.root && a.kind == Root {
			return a.mustBe(Pending)
		}
		return a.mustBe(Active)
	}
	return a.mustBe(Active)
}

// settle works the time out.
func (s *Server) settle(a *authority, in *issueInput) (f *Fault) {
	now := s.Now().UTC().Truncate(time.Second)
	if in.notAfter, f = in.Validity.at(now); f != nil {
		return f
	}
	in.notBefore = now.Add(-backdate)
	if in.ValidityNotBefore != nil {
		if in.ValidityNotBefore.Type != "ABSOLUTE" {
			return invalid("ValidityNotBefore is ABSOLUTE or nothing")
		}
		in.notBefore = time.Unix(in.ValidityNotBefore.Value, 0).UTC()
	}
	if a.certificate != nil && in.notBefore.Before(a.certificate.NotBefore) {
		in.notBefore = a.certificate.NotBefore
	}
	switch {
	case !in.notAfter.After(now) || !in.notAfter.After(in.notBefore):
		return invalid("the certificate would end before it begins, or has ended")
	case a.certificate != nil && in.notAfter.After(a.certificate.NotAfter):
		return &Fault{Code: "ValidationException", Message: fmt.Sprintf("The certificate validity specified (%s) exceeds the certificate authority validity (%s)",
			in.notAfter.Format(time.RFC3339), a.certificate.NotAfter.UTC().Format(time.RFC3339))}
	case a.mode == ShortLived && a.certificate != nil && in.notAfter.Sub(now) > mostShortLived:
		return invalid("in the mode SHORT_LIVED_CERTIFICATE a certificate lives for 7 days at the most")
	}
	return nil
}

// readRequest reads a certificate request as the service takes it.
func readRequest(text []byte) (*x509.CertificateRequest, *Fault) {
	malformed := func(why string) (*x509.CertificateRequest, *Fault) {
		return nil, &Fault{Code: "MalformedCSRException", Message: why}
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return malformed("The CSR is not PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return malformed("The CSR cannot be read")
	}
	if csr.CheckSignature() != nil {
		return malformed("The CSR is not signed by its key")
	}
	switch k := csr.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return malformed("The RSA key of the CSR is too short")
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return malformed("The curve of the CSR's key is not supported")
		}
	case ed25519.PublicKey:
		return malformed("The key algorithm of the CSR is not supported: Ed25519")
	}
	if len(csr.RawSubject) <= 2 && !slices.ContainsFunc(csr.Extensions, isSAN) {
		return malformed("The CSR has neither a subject nor a subject alternative name")
	}
	return csr, nil
}

// sign makes the certificate.
func (a *authority) sign(t template, csr *x509.CertificateRequest, in issueInput) (*x509.Certificate, *Fault) {
	algorithm := signatureAlgorithm(in.SigningAlgorithm, a.key.Public())
	if algorithm == x509.UnknownSignatureAlgorithm {
		return nil, invalid("the signing algorithm %s does not go with the key of the certificate authority, %s", in.SigningAlgorithm, a.keyAlgorithm)
	}
	extensions, subject, f := t.extensions(csr, in.ApiPassthrough)
	if f != nil {
		return nil, f
	}
	serial := make([]byte, 16)
	_, _ = rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40
	parent := a.certificate
	made := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(serial), RawSubject: subject, NotBefore: in.notBefore, NotAfter: in.notAfter,
		SignatureAlgorithm: algorithm, ExtraExtensions: extensions, SubjectKeyId: keyID(csr.RawSubjectPublicKeyInfo)}
	if t.root {
		if !bytes.Equal(csr.Raw, a.csr) {
			return nil, invalid("a root certificate is for the authority's own CSR")
		}
		parent = &x509.Certificate{RawSubject: subject, SubjectKeyId: made.SubjectKeyId, PublicKey: a.key.Public()}
	}
	der, err := x509.CreateCertificate(rand.Reader, made, parent, csr.PublicKey, a.key)
	if err != nil {
		return nil, &Fault{Code: "MalformedCSRException", Message: err.Error()}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, &Fault{Code: "MalformedCSRException", Message: "the certificate would be malformed: " + err.Error()}
	}
	return c, nil
}

type certificateInput struct {
	CertificateAuthorityArn, CertificateArn string
}

// certificate is GetCertificate.
func (s *Server) certificate(in certificateInput) (any, *Fault) {
	if _, f := s.find(in.CertificateAuthorityArn); f != nil {
		return nil, f
	}
	if !strings.HasPrefix(in.CertificateArn, in.CertificateAuthorityArn+"/certificate/") {
		return nil, &Fault{Code: "InvalidArnException", Message: "The ARN is not that of a certificate of this authority: " + in.CertificateArn}
	}
	one, ok := s.issued[in.CertificateArn]
	if !ok {
		return nil, &Fault{Code: "ResourceNotFoundException", Message: "Could not find Certificate " + in.CertificateArn}
	}
	if one.asked++; one.asked <= s.InProgress || s.Now().Sub(one.made) < s.Delay {
		return nil, &Fault{Code: "RequestInProgressException", Message: "The request to issue the certificate is in progress"}
	}
	out := map[string]string{"Certificate": encodeCertificates(one.certificate)}
	if above := one.authority; above.certificate != nil {
		out["CertificateChain"] = encodeCertificates(append([]*x509.Certificate{above.certificate}, above.chain...)...)
	}
	return out, nil
}

type revokeInput struct {
	CertificateAuthorityArn, CertificateSerial, RevocationReason string
}

// revoke is RevokeCertificate.
func (s *Server) revoke(in revokeInput) (any, *Fault) {
	a, f := s.find(in.CertificateAuthorityArn)
	if f == nil {
		f = a.mustBe(Active, Disabled, Expired)
	}
	if f != nil {
		return nil, f
	}
	if a.mode == ShortLived {
		return nil, &Fault{Code: "InvalidRequestException", Message: "Certificates of an authority in the mode SHORT_LIVED_CERTIFICATE cannot be revoked"}
	}
	reasons := []string{"UNSPECIFIED", "KEY_COMPROMISE", "CERTIFICATE_AUTHORITY_COMPROMISE", "AFFILIATION_CHANGED", "SUPERSEDED",
		"CESSATION_OF_OPERATION", "PRIVILEGE_WITHDRAWN", "A_A_COMPROMISE"}
	serial, ok := new(big.Int).SetString(strings.ReplaceAll(in.CertificateSerial, ":", ""), 16)
	if !ok || !slices.Contains(reasons, in.RevocationReason) {
		return nil, &Fault{Code: "InvalidRequestException", Message: "the serial number or the reason is none"}
	}
	if a.kind == Root && a.certificate.SerialNumber.Cmp(serial) == 0 {
		return nil, &Fault{Code: "InvalidRequestException", Message: "A root certificate cannot be revoked"}
	}
	for _, one := range s.issued {
		if one.authority != a || one.certificate.SerialNumber.Cmp(serial) != 0 {
			continue
		}
		if one.revoked {
			return nil, &Fault{Code: "RequestAlreadyProcessedException", Message: "The certificate has been revoked already"}
		}
		one.revoked = true
		return nil, nil
	}
	return nil, &Fault{Code: "ResourceNotFoundException", Message: "Could not find a certificate of serial number " + in.CertificateSerial}
}
