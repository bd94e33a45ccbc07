package inspect

import (
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// attribute is one type and value of a distinguished name, its value as it stands.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// nameParts reads the DER of a Name (RFC 5280, Section 4.1.2.4); ok is false where it
// is none.
func nameParts(der []byte) (parts [][]attribute, ok bool) {
	input := cryptobyte.String(der)
	var name cryptobyte.String
	if !input.ReadASN1(&name, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, false
	}
	for !name.Empty() {
		var set cryptobyte.String
		if !name.ReadASN1(&set, cbasn1.SET) {
			return nil, false
		}
		var part []attribute
		for !set.Empty() {
			var pair, full cryptobyte.String
			var tag cbasn1.Tag
			var a attribute
			if !set.ReadASN1(&pair, cbasn1.SEQUENCE) || !pair.ReadASN1ObjectIdentifier(&a.Type) || !pair.ReadAnyASN1Element(&full, &tag) {
				return nil, false
			}
			a.Value = asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 0x1f), IsCompound: tag&0x20 != 0, FullBytes: full}
			if body := full; body.ReadAnyASN1(&body, &tag) {
				a.Value.Bytes = body
			}
			part = append(part, a)
		}
		parts = append(parts, part)
	}
	return parts, true
}

// distinguishedName writes the DER of a Name as RFC 4514 has it, the most
// specific part first. A character that cannot be shown is written as the
// hexadecimal of its bytes, so the result holds none (RFC 4514, Section 2.4).
func distinguishedName(der []byte) (string, error) {
	parts, ok := nameParts(der)
	if !ok {
		return "", errors.New("not a distinguished name")
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		for j, a := range parts[i] {
			switch {
			case j > 0:
				b.WriteByte('+')
			case b.Len() > 0:
				b.WriteByte(',')
			}
			a.write(&b)
		}
	}
	return b.String(), nil
}

// nameOr is the distinguished name, or hex of DER that is none.
func nameOr(der []byte) string {
	if dn, err := distinguishedName(der); err == nil {
		return dn
	}
	return "#" + hex.EncodeToString(der)
}

func (a attribute) write(b *strings.Builder) {
	name := attributeName(a.Type)
	text, ok := stringValue(a.Value)
	b.WriteString(name)
	b.WriteByte('=')
	if !ok || name[0] <= '9' {
		// A type without a name of its own takes the value's DER (RFC 4514, Section 2.4).
		b.WriteString("#" + hex.EncodeToString(a.Value.FullBytes))
		return
	}
	for i, r := range text {
		edge := i == 0 || i == len(text)-1
		switch {
		case strings.ContainsRune(`",+;<>\`, r), r == ' ' && edge, r == '#' && i == 0:
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			for _, c := range []byte(string(r)) {
				b.WriteString(`\` + hex.EncodeToString([]byte{c}))
			}
		}
	}
}

// attributeName is the short name of an attribute type, or its OID.
func attributeName(oid asn1.ObjectIdentifier) string {
	dotted := oid.String()
	if name, ok := attributeNames[dotted]; ok {
		return name
	}
	return dotted
}

// attributeNames are the names of RFC 4514, Section 3, and those that OpenSSL
// shows besides.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L",
	"2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title",
	"2.5.4.13": "description", "2.5.4.15": "businessCategory", "2.5.4.17": "postalCode", "2.5.4.41": "name",
	"2.5.4.42": "GN", "2.5.4.43": "initials", "2.5.4.44": "generationQualifier", "2.5.4.46": "dnQualifier",
	"2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier", "1.2.840.113549.1.9.1": "emailAddress",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
}

// stringValue reads one of the string types of ASN.1.
func stringValue(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return "", false
	}
	const universal, visible = 28, 26
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString, visible:
		return string(v.Bytes), utf8.Valid(v.Bytes)
	case asn1.TagT61String:
		// In practice it is Latin 1.
		runes := make([]rune, len(v.Bytes))
		for i, c := range v.Bytes {
			runes[i] = rune(c)
		}
		return string(runes), true
	case asn1.TagBMPString:
		if len(v.Bytes)%2 != 0 {
			return "", false
		}
		units := make([]uint16, 0, len(v.Bytes)/2)
		for b := v.Bytes; len(b) > 0; b = b[2:] {
			units = append(units, binary.BigEndian.Uint16(b))
		}
		return string(utf16.Decode(units)), true
	case universal:
		if len(v.Bytes)%4 != 0 {
			return "", false
		}
		var b strings.Builder
		for c := v.Bytes; len(c) > 0; c = c[4:] {
			b.WriteRune(rune(binary.BigEndian.Uint32(c)))
		}
		return b.String(), true
	}
	return "", false
}

// subjectText is one attribute of a name that is text.
type subjectText struct{ kind, text string }

// subjectTexts are the attributes of a name that are text, in their order.
func subjectTexts(der []byte) []subjectText {
	parts, ok := nameParts(der)
	if !ok {
		return nil
	}
	var list []subjectText
	for _, set := range parts {
		for _, a := range set {
			if text, ok := stringValue(a.Value); ok {
				list = append(list, subjectText{attributeName(a.Type), text})
			}
		}
	}
	return list
}
