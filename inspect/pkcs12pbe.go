package inspect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // old keystores are encrypted with it
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"math/big"
)

// How the password of a keystore becomes a key, and what is decrypted with it.

const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
	oidPBMAC1 = "1.2.840.113549.1.5.14"
)

// digests are the hash functions of PKCS#12, by their names.
var digests = map[string]func() hash.Hash{
	"1.3.14.3.2.26": sha1.New, "2.16.840.1.101.3.4.2.1": sha256.New, "2.16.840.1.101.3.4.2.4": sha256.New224,
	"2.16.840.1.101.3.4.2.2": sha512.New384, "2.16.840.1.101.3.4.2.3": sha512.New,
}

// macs are those of PBKDF2 (RFC 8018, Appendix B.1).
var macs = map[string]func() hash.Hash{
	"1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.8": sha256.New224, "1.2.840.113549.2.9": sha256.New,
	"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
}

// oldCiphers are those of RFC 7292, Appendix C.
var oldCiphers = map[string]struct {
	keySize int
	open    func(key []byte) (cipher.Block, error)
}{
	"1.2.840.113549.1.12.1.3": {24, des.NewTripleDESCipher},
	"1.2.840.113549.1.12.1.4": {16, twoKeyDES},
	"1.2.840.113549.1.12.1.5": {16, newRC2},
	"1.2.840.113549.1.12.1.6": {5, newRC2},
}

func twoKeyDES(key []byte) (cipher.Block, error) {
	return des.NewTripleDESCipher(append(key[:16:16], key[:8]...))
}

// newCiphers are those that PBES2 names (RFC 8018, Appendix B.2).
var newCiphers = map[string]struct {
	keySize int
	open    func(key []byte) (cipher.Block, error)
}{
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
}

// decrypt opens what an algorithm and encrypted bytes stand before: an
// EncryptedContentInfo, which has its type before them, or an EncryptedPrivateKeyInfo.
func (k *keystore) decrypt(info tlv) ([]byte, error) {
	algorithm, sealed := info.child(0), info.child(1)
	if algorithm.is(tagOID) {
		algorithm, sealed = info.child(1), info.child(2)
	}
	block, iv, err := k.cipherOf(algorithm)
	if err != nil {
		return nil, err
	}
	data := sealed.octets()
	size := block.BlockSize()
	if len(data) == 0 || len(data)%size != 0 || len(iv) != size {
		return nil, errPKCS12
	}
	text := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, data)
	pad := int(text[len(text)-1])
	if pad == 0 || pad > size {
		return nil, ErrKeystoreLocked
	}
	for _, b := range text[len(text)-pad:] {
		if int(b) != pad {
			return nil, ErrKeystoreLocked
		}
	}
	return text[:len(text)-pad], nil
}

// cipherOf makes the cipher that an algorithm asks for.
func (k *keystore) cipherOf(algorithm tlv) (cipher.Block, []byte, error) {
	name, parameters := algorithm.child(0).oid(), algorithm.child(1)
	if name == oidPBES2 {
		return k.pbes2(parameters)
	}
	old, known := oldCiphers[name]
	if !known {
		return nil, nil, errors.New("it is encrypted in a way that is not known here")
	}
	salt := parameters.child(0).octets()
	rounds, ok := parameters.child(1).integer()
	if !ok {
		return nil, nil, errPKCS12
	}
	key, err := k.derive(sha1.New, salt, rounds, 1, old.keySize)
	if err != nil {
		return nil, nil, err
	}
	iv, err := k.derive(sha1.New, salt, rounds, 2, 8)
	if err != nil {
		return nil, nil, err
	}
	block, err := old.open(key)
	return block, iv, err
}

func (k *keystore) pbes2(parameters tlv) (cipher.Block, []byte, error) {
	scheme := parameters.child(1)
	modern, known := newCiphers[scheme.child(0).oid()]
	if !known {
		return nil, nil, errors.New("it is encrypted with a cipher that is not known here")
	}
	key, err := k.pbkdf2(parameters.child(0), modern.keySize)
	if err != nil {
		return nil, nil, err
	}
	block, err := modern.open(key)
	return block, scheme.child(1).octets(), err
}

// pbmac1 is the key, and the hash, of RFC 9579.
func (k *keystore) pbmac1(parameters tlv) ([]byte, func() hash.Hash, error) {
	mac, known := macs[parameters.child(1).child(0).oid()]
	if !known {
		return nil, nil, errPKCS12
	}
	key, err := k.pbkdf2(parameters.child(0), mac().Size())
	return key, mac, err
}

// pbkdf2 derives a key as its parameters say (RFC 8018, Appendix A.2).
func (k *keystore) pbkdf2(function tlv, size int) ([]byte, error) {
	p := function.child(1)
	rounds, ok := p.child(1).integer()
	if function.child(0).oid() != oidPBKDF2 || !ok {
		return nil, errors.New("its password is hashed in a way that is not known here")
	}
	mac := sha1.New
	for _, part := range p.children(4)[2:] {
		if n, ok := part.integer(); ok {
			if n < 1 || n > 64 {
				return nil, errPKCS12
			}
			size = n
		}
		if part.is(tagSequence) {
			if mac = macs[part.child(0).oid()]; mac == nil {
				return nil, errors.New("its password is hashed in a way that is not known here")
			}
		}
	}
	if err := k.spend(rounds * (1 + (size-1)/mac().Size())); err != nil {
		return nil, err
	}
	return pbkdf2.Key(mac, string(k.plain), p.child(0).octets(), rounds, size)
}

// derive is the key derivation of RFC 7292, Section B.2; what is it for: 1 a key,
// 2 an initialization vector, 3 a MAC.
func (k *keystore) derive(newHash func() hash.Hash, salt []byte, rounds int, what byte, size int) ([]byte, error) {
	h := newHash()
	block, out := h.BlockSize(), h.Size()
	if err := k.spend(rounds * (1 + (size-1)/out)); err != nil {
		return nil, err
	}
	const mostSalt = 1 << 10
	if len(salt) > mostSalt || len(k.password) > mostSalt {
		return nil, errPKCS12
	}
	purpose := make([]byte, block)
	for i := range purpose {
		purpose[i] = what
	}
	mixed := append(repeated(salt, block), repeated(k.password, block)...)
	var key []byte
	for len(key) < size {
		h.Reset()
		h.Write(purpose)
		h.Write(mixed)
		sum := h.Sum(nil)
		for range rounds - 1 {
			h.Reset()
			h.Write(sum)
			sum = h.Sum(sum[:0])
		}
		key = append(key, sum...)
		addEach(mixed, repeated(sum, block)[:block])
	}
	return key[:size], nil
}

// repeated fills whole blocks with b, over and over; none for nothing.
func repeated(b []byte, block int) []byte {
	size := block * ((len(b) + block - 1) / block)
	full := make([]byte, 0, size+len(b))
	for len(b) > 0 && len(full) < size {
		full = append(full, b...)
	}
	return full[:size]
}

// addEach adds b and 1 to each block of mixed, as numbers.
func addEach(mixed, b []byte) {
	n := new(big.Int).SetBytes(b)
	n.Add(n, big.NewInt(1))
	for at := 0; at < len(mixed); at += len(b) {
		block := mixed[at : at+len(b)]
		sum := new(big.Int).SetBytes(block)
		sum.Add(sum, n)
		whole := sum.FillBytes(make([]byte, len(b)+1))
		copy(block, whole[1:])
	}
}
