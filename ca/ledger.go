package ca

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"iter"
	"slices"
	"time"
)

// Kind says what an entry of the ledger records.
type Kind string

// What a ledger records.
const (
	// KindIntent is an order about to go to an authority that is not in this
	// process; without a later certificate of the same key it is pending.
	KindIntent Kind = "intent"
	// KindLeaf is an end-entity certificate, signed.
	KindLeaf Kind = "leaf"
	// KindCA is a CA certificate, signed.
	KindCA Kind = "ca"
	// KindRevocation is the end of a certificate, or a graver reason for one.
	KindRevocation Kind = "revocation"
	// KindCRL is a revocation list, signed: its number and its SHA-256, not the list.
	KindCRL Kind = "crl"
)

// MaxSigned is how many bytes a certificate has at the most, before its signature:
// what is said of it beside it, and itself in base64, have to fit into an entry of
// 65,535 bytes.
const MaxSigned = 40_000

// Entry is one record of a ledger. Times are to the second, in UTC.
type Entry struct {
	Kind      Kind      `json:"kind"`
	At        time.Time `json:"at"`
	Serial    string    `json:"serial,omitempty"`    // lower-case hex
	Issuer    string    `json:"issuer,omitempty"`    // the issuer's distinguished name
	IssuerKey string    `json:"issuerKey,omitempty"` // the issuer's subject key identifier, hex
	Key       string    `json:"key,omitempty"`       // SHA-256 of the certified public key, hex
	Service   string    `json:"service,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	// Certificate is what was signed, in DER.
	Certificate []byte `json:"certificate,omitempty"`
	// Token is the order's idempotency token, hex; set with an intent and with what came of it.
	Token string `json:"token,omitempty"`
	// Reason is why a certificate was revoked.
	Reason string `json:"reason,omitempty"`
	// NotAfter is the end of the certificate that was revoked, or a CRL's next update.
	NotAfter time.Time `json:"notAfter,omitzero"`
	// Number is a CRL's, in decimal (RFC 5280, Section 5.2.3).
	Number string `json:"number,omitempty"`
	// SHA256 is that of a CRL in DER, hex.
	SHA256 string `json:"sha256,omitempty"`
	// Note says what else there is to say: a probe, a demonstration.
	Note string `json:"note,omitempty"`
}

// Ledger remembers what was signed. It is safe for concurrent use.
type Ledger interface {
	// Record keeps an entry; it returns once the entry would survive a crash, and so
	// before the certificate is released.
	Record(ctx context.Context, e Entry) error
	// Entries gives every entry, the oldest first. An error ends it: the ledger could
	// not be read, or is not what was written.
	Entries(ctx context.Context) iter.Seq2[Entry, error]
	// Revoked gives what has been revoked so far, without reading everything ever signed.
	Revoked(ctx context.Context) (Revoked, error)
}

// Sifter is implemented by a Ledger that can give the entries of some kinds, the
// oldest first, without reading the others in full; it is found by assertion.
type Sifter interface {
	Sift(ctx context.Context, kinds ...Kind) iter.Seq2[Entry, error]
}

// Finder is implemented by a Ledger that can give the entries of the certificates
// with a serial number, the oldest first, without reading the others; it is found
// by assertion.
type Finder interface {
	Find(ctx context.Context, serial string) iter.Seq2[Entry, error]
}

// Find gives the entries of the certificates with a serial number, the oldest first.
func Find(ctx context.Context, l Ledger, serial string) iter.Seq2[Entry, error] {
	if f, ok := l.(Finder); ok {
		return f.Find(ctx, serial)
	}
	return func(yield func(Entry, error) bool) {
		for e, err := range l.Entries(ctx) {
			if (err != nil || e.Serial == serial && (e.Kind == KindLeaf || e.Kind == KindCA)) && !yield(e, err) {
				return
			}
		}
	}
}

// Sift gives the entries of some kinds of a ledger, the oldest first.
func Sift(ctx context.Context, l Ledger, kinds ...Kind) iter.Seq2[Entry, error] {
	if s, ok := l.(Sifter); ok {
		return s.Sift(ctx, kinds...)
	}
	return func(yield func(Entry, error) bool) {
		for e, err := range l.Entries(ctx) {
			if (err != nil || slices.Contains(kinds, e.Kind)) && !yield(e, err) {
				return
			}
		}
	}
}

// Revoked is the set of what has been revoked. The zero value has nothing in it.
type Revoked struct {
	certificates map[string]Entry // by issuer key and serial
	keys         map[string]Entry // by the fingerprint of a compromised key
}

// Add takes up an entry of any kind; those that revoke nothing change nothing.
func (r *Revoked) Add(e Entry) {
	if e.Kind != KindRevocation {
		return
	}
	if r.certificates == nil {
		r.certificates, r.keys = map[string]Entry{}, map[string]Entry{}
	}
	id := e.IssuerKey + "/" + e.Serial
	first, twice := r.certificates[id]
	switch {
	case !twice:
		r.certificates[id] = e
	case graver(e.Reason, first.Reason):
		// The moment of the revocation stays the first.
		first.Reason = e.Reason
		r.certificates[id] = first
	}
	if e.Key != "" && compromise(e.Reason) {
		r.keys[e.Key] = e
	}
}

// compromise tells the reasons that condemn a key.
func compromise(reason string) bool {
	return reason == KeyCompromise.String() || reason == CACompromise.String()
}

// graver tells whether a reason takes the place of one that was given before: a
// compromise that comes to light later does, nothing else.
func graver(reason, before string) bool { return compromise(reason) && !compromise(before) }

// Len is the number of certificates revoked.
func (r *Revoked) Len() int { return len(r.certificates) }

// Certificate finds the revocation of a certificate.
func (r *Revoked) Certificate(c *x509.Certificate) (Entry, bool) {
	if len(r.certificates) == 0 {
		return Entry{}, false
	}
	e, ok := r.certificates[hex.EncodeToString(c.AuthorityKeyId)+"/"+FormatSerial(c.SerialNumber)]
	return e, ok
}

// Of finds the revocation of the certificate that an entry records.
func (r *Revoked) Of(e Entry) (Entry, bool) {
	e, ok := r.certificates[e.IssuerKey+"/"+e.Serial]
	return e, ok
}

// Key finds the revocation that called a key compromised, by the key's fingerprint.
func (r *Revoked) Key(fingerprint string) (Entry, bool) {
	e, ok := r.keys[fingerprint]
	return e, ok
}

// EntryOf is the entry that records a certificate, signed at that time.
func EntryOf(kind Kind, c *x509.Certificate, at time.Time) Entry {
	return Entry{
		Kind:        kind,
		At:          at.UTC().Truncate(time.Second),
		Serial:      FormatSerial(c.SerialNumber),
		Issuer:      c.Issuer.String(),
		IssuerKey:   hex.EncodeToString(c.AuthorityKeyId),
		Key:         KeyFingerprint(c.RawSubjectPublicKeyInfo),
		Certificate: c.Raw,
	}
}
