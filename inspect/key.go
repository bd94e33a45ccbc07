package inspect

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/meshpki/meshpki/internal/pemfile"
)

const (
	// maxKeyBytes is more than an RSA key of 16,384 bits takes. The work that a
	// larger one asks for grows with the square of its size.
	maxKeyBytes = 16 << 10
	// maxRSABits is the largest RSA key with which a signature is checked.
	maxRSABits = 16384
)

// publicHalf reads an unencrypted private key and gives its public half, or says
// that the key is encrypted. Nothing of the key itself is kept, and no error
// speaks of its bytes.
func publicHalf(der []byte) (pub crypto.PublicKey, encrypted bool, err error) {
	if isEncryptedKey(der) {
		return nil, true, nil
	}
	if len(der) > maxKeyBytes {
		return nil, false, fmt.Errorf("a private key of %d bytes: more than any key in use", len(der))
	}
	var key any
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = pemfile.ParseKeyDER(der); err != nil {
			return nil, false, err
		}
	}
	owner, ok := key.(interface{ Public() crypto.PublicKey })
	if !ok {
		return nil, false, errors.New("a private key of a kind not known here")
	}
	pub, err = detached(owner.Public())
	return pub, false, err
}

// detached copies a public key: the one that a private key gives may lie within it.
func detached(pub crypto.PublicKey) (crypto.PublicKey, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, errors.New("a private key of a kind not known here")
	}
	return x509.ParsePKIXPublicKey(der)
}

// isEncryptedKey tells whether DER is an EncryptedPrivateKeyInfo (RFC 5958, Section 3).
func isEncryptedKey(der []byte) bool {
	outer := elements(der, 1)
	if len(outer) == 0 {
		return false
	}
	e := elements(outer[0].Bytes, 3)
	return len(e) == 2 && e[0].Tag == asn1.TagSequence && e[1].Tag == asn1.TagOctetString
}

// PublicKeyFacts say what a public key is.
type PublicKeyFacts struct {
	Type        string `json:"type"`           // ec-p256, rsa-2048, ed25519, …; an OID if it is none known
	Bits        int    `json:"bits,omitempty"` // of the curve's order or the modulus
	Fingerprint string `json:"fingerprint"`    // SHA-256 of the SubjectPublicKeyInfo
}

// describeKey gives the facts of a public key; spki is its DER, nil to have it made.
func describeKey(pub crypto.PublicKey, spki []byte) PublicKeyFacts {
	if spki == nil && pub != nil {
		// A key that was parsed can be written.
		spki, _ = x509.MarshalPKIXPublicKey(pub)
	}
	f := PublicKeyFacts{Fingerprint: fingerprint(spki)}
	f.Type, f.Bits = keyType(pub)
	if f.Type == "" {
		f.Type = algorithmName(spki)
	}
	return f
}

// keyType names a public key as the --key-type flags do, with its size in bits.
func keyType(pub crypto.PublicKey) (string, int) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		bits := k.Curve.Params().BitSize
		return fmt.Sprintf("ec-p%d", bits), bits
	case *rsa.PublicKey:
		return fmt.Sprintf("rsa-%d", k.N.BitLen()), k.N.BitLen()
	case ed25519.PublicKey:
		return "ed25519", 256
	case *ecdh.PublicKey:
		return "x25519", 256
	}
	return "", 0
}

// algorithmName names the algorithm of a SubjectPublicKeyInfo that Go has no key
// for, or gives its OID, or "unknown".
func algorithmName(spki []byte) string {
	outer := elements(spki, 1)
	if len(outer) == 0 {
		return "unknown"
	}
	algorithm := elements(outer[0].Bytes, 1)
	if len(algorithm) == 0 {
		return "unknown"
	}
	switch oid := firstOID(algorithm[0].Bytes); oid {
	case "1.2.840.10040.4.1":
		return "dsa"
	case "1.2.840.113549.1.1.10":
		return "rsa-pss"
	case "1.3.101.113":
		return "ed448"
	case "2.16.840.1.101.3.4.3.17":
		return "ml-dsa-44"
	case "2.16.840.1.101.3.4.3.18":
		return "ml-dsa-65"
	case "2.16.840.1.101.3.4.3.19":
		return "ml-dsa-87"
	default:
		return oid
	}
}

// firstOID is the OID that DER starts with, dotted, or "unknown".
func firstOID(der []byte) string {
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(der, &oid); err != nil {
		return "unknown"
	}
	return oid.String()
}

// fingerprint is the SHA-256 of DER in lower-case hex.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
