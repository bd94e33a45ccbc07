package pemfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

// keys is one new key of each kind that a caller may bring.
func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	out := map[string]crypto.Signer{}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		out[curve.Params().Name] = key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	out["Ed25519"] = ed
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	out["RSA"] = r
	return out
}

func sameKey(a, b crypto.Signer) bool {
	equal, ok := a.(interface{ Equal(crypto.PrivateKey) bool })
	return ok && equal.Equal(b) && SamePublicKey(a.Public(), b.Public())
}

// answer is a passphrase callback that gives s.
func answer(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

func TestKeysRoundTrip(t *testing.T) {
	pass := []byte("correct horse")
	for name, key := range keys(t) {
		data, err := EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, []byte("-----BEGIN PRIVATE KEY-----\n")) || !bytes.HasSuffix(data, []byte("-----END PRIVATE KEY-----\n")) {
			t.Errorf("%s: not one block of PKCS#8:\n%.40s…", name, data)
		}
		asked := false
		got, err := ParseKey(data, func() ([]byte, error) { asked = true; return pass, nil })
		if err != nil || !sameKey(got, key) {
			t.Errorf("%s: %v", name, err)
		}
		if asked {
			t.Errorf("%s: a passphrase was asked for an unencrypted key", name)
		}
		enc, err := EncodeEncryptedKey(key, pass)
		if err != nil {
			t.Fatal(err)
		}
		if got, err = ParseKey(enc, answer(string(pass))); err != nil || !sameKey(got, key) {
			t.Errorf("%s, encrypted: %v", name, err)
		}
	}
}

func TestOpenSSLKeys(t *testing.T) {
	ec, err := ParseKey([]byte(opensslEC), nil)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := ParseKey([]byte(opensslRSA), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want crypto.Signer
	}{
		"PKCS#8 EC":           {opensslECPKCS8, ec},
		"PKCS#8 RSA":          {opensslRSAPKCS8, rsaKey},
		"encrypted":           {opensslEncrypted, ec},
		"encrypted, SHA-1":    {opensslEncryptedSHA1, ec},
		"encrypted, 3DES":     {opensslEncryptedDES, ec},
		"encrypted, scrypt":   {opensslScrypt, ec},
		"text before":         {"Private-Key: (256 bit)\r\n" + opensslECPKCS8, ec},
		"CRLF":                {strings.ReplaceAll(opensslRSA, "\n", "\r\n"), rsaKey},
		"the first of two":    {opensslEncrypted + opensslRSA, ec},
		"after other objects": {string(pem.EncodeToMemory(&pem.Block{Type: TypeCertificate, Bytes: []byte("x")})) + opensslRSA, rsaKey},
	} {
		got, err := ParseKey([]byte(c.text), answer(opensslPassphrase))
		if err != nil || !sameKey(got, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if key, err := ParseKey([]byte(opensslECParameters), nil); err != nil || key.Public().(*ecdsa.PublicKey).Curve != elliptic.P256() {
		t.Errorf("behind EC parameters: %v", err)
	}
	if key, err := ParseKey([]byte(opensslEd25519), nil); err != nil || len(key.Public().(ed25519.PublicKey)) != 32 {
		t.Errorf("Ed25519: %v", err)
	}
	for name, text := range map[string]string{
		"SHA-512": opensslEncryptedSHA512, "PBES1": opensslPBES1, "DEK-Info": opensslDEK,
	} {
		if _, err := ParseKey([]byte(text), answer(opensslPassphrase)); err == nil || errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("%s, which is not supported: %v; it must not blame the passphrase", name, err)
		}
	}
}

func TestNoKey(t *testing.T) {
	for _, text := range []string{"", "\n", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if _, err := ParseKey([]byte(text), answer("x")); !errors.Is(err, ErrNoKey) {
			t.Errorf("%q: %v; want ErrNoKey", text, err)
		}
	}
	for _, kind := range []string{TypeKey, TypeECKey, TypeRSAKey, TypeEncryptedKey} {
		if !IsKeyBlock(kind) {
			t.Errorf("%s is no key", kind)
		}
		data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("junk")})
		if _, err := ParseKey(data, answer("x")); err == nil || errors.Is(err, ErrNoKey) || errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("junk as %s: %v", kind, err)
		}
	}
	for _, kind := range []string{TypeCertificate, TypeRequest, TypeCRL, "PUBLIC KEY", "EC PARAMETERS", ""} {
		if IsKeyBlock(kind) {
			t.Errorf("%s is a key", kind)
		}
	}
}

func TestSamePublicKey(t *testing.T) {
	all := keys(t)
	for a, x := range all {
		for b, y := range all {
			if SamePublicKey(x.Public(), y.Public()) != (a == b) {
				t.Errorf("%s and %s: same is %v", a, b, a != b)
			}
		}
	}
	for _, odd := range []crypto.PublicKey{nil, "a key", 7, []byte{1}} {
		if SamePublicKey(odd, odd) || SamePublicKey(odd, all["RSA"].Public()) || SamePublicKey(all["RSA"].Public(), odd) {
			t.Errorf("%v is somebody's key", odd)
		}
	}
}

// secrets finds bytes of a key in a text, as they are, in hex or in base64.
func secrets(text string, key []byte) bool {
	for i := 0; i+8 <= len(key); i++ {
		part := key[i : i+8]
		if strings.Contains(text, string(part)) || strings.Contains(strings.ToLower(text), hex.EncodeToString(part)) {
			return true
		}
		if strings.Contains(text, strings.TrimRight(base64.StdEncoding.EncodeToString(part[:6]), "=")) {
			return true
		}
	}
	return false
}

// TestHugeKey: an RSA key of absurd size is refused before any of its numbers is
// worked with; one of 16384 bits fits.
func TestHugeKey(t *testing.T) {
	number := func(bits int) *big.Int {
		return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))
	}
	for bits, tooLong := range map[int]bool{16384: false, 1 << 23: true} {
		half := number(bits / 2)
		der, err := asn1.Marshal(struct {
			Version                  int
			N                        *big.Int
			E                        int
			D, P, Q, DP, DQ, Inverse *big.Int
		}{0, number(bits), 65537, number(bits), half, half, half, half, half})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = ParseKeyDER(der)
		if err == nil || strings.Contains(err.Error(), "at most") != tooLong {
			t.Errorf("%d bits: %v", bits, err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%d bits were refused only after %s", bits, d)
		}
	}
}

// TestErrorsKeepSecrets breaks good keys in many places and reads the errors.
func TestErrorsKeepSecrets(t *testing.T) {
	for _, text := range []string{opensslEC, opensslECPKCS8, opensslEd25519, opensslRSA, opensslRSAPKCS8} {
		block, _ := pem.Decode([]byte(text))
		for i := 0; i < len(block.Bytes); i += 1 + len(block.Bytes)/150 {
			broken := bytes.Clone(block.Bytes)
			broken[i] ^= 0x55
			for _, der := range [][]byte{broken, block.Bytes[:i]} {
				_, err := ParseKeyDER(der)
				if err != nil && (secrets(err.Error(), block.Bytes) || len(err.Error()) > 300) {
					t.Fatalf("byte %d of %s: %v", i, block.Type, err)
				}
			}
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", opensslEC, opensslECParameters, opensslECPKCS8, opensslEd25519, opensslRSA, opensslEncryptedSHA1,
		opensslEncryptedDES, opensslEncryptedSHA512, opensslScrypt, opensslPBES1, opensslDEK, opensslX25519, opensslX25519Encrypted} {
		f.Add([]byte(s))
		if block, _ := pem.Decode([]byte(s)); block != nil {
			f.Add(block.Bytes)
		}
	}
	f.Add(quick(f, []byte("text"), "correct", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		sources := [][]byte{data}
		for _, kind := range []string{TypeKey, TypeEncryptedKey} {
			sources = append(sources, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
		}
		for _, source := range sources {
			if block, _ := pem.Decode(source); block != nil && expensive(block.Bytes) {
				continue
			}
			key, err := ParseKey(source, answer(opensslPassphrase))
			if (key == nil) == (err == nil) {
				t.Fatalf("%v beside %v", key, err)
			}
			if err != nil && len(err.Error()) > 500 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			if key == nil {
				continue
			}
			again, err := EncodeKey(key)
			if err != nil {
				continue // an odd RSA key that PKCS#8 does not take back
			}
			if got, err := ParseKey(again, nil); err != nil || !SamePublicKey(got.Public(), key.Public()) {
				t.Fatalf("a key that was read does not come back: %v", err)
			}
		}
	})
}

// expensive tells whether decryption would take a fuzzer's time.
func expensive(der []byte) bool {
	var p pbes2
	if k, isScrypt, err := parseScrypt(der); isScrypt && err == nil {
		return k.Algorithm.Parameters.KDF.Parameters.Cost*k.Algorithm.Parameters.KDF.Parameters.Lanes > 1<<15
	}
	_, err := asn1.Unmarshal(der, &p)
	return err == nil && p.Algorithm.Parameters.KDF.Parameters.Iterations > 10_000
}
