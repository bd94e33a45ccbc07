//go:build integration

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// opensslKey is how OpenSSL is asked for a key of each type.
var opensslKey = map[string][]string{
	"ec-p256":  {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
	"ec-p384":  {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
	"ed25519":  {"-algorithm", "ED25519"},
	"rsa-2048": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
	"rsa-3072": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"},

	"rsa-1024":       {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"},
	"rsa-exponent-3": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"},
	"ec-p224":        {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp224r1"},
	"ec-secp256k1":   {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"},
}

// request has OpenSSL make a key and a CSR that wishes for more than it will get.
func request(t *testing.T, keyType string) (key, csr string) {
	t.Helper()
	dir, openssl := t.TempDir(), program(t, "openssl")
	key, csr = filepath.Join(dir, "key.pem"), filepath.Join(dir, "request.pem")
	succeed(t, openssl, append([]string{"genpkey", "-out", key}, opensslKey[keyType]...)...)
	succeed(t, openssl, "req", "-new", "-key", key, "-out", csr, "-subj", "/CN=admin/O=Wishes",
		"-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign", "-addext", "subjectAltName=DNS:admin.example.com,URI:spiffe://cluster.local/ns/default/sa/admin")
	return key, csr
}

// TestSignsOpenSSLRequests: a CSR of OpenSSL's gets a certificate for its key and
// for nothing else that it says.
func TestSignsOpenSSLRequests(t *testing.T) {
	m, openssl := newMesh(t), program(t, "openssl")
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			key, csr := request(t, keyType)
			c := m.issue("csr-"+keyType, "--csr", csr)
			ask(t, question{target: c.chain(), roots: c.roots(), use: "serverAuth", trusted: true})
			if inCert, inKey := succeed(t, openssl, "x509", "-in", c.chain(), "-noout", "-pubkey"), succeed(t, openssl, "pkey", "-in", key, "-pubout"); inCert != inKey {
				t.Errorf("the certificate is for another key than the request's:\n%s%s", inCert, inKey)
			}
			text := succeed(t, openssl, "x509", "-in", c.chain(), "-noout", "-text")
			for _, wish := range []string{"admin", "Wishes", "CA:TRUE", "Certificate Sign"} {
				if strings.Contains(text, wish) {
					t.Errorf("a wish of the request came true: %s\n%s", wish, text)
				}
			}
			if _, err := os.Stat(c.key()); !os.IsNotExist(err) {
				t.Errorf("a key file beside a certificate for another's key: %v", err)
			}
		})
	}
}

// TestRefusesWeakRequests: too weak a key, or a signature that is not the key's,
// and nothing is written.
func TestRefusesWeakRequests(t *testing.T) {
	m := newMesh(t)
	refused := func(t *testing.T, csr string) {
		t.Helper()
		a := m.run("issue", "--service", "weak", "--csr", csr)
		if a.code == 0 || !strings.Contains(a.stderr, "meshpki: error: ") {
			t.Errorf("want an error, got %s", a)
		}
		if _, err := os.Stat(filepath.Join(m.dir, "services", "default", "weak")); !os.IsNotExist(err) {
			t.Errorf("something was written: %v", err)
		}
	}
	for _, keyType := range []string{"rsa-1024", "rsa-exponent-3", "ec-p224", "ec-secp256k1"} {
		t.Run(keyType, func(t *testing.T) {
			_, csr := request(t, keyType)
			refused(t, csr)
		})
	}
	t.Run("tampered", func(t *testing.T) {
		_, csr := request(t, "ec-p256")
		der := filepath.Join(t.TempDir(), "request.der")
		succeed(t, program(t, "openssl"), "req", "-in", csr, "-outform", "DER", "-out", der)
		text, err := os.ReadFile(der)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, der, string(bytes.Replace(text, []byte("admin"), []byte("adnim"), 1)))
		refused(t, der)
	})
}

// TestSignsGnuTLSRequests: the same for a CSR that certtool makes.
func TestSignsGnuTLSRequests(t *testing.T) {
	m, certtool, dir := newMesh(t), program(t, "certtool"), t.TempDir()
	key, csr, template := filepath.Join(dir, "key.pem"), filepath.Join(dir, "request.pem"), filepath.Join(dir, "template")
	writeFile(t, template, "cn = admin\ndns_name = admin.example.com\n")
	succeed(t, certtool, "--generate-privkey", "--key-type", "ecdsa", "--curve", "secp384r1", "--outfile", key)
	succeed(t, certtool, "--generate-request", "--load-privkey", key, "--template", template, "--outfile", csr)
	c := m.issue("payment", "--csr", csr)
	ask(t, question{target: c.chain(), roots: c.roots(), use: "clientAuth", name: "payment.default", trusted: true})
}

// TestOthersReadEncryptedKeys: a CA key under a passphrase opens with OpenSSL and
// GnuTLS, with that passphrase only.
func TestOthersReadEncryptedKeys(t *testing.T) {
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	writeFile(t, passphrase, "correct horse\n")
	m := newMesh(t, "--passphrase-file", passphrase)
	c := m.issue("payment", "--passphrase-file", passphrase)
	key := filepath.Join(m.dir, "keys", "issuing.key")
	openssl := program(t, "openssl")

	issuing := save(t, certificates(t, c.chain())[1])
	inCert := succeed(t, openssl, "x509", "-in", issuing, "-noout", "-pubkey")
	if inKey := succeed(t, openssl, "pkey", "-in", key, "-passin", "file:"+passphrase, "-pubout"); inCert != inKey {
		t.Errorf("keys/issuing.key is not the issuing CA's key:\n%s%s", inCert, inKey)
	}
	succeed(t, program(t, "certtool"), "--key-info", "--infile", key, "--password", "correct horse")
	for _, try := range []answer{
		run(t, openssl, "pkey", "-in", key, "-passin", "pass:wrong", "-noout"),
		m.run("issue", "--service", "account"),
	} {
		if try.code == 0 {
			t.Errorf("a key that needs no passphrase: %s", try)
		}
	}
}
