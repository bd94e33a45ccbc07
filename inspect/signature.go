package inspect

import (
	"bytes"
	"crypto"
	//lint:ignore SA1019 what was signed with it is asked about as of then
	"crypto/dsa" //nolint:staticcheck // what was signed with it is asked about as of then
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
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

// The moments from which signatures no longer count: what was signed before was
// sound then, and can be asked about as of then. SHA-1: NIST SP 800-131A. DSA:
// FIPS 186-5. Older hashes never count.
var (
	sha1Until = time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC)
	dsaUntil  = time.Date(2023, 2, 3, 0, 0, 0, 0, time.UTC)
)

// oldSignature tells whether an algorithm counted once and is not checked by
// crypto/x509.
func oldSignature(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.DSAWithSHA256:
		return true
	}
	return false
}

// sha1End is until when a signature with SHA-1 counts; strict takes none.
func sha1End(strict bool) time.Time {
	if strict {
		return time.Time{}
	}
	return sha1Until
}

// checkSignatureAt checks a signature by issuer's key as it counted at a moment; with
// SHA-1 it counts before sha1End, and not at all where that is zero.
func checkSignatureAt(a x509.SignatureAlgorithm, signed, signature []byte, issuer *x509.Certificate, at, sha1End time.Time) error {
	if !usableKey(issuer.PublicKey) {
		return x509.ErrUnsupportedAlgorithm
	}
	if !oldSignature(a) {
		return issuer.CheckSignature(a, signed, signature)
	}
	until := sha1End
	if a == x509.DSAWithSHA256 && !sha1End.IsZero() {
		until = dsaUntil
	}
	if !at.Before(until) {
		return x509.InsecureAlgorithmError(a)
	}
	hash := sha1.Sum(signed)
	digest, kind := hash[:], crypto.SHA1
	if a == x509.DSAWithSHA256 {
		long := sha256.Sum256(signed)
		digest = long[:]
	}
	holds, known := false, true
	switch key := issuer.PublicKey.(type) {
	case *rsa.PublicKey:
		holds = a == x509.SHA1WithRSA && rsa.VerifyPKCS1v15(key, kind, digest, signature) == nil
	case *ecdsa.PublicKey:
		holds = a == x509.ECDSAWithSHA1 && ecdsa.VerifyASN1(key, digest, signature)
	case *dsa.PublicKey:
		holds = (a == x509.DSAWithSHA1 || a == x509.DSAWithSHA256) && dsaHolds(key, digest, signature)
	default:
		known = false
	}
	switch {
	case !known:
		return x509.ErrUnsupportedAlgorithm
	case !holds:
		return errOldSignature
	}
	return nil
}

var errOldSignature = errors.New("the signature does not hold")

// dsaHolds checks a DSA signature (FIPS 186-4, Section 4.7) with a key of a size
// that can be checked in bounded time.
func dsaHolds(key *dsa.PublicKey, digest, signature []byte) bool {
	const most = 3072
	input := cryptobyte.String(signature)
	var pair cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	if key.P == nil || key.Q == nil || key.G == nil || key.Y == nil || key.P.BitLen() > most || key.P.BitLen() < 1024 || key.Q.BitLen() > 256 ||
		!input.ReadASN1(&pair, cbasn1.SEQUENCE) || !input.Empty() || !pair.ReadASN1Integer(r) || !pair.ReadASN1Integer(s) || !pair.Empty() {
		return false
	}
	return dsa.Verify(key, digest[:min(len(digest), (key.Q.BitLen()+7)/8)], r, s)
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
