package inspect

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
)

// usableKey tells whether a signature can be checked with this key in bounded time.
func usableKey(pub crypto.PublicKey) bool {
	k, ok := pub.(*rsa.PublicKey)
	return pub != nil && (!ok || k.N.BitLen() <= maxRSABits)
}

// checkCost is about how long a signature check takes, in units of one with
// RSA 2048 (some 20 µs).
func checkCost(pub crypto.PublicKey) int {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		n := k.N.BitLen()/2048 + 1
		return n * n
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize > 256 {
			return 25
		}
	}
	return 3
}

// checkSignature checks the signature on child with issuer's key, and nothing else.
func checkSignature(child, issuer *x509.Certificate) error {
	if !usableKey(issuer.PublicKey) {
		return x509.ErrUnsupportedAlgorithm
	}
	return issuer.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
}

// cannotCheck tells whether an error of checkSignature says that the signature is
// of a kind that is not checked, rather than wrong.
func cannotCheck(err error) bool {
	_, insecure := errors.AsType[x509.InsecureAlgorithmError](err)
	return insecure || errors.Is(err, x509.ErrUnsupportedAlgorithm)
}

// selfIssued tells whether subject and issuer are the same name (RFC 5280, Section 3.2).
func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// sameKeyID tells whether child's authority key identifier is issuer's subject
// key identifier, or one of them is missing.
func sameKeyID(child, issuer *x509.Certificate) bool {
	return len(child.AuthorityKeyId) == 0 || len(issuer.SubjectKeyId) == 0 ||
		bytes.Equal(child.AuthorityKeyId, issuer.SubjectKeyId)
}

// keyName finds certificates by a name and a key identifier.
type keyName struct{ name, keyID string }

// signers answers who signed whom over a list of certificates, within a bound of
// work: thousands of certificates of one name must not cost their square.
type signers struct {
	certs    []*x509.Certificate
	named    map[string][]*x509.Certificate  // by subject
	keyed    map[keyName][]*x509.Certificate // by subject and subject key identifier
	children map[string][]*x509.Certificate  // by issuer
	pointing map[keyName][]*x509.Certificate // by issuer and authority key identifier
	budget   int                             // in units of checkCost
}

func newSigners(certs []*x509.Certificate) *signers {
	s := &signers{
		certs:    certs,
		named:    map[string][]*x509.Certificate{},
		keyed:    map[keyName][]*x509.Certificate{},
		children: map[string][]*x509.Certificate{},
		pointing: map[keyName][]*x509.Certificate{},
		budget:   2000 + 16*len(certs),
	}
	for _, c := range certs {
		subject, issuer := string(c.RawSubject), string(c.RawIssuer)
		s.named[subject] = append(s.named[subject], c)
		s.children[issuer] = append(s.children[issuer], c)
		own, above := keyName{subject, string(c.SubjectKeyId)}, keyName{issuer, string(c.AuthorityKeyId)}
		s.keyed[own] = append(s.keyed[own], c)
		s.pointing[above] = append(s.pointing[above], c)
	}
	return s
}

// issued tells whether the signature on child was made by issuer's key.
func (s *signers) issued(issuer, child *x509.Certificate) bool {
	if s.budget -= checkCost(issuer.PublicKey); s.budget < 0 {
		return false
	}
	err := checkSignature(child, issuer)
	return err == nil || cannotCheck(err) && sameKeyID(child, issuer)
}

// selfSigned tells whether a certificate is self-issued and its own key made its
// signature, or may have where the signature is of a kind that is not checked.
func (s *signers) selfSigned(c *x509.Certificate) bool { return selfIssued(c) && s.issued(c, c) }

// A few certificates are tried for one answer: more of those whose key identifier
// fits than of those that merely have the name.
const (
	likelyTries = 8
	otherTries  = 3
)

// issuerOf finds the certificate whose key signed child, itself left out, or nil.
// Those that child's authority key identifier points to are tried first.
func (s *signers) issuerOf(child *x509.Certificate) *x509.Certificate {
	name := string(child.RawIssuer)
	likely, others := s.keyed[keyName{name, string(child.AuthorityKeyId)}], s.named[name]
	if len(child.AuthorityKeyId) == 0 {
		likely = others
	}
	return first(child, func(c *x509.Certificate) bool { return s.issued(c, child) }, likely, others)
}

// issuedAny tells whether c signed any of the others.
func (s *signers) issuedAny(c *x509.Certificate) bool {
	name := string(c.RawSubject)
	likely, others := s.pointing[keyName{name, string(c.SubjectKeyId)}], s.children[name]
	if len(c.SubjectKeyId) == 0 {
		likely = others
	}
	return first(c, func(child *x509.Certificate) bool { return s.issued(c, child) }, likely, others) != nil
}

// first gives the first certificate that holds, but for itself, and gives up on
// either list after a few.
func first(self *x509.Certificate, holds func(*x509.Certificate) bool, likely, others []*x509.Certificate) *x509.Certificate {
	likely, others = likely[:min(likelyTries, len(likely))], others[:min(otherTries, len(others))]
	for _, list := range [][]*x509.Certificate{likely, others} {
		for _, c := range list {
			if !c.Equal(self) && holds(c) {
				return c
			}
		}
	}
	return nil
}

// Targets splits the certificates of a source into those to be verified and those
// that may stand between them and a root. The first and every other that issued
// none of the others, judged by signature, are targets; the rest are
// intermediates, and so is the first if it issued another. A repeated certificate
// counts once.
func Targets(certs []*x509.Certificate) (targets, intermediates []*x509.Certificate) {
	seen := map[string]bool{}
	var list []*x509.Certificate
	for _, c := range certs {
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			list = append(list, c)
		}
	}
	s := newSigners(list)
	for i, c := range list {
		issuer := s.issuedAny(c)
		if issuer {
			intermediates = append(intermediates, c)
		}
		if i == 0 || !issuer {
			targets = append(targets, c)
		}
	}
	return targets, intermediates
}
