package issue

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/ca"
)

// A request that is signed here is the one that crypto/x509 would have made.
func TestSignCSR(t *testing.T) {
	id := &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/prod/sa/payment"}
	payment, err := asn1.Marshal(ca.CommonNameOnly("payment"))
	if err != nil {
		t.Fatal(err)
	}
	templates := []*x509.CertificateRequest{
		{RawSubject: []byte{0x30, 0}, URIs: []*url.URL{id}, DNSNames: []string{"payment", "payment.prod.svc"}, IPAddresses: []net.IP{{10, 0, 0, 5}}, EmailAddresses: []string{"a@example.com"}},
		{RawSubject: []byte{0x30, 0}},
		{RawSubject: payment, DNSNames: []string{strings.Repeat("long.", 60) + "example"}, IPAddresses: []net.IP{net.ParseIP("fd00::1"), net.IPv4(10, 0, 0, 6)}},
		{RawSubject: payment, EmailAddresses: []string{"a@example.com", "b@example.com"}},
	}
	for _, kt := range []ca.KeyType{ca.ECP256, ca.ECP384, ca.Ed25519, ca.RSA2048} {
		key, err := NewKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		if algorithm, _ := algorithmOf(key); (algorithm != "") != (kt != ca.RSA2048) {
			t.Errorf("%s: signed here: %q", kt, algorithm)
		}
		for _, template := range templates {
			want, err := x509.CreateCertificateRequest(rand.Reader, template, key)
			if err != nil {
				t.Fatal(err)
			}
			der, err := signCSR(template, key)
			if err != nil {
				t.Fatal(err)
			}
			made, err := x509.ParseCertificateRequest(der)
			if err != nil {
				t.Fatalf("%s: %v", kt, err)
			}
			other, err := x509.ParseCertificateRequest(want)
			if err != nil {
				t.Fatal(err)
			}
			if err := made.CheckSignature(); err != nil {
				t.Errorf("%s: %v", kt, err)
			}
			if !bytes.Equal(made.RawTBSCertificateRequest, other.RawTBSCertificateRequest) || made.SignatureAlgorithm != other.SignatureAlgorithm {
				t.Errorf("%s: another request: %x, want %x", kt, der, want)
			}
			made.RawTBSCertificateRequest[len(made.RawTBSCertificateRequest)-1] ^= 1
			if made.CheckSignature() == nil {
				t.Errorf("%s: its signature is for anything", kt)
			}
		}
	}
}

// A request has its subject as the certificate is to have it, byte for byte.
func TestCSRSubject(t *testing.T) {
	key, err := NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	for _, dn := range []string{"CN=payment", "CN=payment,O=Zürich", "CN=payment,DC=example,DC=com"} {
		subject, err := ca.ParseDN(dn)
		if err != nil {
			t.Fatal(err)
		}
		id, err := ca.NewIdentity(ca.Names{Subject: subject, DNS: []string{"payment"}})
		if err != nil {
			t.Fatal(err)
		}
		der, err := newCSR(key, id)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := id.SubjectDER(); err != nil || !bytes.Equal(csr.RawSubject, want) {
			t.Errorf("%s is asked for as %x, want %x (%v)", dn, csr.RawSubject, want, err)
		}
	}
}

// What crypto/x509 would not make is not made here either.
func TestSignCSRRefuses(t *testing.T) {
	key, err := NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	if der, err := signCSR(&x509.CertificateRequest{DNSNames: []string{"zürich.example"}}, key); err == nil {
		t.Errorf("a name that is no IA5String is in %x", der)
	}
}

// A request is our own where it was made here for a new key, and stays so once it is
// sealed; one that was given, or for a key that was, is not.
func TestOwnRequest(t *testing.T) {
	key, err := NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	given, err := newCSR(key, ca.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		order Order
		own   bool
	}{
		{"new", Order{KeyType: ca.ECP256}, true},
		{"for a key", Order{Key: key}, false},
		{"given", Order{CSR: given}, false},
		{"placed before", Order{CSR: given, Key: key}, false},
	} {
		if req, _, err := c.order.request(); err != nil || req.Own != c.own {
			t.Errorf("%s: own %t, %v", c.what, req.Own, err)
		}
		if err := c.order.Seal(); err != nil {
			t.Fatal(err)
		}
		if req, _, err := c.order.request(); err != nil || req.Own != c.own {
			t.Errorf("%s: once sealed, own %t, %v", c.what, req.Own, err)
		}
	}
}
