package inspect_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// at is the moment at which the tests ask.
var at = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// authority is a CA of a test.
type authority struct {
	*x509.Certificate
	key crypto.Signer
}

// change alters what would be made.
type change = func(*x509.Certificate)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var serials = big.NewInt(0x1000)

// sign makes a certificate of the template for a key. issuer nil is self-signed.
func sign(t testing.TB, template *x509.Certificate, pub crypto.PublicKey, issuer *authority) *x509.Certificate {
	t.Helper()
	if template.SerialNumber == nil {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber = n.Add(n, serials)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Certificate, pub, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func caTemplate(name string, pub crypto.PublicKey) *x509.Certificate {
	der, _ := x509.MarshalPKIXPublicKey(pub)
	id := sha1.Sum(der)
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             at.Add(-100 * day),
		NotAfter:              at.Add(1000 * day),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            -1,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId:          id[:],
	}
}

// newRoot makes a self-signed CA.
func newRoot(t testing.TB, name string, changes ...change) *authority {
	t.Helper()
	key := newKey(t)
	template := caTemplate(name, key.Public())
	for _, c := range changes {
		c(template)
	}
	self := &authority{template, key}
	return &authority{sign(t, template, key.Public(), self), key}
}

// intermediate makes a CA below a.
func (a *authority) intermediate(t testing.TB, name string, changes ...change) *authority {
	t.Helper()
	key := newKey(t)
	template := caTemplate(name, key.Public())
	for _, c := range changes {
		c(template)
	}
	return &authority{sign(t, template, key.Public(), a), key}
}

// leaf makes a leaf that is an X509-SVID, unless it is changed.
func (a *authority) leaf(t testing.TB, changes ...change) *x509.Certificate {
	t.Helper()
	return a.leafFor(t, newKey(t).Public(), changes...)
}

func (a *authority) leafFor(t testing.TB, pub crypto.PublicKey, changes ...change) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "payment"},
		NotBefore:             at.Add(-10 * day),
		NotAfter:              at.Add(20 * day),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"payment.prod", "payment.prod.svc"},
		URIs:                  []*url.URL{uri("spiffe://cluster.local/ns/prod/sa/payment")},
	}
	for _, c := range changes {
		c(template)
	}
	return sign(t, template, pub, a)
}

func uri(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// reparse gives a certificate whose DER was altered.
func reparse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expired and future move a certificate out of date.
func expired(c *x509.Certificate) { c.NotAfter = at.Add(-3 * day) }
func future(c *x509.Certificate)  { c.NotBefore = at.Add(2 * time.Hour) }

func certs(list ...*x509.Certificate) []*x509.Certificate { return list }
