package localaws

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Spec is an authority to be made without the API, ready for use.
type Spec struct {
	CommonName string
	// Under is the ARN of the authority above; without it, it is a root.
	Under string
	// KeyAlgorithm is EC_prime256v1 without; the signing algorithm goes with it.
	KeyAlgorithm string
	Mode         string // GENERAL_PURPOSE without
	// Life is how long it lives, ten years without.
	Life time.Duration
	// Waiting leaves it in the state PENDING_CERTIFICATE.
	Waiting bool
}

// Make makes an authority, and gives its ARN.
func (s *Server) Make(spec Spec) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &authority{kind: Root, mode: orElse(spec.Mode, GeneralPurpose), status: Pending, created: s.Now(),
		keyAlgorithm: orElse(spec.KeyAlgorithm, "EC_prime256v1"), signing: "SHA256WITHECDSA", subject: subject{CommonName: spec.CommonName}}
	if a.keyAlgorithm[0] == 'R' {
		a.signing = "SHA256WITHRSA"
	}
	if spec.Under != "" || spec.Waiting {
		a.kind = Subordinate
	}
	if f := a.makeKey(); f != nil {
		return "", f
	}
	s.add(a)
	if spec.Waiting {
		return a.arn, nil
	}
	csr, err := x509.ParseCertificateRequest(a.csr)
	if err != nil {
		return "", err
	}
	life := spec.Life
	if life == 0 {
		life = 10 * 365 * 24 * time.Hour
	}
	in := issueInput{SigningAlgorithm: a.signing, notBefore: s.Now().Add(-backdate).Truncate(time.Second), notAfter: s.Now().Add(life).Truncate(time.Second)}
	signer, name := a, "RootCACertificate"
	if spec.Under != "" {
		if signer = s.authorities[spec.Under]; signer == nil || signer.certificate == nil {
			return "", fmt.Errorf("%s is no authority that could sign", spec.Under)
		}
		in.SigningAlgorithm, name = signer.signing, "SubordinateCACertificate_PathLen0"
		if in.notAfter.After(signer.certificate.NotAfter) {
			in.notAfter = signer.certificate.NotAfter
		}
		a.chain = append([]*x509.Certificate{signer.certificate}, signer.chain...)
	}
	t, f := s.template(fmt.Sprintf("arn:%s:acm-pca:::template/%s/V1", s.partition(), name))
	if f != nil {
		return "", f
	}
	c, f := signer.sign(t, csr, in)
	if f != nil {
		return "", f
	}
	a.certificate, a.status = c, Active
	return a.arn, nil
}

// ErrNone says that there is no such authority.
var ErrNone = errors.New("there is no such authority")

// SetStatus puts an authority into a state.
func (s *Server) SetStatus(arn, status string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.authorities[arn]
	if !ok {
		return ErrNone
	}
	a.status = status
	return nil
}

// Certificates gives what was issued, by whichever authority.
func (s *Server) Certificates() []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*x509.Certificate
	for _, one := range s.issued {
		out = append(out, one.certificate)
	}
	return out
}

// Authorities gives the certificates of the authorities that have one.
func (s *Server) Authorities() []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*x509.Certificate
	for _, arn := range s.order {
		if c := s.authorities[arn].certificate; c != nil {
			out = append(out, c)
		}
	}
	return out
}
