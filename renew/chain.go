package renew

import (
	"bytes"
	"crypto/x509"
	"time"
)

// ChainEnds is the earliest end of the CAs above a leaf, which stands first; zero
// where none of the others is above it. Of several that may have issued the same, as
// after a cross-signature, the one that lives longest counts. No signature is looked at.
func ChainEnds(chain []*x509.Certificate) (ends time.Time) {
	if len(chain) == 0 {
		return ends
	}
	below := chain[0]
	for range chain[1:] {
		var above *x509.Certificate
		for _, c := range chain[1:] {
			if issued(c, below) && (above == nil || c.NotAfter.After(above.NotAfter)) {
				above = c
			}
		}
		if above == nil {
			return ends
		}
		if ends.IsZero() || above.NotAfter.Before(ends) {
			ends = above.NotAfter
		}
		below = above
	}
	return ends
}

// issued tells by names and key identifiers whether a CA may have issued a certificate.
func issued(ca, c *x509.Certificate) bool {
	if !ca.IsCA || !bytes.Equal(ca.RawSubject, c.RawIssuer) || bytes.Equal(c.RawSubject, c.RawIssuer) {
		return false
	}
	return len(c.AuthorityKeyId) == 0 || len(ca.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId)
}

// Ends is when a chain, leaf first, ends in fact: with its leaf, or with the first CA in it.
func Ends(chain []*x509.Certificate) time.Time {
	return State{NotAfter: chain[0].NotAfter, ChainEnds: ChainEnds(chain)}.Ends()
}
