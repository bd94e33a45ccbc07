package inspect

import (
	"crypto/sha256"
	"encoding/asn1"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// canonicalRDNs writes each part of a Name in a form in which parts that are equal
// by RFC 5280, Section 7.1 are the same string: text of any string type without
// regard to case and to how much white space there is, everything else by its
// bytes. ok is false for what is no Name; it equals nothing but itself.
func canonicalRDNs(der []byte) (rdns []string, ok bool) {
	input := cryptobyte.String(der)
	var name cryptobyte.String
	if !input.ReadASN1(&name, cbasn1.SEQUENCE) || !input.Empty() {
		return []string{"!" + string(der)}, false
	}
	for !name.Empty() {
		var set cryptobyte.String
		if !name.ReadASN1(&set, cbasn1.SET) || set.Empty() {
			return []string{"!" + string(der)}, false
		}
		var pairs []string
		for !set.Empty() {
			var pair, kind, value cryptobyte.String
			var tag cbasn1.Tag
			if !set.ReadASN1(&pair, cbasn1.SEQUENCE) || !pair.ReadASN1(&kind, cbasn1.OBJECT_IDENTIFIER) ||
				!pair.ReadAnyASN1(&value, &tag) || !pair.Empty() {
				return []string{"!" + string(der)}, false
			}
			pairs = append(pairs, lengthed(string(kind))+lengthed(canonicalValue(tag, value)))
		}
		slices.Sort(pairs)
		rdns = append(rdns, strings.Join(pairs, ""))
	}
	return rdns, true
}

// canonicalName is all of canonicalRDNs in one string.
func canonicalName(der []byte) string {
	rdns, _ := canonicalRDNs(der)
	return joinRDNs(rdns)
}

// joinRDNs is one string for a list of canonical parts, of a long one its hash: a
// search compares names so often that a name of a megabyte must cost no more than others.
func joinRDNs(rdns []string) string {
	const long = 256
	var b strings.Builder
	for _, r := range rdns {
		b.WriteString(lengthed(r))
	}
	if b.Len() <= long {
		return b.String()
	}
	sum := sha256.Sum256([]byte(b.String()))
	return "#" + string(sum[:]) // no length begins like that
}

// lengthed puts the length of a string before it, so that no two lists of strings
// become one text.
func lengthed(s string) string {
	n := len(s)
	return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + s
}

func canonicalValue(tag cbasn1.Tag, value []byte) string {
	v := asn1.RawValue{Tag: int(tag & 0x1f), IsCompound: tag&0x20 != 0, Class: int(tag >> 6), Bytes: value}
	text, ok := stringValue(v)
	if folded, sound := foldText(text); ok && sound {
		return "s" + folded
	}
	return string([]byte{byte(tag)}) + string(value)
}
