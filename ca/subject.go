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

// attributeBounds are the most characters that an attribute may have, by its OID
// (RFC 5280, Appendix A.1); others may have maxAttribute.
var attributeBounds = map[string]int{
	"2.5.4.3": 64, "2.5.4.5": 64, "2.5.4.6": 2, "2.5.4.7": 128, "2.5.4.8": 128, "2.5.4.10": 64, "2.5.4.11": 64, "2.5.4.12": 64,
}

const maxAttribute = 256

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
	most, bounded := attributeBounds[oid.String()]
	if !bounded {
		most = maxAttribute
	}
	_, err := asn1.Marshal(oid)
	switch n := utf8.RuneCountInString(s); {
	case err != nil:
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
