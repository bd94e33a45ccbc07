package ca

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"testing"
)

// requestAsGeneral holds EncodeRequest against crypto/x509: the same bytes, or an error of both.
func requestAsGeneral(t *testing.T, template *x509.CertificateRequest, pub crypto.PublicKey) {
	t.Helper()
	general, _, wrong := toBeSigned(pub, func(s crypto.Signer) error {
		_, err := x509.CreateCertificateRequest(rand.Reader, template, s)
		return err
	})
	info, err := EncodeRequest(template, pub)
	if (err == nil) != (wrong == nil) {
		t.Fatalf("%v, where crypto/x509 says %v, of %+v", err, wrong, template)
	}
	if err != nil {
		readsWell(t, err)
		return
	}
	if !bytes.Equal(info, general) {
		t.Fatalf("%x\nand not, as crypto/x509 encodes it,\n%x", info, general)
	}
}

// requestFor is a request for the names of a certificate.
func requestFor(c *x509.Certificate) *x509.CertificateRequest {
	return &x509.CertificateRequest{RawSubject: c.RawSubject, DNSNames: c.DNSNames, EmailAddresses: c.EmailAddresses, IPAddresses: c.IPAddresses, URIs: c.URIs}
}

func TestEncodeRequest(t *testing.T) {
	full := requestFor(plainTemplate(newIssuer(t).Certificate))
	nameless, foreign := *full, *full
	nameless.DNSNames, nameless.EmailAddresses, nameless.IPAddresses, nameless.URIs = nil, nil, nil, nil
	foreign.DNSNames = []string{"zürich.example"}
	for _, kt := range KeyTypes() {
		for _, template := range []*x509.CertificateRequest{full, &nameless, &foreign} {
			requestAsGeneral(t, template, key(t, kt).Public())
		}
	}
	if info, err := EncodeRequest(full, "no key"); err == nil {
		t.Errorf("what is no public key is in %x", info)
	}
}
