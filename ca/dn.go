package ca

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// attributes are the subject attributes that a distinguished name may be written
// with (RFC 4514, Section 3; RFC 5280, Section 4.1.2.4).
var attributes = map[string]asn1.ObjectIdentifier{
	"CN": {2, 5, 4, 3}, "SERIALNUMBER": {2, 5, 4, 5}, "C": {2, 5, 4, 6}, "L": {2, 5, 4, 7},
	"ST": {2, 5, 4, 8}, "STREET": {2, 5, 4, 9}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11},
	"POSTALCODE": {2, 5, 4, 17}, "DC": {0, 9, 2342, 19200300, 100, 1, 25}, "UID": {0, 9, 2342, 19200300, 100, 1, 1},
}

const maxDN = 2048

// ParseDN reads a distinguished name as a string, "CN=payment,O=Example"
// (RFC 4514), the most specific part first, or as OpenSSL writes it,
// "/O=Example/CN=payment".
func ParseDN(s string) (pkix.RDNSequence, error) {
	wrong := func(why string) error { return fmt.Errorf("subject %s: %s", quoteShort(s), why) }
	if len(s) > maxDN {
		return nil, wrong("it is longer than 2048 bytes")
	}
	sep, text, reverse := byte(','), s, true
	if strings.HasPrefix(s, "/") {
		sep, text, reverse = '/', s[1:], false
	}
	var seq pkix.RDNSequence
	for _, part := range splitDN(text, sep) {
		var rdn pkix.RelativeDistinguishedNameSET
		for _, pair := range splitDN(part, '+') {
			name, value, ok := strings.Cut(pair, "=")
			oid, known := attributes[strings.ToUpper(strings.TrimSpace(name))]
			if !ok || !known {
				return nil, wrong(fmt.Sprintf("%s is no attribute: CN=…, O=…, OU=…, C=…, ST=…, L=… are", quoteShort(strings.TrimSpace(name))))
			}
			v, err := unescapeDN(value)
			if err != nil || v == "" {
				return nil, wrong("the value of " + strings.TrimSpace(name) + " is empty or badly escaped (RFC 4514, Section 2.4)")
			}
			if oid.Equal(attributes["C"]) && len(v) != 2 {
				return nil, wrong("C is a country of two letters (RFC 5280, Appendix A.1)")
			}
			rdn = append(rdn, pkix.AttributeTypeAndValue{Type: oid, Value: v})
		}
		seq = append(seq, rdn)
	}
	if reverse {
		slices.Reverse(seq)
	}
	seq = cloneSubject(seq) // the types are this package's own
	if err := checkSubject(seq); err != nil {
		return nil, err
	}
	return seq, nil
}

// splitDN cuts at a separator that is not escaped.
func splitDN(s string, sep byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// unescapeDN takes blanks around a value away, and backslashes before a character
// or two hexadecimal digits. What must be escaped and is not, is an error.
func unescapeDN(s string) (string, error) {
	s = strings.TrimLeft(s, " ")
	for strings.HasSuffix(s, " ") && !strings.HasSuffix(s, `\ `) {
		s = s[:len(s)-1]
	}
	if strings.HasPrefix(s, "#") {
		return "", errors.New("a value in hexadecimal digits")
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(`";<>`, s[i]) >= 0 {
			return "", errors.New("a sign that must be escaped")
		}
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 == len(s) {
			return "", errors.New("a backslash at the end")
		}
		if strings.IndexByte(` "#+,;<=>\/`, s[i+1]) >= 0 {
			b.WriteByte(s[i+1])
			i++
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("a backslash before nothing that is escaped")
		}
		octet, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			return "", err
		}
		b.Write(octet)
		i += 2
	}
	return b.String(), nil
}
