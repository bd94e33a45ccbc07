package inspect_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// The peers of these two are what nobody can do without: to decode and parse.

func BenchmarkParseBare(b *testing.B) {
	data := fixture(b, "good-leaf.pem")
	for b.Loop() {
		block, _ := pem.Decode(data)
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	data := fixture(b, "good-leaf.pem")
	for b.Loop() {
		if _, err := inspect.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDescribe(b *testing.B) {
	o := parse(b, fixture(b, "good-leaf.pem"))[0]
	for b.Loop() {
		inspect.Describe("bench", o, at)
	}
}

// BenchmarkVerify is of one leaf with its intermediate; BenchmarkVerifyBare is the
// same by crypto/x509 alone.
func BenchmarkVerify(b *testing.B) {
	leaf, o := benchOptions(b)
	for b.Loop() {
		if r := inspect.Verify("bench", leaf, o); !r.Trusted {
			b.Fatal(r.Findings)
		}
	}
}

func BenchmarkVerifyBare(b *testing.B) {
	leaf, o := benchOptions(b)
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(o.Roots[0])
	between.AddCert(o.Intermediates[0])
	for b.Loop() {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchOptions(b *testing.B) (*x509.Certificate, inspect.Options) {
	certificates := inspect.Certificates(parse(b, bytes.Join([][]byte{fixture(b, "good-chain.pem"), fixture(b, "good-root.pem")}, nil)))
	return certificates[0], inspect.Options{Roots: certificates[2:], Intermediates: certificates[1:2], At: at}
}

// millionCRL is a list of a million revoked certificates, in DER.
func millionCRL(b *testing.B, root *authority) []byte {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: at.Add(-time.Hour), NextUpdate: at.Add(day)}
	for i := range int64(1_000_000) {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(1<<60 + i), RevocationTime: at.Add(-day)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, root.Certificate, root.key)
	if err != nil {
		b.Fatal(err)
	}
	return der
}

// BenchmarkMillion compares what it takes crypto/x509 to parse a list of a million
// entries with what it takes to read it and to ask it about a thousand certificates.
func BenchmarkMillion(b *testing.B) {
	root := newRoot(b, "Root")
	der := millionCRL(b, root)
	leaf := root.leaf(b)
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := x509.ParseRevocationList(der); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read and ask 1000 times", func(b *testing.B) {
		for b.Loop() {
			l, err := inspect.ReadCRL(der)
			if err != nil {
				b.Fatal(err)
			}
			v := inspect.NewVerifier(inspect.Options{Roots: certs(root.Certificate), At: at, CRLs: []*inspect.RevocationList{l}})
			for range 1000 {
				if r := v.Verify("bench", leaf, nil); !r.Trusted {
					b.Fatal(r.Findings)
				}
			}
		}
	})
}
