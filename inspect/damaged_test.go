package inspect_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// shown describes the one object of a source that is malformed, and must be shown.
func shown(t *testing.T, data []byte) inspect.Report {
	t.Helper()
	o := parse(t, data)[0]
	if o.Err == nil || o.Unreadable() {
		t.Fatalf("%v: it is shown: %v", o.Err, !o.Unreadable())
	}
	r := inspect.Describe("test", o, at)
	if r.Error != "" {
		t.Errorf("%q, though it is shown", r.Error)
	}
	return r
}

// TestDamagedRequest: of a request that is refused, what can be read is told.
func TestDamagedRequest(t *testing.T) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "payment"}, ExtraExtensions: []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte{0x30, 9, 0x82, 3, 'a', '.', 'b', 0x87, 2, 1, 2}}}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	r := shown(t, der)
	if q := r.Request; q == nil || q.Subject != "CN=payment" || !slices.Contains(q.DNSNames, "a.b") || q.PublicKey.Type != "ec-p256" || q.SignatureValid {
		t.Errorf("%+v", q)
	}
	if got := rulesOf(r.Findings); !slices.Equal(got, []string{"request-malformed"}) {
		t.Errorf("found %v", got)
	}
}

// TestDamagedCRL: of a CRL that is refused, issuer, times and entries are told.
func TestDamagedCRL(t *testing.T) {
	root := newRoot(t, "Root")
	template := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: at.Add(-day), NextUpdate: at.Add(day), RevokedCertificateEntries: []x509.RevocationListEntry{
		{SerialNumber: big.NewInt(0x1234), RevocationTime: at.Add(-day), ReasonCode: 1}, {SerialNumber: big.NewInt(0x5678), RevocationTime: at.Add(-day)}}}
	der, err := x509.CreateRevocationList(rand.Reader, template, root.Certificate, root.key)
	if err != nil {
		t.Fatal(err)
	}
	number := []byte{0x55, 0x1d, 0x14, 4, 3, 2, 1, 7}
	if bytes.Count(der, number) != 1 {
		t.Fatal("the number is not where it was expected")
	}
	r := shown(t, bytes.Replace(der, number, []byte{0x55, 0x1d, 0x14, 4, 3, 4, 1, 7}, 1)) // the number is no INTEGER
	c := r.CRL
	if c == nil || c.Issuer != "CN=Root" || c.Entries != 2 || c.Revoked[0].Serial != "1234" || c.Revoked[0].Reason != "keyCompromise" || !c.ThisUpdate.Equal(template.ThisUpdate) || c.NextUpdate == nil {
		t.Errorf("%+v", c)
	}
	if got := rulesOf(r.Findings); !slices.Equal(got, []string{"crl-malformed"}) {
		t.Errorf("found %v", got)
	}
}

// TestDamagedOCSP: of a response that is malformed, the answers ahead of that are told.
func TestDamagedOCSP(t *testing.T) {
	single := func(serial, status byte) []byte {
		id := element(t, 0x30, element(t, 0x30, []byte{6, 1, 0x2a}), []byte{4, 1, 1, 4, 1, 1}, []byte{2, 1, serial})
		return element(t, 0x30, id, []byte{status, 0}, element(t, 0x18, []byte("20261130120000Z")))
	}
	data := element(t, 0x30, element(t, 0xa2, []byte{4, 1, 9}), element(t, 0x18, []byte("20261130120000Z")), element(t, 0x30, single(5, 0x80), single(6, 0x85)))
	basic := element(t, 0x30, data, element(t, 0x30, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}), []byte{3, 2, 0, 1})
	der := element(t, 0x30, []byte{10, 1, 0}, element(t, 0xa0, element(t, 0x30, []byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1}, element(t, 4, basic))))
	r := shown(t, der)
	if o := r.OCSP; o == nil || o.Status != "successful" || len(o.Answers) != 1 || o.Answers[0].Serial != "05" || o.Answers[0].Status != "good" {
		t.Errorf("%+v", o)
	}
	if got := rulesOf(r.Findings); !slices.Equal(got, []string{"ocsp-malformed"}) {
		t.Errorf("found %v", got)
	}
	if r := shown(t, element(t, 0x30, []byte{10, 1, 9})); r.OCSP.Status != "unknown" {
		t.Errorf("a status that there is not: %+v", r.OCSP)
	}
}
