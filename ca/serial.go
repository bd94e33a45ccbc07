package ca

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// newSerial gives a random positive serial number of 127 bits: unique without a
// counter, of 16 octets at most (RFC 5280, Section 4.1.2.2).
func newSerial() *big.Int {
	for {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		b[0] &= 0x7f
		if n := new(big.Int).SetBytes(b[:]); n.Sign() > 0 {
			return n
		}
	}
}

// FormatSerial writes a serial number as lower-case hex, two digits an octet.
func FormatSerial(n *big.Int) string {
	if n.Sign() == 0 {
		return "00"
	}
	s := new(big.Int).Abs(n).Text(16)
	if len(s)%2 == 1 {
		s = "0" + s
	}
	if n.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// ParseSerial reads a serial number in hex, as FormatSerial writes it, as OpenSSL
// does (upper case) or with colons between the octets.
func ParseSerial(s string) (*big.Int, error) {
	digits, negative := strings.CutPrefix(s, "-") // some CAs have signed such
	hexed := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(digits, "0x"), "0X"), ":", ""))
	if len(hexed)%2 == 1 {
		hexed = "0" + hexed
	}
	b, err := hex.DecodeString(hexed)
	if err != nil || len(b) == 0 || len(b) > 21 {
		return nil, fmt.Errorf("%s is not a serial number: hexadecimal digits are expected", quoteShort(s))
	}
	n := new(big.Int).SetBytes(b)
	if negative {
		n.Neg(n)
	}
	return n, nil
}

// keyID is the key identifier of a public key: the leftmost 160 bits of the
// SHA-256 of its bit string (RFC 7093, Section 2).
func keyID(spki []byte) ([]byte, error) {
	bits, err := publicKeyBits(spki)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(bits)
	return sum[:20], nil
}

// Fingerprint is the SHA-256 of a certificate in DER, as lower-case hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// KeyFingerprint is the SHA-256 of a public key (SubjectPublicKeyInfo in DER), as
// lower-case hex.
func KeyFingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}
