package inspect_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"unicode/utf16"

	"github.com/meshpki/meshpki/inspect"
)

// nameOf is a Name of one common name in a string type of ASN.1.
func nameOf(t *testing.T, tag int, text string) []byte {
	t.Helper()
	value := []byte(text)
	if tag == asn1.TagBMPString {
		value = nil
		for _, u := range utf16.Encode([]rune(text)) {
			value = append(value, byte(u>>8), byte(u))
		}
	}
	der, err := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: asn1.RawValue{Tag: tag, Bytes: value}}}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestSameNames: names are compared as RFC 5280, Section 7.1 says, by way of whether an
// issuer is found by its name.
func TestSameNames(t *testing.T) {
	const utf8, printable, bmp, latin = asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagBMPString, asn1.TagT61String
	type text struct {
		tag int
		s   string
	}
	for _, c := range []struct {
		a, b text
		same bool
	}{
		{text{utf8, "Mesh Root"}, text{printable, "MESH  root "}, true},
		{text{utf8, "Mesh Root"}, text{bmp, "mesh root"}, true},
		{text{utf8, "Mesh Root"}, text{printable, "MeshRoot"}, false},
		{text{utf8, "Mesh\u00a0Root"}, text{printable, "Mesh Root"}, true},
		{text{utf8, "Mesh\tRoot\n"}, text{printable, "Mesh Root"}, true},
		{text{utf8, "Me\u00adsh\u200b Root\ufe0f\x01"}, text{printable, "Mesh Root"}, true},
		{text{utf8, "Caf\u00e9"}, text{utf8, "CAFE\u0301"}, true},
		{text{utf8, "Caf\u00e9"}, text{latin, "Caf\xe9"}, true},
		{text{utf8, "Cafe"}, text{utf8, "Caf\u00e9"}, false},
		{text{utf8, "\uff2d\uff45\uff53\uff48"}, text{printable, "mesh"}, true}, // of full width
		{text{utf8, "\ufb01n"}, text{printable, "FIN"}, true},                   // a ligature
		{text{utf8, "Stra\u00dfe"}, text{printable, "STRASSE"}, true},
		{text{utf8, "\u0130"}, text{utf8, "i\u0307"}, true},
		{text{utf8, "\u03a3\u03c2"}, text{utf8, "\u03c3\u03c3"}, true}, // sigmas
		{text{utf8, "M\u0435sh"}, text{printable, "Mesh"}, false},      // a Cyrillic letter
		{text{utf8, "Mesh\ue000"}, text{utf8, "Mesh\ue000"}, true},     // private, and itself
		{text{utf8, "Mesh\ue000"}, text{utf8, "MESH\ue000"}, false},
		{text{utf8, "1"}, text{printable, "1 "}, true},
	} {
		root := newRoot(t, "Root", func(x *x509.Certificate) { x.RawSubject = nameOf(t, c.a.tag, c.a.s) })
		other := *root.Certificate
		other.RawSubject = nameOf(t, c.b.tag, c.b.s)
		leaf := (&authority{&other, root.key}).leaf(t)
		r := inspect.Verify("names", leaf, inspect.Options{Roots: certs(root.Certificate), At: at})
		if r.Trusted != c.same {
			t.Errorf("%q and %q: trusted %v: %+v", c.a.s, c.b.s, r.Trusted, r.Findings)
		}
	}
}
