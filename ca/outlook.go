package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"time"
)

// Outlook is what can be expected of an authority, told without its key: enough to
// see which of its certificates have to be laid out anew. It does not change once
// made, and is then safe for concurrent use.
type Outlook struct {
	// Roots are to be trusted: several during a rotation. None: it cannot be told.
	Roots []*x509.Certificate
	// Until is the latest end that a new certificate could have (RFC 5280, Section
	// 4.1.2.5); zero where that cannot be told.
	Until time.Time
	// Above gives the CAs that are to be served with a leaf, nearest first, without
	// the root; nil where the leaf is none of this authority's. It may be nil.
	Above func(leaf *x509.Certificate) []*x509.Certificate
	// Renewal tells when the authority suggests that a leaf of its be renewed. It may
	// ask the authority, and remembers what it was told. It may be nil.
	Renewal func(ctx context.Context, leaf *x509.Certificate) RenewalWindow
}

// RenewalWindow is the time in which an authority suggests that a certificate be
// renewed (RFC 9773, Section 4.2). The zero value suggests nothing.
type RenewalWindow struct {
	Start, End time.Time
	// Explanation is the URL of a page that says why; it may be empty.
	Explanation string
}

// IsZero tells whether nothing is suggested; a window that ends before it begins is
// no suggestion either.
func (w RenewalWindow) IsZero() bool { return w.Start.IsZero() || !w.End.After(w.Start) }

// RootOf finds the root over a chain's last certificate, by name and key identifier;
// nil where it is none of these.
func (o Outlook) RootOf(chain []*x509.Certificate) *x509.Certificate {
	last := chain[len(chain)-1]
	for _, r := range o.Roots {
		switch {
		case r.Equal(last):
			return r
		case !bytes.Equal(last.RawIssuer, r.RawSubject):
		case len(last.AuthorityKeyId) == 0, len(r.SubjectKeyId) == 0, bytes.Equal(last.AuthorityKeyId, r.SubjectKeyId):
			return r
		}
	}
	return nil
}
