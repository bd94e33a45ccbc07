package pemfile

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/scrypt"
)

// maxScrypt bounds the memory that a key file may ask of us, in bytes: OpenSSL's
// default asks for 16 MiB, and its own bound is 32.
const maxScrypt = 256 << 20

// maxScryptWork bounds the work, in blocks of 128 bytes: four times what the
// most memory takes once over.
const maxScryptWork = 4 * maxScrypt / 128

var oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}

// scryptKey is an encrypted private key whose passphrase goes through scrypt
// (RFC 7914, Section 7; RFC 8018, Section 6.2).
type scryptKey struct {
	Algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters struct {
			KDF struct {
				OID        asn1.ObjectIdentifier
				Parameters struct {
					Salt               []byte
					Cost, Block, Lanes int
					KeyLength          int `asn1:"optional"`
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

// parseScrypt tells whether an encrypted key is of scrypt, and reads it. What asks
// for work without bound, or is nothing that decryption could start on, is an error.
func parseScrypt(der []byte) (*scryptKey, bool, error) {
	var frame struct {
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters struct {
				KDF struct {
					OID        asn1.ObjectIdentifier
					Parameters asn1.RawValue
				}
				Cipher asn1.RawValue
			}
		}
		Data []byte
	}
	_, err := asn1.Unmarshal(der, &frame)
	if err != nil || !frame.Algorithm.Parameters.KDF.OID.Equal(oidScrypt) {
		return nil, false, nil //nolint:nilerr // what is not ours to read is another's
	}
	k := &scryptKey{}
	if _, err := asn1.Unmarshal(der, k); err != nil {
		return nil, true, errors.New("an encrypted private key whose scrypt parameters are corrupt (RFC 7914, Section 7)")
	}
	p := k.Algorithm.Parameters.KDF.Parameters
	iv := k.Algorithm.Parameters.Cipher.IV
	bits := k.keyLength()
	switch {
	case p.Cost < 2 || p.Cost&(p.Cost-1) != 0 || p.Block < 1 || p.Lanes < 1,
		p.Block > maxScrypt/128/p.Cost, p.Lanes > maxScryptWork/p.Cost/p.Block:
		return nil, true, fmt.Errorf("an encrypted private key whose scrypt asks for N=%d, r=%d, p=%d: at most 256 MiB of memory are accepted, and N must be a power of two", p.Cost, p.Block, p.Lanes)
	case bits == 0:
		return nil, true, errors.New("an encrypted private key with a cipher not known here: AES-CBC is; convert it with: openssl pkcs8 -topk8")
	case p.KeyLength != 0 && p.KeyLength != bits, len(iv) != aes.BlockSize, len(k.Data) == 0, len(k.Data)%aes.BlockSize != 0, len(k.Data) > maxKey+aes.BlockSize:
		return nil, true, errors.New("an encrypted private key that is corrupt")
	}
	return k, true, nil
}

// keyLength is that of the cipher's key in bytes; 0 of one that is not known.
func (k *scryptKey) keyLength() int {
	for length, last := range map[int]int{16: 2, 24: 22, 32: 42} {
		if k.Algorithm.Parameters.Cipher.OID.Equal(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, last}) {
			return length
		}
	}
	return 0
}

// decrypt gives the private key in DER. A wrong passphrase is ErrWrongPassphrase,
// where the padding shows it.
func (k *scryptKey) decrypt(passphrase []byte) ([]byte, error) {
	p := k.Algorithm.Parameters.KDF.Parameters
	key, err := scrypt.Key(passphrase, p.Salt, p.Cost, p.Block, p.Lanes, k.keyLength())
	if err != nil {
		return nil, fmt.Errorf("encrypted private key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("encrypted private key: %w", err)
	}
	der := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(block, k.Algorithm.Parameters.Cipher.IV).CryptBlocks(der, k.Data)
	pad := int(der[len(der)-1])
	if pad < 1 || pad > aes.BlockSize || pad > len(der) {
		return nil, ErrWrongPassphrase
	}
	for _, b := range der[len(der)-pad:] {
		if int(b) != pad {
			return nil, ErrWrongPassphrase
		}
	}
	return der[:len(der)-pad], nil
}
