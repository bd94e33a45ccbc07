package pemfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestEncryptedForm holds what is written against the promise: PBES2 with
// PBKDF2-HMAC-SHA256, 600,000 iterations, AES-256-CBC, a salt and an IV of its own.
func TestEncryptedForm(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var first, second pbes2
	for _, info := range []*pbes2{&first, &second} {
		data, err := EncodeEncryptedKey(key, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		block, rest := pem.Decode(data)
		if block == nil || block.Type != TypeEncryptedKey || len(block.Headers) != 0 || len(rest) != 0 {
			t.Fatalf("not one block of encrypted PKCS#8:\n%s", data)
		}
		if _, err := asn1.Unmarshal(block.Bytes, info); err != nil {
			t.Fatal(err)
		}
	}
	kdf, enc := first.Algorithm.Parameters.KDF, first.Algorithm.Parameters.Cipher
	if !kdf.OID.Equal(oidPBKDF2) || kdf.Parameters.Iterations != 600_000 || !kdf.Parameters.PRF.OID.Equal(oidSHA256) ||
		len(kdf.Parameters.Salt) < 16 || !enc.OID.Equal(oidAES256) || len(enc.IV) != 16 {
		t.Errorf("encrypted otherwise: %+v", first.Algorithm)
	}
	other := second.Algorithm.Parameters
	if bytes.Equal(kdf.Parameters.Salt, other.KDF.Parameters.Salt) || bytes.Equal(enc.IV, other.Cipher.IV) {
		t.Error("the same salt or IV twice")
	}
	if _, err := EncodeEncryptedKey(key, nil); err == nil {
		t.Error("an empty passphrase encrypts")
	}
}

// pbes2 is an encrypted key as the tests build one (RFC 8018, Appendix A.4).
type pbes2 struct {
	Algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters struct {
			KDF struct {
				OID        asn1.ObjectIdentifier
				Parameters struct {
					Salt       []byte
					Iterations int
					KeyLength  int `asn1:"optional"`
					PRF        struct {
						OID  asn1.ObjectIdentifier
						Null asn1.RawValue
					} `asn1:"optional"`
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

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// quick encrypts text with a single iteration, so that a test can try many
// passphrases; change may break the result.
func quick(t testing.TB, text []byte, passphrase string, change func(*pbes2)) []byte {
	t.Helper()
	var p pbes2
	p.Algorithm.OID = oidPBES2
	kdf, enc := &p.Algorithm.Parameters.KDF, &p.Algorithm.Parameters.Cipher
	kdf.OID, kdf.Parameters.Salt, kdf.Parameters.Iterations = oidPBKDF2, []byte("8 bytes."), 1
	kdf.Parameters.PRF.OID, kdf.Parameters.PRF.Null = oidSHA256, asn1.NullRawValue
	enc.OID, enc.IV = oidAES256, []byte("an IV of 16 byte")
	key, err := pbkdf2.Key(sha256.New, passphrase, kdf.Parameters.Salt, 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	pad := 16 - len(text)%16
	p.Data = append(bytes.Clone(text), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, enc.IV).CryptBlocks(p.Data, p.Data)
	if change != nil {
		change(&p)
	}
	der, err := asn1.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: TypeEncryptedKey, Bytes: der})
}

// TestWrongPassphrase tries many: the padding has no checksum, so one of 256 gets
// past it by luck.
func TestWrongPassphrase(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	data := quick(t, der, "correct", nil)
	if got, err := ParseKey(data, answer("correct")); err != nil || !sameKey(got, key) {
		t.Fatalf("the right passphrase: %v", err)
	}
	for n := range 3000 {
		wrong := fmt.Sprintf("wrong %d", n)
		if got, err := ParseKey(data, answer(wrong)); !errors.Is(err, ErrWrongPassphrase) || got != nil {
			t.Fatalf("passphrase %q: %v, %v; want ErrWrongPassphrase", wrong, got, err)
		}
	}
	for _, wrong := range []string{"Correct", "correct ", "correct\n", " correct"} {
		if _, err := ParseKey(data, answer(wrong)); !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("passphrase %q: %v; want ErrWrongPassphrase", wrong, err)
		}
	}
}

func TestPassphraseCallback(t *testing.T) {
	data := quick(t, []byte("not even a key"), "correct", nil)
	if _, err := ParseKey(data, nil); !errors.Is(err, ErrKeyEncrypted) {
		t.Errorf("no callback: %v; want ErrKeyEncrypted", err)
	}
	for _, empty := range [][]byte{nil, {}} {
		if _, err := ParseKey(data, func() ([]byte, error) { return empty, nil }); !errors.Is(err, ErrKeyEncrypted) {
			t.Errorf("an empty answer: %v; want ErrKeyEncrypted", err)
		}
	}
	closed := errors.New("the terminal is gone")
	if _, err := ParseKey(data, func() ([]byte, error) { return []byte("correct"), closed }); !errors.Is(err, closed) {
		t.Errorf("a failing callback: %v; want its error", err)
	}
}

// TestAbsurdWork: a file may ask for iterations without end; nothing is computed,
// and nobody is asked for a passphrase.
func TestAbsurdWork(t *testing.T) {
	for _, n := range []int{-1, 0, maxIterations + 1, 1 << 31, 1 << 62} {
		data := quick(t, []byte("text"), "correct", func(p *pbes2) { p.Algorithm.Parameters.KDF.Parameters.Iterations = n })
		asked, start := false, time.Now()
		_, err := ParseKey(data, func() ([]byte, error) { asked = true; return []byte("correct"), nil })
		if err == nil || errors.Is(err, ErrWrongPassphrase) || asked {
			t.Errorf("%d iterations: %v, asked %v", n, err, asked)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%d iterations were refused only after %s", n, d)
		}
	}
}

// TestCorruptEncryption: whatever lengths and algorithms a file claims, the
// answer is an error that does not blame the passphrase.
func TestCorruptEncryption(t *testing.T) {
	for name, change := range map[string]func(*pbes2){
		"no data":        func(p *pbes2) { p.Data = nil },
		"odd data":       func(p *pbes2) { p.Data = p.Data[:len(p.Data)-1] },
		"one byte":       func(p *pbes2) { p.Data = p.Data[:1] },
		"no IV":          func(p *pbes2) { p.Algorithm.Parameters.Cipher.IV = nil },
		"short IV":       func(p *pbes2) { p.Algorithm.Parameters.Cipher.IV = make([]byte, 8) },
		"odd IV":         func(p *pbes2) { p.Algorithm.Parameters.Cipher.IV = make([]byte, 15) },
		"long IV":        func(p *pbes2) { p.Algorithm.Parameters.Cipher.IV = make([]byte, 32) },
		"long DES IV":    func(p *pbes2) { p.Algorithm.Parameters.Cipher.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7} },
		"unknown cipher": func(p *pbes2) { p.Algorithm.Parameters.Cipher.OID = asn1.ObjectIdentifier{1, 2, 3} },
		"unknown KDF":    func(p *pbes2) { p.Algorithm.Parameters.KDF.OID = asn1.ObjectIdentifier{1, 2, 3} },
		"unknown scheme": func(p *pbes2) { p.Algorithm.OID = asn1.ObjectIdentifier{1, 2, 3} },
		"unknown PRF":    func(p *pbes2) { p.Algorithm.Parameters.KDF.Parameters.PRF.OID = asn1.ObjectIdentifier{1, 2, 3} },
		"SHA-512": func(p *pbes2) {
			p.Algorithm.Parameters.KDF.Parameters.PRF.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
		},
		"key length": func(p *pbes2) { p.Algorithm.Parameters.KDF.Parameters.KeyLength = 32 },
	} {
		data := quick(t, []byte("some text that fills two blocks"), "correct", change)
		key, err := ParseKey(data, answer("correct"))
		if err == nil || key != nil || errors.Is(err, ErrWrongPassphrase) || errors.Is(err, ErrKeyEncrypted) {
			t.Errorf("%s: %v, %v; want an error of its own", name, key, err)
		}
	}
}

// TestNotAKey: the right passphrase over something that is no usable key says so.
func TestNotAKey(t *testing.T) {
	if _, err := ParseKey([]byte(opensslX25519Encrypted), answer(opensslPassphrase)); err == nil || errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("an X25519 key with its own passphrase: %v", err)
	}
	if _, err := ParseKey([]byte(opensslX25519Encrypted), answer("no")); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("an X25519 key with another passphrase: %v; want ErrWrongPassphrase", err)
	}
	if _, err := ParseKey([]byte(opensslX25519), nil); err == nil {
		t.Error("an X25519 key is taken for one that signs")
	}
}
