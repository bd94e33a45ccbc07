package ca

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// subjectAttribute is what an error calls a part of the subject that is no
// common name.
const subjectAttribute NameType = "subject attribute"

var (
	oidCommonName   = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidCountryName  = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidEmailAddress = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	oidDomain       = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
)

const maxAttribute = 256

// attributeBound is the most characters that an attribute may have
// (RFC 5280, Appendix A.1).
func attributeBound(oid asn1.ObjectIdentifier) int {
	if !usualAttribute(oid) {
		return maxAttribute
	}
	switch oid[3] {
	case 3, 5, 10, 11, 12: // CN, serialNumber, O, OU, title
		return 64
	case 6: // C
		return 2
	case 7, 8: // L, ST
		return 128
	}
	return maxAttribute
}

// usualAttribute tells whether a type is one of X.520's, whose identifiers all have
// four parts, the last of one octet.
func usualAttribute(oid asn1.ObjectIdentifier) bool {
	return len(oid) == 4 && oid[0] == 2 && oid[1] == 5 && oid[2] == 4 && oid[3] >= 0 && oid[3] < 0x80
}

// existing tells whether there can be an object identifier like that.
func existing(oid asn1.ObjectIdentifier) bool {
	if usualAttribute(oid) {
		return true
	}
	_, err := asn1.Marshal(oid)
	return err == nil
}

// checkSubject validates a distinguished name (RFC 5280, Section 4.1.2.6). The
// error is a *NameError.
func checkSubject(subject pkix.RDNSequence) error {
	common := 0
	for _, rdn := range subject {
		if len(rdn) == 0 {
			return &NameError{Name{subjectAttribute, ""}, "is missing: a part of the subject is empty"}
		}
		for _, a := range rdn {
			s, ok := a.Value.(string)
			if !ok {
				return &NameError{Name{subjectAttribute, a.Type.String()}, "is no text"}
			}
			kind := subjectAttribute
			if a.Type.Equal(oidCommonName) {
				kind = CommonName
				common++
			}
			if why := attributeProblem(a.Type, s); why != "" {
				return &NameError{Name{kind, s}, why}
			}
			if common > 1 {
				// Constraints are asked about one, and verifiers look at all of them.
				return &NameError{Name{kind, s}, "is the second one: a subject has one at most"}
			}
		}
	}
	return nil
}

// attributeProblem says why a text cannot be the value of an attribute.
func attributeProblem(oid asn1.ObjectIdentifier, s string) string {
	most := attributeBound(oid)
	switch n := utf8.RuneCountInString(s); {
	case !existing(oid):
		return "is of a type that does not exist"
	case oid.Equal(oidEmailAddress):
		return "is an email address, which belongs among the names and not into the subject (RFC 5280, Section 4.1.2.6)"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case oid.Equal(oidCountryName) && (n != most || strings.ContainsFunc(s, notLetter)):
		return "is no country: two letters are (RFC 5280, Appendix A.1)"
	case n == 0 || n > most:
		return fmt.Sprintf("must have 1 to %d characters (RFC 5280, Appendix A.1)", most)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "must have no control characters"
	case oid.Equal(oidDomain) && !isASCII(s), oid.Equal(oidSerialNumber) && strings.ContainsFunc(s, notPrintable):
		return "has a character that this attribute cannot have (RFC 5280, Appendix A.1)"
	}
	return ""
}

func commonNameProblem(s string) string { return attributeProblem(oidCommonName, s) }

func notLetter(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }

// notPrintable tells the characters that a PrintableString cannot have
// (RFC 5280, Appendix B).
func notPrintable(r rune) bool {
	return notLetter(r) && (r < '0' || r > '9') && !strings.ContainsRune(" '()+,-./:=?", r)
}

// encodeSubject gives a distinguished name in DER. Each value gets the string
// type that its attribute must have (RFC 5280, Section 4.1.2.4): PrintableString
// where that will do and UTF8String elsewhere, but for domain components.
func encodeSubject(subject pkix.RDNSequence) ([]byte, error) {
	if der, ok := encodeUsual(subject); ok {
		return der, nil
	}
	return encodeAny(subject)
}

func encodeAny(subject pkix.RDNSequence) ([]byte, error) {
	subject = cloneSubject(subject)
	for _, rdn := range subject {
		for i, a := range rdn {
			if s, ok := a.Value.(string); ok && a.Type.Equal(oidDomain) {
				rdn[i].Value = asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(s)}
			}
		}
	}
	der, err := asn1.Marshal(subject)
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	return der, nil
}

// encodeUsual is encodeSubject for attributes of X.520, each by itself; false where
// there are others.
func encodeUsual(subject pkix.RDNSequence) ([]byte, bool) {
	d, usual := der{b: make([]byte, 0, 64)}, true
	d.element(asn1.TagSequence|constructed, func() {
		for _, rdn := range subject {
			if usual = usual && len(rdn) == 1 && usualAttribute(rdn[0].Type); !usual {
				return
			}
			s, ok := rdn[0].Value.(string)
			if usual = ok && utf8.ValidString(s); !usual {
				return
			}
			tag := byte(asn1.TagPrintableString)
			if strings.ContainsFunc(s, notPrintable) {
				tag = asn1.TagUTF8String
			}
			d.element(asn1.TagSet|constructed, func() {
				d.element(asn1.TagSequence|constructed, func() {
					d.b = append(d.b, asn1.TagOID, 3, 0x55, 4, byte(rdn[0].Type[3]))
					d.b = append(appendHeader(d.b, tag, len(s)), s...)
				})
			})
		}
	})
	return d.b, usual
}

// cloneSubject copies a distinguished name; only the values are shared, which
// are texts.
func cloneSubject(subject pkix.RDNSequence) pkix.RDNSequence {
	out := slices.Clone(subject)
	for i := range out {
		out[i] = slices.Clone(out[i])
		for j := range out[i] {
			out[i][j].Type = slices.Clone(out[i][j].Type)
		}
	}
	return out
}
