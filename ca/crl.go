package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

// CRL is a list of revoked certificates that an Issuer signed (RFC 5280, Section 5).
type CRL struct {
	Number                 *big.Int
	ThisUpdate, NextUpdate time.Time
	Entries                int
	DER                    []byte
	// Above are the revocations of the CA itself and of those above it, if any: who
	// knows of them believes no list of this CA.
	Above []Entry
}

// CRLOrder says what list is wanted.
type CRLOrder struct {
	NextUpdate time.Time
	// Replaces is the SHA-256, in hex, of the list that the new one is to take the
	// place of: it must be one that was recorded for this CA. Empty asks for no such thing.
	Replaces string
}

// SHA256 is that of the list in DER, as lower-case hex.
func (c *CRL) SHA256() string {
	sum := sha256.Sum256(c.DER)
	return hex.EncodeToString(sum[:])
}

// crlGrace is how long an expired certificate stays on the lists at the least:
// there are clocks that are late.
const crlGrace = 24 * time.Hour

// CheckCRL tells whether this CA may sign CRLs now: a *Refusal says why not.
func (i *Issuer) CheckCRL() error {
	c, now := i.Certificate, i.Now()
	what := "a CRL of " + caName(c)
	switch {
	case c.KeyUsage&x509.KeyUsageCRLSign == 0:
		return &Refusal{what, "its certificate does not allow it to sign CRLs (cRLSign)", "RFC 5280, Section 4.2.1.3"}
	case len(c.SubjectKeyId) == 0:
		return &Refusal{what, "its certificate has no subject key identifier for the CRL to name", "RFC 5280, Section 5.2.1"}
	case now.Before(c.NotBefore):
		return &ValidityError{Problem: fmt.Sprintf("%s is valid only from %s on; is the clock right?", caName(c), c.NotBefore.UTC().Format(time.RFC3339))}
	case !now.Before(c.NotAfter):
		return &Refusal{what, fmt.Sprintf("the CA expired on %s, and with it every certificate that it signed", c.NotAfter.UTC().Format(time.DateOnly)), "RFC 5280, Section 6.3.3"}
	}
	return nil
}

// CRL signs the list of the certificates of this CA that its ledger knows to be
// revoked, valid from now until NextUpdate, and records it before it returns. Its
// number follows the clock, in milliseconds, and is higher than any recorded. An
// expired certificate is left out once a list issued after its end has named it.
// Of two lists made at once the caller sees to the order, with a lock. Errors to
// branch on: ErrOtherCRL, *ValidityError, and *Refusal, by which this CA may sign none.
func (i *Issuer) CRL(ctx context.Context, o CRLOrder) (*CRL, error) {
	if err := i.CheckCRL(); err != nil {
		return nil, err
	}
	now := i.Now().UTC().Truncate(time.Second)
	nextUpdate := o.NextUpdate.UTC().Truncate(time.Second)
	if !nextUpdate.After(now) {
		return nil, &ValidityError{Problem: "a CRL must end after it begins"}
	}
	past, err := i.revocations(ctx, o.Replaces)
	if err != nil {
		return nil, err
	}
	if o.Replaces != "" && !past.found {
		return nil, ErrOtherCRL
	}
	number := big.NewInt(i.Now().UnixMilli())
	if next := new(big.Int).Add(past.number, big.NewInt(1)); next.Cmp(number) > 0 {
		number = next
	}
	frame, err := i.crlFrame(&x509.RevocationList{Number: number, ThisUpdate: now, NextUpdate: nextUpdate})
	if err != nil {
		return nil, err
	}
	list, count, err := past.encode(frame, now)
	if err != nil {
		return nil, err
	}
	der, err := frame.sign(list, i.Certificate, i.Signer)
	if err != nil {
		return nil, err
	}
	crl := &CRL{Number: number, ThisUpdate: now, NextUpdate: nextUpdate, Entries: count, DER: der, Above: past.above}
	entry := Entry{Kind: KindCRL, At: now, Issuer: i.Certificate.Subject.String(), IssuerKey: hex.EncodeToString(i.Certificate.SubjectKeyId),
		NotAfter: nextUpdate, Number: number.String(), SHA256: crl.SHA256()}
	if err := i.Ledger.Record(ctx, entry); err != nil {
		return nil, fmt.Errorf("record the CRL: %w", err)
	}
	return crl, nil
}

// ending is one certificate's revocation, in as little memory as will do: there
// may be a million of them.
type ending struct {
	serial   [20]byte // big-endian
	reason   Reason
	at       int64 // Unix time in seconds, as notAfter
	notAfter int64 // 0 where it is not known
}

// endings are the revocations of one CA, in the order of their records, and what
// its last CRL was.
type endings struct {
	list   []ending
	number *big.Int // of the last CRL; 0 where there is none
	last   int64    // when that one was made
	found  bool     // whether the list that is looked for is one of its own
	above  []Entry  // revocations of the CA itself and of those above it
}

// revocations reads the ledger for those of this CA, and for a list of its own.
func (i *Issuer) revocations(ctx context.Context, list string) (*endings, error) {
	own, past := hex.EncodeToString(i.Certificate.SubjectKeyId), &endings{number: new(big.Int)}
	chain := map[[2]string]bool{}
	for _, c := range i.chain() {
		chain[[2]string{hex.EncodeToString(c.AuthorityKeyId), FormatSerial(c.SerialNumber)}] = true
	}
	seen := map[[20]byte]int{}
	for e, err := range Sift(ctx, i.Ledger, KindRevocation, KindCRL) {
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the ledger: %w", err)
		case e.Kind == KindRevocation && chain[[2]string{e.IssuerKey, e.Serial}]:
			past.above = append(past.above, e)
		}
		switch {
		case e.IssuerKey != own:
		case e.Kind == KindCRL:
			number, ok := new(big.Int).SetString(e.Number, 10)
			if !ok || number.Sign() < 0 || number.BitLen() >= 159 {
				return nil, fmt.Errorf("the ledger records a CRL with number %s, which is none (RFC 5280, Section 5.2.3)", quoteShort(e.Number))
			}
			if number.Cmp(past.number) > 0 {
				past.number = number
			}
			past.last = max(past.last, e.At.Unix())
			past.found = past.found || e.SHA256 == list
		default:
			if err := past.add(e, seen); err != nil {
				return nil, err
			}
		}
	}
	return past, nil
}

// add takes up a revocation; a second one of a serial number can only make the
// reason graver. seen tells where each serial number stands.
func (p *endings) add(e Entry, seen map[[20]byte]int) error {
	var end ending
	raw, err := hex.DecodeString(e.Serial)
	if err != nil || len(raw) == 0 || len(raw) > len(end.serial) {
		return fmt.Errorf("the ledger records the revocation of serial number %s, which is none (RFC 5280, Section 4.1.2.2)", quoteShort(e.Serial))
	}
	copy(end.serial[len(end.serial)-len(raw):], raw)
	end.reason = reasonOf(e.Reason)
	end.at = e.At.Unix()
	if !e.NotAfter.IsZero() {
		end.notAfter = e.NotAfter.Unix()
	}
	n, twice := seen[end.serial]
	if !twice {
		seen[end.serial] = len(p.list)
		p.list = append(p.list, end)
		return nil
	}
	if graver(end.reason.String(), p.list[n].reason.String()) {
		p.list[n].reason = end.reason
	}
	return nil
}

// over tells whether a revocation has been told for long enough: the certificate
// has expired, and a list made after its end has named it (RFC 5280, Section 5).
func (p *endings) over(e ending, now time.Time) bool {
	return e.notAfter != 0 && now.Unix() > e.notAfter+int64(crlGrace/time.Second) && p.last > max(e.notAfter, e.at)
}

// crlFrame makes a list without entries up to the moment at which it would be
// signed.
func (i *Issuer) crlFrame(template *x509.RevocationList) (*crlFrame, error) {
	tbs, opts, err := toBeSigned(i.Signer.Public(), func(s crypto.Signer) error {
		_, err := x509.CreateRevocationList(rand.Reader, template, i.Certificate, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make the CRL: %w", err)
	}
	return newCRLFrame(tbs, opts)
}
