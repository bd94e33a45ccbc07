package renew

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
)

// TestParserParsesCAsOnce also sees that the many leaves are not kept, nor CAs
// without end.
func TestParserParsesCAsOnce(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := func(serial int64, isCA bool) []byte {
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), IsCA: isCA, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	p := newParser()
	for i := range int64(mostParsed + 10) {
		mine := der(i+1, true)
		a, err := p.parse(mine)
		b, again := p.parse(mine)
		if err != nil || again != nil || !a.Equal(b) || a.SerialNumber.Int64() != i+1 {
			t.Fatalf("CA %d: %v, %v", i+1, err, again)
		}
		if i == 0 && a != b {
			t.Error("a CA is parsed twice")
		}
	}
	leaf := der(1, false)
	a, _ := p.parse(leaf)
	b, _ := p.parse(leaf)
	if a == nil || b == nil || a == b || len(p.cas) != mostParsed {
		t.Errorf("%d are kept, want %d CAs and no leaf", len(p.cas), mostParsed)
	}
	if c, err := p.parse([]byte("none")); err == nil || c != nil {
		t.Error("what is no certificate is parsed")
	}
}
