package inspect

import (
	"crypto/x509"
	"math/big"
	"strings"
)

// What can be read of requests, CRLs and OCSP responses that are malformed, to be shown
// and never to be gone by.

var (
	ruleRequestMalformed = Rule{"request-malformed", SeverityError, "RFC 2986, Section 4", "a request is written as the standard has it"}
	ruleCRLMalformed     = Rule{"crl-malformed", SeverityError, "RFC 5280, Section 5.1", "a CRL is written as the standard has it"}
	ruleOCSPMalformed    = Rule{"ocsp-malformed", SeverityError, "RFC 6960, Section 4.2.1", "an OCSP response is written as the standard has it"}
)

// malformedBy is the finding for what cannot be parsed; why is the parser's complaint.
func malformedBy(r Rule, kind Kind, why error) Finding {
	return r.broken("", "it is malformed, and most programs will not read it: "+strings.TrimPrefix(why.Error(), "not a well-formed "+kind.String()+": "),
		"have it made again by a program that follows the standard")
}

// damagedRequest reads what can be read of a request that crypto/x509 refuses: nil
// where not even its subject stands at its place. Its signature is not looked at.
func damagedRequest(der []byte) *x509.CertificateRequest {
	outer, _, _ := readTLV(der)
	info := outer.child(0)
	parts := info.children(4)
	if len(parts) < 3 || !parts[0].is(tagInteger) || !parts[1].is(tagSequence) {
		return nil
	}
	r := &x509.CertificateRequest{Raw: outer.full, RawTBSCertificateRequest: info.full, RawSubject: parts[1].full, Subject: looseName(parts[1])}
	if n, ok := parts[0].integer(); ok {
		r.Version = n
	}
	if parts[2].is(tagSequence) {
		r.RawSubjectPublicKeyInfo = parts[2].full
		if key, err := x509.ParsePKIXPublicKey(parts[2].full); err == nil {
			r.PublicKey = key
		}
	}
	const extensionRequest = "1.2.840.113549.1.9.14"
	if len(parts) > 3 && parts[3].isContext(0) {
		var c x509.Certificate
		parts[3].each(func(attribute tlv) bool {
			if attribute.child(0).oid() == extensionRequest {
				looseExtensions(&c, attribute.child(1).child(0))
			}
			return true
		})
		r.Extensions = c.Extensions
	}
	return r
}

// damagedCRL reads what can be read of a CRL that is refused, and counts its entries:
// nil where not even issuer and time stand at their places.
func damagedCRL(der []byte) (l *x509.RevocationList, entries int) {
	outer, _, _ := readTLV(der)
	signed := outer.child(0)
	parts := signed.children(7)
	if len(parts) > 0 && parts[0].is(tagInteger) {
		parts = parts[1:]
	}
	if len(parts) < 3 || !parts[0].is(tagSequence) || !parts[1].is(tagSequence) {
		return nil, 0
	}
	l = &x509.RevocationList{Raw: outer.full, RawTBSRevocationList: signed.full, RawIssuer: parts[1].full, Issuer: looseName(parts[1]), ThisUpdate: looseTime(parts[2])}
	for _, p := range parts[3:] {
		switch {
		case p.is(tagSequence):
			entries += looseEntries(l, p)
		case p.isContext(0):
			looseCRLExtensions(l, p.child(0))
		case l.NextUpdate.IsZero():
			l.NextUpdate = looseTime(p)
		}
	}
	if l.ThisUpdate.IsZero() && len(l.RevokedCertificateEntries) == 0 && len(l.Extensions) == 0 {
		return nil, 0
	}
	return l, entries
}

// looseEntries takes the first entries of a CRL and counts all.
func looseEntries(l *x509.RevocationList, list tlv) (entries int) {
	list.each(func(entry tlv) bool {
		parts := entry.children(3)
		if len(parts) < 2 || !parts[0].is(tagInteger) {
			return true
		}
		if entries++; entries > mostRevoked {
			return true
		}
		e := x509.RevocationListEntry{SerialNumber: signedInteger(parts[0].body), RevocationTime: looseTime(parts[1])}
		if len(parts) > 2 {
			var c x509.Certificate
			looseExtensions(&c, parts[2])
			for _, x := range c.Extensions {
				if value, _, ok := readTLV(x.Value); ok && x.Id.String() == "2.5.29.21" && len(value.body) == 1 {
					e.ReasonCode = int(value.body[0])
				}
			}
		}
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, e)
		return true
	})
	return entries
}

func looseCRLExtensions(l *x509.RevocationList, list tlv) {
	var c x509.Certificate
	looseExtensions(&c, list)
	l.Extensions, l.AuthorityKeyId = c.Extensions, c.AuthorityKeyId
	for _, x := range c.Extensions {
		if value, _, ok := readTLV(x.Value); ok && x.Id.String() == "2.5.29.20" && value.is(tagInteger) && len(value.body) <= maxKeyBytes {
			l.Number = new(big.Int).Set(signedInteger(value.body))
		}
	}
}
