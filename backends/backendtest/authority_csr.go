package backendtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net/url"
	"slices"
	"testing"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// newCSR makes a request as a subject would.
func newCSR(t *testing.T, key crypto.Signer, id ca.Identity) []byte {
	t.Helper()
	subject, err := asn1.Marshal(id.Subject())
	if err != nil {
		t.Fatal(err)
	}
	return signCSR(t, key, &x509.CertificateRequest{RawSubject: subject, DNSNames: id.DNS(), IPAddresses: id.IPs(),
		EmailAddresses: id.Emails(), URIs: id.URIs()})
}

func signCSR(t *testing.T, key crypto.Signer, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// testWishes hands in a request that asks for more than its order: an authority
// takes the names from the order, or refuses.
func testWishes(t *testing.T, c candidate) {
	caConstraints, err := asn1.Marshal(struct{ IsCA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{
		DNSNames: append(c.identity.DNS(), "admin.example.org"),
		URIs:     []*url.URL{{Scheme: "spiffe", Host: "other.example", Path: "/ns/prod/sa/admin"}},
		Subject:  pkix.Name{CommonName: "admin"},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: caConstraints},
		},
	}
	chain, err := c.open(t).Issue(t.Context(), c.request(t, signCSR(t, c.key, template)))
	if err != nil {
		return
	}
	leaf := chain.Leaf()
	if leaf.IsCA || slices.Contains(leaf.DNSNames, "admin.example.org") || leaf.Subject.CommonName == "admin" ||
		slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.Host == "other.example" }) {
		t.Errorf("it was certified as its CSR wished: CA %t, subject %q, DNS names %q, URIs %q", leaf.IsCA, leaf.Subject, leaf.DNSNames, leaf.URIs)
	}
}

func testWeakKeys(t *testing.T, c candidate) {
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := c.open(t)
	for name, key := range map[string]crypto.Signer{"RSA of 1024 bits": rsa1024, "P-224": p224, "RSA with exponent 3": newExponent3(t)} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, a, c.request(t, newCSR(t, key, c.identity)))
		})
	}
}

// exponent3 is an RSA key of more than 2048 bits with the exponent 3, which today's
// libraries do not make any more.
type exponent3 struct {
	public  rsa.PublicKey
	private *big.Int
}

// newExponent3 takes many small primes, so that it need not look for them long.
func newExponent3(t *testing.T) *exponent3 {
	t.Helper()
	one, three := big.NewInt(1), big.NewInt(3)
	n, phi := big.NewInt(1), big.NewInt(1)
	for n.BitLen() < 2048 {
		p, err := rand.Prime(rand.Reader, 64)
		if err != nil {
			t.Fatal(err)
		}
		less := new(big.Int).Sub(p, one)
		known := new(big.Int).GCD(nil, nil, n, p).Cmp(one) != 0
		if known || new(big.Int).GCD(nil, nil, less, three).Cmp(one) != 0 {
			continue
		}
		n.Mul(n, p)
		phi.Mul(phi, less)
	}
	return &exponent3{rsa.PublicKey{N: n, E: 3}, new(big.Int).ModInverse(three, phi)}
}

func (k *exponent3) Public() crypto.PublicKey { return &k.public }

// Sign is the signature scheme of PKCS #1 with SHA-256 (RFC 8017, Section 8.2.1).
func (k *exponent3) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	sha256Info := []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	out := bytes.Repeat([]byte{0xff}, k.public.Size())
	out[0], out[1] = 0, 1
	end := append(append([]byte{0}, sha256Info...), digest...)
	copy(out[len(out)-len(end):], end)
	s := new(big.Int).Exp(new(big.Int).SetBytes(out), k.private, k.public.N)
	return s.FillBytes(out), nil
}

func testUnproven(t *testing.T, c candidate) {
	a := c.open(t)
	good := newCSR(t, c.key, c.identity)
	t.Run("signature of another request", func(t *testing.T) {
		bad := bytes.Clone(good)
		// The last byte of the signature: the encoding stays as it was.
		bad[len(bad)-1] ^= 0x01
		wantRefusal(t, a, c.request(t, bad))
	})
	t.Run("key of another", func(t *testing.T) {
		other := newKey(t, c.KeyTypes[0])
		bad := bytes.Replace(good, publicKey(t, c.key), publicKey(t, other), 1)
		if bytes.Equal(bad, good) {
			t.Fatal("the key was not found in its request")
		}
		wantRefusal(t, a, c.request(t, bad))
	})
	for name, bad := range map[string][]byte{"nothing": nil, "no DER": []byte("-----BEGIN"), "cut off": good[:len(good)-9],
		"with more behind": append(bytes.Clone(good), 0)} {
		if _, err := a.Issue(t.Context(), c.request(t, bad)); err == nil {
			t.Errorf("a request that is %s was certified", name)
		}
	}
}

// publicKey is a key's SubjectPublicKeyInfo in DER, which has the same length for
// every key of a type.
func publicKey(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func testIdempotent(t *testing.T, c candidate) {
	if !c.Idempotent {
		t.Skip("this authority does not claim it")
	}
	a := c.open(t)
	req := c.request(t, newCSR(t, c.key, c.identity))
	_, _ = rand.Read(req.Token[:])
	const askers = 6
	chains := make([]ca.Chain, askers)
	none(t, guard(askers, func(i int) (err error) {
		chains[i], err = a.Issue(t.Context(), req)
		return err
	}))
	if t.Failed() {
		return
	}
	for i := range chains {
		if !chains[i].Leaf().Equal(chains[0].Leaf()) {
			t.Errorf("one token gave serial numbers %s and %s", ca.FormatSerial(chains[0].Leaf().SerialNumber), ca.FormatSerial(chains[i].Leaf().SerialNumber))
		}
	}
	for _, token := range [][32]byte{{1}, {}, {}} {
		req.Token = token
		chain, err := a.Issue(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(chains, func(other ca.Chain) bool { return other.Leaf().Equal(chain.Leaf()) }) {
			t.Errorf("token %x… gave a certificate that another request had", token[:2])
		}
		chains = append(chains, chain)
	}
}

func testResumed(t *testing.T, c candidate) {
	if !c.Resumes {
		t.Skip("this authority does not claim it")
	}
	a := c.open(t)
	req := c.request(t, newCSR(t, c.key, c.identity))
	_, _ = rand.Read(req.Token[:])
	crash := errors.New("a crash")
	var resume []byte
	calls := 0
	req.Pending = func(r []byte) error {
		calls++
		resume = bytes.Clone(r)
		return crash
	}
	if _, err := a.Issue(t.Context(), req); !errors.Is(err, crash) {
		t.Fatalf("what Pending says does not end the request: error %v", err)
	}
	if calls != 1 || len(resume) == 0 {
		t.Fatalf("Pending was called %d times, with %d bytes", calls, len(resume))
	}
	req.Resume = resume
	req.Pending = func([]byte) error { return nil }
	var first ca.Chain
	for range 2 {
		chain, err := a.Issue(t.Context(), req)
		if err != nil {
			t.Fatalf("resume: %v", err)
		}
		if !pemfile.SamePublicKey(chain.Leaf().PublicKey, c.key.Public()) {
			t.Error("what was resumed is for another key")
		}
		if first != nil && !chain.Leaf().Equal(first.Leaf()) {
			t.Error("resumed twice, it gave two certificates: it was asked more than once")
		}
		first = chain
	}
	req.CSR = newCSR(t, newKey(t, c.KeyTypes[0]), c.identity)
	if chain, err := a.Issue(t.Context(), req); err == nil && chain.Leaf().Equal(first.Leaf()) {
		t.Error("resumed for another key, it gave the certificate of the first")
	}
	req.Resume = []byte("no such order")
	if _, err := a.Issue(t.Context(), req); err == nil {
		t.Error("an order that was never placed was resumed")
	}
}
