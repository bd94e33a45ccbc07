package inspect_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
)

var update = flag.Bool("update", false, "write the fixtures in testdata/certs anew")

const fixtures = "../testdata/certs"

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fixtures, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFixtures writes the fixtures with -update, and else sees to it that each is
// named by its verdict.
func TestFixtures(t *testing.T) {
	if *update {
		writeFixtures(t)
	}
	entries, err := os.ReadDir(fixtures)
	if err != nil {
		t.Fatal(err)
	}
	roots := inspect.Certificates(parse(t, fixture(t, "good-root.pem")))
	for _, e := range entries {
		verdict, _, _ := bytes.Cut([]byte(e.Name()), []byte("-"))
		objects, err := inspect.Parse(fixture(t, e.Name()))
		readable, good := err == nil, true
		for _, o := range objects {
			readable = readable && o.Err == nil
			r := inspect.Describe(e.Name(), o, at)
			good = good && len(r.Findings) == 0
			if o.Certificate != nil {
				v := inspect.Verify(e.Name(), o.Certificate, inspect.Options{
					Roots: roots, Intermediates: inspect.Certificates(parse(t, fixture(t, "good-intermediate.pem"))), At: at,
				})
				good = good && v.Trusted
			}
		}
		switch string(verdict) {
		case "good":
			if !readable || !good {
				t.Errorf("%s: readable %v, good %v", e.Name(), readable, good)
			}
		case "wrong":
			if !readable || good {
				t.Errorf("%s: readable %v, good %v", e.Name(), readable, good)
			}
		case "corrupt":
			if readable {
				t.Errorf("%s is readable", e.Name())
			}
		default:
			t.Errorf("%s: a fixture's name starts with its verdict", e.Name())
		}
	}
}

func writeFixtures(t *testing.T) {
	root := newRoot(t, "Mesh Root CA")
	issuing := root.intermediate(t, "Mesh issuing CA", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	key := newKey(t)
	leaf := issuing.leafFor(t, key.Public())
	write := func(name string, parts ...[]byte) {
		if err := os.WriteFile(filepath.Join(fixtures, name), bytes.Join(parts, nil), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asPEM := func(list ...*x509.Certificate) []byte { return pemfile.EncodeCertificates(list...) }
	keyPEM, err := pemfile.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := pemfile.EncodeEncryptedKey(key, []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	chain := asPEM(leaf, issuing.Certificate)

	write("good-root.pem", asPEM(root.Certificate))
	write("good-intermediate.pem", asPEM(issuing.Certificate))
	write("good-leaf.pem", asPEM(leaf))
	write("good-leaf.der", leaf.Raw)
	write("good-chain.pem", chain)
	write("good-key.pem", keyPEM)
	write("good-key-encrypted.pem", locked)
	write("good-request.pem", requestPEM(t, key))
	write("good-crl.pem", crlPEM(t, issuing, leaf.SerialNumber))
	write("good-noise.pem", []byte("\xef\xbb\xbfSubject: CN=payment\r\n\r\n"), bytes.ReplaceAll(chain, []byte("\n"), []byte("\r\n")), []byte("# the key\r\n"), keyPEM)
	write("wrong-expired-leaf.pem", asPEM(issuing.leaf(t, expired)))
	write("wrong-control-characters-leaf.pem", asPEM(issuing.leaf(t, hostile)))
	write("wrong-rsa-1024-leaf.pem", asPEM(issuing.leafFor(t, shortRSA())))
	write("wrong-two-uris-leaf.pem", asPEM(issuing.leaf(t, func(c *x509.Certificate) {
		c.URIs = append(c.URIs, uri("spiffe://cluster.local/ns/prod/sa/account"))
	})))
	write("corrupt-truncated.pem", chain[:len(chain)-200])
	write("corrupt-base64.pem", bytes.Replace(asPEM(leaf), []byte("AAAA"), []byte("AAA"), 1)[:300], []byte("*\n-----END CERTIFICATE-----\n"))
	write("corrupt-labels.pem", bytes.Replace(asPEM(leaf), []byte("END CERTIFICATE"), []byte("END PRIVATE KEY"), 1))
	write("corrupt-short.der", leaf.Raw[:len(leaf.Raw)/2])
}

// hostile gives a certificate names that would drive a terminal.
func hostile(c *x509.Certificate) {
	c.Subject = pkix.Name{
		CommonName:   "pay\x1b[31mment\u202egro.lige\u009b2J",
		Organization: []string{"Bell\a, Book\r\n& \u007f <Candle> \u2066"},
	}
	c.DNSNames = []string{"a\x1b]0;title\x07.example", "back\x08space.example"}
	c.URIs = []*url.URL{}
}

// shortRSA is a public key whose private half nobody knows.
func shortRSA() *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 1023)
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(12345)), E: 65537}
}

func requestPEM(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "payment"},
		DNSNames: []string{"payment.prod"},
		URIs:     []*url.URL{uri("spiffe://cluster.local/ns/prod/sa/payment")},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func crlPEM(t testing.TB, issuer *authority, serials ...*big.Int) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: at.Add(-day), NextUpdate: at.Add(6 * day)}
	for i, s := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: s, RevocationTime: at.Add(-2 * day), ReasonCode: 1 + i%5})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, issuer.Certificate, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func parse(t testing.TB, data []byte) []inspect.Object {
	t.Helper()
	objects, err := inspect.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}
