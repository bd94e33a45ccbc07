package pemfile

import (
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

// What `openssl pkcs8 -topk8 -scrypt` of OpenSSL 3 wrote, with the passphrase
// "secret": its default, and with AES-128 and other costs.
const (
	scryptDefault = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAj35FEi95RVNQICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBCnxcDOnVVoBuUNgxTn9JnDBIGQvoMGrcT+avNJ
xRRQd49lpf40OUgAbysKDO+d+RX69ZFvyM1ZbggHDWWskHrX63sxEPbHiWrLnP2c
d8D5R927YXBwl7fI7EuZIsrWlJrDCUwP6fD01xFNUMo/N5TAR5LdS13bPf+F2A2g
MbP+W3Hve8MZfImg8tNeGBOS77N4sx6CHYykx2KpJ9DOF9d0iMG2
-----END ENCRYPTED PRIVATE KEY-----
`
	scryptOther = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAixb/s8wPggewICBAAC
AQgCAQIwHQYJYIZIAWUDBAECBBDKZGgYM/kgA7jkqLJwZItdBIGQUBjJjHKfuPIA
+Sv/zqJAhjg3U9QjRD/Bw/xsoNWMQ1rjKbUcoCAsOpUSJERGPMapYwa1TEM0uPgb
GyqwfU5X+Ik9Fak/3gcNkyc3GHvflVgupXf24IezGVHYrAdajuisGuW5sBB/0838
Pu7rNDfY2rIFw2DCgRhgX7xbFgRx9ZRP17nn/1YwT0U9VjlZFptH
-----END ENCRYPTED PRIVATE KEY-----
`
)

func passphrase(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

func TestScryptOfOpenSSL(t *testing.T) {
	for _, text := range []string{scryptDefault, scryptOther} {
		key, err := ParseKey([]byte(text), passphrase("secret"))
		if err != nil || key.Public() == nil {
			t.Errorf("error %v", err)
		}
		for _, wrong := range []string{"Secret", "x", "secret "} {
			if _, err := ParseKey([]byte(text), passphrase(wrong)); !errors.Is(err, ErrWrongPassphrase) {
				t.Errorf("%q: error %v, want ErrWrongPassphrase", wrong, err)
			}
		}
		if _, err := ParseKey([]byte(text), nil); !errors.Is(err, ErrKeyEncrypted) {
			t.Errorf("without a passphrase: error %v, want ErrKeyEncrypted", err)
		}
	}
}

// A key file may not ask for work without bound, and nothing that is wrong with it
// gets as far as asking for the passphrase.
func TestScryptRefused(t *testing.T) {
	block, _ := pem.Decode([]byte(scryptDefault))
	for what, change := range map[string]func(*scryptKey){
		"no power of two":    func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.Cost = 1000 },
		"cost of one":        func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.Cost = 1 },
		"negative cost":      func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.Cost = -16384 },
		"memory":             func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.Cost = 1 << 19 },
		"much memory":        func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.Cost = 1 << 62 },
		"blocks":             func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.Block = 1 << 40 },
		"no blocks":          func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.Block = 0 },
		"lanes":              func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.Lanes = 1 << 20 },
		"another key length": func(k *scryptKey) { k.Algorithm.Parameters.KDF.Parameters.KeyLength = 16 },
		"a short IV":         func(k *scryptKey) { k.Algorithm.Parameters.Cipher.IV = []byte("short") },
		"an unknown cipher":  func(k *scryptKey) { k.Algorithm.Parameters.Cipher.OID = asn1.ObjectIdentifier{1, 2, 3} },
		"no data":            func(k *scryptKey) { k.Data = nil },
		"half a block":       func(k *scryptKey) { k.Data = k.Data[:24] },
	} {
		var k scryptKey
		if _, err := asn1.Unmarshal(block.Bytes, &k); err != nil {
			t.Fatal(err)
		}
		change(&k)
		der, err := asn1.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseKey(pem.EncodeToMemory(&pem.Block{Type: TypeEncryptedKey, Bytes: der}), func() ([]byte, error) {
			t.Errorf("%s: the passphrase was asked for", what)
			return nil, nil
		})
		if err == nil || !strings.HasPrefix(err.Error(), "an encrypted private key ") {
			t.Errorf("%s: error %v", what, err)
		}
	}
}
