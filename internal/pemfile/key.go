package pemfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"go.step.sm/crypto/pemutil"
)

// Errors that a caller of ParseKey can branch on.
var (
	ErrNoKey           = errors.New("no private key in it")
	ErrKeyEncrypted    = errors.New("the private key is encrypted and no passphrase was given")
	ErrWrongPassphrase = errors.New("wrong passphrase")
)

// maxIterations bounds the work that a key file may ask of us: what we write
// ourselves asks for 600,000.
const maxIterations = 10_000_000

// maxKey bounds a key in DER, in bytes: RSA keys of 16384 bits fit. Reading much
// longer numbers takes hours.
const maxKey = 16 << 10

// IsKeyBlock tells whether a PEM block of this type holds a private key.
func IsKeyBlock(blockType string) bool {
	switch blockType {
	case TypeKey, TypeECKey, TypeRSAKey, TypeEncryptedKey:
		return true
	}
	return false
}

// ParseKey reads the first private key of PEM text: PKCS#8, encrypted PKCS#8
// (PBES2 with PBKDF2 or scrypt), SEC 1 or PKCS#1. passphrase is asked only for an encrypted key; nil,
// or an empty answer, is ErrKeyEncrypted. No error holds any byte of the key.
func ParseKey(data []byte, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, ErrNoKey
		}
		if !IsKeyBlock(block.Type) {
			continue
		}
		if block.Type == TypeEncryptedKey {
			return decryptKey(block, passphrase)
		}
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("an old OpenSSL key encryption (DEK-Info) that is no longer safe; convert it with: openssl pkcs8 -topk8")
		}
		return ParseKeyDER(block.Bytes)
	}
}

// ParseKeyDER reads an unencrypted private key in DER: PKCS#8, SEC 1 or PKCS#1.
func ParseKeyDER(der []byte) (crypto.Signer, error) {
	if len(der) > maxKey {
		return nil, fmt.Errorf("a private key of %d bytes: at most %d are read", len(der), maxKey)
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, errors.New("a private key that cannot sign")
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errors.New("a private key in no form known here (PKCS#8, SEC 1, PKCS#1), or corrupt")
}

// PKCS#8 of EC keys (RFC 5958, Section 2; RFC 5915, Section 3), up to the private number,
// and from there to the public point.
const (
	keyP256   = "\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20"
	pointP256 = "\xa1\x44\x03\x42\x00"
)

// marshalKey is x509.MarshalPKCS8PrivateKey, which takes several times as long for the
// keys that are made by the thousand.
func marshalKey(key crypto.Signer) ([]byte, error) {
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok || k.Curve != elliptic.P256() {
		return x509.MarshalPKCS8PrivateKey(key)
	}
	secret, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(keyP256), secret, []byte(pointP256), point), nil
}

func decryptKey(block *pem.Block, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	if passphrase == nil {
		return nil, ErrKeyEncrypted
	}
	ofScrypt, isScrypt, err := parseScrypt(block.Bytes)
	if err == nil && !isScrypt {
		err = checkEncrypted(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	pass, err := passphrase()
	if err != nil {
		return nil, err
	}
	if len(pass) == 0 {
		return nil, ErrKeyEncrypted
	}
	var der []byte
	if isScrypt {
		der, err = ofScrypt.decrypt(pass)
	} else {
		der, err = pemutil.DecryptPKCS8PrivateKey(block.Bytes, pass)
	}
	if errors.Is(err, x509.IncorrectPasswordError) || errors.Is(err, ErrWrongPassphrase) {
		return nil, ErrWrongPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("encrypted private key: %w", err)
	}
	key, err := ParseKeyDER(der)
	if err != nil && !isPKCS8(der) {
		// The padding has no checksum: one wrong passphrase in 256 gets this far.
		return nil, ErrWrongPassphrase
	}
	return key, err
}

// isPKCS8 tells whether bytes have the frame of a private key of whatever kind
// (RFC 5958, Section 2), which a wrong passphrase does not bring forth by chance.
func isPKCS8(der []byte) bool {
	var info struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
	}
	rest, err := asn1.Unmarshal(der, &info)
	return err == nil && len(rest) == 0
}

// checkEncrypted refuses what the decryption would stumble over: work without
// bound, lengths that are no multiple of the cipher's block, and parameters that
// it would pass over.
func checkEncrypted(der []byte) error {
	var info struct {
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters struct {
				KDF struct {
					OID        asn1.ObjectIdentifier
					Parameters struct {
						Salt       []byte
						Iterations int
						KeyLength  int                      `asn1:"optional"`
						PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
					}
				}
				Cipher struct {
					OID asn1.ObjectIdentifier
					IV  []byte
				}
			}
		}
		Data []byte
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return errors.New("an encrypted private key that is corrupt, or not PBES2 with PBKDF2 or scrypt (RFC 8018)")
	}
	p := info.Algorithm.Parameters
	n := len(info.Data)
	switch iv := len(p.Cipher.IV); {
	case p.KDF.Parameters.Iterations < 1 || p.KDF.Parameters.Iterations > maxIterations:
		return fmt.Errorf("an encrypted private key with %d iterations: at most %d are accepted", p.KDF.Parameters.Iterations, maxIterations)
	case iv != 8 && iv != 16, n == 0, n%iv != 0:
		return errors.New("an encrypted private key that is corrupt")
	case (iv == 8) != isDES(p.Cipher.OID):
		return errors.New("an encrypted private key that is corrupt")
	case p.KDF.Parameters.KeyLength != 0 || !isKnownPRF(p.KDF.Parameters.PRF.Algorithm):
		// Decryption would take another key for it, and the passphrase for a wrong one.
		return errors.New("an encrypted private key whose PBKDF2 has parameters not known here; convert it with: openssl pkcs8 -topk8")
	}
	return nil
}

// isKnownPRF tells whether decryption knows the function under PBKDF2: none
// named means HMAC-SHA1 (RFC 8018, Appendix A.2).
func isKnownPRF(oid asn1.ObjectIdentifier) bool {
	return len(oid) == 0 || oid.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}) || oid.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9})
}

func isDES(oid asn1.ObjectIdentifier) bool {
	return oid.Equal(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7}) || oid.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7})
}

// EncodeEncryptedKey gives a private key as encrypted PKCS#8 PEM: PBES2 with
// PBKDF2-HMAC-SHA256 (600,000 iterations) and AES-256-CBC (RFC 8018, Section 6.2).
func EncodeEncryptedKey(key crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, errors.New("encrypt private key: the passphrase is empty")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	block, err := pemutil.EncryptPKCS8PrivateKey(rand.Reader, der, passphrase, x509.PEMCipherAES256)
	if err != nil {
		return nil, fmt.Errorf("encrypt private key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// SamePublicKey tells whether two public keys are the same key.
func SamePublicKey(a, b crypto.PublicKey) bool {
	equal, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && equal.Equal(b)
}
