package ca

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// A million entries are too many for the general encoder: it needs a gigabyte for
// them. So crypto/x509 makes the list without its entries, and they are put in
// their place here, of which there is one (RFC 5280, Section 5.1). Before anything
// is signed, crypto/x509 reads all of it back, part by part.

// crlFrame is the TBSCertList without its revokedCertificates.
type crlFrame struct {
	before, behind []byte // them
	algorithm      []byte // the AlgorithmIdentifier
	opts           crypto.SignerOpts
	bare           *x509.RevocationList // the frame, as crypto/x509 reads it
}

func newCRLFrame(tbs []byte, opts crypto.SignerOpts) (*crlFrame, error) {
	var parts struct {
		Version    asn1.RawValue
		Algorithm  asn1.RawValue
		Issuer     asn1.RawValue
		ThisUpdate asn1.RawValue
		NextUpdate asn1.RawValue
		Extensions asn1.RawValue `asn1:"tag:0"`
	}
	rest, err := asn1.Unmarshal(tbs, &parts)
	if err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("the CRL to be signed cannot be read: %w", errors.Join(err, errTrailing(rest)))
	}
	f := &crlFrame{algorithm: parts.Algorithm.FullBytes, behind: parts.Extensions.FullBytes, opts: opts}
	for _, p := range []asn1.RawValue{parts.Version, parts.Algorithm, parts.Issuer, parts.ThisUpdate, parts.NextUpdate} {
		f.before = append(f.before, p.FullBytes...)
	}
	f.bare, err = f.read(nil)
	return f, err
}

func errTrailing(rest []byte) error {
	if len(rest) == 0 {
		return nil
	}
	return errors.New("something stands behind it")
}

// tbs is the TBSCertList with the entries in it; without any, their list is absent.
func (f *crlFrame) tbs(entries []byte) []byte {
	size := len(f.before) + len(f.behind)
	if len(entries) > 0 {
		size += headerSize(len(entries)) + len(entries)
	}
	out := appendHeader(make([]byte, 0, headerSize(size)+size), asn1.TagSequence|constructed, size)
	out = append(out, f.before...)
	if len(entries) > 0 {
		out = append(appendHeader(out, asn1.TagSequence|constructed, len(entries)), entries...)
	}
	return append(out, f.behind...)
}

// read gives the list with these entries as crypto/x509 reads it, under an empty
// signature, which it does not look at.
func (f *crlFrame) read(entries []byte) (*x509.RevocationList, error) {
	list, err := x509.ParseRevocationList(frame(f.tbs(entries), f.algorithm, nil))
	if err != nil {
		return nil, fmt.Errorf("what was to be signed is no CRL: %w", err)
	}
	return list, nil
}

// sign signs the list with these entries, which encode has judged.
func (f *crlFrame) sign(entries []byte, issuer *x509.Certificate, signer crypto.Signer) ([]byte, error) {
	if !bytes.Equal(f.bare.RawIssuer, issuer.RawSubject) || !bytes.Equal(f.bare.AuthorityKeyId, issuer.SubjectKeyId) {
		return nil, errors.New("the CRL would not be as ordered: issuer (RFC 5280, Section 5.1.2.3)")
	}
	tbs := f.tbs(entries)
	signature, err := crypto.SignMessage(signer, rand.Reader, tbs, f.opts)
	if err != nil {
		return nil, fmt.Errorf("sign the CRL: %w", err)
	}
	if err := issuer.CheckSignature(f.bare.SignatureAlgorithm, tbs, signature); err != nil {
		return nil, fmt.Errorf("sign the CRL: the key made a signature that is not its own: %w", err)
	}
	return frame(tbs, f.algorithm, signature), nil
}

// judgeAtOnce is how many entries are read back at once.
const judgeAtOnce = 4096

// encode gives the entries of a list made now, in DER, and how many they are. Each
// has been read back by crypto/x509 and held against its record.
func (p *endings) encode(f *crlFrame, now time.Time) (entries []byte, count int, err error) {
	entries = make([]byte, 0, len(p.list)*entrySize)
	part, start := make([]ending, 0, judgeAtOnce), 0
	flush := func() error {
		if len(part) == 0 {
			return nil
		}
		err := f.judge(entries[start:], part)
		part, start = part[:0], len(entries)
		return err
	}
	for _, e := range p.list {
		if p.over(e, now) {
			continue
		}
		entries = appendEntry(entries, e)
		count++
		if part = append(part, e); len(part) == judgeAtOnce {
			if err := flush(); err != nil {
				return nil, 0, err
			}
		}
	}
	return entries, count, flush()
}

// judge holds encoded entries against what they are to say.
func (f *crlFrame) judge(entries []byte, want []ending) error {
	got, err := f.read(entries)
	if err != nil {
		return err
	}
	if len(got.RevokedCertificateEntries) != len(want) {
		return errors.New("the CRL would not be as ordered: number of entries (RFC 5280, Section 5.1.2.6)")
	}
	for n, e := range got.RevokedCertificateEntries {
		w := want[n]
		if e.SerialNumber.Cmp(new(big.Int).SetBytes(w.serial[:])) != 0 || e.RevocationTime.Unix() != w.at || e.ReasonCode != int(w.reason) {
			return fmt.Errorf("the CRL would not be as ordered: the entry of serial number %x (RFC 5280, Section 5.1.2.6)", w.serial)
		}
	}
	return nil
}

// Pieces of DER (ITU-T X.690).
const (
	constructed = 0x20
	// entrySize is about what one entry takes: a serial number of 16 octets, a time, a reason.
	entrySize = 52
)

// formOf is how a time is written, in UTC and to the second (RFC 5280, Sections 4.1.2.5
// and 5.1.2.6).
func formOf(t time.Time) (tag byte, form string) {
	if y := t.Year(); y < 1950 || y >= 2050 {
		return asn1.TagGeneralizedTime, "20060102150405Z"
	}
	return asn1.TagUTCTime, "060102150405Z"
}

// headerSize is how many octets tag and length take.
func headerSize(length int) int {
	n := 2
	if length >= 0x80 {
		for ; length > 0; length >>= 8 {
			n++
		}
	}
	return n
}

// appendHeader writes a tag and a length in their shortest form.
func appendHeader(b []byte, tag byte, length int) []byte {
	b = append(b, tag)
	if length < 0x80 {
		return append(b, byte(length))
	}
	n := headerSize(length) - 2
	b = append(b, 0x80|byte(n))
	for n--; n >= 0; n-- {
		b = append(b, byte(length>>(8*n)))
	}
	return b
}

// appendEntry writes one of revokedCertificates: the serial number, the time of
// the revocation, and its reason unless it is unspecified (RFC 5280, Section 5.3.1).
func appendEntry(b []byte, e ending) []byte {
	var octets [len(e.serial) + 1]byte // an INTEGER has a sign
	copy(octets[1:], e.serial[:])
	serial := octets[:]
	for len(serial) > 1 && serial[0] == 0 && serial[1] < 0x80 {
		serial = serial[1:]
	}
	moment := time.Unix(e.at, 0).UTC()
	tag, form := formOf(moment)
	size := 2 + len(serial) + 2 + len(form)
	if e.reason != Unspecified {
		size += 2 + len(reasonExtension) + 1
	}
	b = append(b, asn1.TagSequence|constructed, byte(size), asn1.TagInteger, byte(len(serial)))
	b = append(b, serial...)
	b = append(b, tag, byte(len(form)))
	b = moment.AppendFormat(b, form)
	if e.reason != Unspecified {
		b = append(b, asn1.TagSequence|constructed, byte(len(reasonExtension)+1))
		b = append(b, reasonExtension...)
		b = append(b, byte(e.reason))
	}
	return b
}

// reasonExtension is a CRL entry's reasonCode up to the code itself, an ENUMERATED
// in an OCTET STRING behind the identifier 2.5.29.21.
const reasonExtension = "\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01"
