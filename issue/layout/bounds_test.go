package layout

import (
	"encoding/asn1"
	"strings"
	"testing"
)

// A keystore that asks for hours, or for all memory, is refused before any is spent.
func TestBounds(t *testing.T) {
	der := func(v any) []byte {
		data, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	type parameters struct {
		Salt       []byte
		Iterations int
	}
	for _, test := range []struct {
		name, says string
		err        error
	}{
		{"few iterations", "", boundPKCS12(der(parameters{[]byte("0"), 2048}), 0)},
		{"many", "iterations", boundPKCS12(der(parameters{[]byte("0"), maxIterations + 1}), 0)},
		{"many, in an octet string", "iterations", boundPKCS12(der(struct{ A []byte }{der(parameters{nil, 1 << 31})}), 0)},
		{"no DER", "no PKCS#12", boundPKCS12([]byte("x"), 0)},
		{"no keystore", "no Java keystore", boundJKS([]byte("x"))},
		{"4 GiB of a key", "cut short", boundJKS([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"))},
		{"4 G certificates", "cut short", boundJKS([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"))},
		{"an empty one", "", boundJKS([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x00"))},
	} {
		if (test.err != nil) != (test.says != "") || test.err != nil && !strings.Contains(test.err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, test.err)
		}
	}
}
