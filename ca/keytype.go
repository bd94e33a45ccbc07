package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
)

// KeyType names a kind of key and its size, as flags and the manifest do.
type KeyType string

// The key types that are made here.
const (
	ECP256  KeyType = "ec-p256"
	ECP384  KeyType = "ec-p384"
	Ed25519 KeyType = "ed25519"
	RSA2048 KeyType = "rsa-2048"
	RSA3072 KeyType = "rsa-3072"
	RSA4096 KeyType = "rsa-4096"
)

// KeyTypes lists every KeyType, the default first.
func KeyTypes() []KeyType {
	return []KeyType{ECP256, ECP384, Ed25519, RSA2048, RSA3072, RSA4096}
}

// ParseKeyType reads a key type's name. The empty name is the default, ec-p256.
func ParseKeyType(s string) (KeyType, error) {
	if s == "" {
		return ECP256, nil
	}
	kt := KeyType(s)
	if !slices.Contains(KeyTypes(), kt) {
		names := make([]string, 0, len(KeyTypes()))
		for _, k := range KeyTypes() {
			names = append(names, string(k))
		}
		return "", fmt.Errorf("key type %s is none of %s", quoteShort(s), strings.Join(names, ", "))
	}
	return kt, nil
}

// String says the type as people write it: "EC P-256", "RSA 3072", "Ed25519".
func (k KeyType) String() string {
	if k == Ed25519 {
		return "Ed25519"
	}
	if size, ok := strings.CutPrefix(string(k), "ec-p"); ok {
		return "EC P-" + size
	}
	return strings.ToUpper(strings.Replace(string(k), "-", " ", 1))
}

// NewKey makes a key for a certificate authority. Subjects' keys are not made in
// this package: it never holds one.
func NewKey(kt KeyType) (crypto.Signer, error) {
	switch kt {
	case ECP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, fmt.Errorf("key type %s is not known", quoteShort(string(kt)))
}

// KeyTypeOf is the type of a public key, or its description where it is none that
// is made here ("ec-p521", "rsa-1024").
func KeyTypeOf(pub crypto.PublicKey) KeyType {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ECP256
		case elliptic.P384():
			return ECP384
		}
		return KeyType("ec-" + strings.ToLower(strings.Replace(k.Curve.Params().Name, "-", "", 1)))
	case *rsa.PublicKey:
		return KeyType(fmt.Sprintf("rsa-%d", k.N.BitLen()))
	case ed25519.PublicKey:
		return Ed25519
	}
	return "unknown"
}

const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
)

// CheckKey refuses keys that are too weak to certify, or of a kind that is not
// certified here; the error is a *Refusal.
func CheckKey(pub crypto.PublicKey) error {
	const clause = "NIST SP 800-57 Part 1, Section 5.6.1"
	switch k := pub.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits < minRSABits:
			return &Refusal{fmt.Sprintf("an RSA key of %d bits", bits), "at least 2048 are needed", clause}
		case bits > maxRSABits:
			return &Refusal{fmt.Sprintf("an RSA key of %d bits", bits), "more than 8192 are not verified by TLS libraries", ""}
		case k.E < minRSAExponent || k.E%2 == 0:
			return &Refusal{fmt.Sprintf("an RSA key with exponent %d", k.E), "it must be odd and at least 65537", "FIPS 186-5, Section 5.4"}
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return &Refusal{"an EC key on " + k.Curve.Params().Name, "P-256, P-384 and P-521 are accepted", clause}
		}
	case ed25519.PublicKey:
	default:
		return &Refusal{"a key of an unknown kind", "EC, Ed25519 and RSA keys are accepted", ""}
	}
	return nil
}

// EC tells whether it is a key on one of NIST's curves.
func (k KeyType) EC() bool { return strings.HasPrefix(string(k), "ec-") }

// RSA tells whether it is an RSA key.
func (k KeyType) RSA() bool { return strings.HasPrefix(string(k), "rsa-") }
