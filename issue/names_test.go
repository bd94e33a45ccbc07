package issue

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

// Names of every type are counted, and what is no list of names is told apart from one
// that is empty.
func TestCountNames(t *testing.T) {
	san := asn1.ObjectIdentifier{2, 5, 29, 17}
	for value, want := range map[string]int{
		"\x30\x00":            0,
		"\x30\x05\x82\x03a.b": 1,
		"\x30\x0c\x82\x03a.b\xa0\x05\x06\x03\x2a\x03\x04": 2,
		"\x30\x09\x82\x03a.b\x86\x00\x88\x00":             3,
		"":                                                -1,
		"\x31\x05\x82\x03a.b":                             -1,
		"\x30\x05\x82\x03a.b\x00":                         -1,
		"\x30\x05\x82\x04a.b":                             -1,
		"\x30\x06\x82\x03a.b\x82":                         -1,
		"\x30\x80\x82\x03a.b\x00\x00":                     -1,
	} {
		extensions := []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 7, 0x80}}, {Id: san, Value: []byte(value)}}
		if got := CountNames(extensions); got != want {
			t.Errorf("%x: %d names and not %d", value, got, want)
		}
	}
	if got := CountNames(nil); got != 0 {
		t.Errorf("%d names in nothing", got)
	}
}
