package localaws

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// The states of a certificate authority.
const (
	Creating = "CREATING"
	Pending  = "PENDING_CERTIFICATE"
	Active   = "ACTIVE"
	Disabled = "DISABLED"
	Deleted  = "DELETED"
	Expired  = "EXPIRED"
	Failed   = "FAILED"
)

// Modes and types of a certificate authority.
const (
	GeneralPurpose = "GENERAL_PURPOSE"
	ShortLived     = "SHORT_LIVED_CERTIFICATE"
	Root           = "ROOT"
	Subordinate    = "SUBORDINATE"
)

// authority is one certificate authority; its key never leaves the process.
type authority struct {
	arn, kind, mode, status string
	keyAlgorithm, signing   string
	subject                 subject
	revocation              map[string]any
	created                 time.Time
	creating                int // requests about it until its key is there
	key                     crypto.Signer
	csr                     []byte
	certificate             *x509.Certificate
	chain                   []*x509.Certificate // above it, the root last
	token                   string
	issued                  int
}

type createInput struct {
	CertificateAuthorityConfiguration struct {
		KeyAlgorithm, SigningAlgorithm string
		Subject                        subject
	}
	CertificateAuthorityType, UsageMode, IdempotencyToken string
	RevocationConfiguration                               map[string]any
}

// create is CreateCertificateAuthority.
func (s *Server) create(in createInput) (any, *Fault) {
	for _, arn := range s.order {
		if a := s.authorities[arn]; in.IdempotencyToken != "" && a.token == in.IdempotencyToken && s.Now().Sub(a.created) < tokenLife {
			return map[string]string{"CertificateAuthorityArn": arn}, nil
		}
	}
	if len(s.order) >= 200 {
		return nil, &Fault{Code: "LimitExceededException", Message: "An AWS Private CA quota has been exceeded: 200 certificate authorities"}
	}
	a := &authority{kind: in.CertificateAuthorityType, mode: orElse(in.UsageMode, GeneralPurpose), status: Creating, creating: 1, created: s.Now(),
		keyAlgorithm: in.CertificateAuthorityConfiguration.KeyAlgorithm, signing: in.CertificateAuthorityConfiguration.SigningAlgorithm,
		subject: in.CertificateAuthorityConfiguration.Subject, revocation: in.RevocationConfiguration, token: in.IdempotencyToken}
	if a.kind != Root && a.kind != Subordinate || a.mode != GeneralPurpose && a.mode != ShortLived {
		return nil, invalid("the type or the usage mode is none that there is")
	}
	if f := a.makeKey(); f != nil {
		return nil, f
	}
	s.add(a)
	return map[string]string{"CertificateAuthorityArn": a.arn}, nil
}

func invalid(format string, args ...any) *Fault {
	return &Fault{Code: "InvalidArgsException", Message: fmt.Sprintf(format, args...)}
}

func (s *Server) add(a *authority) {
	s.made++
	a.arn = fmt.Sprintf("arn:%s:acm-pca:%s:%s:certificate-authority/%08x-0000-4000-8000-000000000000", s.partition(), s.region(), s.account(), s.made)
	if s.authorities == nil {
		s.authorities = map[string]*authority{}
	}
	s.authorities[a.arn], s.order = a, append(s.order, a.arn)
}

// makeKey makes the key and the request of an authority.
func (a *authority) makeKey() *Fault {
	var err error
	switch a.keyAlgorithm {
	case "EC_prime256v1":
		a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EC_secp384r1":
		a.key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EC_secp521r1":
		a.key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "RSA_2048":
		a.key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "RSA_3072":
		a.key, err = rsa.GenerateKey(rand.Reader, 3072)
	case "RSA_4096":
		a.key, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		return invalid("the key algorithm %q is none of ours", a.keyAlgorithm)
	}
	if err != nil {
		return internal(err)
	}
	if signatureAlgorithm(a.signing, a.key.Public()) == x509.UnknownSignatureAlgorithm {
		return invalid("the signing algorithm %s does not go with a key of %s", a.signing, a.keyAlgorithm)
	}
	raw, f := a.subject.encode()
	if f != nil {
		return f
	}
	if a.csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: raw}, a.key); err != nil {
		return internal(err)
	}
	return nil
}

func internal(err error) *Fault {
	return &Fault{Status: 500, Code: "InternalFailure", Message: err.Error()}
}

// signatureAlgorithm is the algorithm of that name, for a key of its family.
func signatureAlgorithm(name string, pub crypto.PublicKey) x509.SignatureAlgorithm {
	byName := map[string]x509.SignatureAlgorithm{
		"SHA256WITHECDSA": x509.ECDSAWithSHA256, "SHA384WITHECDSA": x509.ECDSAWithSHA384, "SHA512WITHECDSA": x509.ECDSAWithSHA512,
		"SHA256WITHRSA": x509.SHA256WithRSA, "SHA384WITHRSA": x509.SHA384WithRSA, "SHA512WITHRSA": x509.SHA512WithRSA,
		"SHA256WITHRSA_PSS": x509.SHA256WithRSAPSS, "SHA384WITHRSA_PSS": x509.SHA384WithRSAPSS, "SHA512WITHRSA_PSS": x509.SHA512WithRSAPSS,
	}
	if _, ec := pub.(*ecdsa.PublicKey); ec == strings.HasSuffix(name, "ECDSA") {
		return byName[name]
	}
	return x509.UnknownSignatureAlgorithm
}

type aboutAuthority struct {
	CertificateAuthorityArn string
}

// find looks an authority up, and moves those that are being created on.
func (s *Server) find(arn string) (*authority, *Fault) {
	if !strings.HasPrefix(arn, "arn:"+s.partition()+":acm-pca:") || !strings.Contains(arn, ":certificate-authority/") {
		return nil, &Fault{Code: "InvalidArnException", Message: "The ARN is not that of a certificate authority: " + arn}
	}
	a, ok := s.authorities[arn]
	if !ok {
		return nil, &Fault{Code: "ResourceNotFoundException", Message: "Could not find Certificate Authority " + arn}
	}
	if a.status == Creating {
		if a.creating--; a.creating < 0 {
			a.status = Pending
		}
	}
	if a.certificate != nil && a.status == Active && s.Now().After(a.certificate.NotAfter) {
		a.status = Expired
	}
	return a, nil
}

// mustBe refuses what an authority in its state does not do.
func (a *authority) mustBe(states ...string) *Fault {
	if slices.Contains(states, a.status) {
		return nil
	}
	return &Fault{Code: "InvalidStateException", Message: "The certificate authority is in the state " + a.status + " and must be in " + strings.Join(states, " or ")}
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (a *authority) description(owner string) map[string]any {
	d := map[string]any{
		"Arn": a.arn, "OwnerAccount": owner, "CreatedAt": epoch(a.created), "LastStateChangeAt": epoch(a.created), "Type": a.kind, "Status": a.status,
		"UsageMode": a.mode, "KeyStorageSecurityStandard": "FIPS_140_2_LEVEL_3_OR_HIGHER", "RevocationConfiguration": a.revocation,
		"CertificateAuthorityConfiguration": map[string]any{"KeyAlgorithm": a.keyAlgorithm, "SigningAlgorithm": a.signing, "Subject": a.subject},
	}
	if c := a.certificate; c != nil {
		d["Serial"], d["NotBefore"], d["NotAfter"] = colons(c.SerialNumber), epoch(c.NotBefore), epoch(c.NotAfter)
	}
	return d
}

// colons is a serial number as the service writes it.
func colons(serial *big.Int) string {
	text := hex.EncodeToString(serial.Bytes())
	var parts []string
	for i := 0; i < len(text); i += 2 {
		parts = append(parts, text[i:i+2])
	}
	return strings.Join(parts, ":")
}

func (s *Server) describe(in aboutAuthority) (any, *Fault) {
	a, f := s.find(in.CertificateAuthorityArn)
	if f != nil {
		return nil, f
	}
	return map[string]any{"CertificateAuthority": a.description(s.account())}, nil
}

func (s *Server) list(struct{}) (any, *Fault) {
	all := []map[string]any{}
	for _, arn := range s.order {
		all = append(all, s.authorities[arn].description(s.account()))
	}
	return map[string]any{"CertificateAuthorities": all}, nil
}

type updateInput struct {
	CertificateAuthorityArn, Status string
	RevocationConfiguration         map[string]any
}

func (s *Server) update(in updateInput) (any, *Fault) {
	a, f := s.find(in.CertificateAuthorityArn)
	if f == nil {
		f = a.mustBe(Active, Disabled, Expired)
	}
	if f != nil {
		return nil, f
	}
	if in.RevocationConfiguration != nil {
		a.revocation = in.RevocationConfiguration
	}
	if in.Status == Active || in.Status == Disabled {
		a.status = in.Status
	} else if in.Status != "" {
		return nil, invalid("a status that may be set is ACTIVE or DISABLED")
	}
	return nil, nil
}

func (s *Server) remove(in aboutAuthority) (any, *Fault) {
	a, f := s.find(in.CertificateAuthorityArn)
	if f == nil {
		f = a.mustBe(Pending, Disabled, Expired, Failed, Creating)
	}
	if f != nil {
		return nil, f
	}
	a.status = Deleted
	return nil, nil
}

// request is GetCertificateAuthorityCsr.
func (s *Server) request(in aboutAuthority) (any, *Fault) {
	a, f := s.find(in.CertificateAuthorityArn)
	if f != nil {
		return nil, f
	}
	if a.status == Creating {
		return nil, &Fault{Code: "RequestInProgressException", Message: "The request to create it is in progress"}
	}
	if f := a.mustBe(Pending, Active, Expired, Disabled); f != nil {
		return nil, f
	}
	return map[string]string{"Csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: a.csr}))}, nil
}

type installInput struct {
	CertificateAuthorityArn       string
	Certificate, CertificateChain []byte
}

func pemCertificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func encodeCertificates(certs ...*x509.Certificate) string {
	var b bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// install is ImportCertificateAuthorityCertificate.
func (s *Server) install(in installInput) (any, *Fault) {
	a, f := s.find(in.CertificateAuthorityArn)
	if f == nil {
		f = a.mustBe(Pending, Active, Expired, Disabled)
	}
	if f != nil {
		return nil, f
	}
	malformed := func(why string) (any, *Fault) {
		return nil, &Fault{Code: "MalformedCertificateException", Message: why}
	}
	certs, err := pemCertificates(in.Certificate)
	if err != nil || len(certs) != 1 {
		return malformed("The certificate is not one certificate in PEM")
	}
	chain, err := pemCertificates(in.CertificateChain)
	if err != nil || (len(chain) == 0) != (a.kind == Root) {
		return malformed("A subordinate needs its chain, and a root has none")
	}
	c := certs[0]
	if pub, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(a.key.Public()) {
		return nil, &Fault{Code: "CertificateMismatchException", Message: "The certificate is not for the key of the certificate authority"}
	}
	if !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0 || c.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return malformed("The certificate is not that of a certificate authority that signs certificates and CRLs")
	}
	below := c
	for _, above := range chain {
		if below.CheckSignatureFrom(above) != nil || below.NotAfter.After(above.NotAfter) {
			return malformed("The chain is broken, or a certificate of it outlives the one above")
		}
		below = above
	}
	if below.CheckSignatureFrom(below) != nil {
		return malformed("The chain does not end at a root")
	}
	a.certificate, a.chain, a.status = c, chain, Active
	return nil, nil
}

// authorityCertificate is GetCertificateAuthorityCertificate.
func (s *Server) authorityCertificate(in aboutAuthority) (any, *Fault) {
	a, f := s.find(in.CertificateAuthorityArn)
	if f == nil && a.certificate == nil {
		f = a.mustBe(Active)
	}
	if f == nil {
		f = a.mustBe(Active, Disabled, Expired)
	}
	if f != nil {
		return nil, f
	}
	out := map[string]string{"Certificate": encodeCertificates(a.certificate)}
	if len(a.chain) > 0 {
		out["CertificateChain"] = encodeCertificates(a.chain...)
	}
	return out, nil
}
