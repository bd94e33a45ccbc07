package issue

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// Ascent remembers which CAs were found to lead to which roots, so that what lies
// above ten thousand leaves is verified once and not ten thousand times. Its zero
// value remembers nothing yet. It is safe for concurrent use and must not be copied.
type Ascent struct {
	mu    sync.Mutex
	known map[[32]byte]span
}

// span is the time in which every CA of a path is valid.
type span struct{ from, until time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && !t.After(s.until) }

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// verify checks that the leaf leads to one of the roots at that time. verified says that
// its signature was verified with the key of the certificate above it already.
func (a *Ascent) verify(c *Credential, verified bool, now time.Time) error {
	if a == nil || len(c.Chain) < 2 || constrained(c.Chain[2:]) || constrained(c.Roots) {
		_, err := pathOf(c, now)
		return err
	}
	key := above(c)
	a.mu.Lock()
	valid, known := a.known[key]
	a.mu.Unlock()
	if known && valid.has(now) {
		if leaf := c.Leaf(); verified && !constrained(c.Chain[1:2]) && (span{leaf.NotBefore, leaf.NotAfter}).has(now) {
			return nil
		}
		// The issuer's own validity and constraints are judged again with the leaf.
		return verifyLeaf(c.Leaf(), c.Chain[1], now)
	}
	path, err := pathOf(c, now)
	if err != nil {
		return err
	}
	valid = span{
		slices.MaxFunc(path[1:], func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) }).NotBefore,
		slices.MinFunc(path[1:], func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter,
	}
	if !slices.ContainsFunc(path[1:], c.Chain[1].Equal) {
		return nil // it went another way, of which nothing is known here
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = map[[32]byte]span{}
	}
	a.known[key] = valid
	return nil
}

// above identifies the CAs of a chain in their order, and the roots.
func above(c *Credential) [32]byte {
	h := sha256.New()
	for _, list := range [][]*x509.Certificate{c.Chain[1:], c.Roots} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(list)))
		h.Write(n[:])
		for _, cert := range list {
			sum := sha256.Sum256(cert.Raw)
			h.Write(sum[:])
		}
	}
	return [32]byte(h.Sum(nil))
}

// constrained tells whether any of these constrains the names below it: then each
// leaf is held against all of them (RFC 5280, Section 4.2.1.10).
func constrained(certs []*x509.Certificate) bool {
	for _, c := range certs {
		for _, e := range c.Extensions {
			if e.Id.Equal(oidNameConstraints) {
				return true
			}
		}
	}
	return false
}

// pathOf gives a path from the leaf to one of the roots, leaf first.
func pathOf(c *Credential, now time.Time) ([]*x509.Certificate, error) {
	roots, inter := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range c.Roots {
		roots.AddCert(r)
	}
	for _, i := range c.Chain[1:] {
		inter.AddCert(i)
	}
	paths, err := c.Leaf().Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, err
	}
	return paths[0], nil
}

func verifyLeaf(leaf, issuer *x509.Certificate, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AddCert(issuer)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}
