package inspect

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"time"
)

var ruleMalformed = Rule{"certificate-malformed", SeverityError, "RFC 5280, Section 4.1", "a certificate is written as the standard has it"}

// damaged reads what can be read of a certificate that crypto/x509 refuses, to be
// shown and never to be trusted: nil where not even its names and times stand at
// their places. It also takes the part that is signed, alone.
func damaged(der []byte) *x509.Certificate {
	outer, _, ok := readTLV(der)
	if !ok || !outer.is(tagSequence) {
		return nil
	}
	signed := outer.child(0)
	if !signed.is(tagSequence) || len(signed.children(5)) < 5 {
		signed = outer
	}
	parts := signed.children(10)
	c := &x509.Certificate{Raw: outer.full, RawTBSCertificate: signed.full, Version: 1, SerialNumber: new(big.Int)}
	if len(parts) > 0 && parts[0].isContext(0) {
		if v, ok := parts[0].child(0).integer(); ok {
			c.Version = v + 1
		}
		parts = parts[1:]
	}
	const least = 5 // serial, algorithm, issuer, validity, subject
	if len(parts) < least || !parts[0].is(tagInteger) || !parts[2].is(tagSequence) || !parts[3].is(tagSequence) {
		return nil
	}
	c.SerialNumber = signedInteger(parts[0].body)
	c.RawIssuer, c.RawSubject = parts[2].full, parts[4].full
	c.Issuer, c.Subject = looseName(parts[2]), looseName(parts[4])
	times := parts[3].children(2)
	if len(times) == 2 {
		c.NotBefore, c.NotAfter = looseTime(times[0]), looseTime(times[1])
	}
	for _, p := range parts[least:] {
		switch {
		case p.is(tagSequence) && c.RawSubjectPublicKeyInfo == nil:
			c.RawSubjectPublicKeyInfo = p.full
			if key, err := x509.ParsePKIXPublicKey(p.full); err == nil {
				c.PublicKey = key
			}
		case p.isContext(3):
			looseExtensions(c, p.child(0))
		}
	}
	return c
}

// signedInteger reads two's complement of any length.
func signedInteger(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	return n
}

// looseName finds the parts of a name that a certificate is called by.
func looseName(t tlv) pkix.Name {
	var name pkix.Name
	t.each(func(set tlv) bool {
		return set.each(func(pair tlv) bool {
			value := pair.child(1)
			raw := asn1.RawValue{Class: value.class, Tag: value.tag, IsCompound: value.compound, Bytes: value.body, FullBytes: value.full}
			text, ok := stringValue(raw)
			if !ok {
				text = string(value.body)
			}
			switch pair.child(0).oid() {
			case "2.5.4.3":
				name.CommonName = text
			case "2.5.4.10":
				name.Organization = append(name.Organization, text)
			}
			name.Names = append(name.Names, pkix.AttributeTypeAndValue{Value: text})
			return true
		})
	})
	return name
}

// looseTime reads UTCTime or GeneralizedTime in more forms than RFC 5280 allows;
// the zero time where it is none.
func looseTime(t tlv) time.Time {
	for _, form := range []string{"060102150405Z0700", "0601021504Z0700", "20060102150405Z0700", "200601021504Z0700", "20060102150405", "060102150405"} {
		at, err := time.Parse(form, string(t.body))
		if err != nil {
			continue
		}
		if strings.HasPrefix(form, "06") && at.Year() >= 2050 {
			at = at.AddDate(-100, 0, 0) // RFC 5280, Section 4.1.2.5.1
		}
		return at.UTC()
	}
	return time.Time{}
}

// looseExtensions takes the extensions as they stand, and of the few that say what
// a certificate is for, what can be read.
func looseExtensions(c *x509.Certificate, list tlv) {
	const most = 200
	for _, t := range list.children(most) {
		parts := t.children(3)
		if len(parts) < 2 || !parts[0].is(tagOID) {
			continue
		}
		e := pkix.Extension{Value: parts[len(parts)-1].body}
		if _, err := asn1.Unmarshal(parts[0].full, &e.Id); err != nil {
			continue
		}
		if len(parts) == 3 && parts[1].is(tagBoolean) {
			e.Critical = len(parts[1].body) == 1 && parts[1].body[0] != 0
		}
		c.Extensions = append(c.Extensions, e)
		value, _, ok := readTLV(e.Value)
		if !ok {
			continue
		}
		switch e.Id.String() {
		case "2.5.29.15":
			c.KeyUsage = looseKeyUsage(value)
		case "2.5.29.19":
			ca := value.child(0)
			c.BasicConstraintsValid, c.MaxPathLen = true, -1
			c.IsCA = ca.is(tagBoolean) && len(ca.body) == 1 && ca.body[0] != 0
			if n, ok := value.child(1).integer(); ok {
				c.MaxPathLen = n
			}
		case "2.5.29.37":
			value.each(func(use tlv) bool {
				var id asn1.ObjectIdentifier
				if _, err := asn1.Unmarshal(use.full, &id); err == nil {
					c.UnknownExtKeyUsage = append(c.UnknownExtKeyUsage, id)
				}
				return true
			})
		case "2.5.29.14":
			c.SubjectKeyId = value.body
		case "2.5.29.35":
			if id := value.child(0); id.isContext(0) {
				c.AuthorityKeyId = id.body
			}
		}
	}
}

func looseKeyUsage(bits tlv) x509.KeyUsage {
	var usage x509.KeyUsage
	if !bits.is(tagBitString) || len(bits.body) < 2 {
		return 0
	}
	for i := range 9 {
		if octet := 1 + i/8; octet < len(bits.body) && bits.body[octet]&(0x80>>(i%8)) != 0 {
			usage |= 1 << i
		}
	}
	return usage
}

// malformed is the finding for a certificate that crypto/x509 refuses; why is its
// complaint.
func malformed(why error) Finding {
	said := strings.TrimPrefix(why.Error(), "not a well-formed certificate: ")
	f := ruleMalformed.broken("", "it is malformed, and most programs will not load it: "+said,
		"have it issued again by a program that follows the standard")
	for _, clause := range clausesOfComplaints {
		if strings.Contains(strings.ToLower(said), clause.word) {
			f.Citation = clause.citation
			break
		}
	}
	return f
}

// clausesOfComplaints say which clause a word in the complaint of crypto/x509
// belongs to; the first that fits counts.
var clausesOfComplaints = []struct{ word, citation string }{
	{"authority key identifier", "RFC 5280, Section 4.2.1.1"},
	{"subject key identifier", "RFC 5280, Section 4.2.1.2"},
	{"extended key usage", "RFC 5280, Section 4.2.1.12"},
	{"key usage", "RFC 5280, Section 4.2.1.3"},
	{"policies", "RFC 5280, Section 4.2.1.4"},
	{"policy", "RFC 5280, Section 4.2.1.4"},
	{"subject alternative name", "RFC 5280, Section 4.2.1.6"},
	{"san ", "RFC 5280, Section 4.2.1.6"},
	{"ip address", "RFC 5280, Section 4.2.1.6"},
	{"basic constraints", "RFC 5280, Section 4.2.1.9"},
	{"constraint", "RFC 5280, Section 4.2.1.10"},
	{"crl distribution", "RFC 5280, Section 4.2.1.13"},
	{"authority info access", "RFC 5280, Section 4.2.2.1"},
	{"duplicate extension", "RFC 5280, Section 4.2"},
	{"extension", "RFC 5280, Section 4.2"},
	{"version", "RFC 5280, Section 4.1.2.1"},
	{"serial", "RFC 5280, Section 4.1.2.2"},
	{"signature algorithm", "RFC 5280, Section 4.1.2.3"},
	{"rdnsequence", "RFC 5280, Section 4.1.2.4"},
	{"time", "RFC 5280, Section 4.1.2.5"},
	{"validity", "RFC 5280, Section 4.1.2.5"},
	{"key", "RFC 5280, Section 4.1.2.7"},
	{"curve", "RFC 5280, Section 4.1.2.7"},
	{"ecdsa", "RFC 5280, Section 4.1.2.7"},
}
