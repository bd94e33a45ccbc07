package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
)

// TestWeakKeys: requests with keys that must not be certified, as OpenSSL makes
// them. None of them gets as far as the key of the CA.
func TestWeakKeys(t *testing.T) {
	for name, c := range map[string]struct {
		csr, what string // what the refusal names; "" where the key is not even read
	}{
		"RSA 1024":        {csrRSA1024, "an RSA key of 1024 bits"},
		"RSA 2047":        {csrRSA2047, "an RSA key of 2047 bits"},
		"exponent 3":      {csrExponent3, "an RSA key with exponent 3"},
		"exponent 65535":  {csrExponent65535, "an RSA key with exponent 65535"},
		"P-224":           {csrP224, "an EC key on P-224"},
		"DSA":             {csrDSA, "a key of an unknown kind"},
		"Ed448":           {csrEd448, "a key of an unknown kind"},
		"secp256k1":       {csrSecp256k1, ""},
		"brainpoolP256r1": {csrBrainpool, ""},
	} {
		issuer := newIssuer(t)
		req := workload(t)
		req.CSR = csrPEM(c.csr)
		chain, err := issuer.Issue(t.Context(), req)
		if err == nil || chain != nil || signed(issuer) > 0 {
			t.Errorf("%s is certified: %v", name, err)
			continue
		}
		if c.what != "" {
			if r := refusal(t, name, err); r.What != c.what {
				t.Errorf("%s: %v", name, err)
			}
		}
		readsWell(t, err)
	}
}

func TestGoodRequests(t *testing.T) {
	for name, text := range map[string]string{"P-256": csrGood, "P-521": csrP521} {
		issuer := newIssuer(t)
		req := workload(t)
		req.CSR = csrPEM(text)
		chain, err := issuer.Issue(t.Context(), req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkLeaf(t, issuer, chain, req, must(x509.ParseCertificateRequest(req.CSR)).PublicKey)
	}
}

// TestCheckKey is the table of sizes at their edges.
func TestCheckKey(t *testing.T) {
	n := func(bits int) *big.Int { return new(big.Int).SetBit(big.NewInt(1), bits-1, 1) }
	for name, c := range map[string]struct {
		key  crypto.PublicKey
		good bool
	}{
		"RSA 2047":    {&rsa.PublicKey{N: n(2047), E: 65537}, false},
		"RSA 2048":    {&rsa.PublicKey{N: n(2048), E: 65537}, true},
		"RSA 8192":    {&rsa.PublicKey{N: n(8192), E: 65537}, true},
		"RSA 8193":    {&rsa.PublicKey{N: n(8193), E: 65537}, false},
		"exponent 1":  {&rsa.PublicKey{N: n(2048), E: 1}, false},
		"exponent 0":  {&rsa.PublicKey{N: n(2048), E: 0}, false},
		"exponent -1": {&rsa.PublicKey{N: n(2048), E: -65537}, false},
		"65535":       {&rsa.PublicKey{N: n(2048), E: 65535}, false},
		"65538, even": {&rsa.PublicKey{N: n(2048), E: 65538}, false},
		"65539":       {&rsa.PublicKey{N: n(2048), E: 65539}, true},
		"P-224":       {must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).Public(), false},
		"P-521":       {must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)).Public(), true},
		"X25519":      {must(ecdh.X25519().GenerateKey(rand.Reader)).Public(), false},
		"nothing":     {nil, false},
		"something":   {"a key", false},
		"by value":    {rsa.PublicKey{N: n(2048), E: 65537}, false},
		"private key": {key(t, ECP256), false},
	} {
		err := CheckKey(c.key)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			refusal(t, name, err)
		}
	}
}

// TestPossession: a request must be signed by the key that it is about.
func TestPossession(t *testing.T) {
	good := csrPEM(csrGood)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	stolen := swapKey(t, good)
	changed := bytes.Replace(bytes.Clone(good), []byte("prime256v1"), []byte("prime256v2"), 1) // its subject
	if bytes.Equal(changed, good) {
		t.Fatal("the fixture has another subject now")
	}
	for name, der := range map[string][]byte{"flipped bit": flipped, "another's key": stolen, "another subject": changed} {
		csr, err := ParseCSR(der)
		if csr != nil {
			t.Errorf("%s is believed", name)
		}
		if r := refusal(t, name, err); !strings.Contains(r.Why, "signature") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseCSR(csrPEM(csrSHA1)); err != nil {
		t.Logf("a request signed with SHA-1 is refused, which is as well: %v", err)
	}
}

// swapKey puts another key of the same kind into a request, and leaves its signature.
func swapKey(t *testing.T, der []byte) []byte {
	t.Helper()
	old := must(x509.ParseCertificateRequest(der)).RawSubjectPublicKeyInfo
	fresh := must(x509.MarshalPKIXPublicKey(must(NewKey(ECP256)).Public()))
	if len(old) != len(fresh) {
		t.Fatalf("keys of %d and %d bytes", len(old), len(fresh))
	}
	return bytes.Replace(bytes.Clone(der), old, fresh, 1)
}

func TestMalformedRequests(t *testing.T) {
	good := csrPEM(csrGood)
	for name, der := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "cut": good[:len(good)-1], "more behind": append(bytes.Clone(good), 0),
		"a certificate": newRoot(t, rootSpec()).Certificate.Raw, "PEM": []byte(csrGood), "zeros": make([]byte, 1<<16),
	} {
		csr, err := ParseCSR(der)
		if err == nil || csr != nil {
			t.Errorf("%s is a request", name)
		}
		readsWell(t, err)
	}
}

// TestWishesAreIgnored: of what a request says about names, usages and being a CA
// nothing gets into the certificate.
func TestWishesAreIgnored(t *testing.T) {
	issuer := newIssuer(t)
	req := workload(t)
	req.CSR = csrPEM(csrWish)
	chain, err := issuer.Issue(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	checkLeaf(t, issuer, chain, req, must(x509.ParseCertificateRequest(req.CSR)).PublicKey)
	if bytes.Contains(chain.Leaf().Raw, []byte("evil")) || bytes.Contains(chain.Leaf().Raw, []byte{6, 6, 6, 6}) {
		t.Error("something of the request's wishes is in the certificate")
	}
}

func FuzzParseCSR(f *testing.F) {
	for _, text := range []string{csrGood, csrP521, csrSHA1, csrWish, csrRSA1024, csrExponent3, csrP224, csrSecp256k1, csrDSA, csrEd448} {
		f.Add(csrPEM(text))
	}
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := ParseCSR(der)
		if (csr == nil) == (err == nil) {
			t.Fatalf("%v beside %v", csr, err)
		}
		if err != nil {
			return
		}
		if CheckKey(csr.PublicKey) != nil || csr.CheckSignature() != nil {
			t.Fatal("a weak key, or one not proven, is taken")
		}
		if _, err := keyID(csr.RawSubjectPublicKeyInfo); err != nil {
			t.Fatalf("no identifier of a good key: %v", err)
		}
	})
}
