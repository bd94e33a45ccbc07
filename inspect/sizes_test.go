package inspect_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// element puts DER into an element of that tag.
func element(t *testing.T, tag byte, der ...[]byte) []byte {
	t.Helper()
	out, err := asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 0x1f), IsCompound: tag&0x20 != 0, Bytes: bytes.Join(der, nil)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSizesBounded: a few bytes that claim to be very many things.
func TestSizesBounded(t *testing.T) {
	signedData := []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2}
	empties := bytes.Repeat([]byte{0x30, 0}, 1<<20)
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"PKCS#7 of a million nothings": {element(t, 0x30, signedData, element(t, 0xa0, element(t, 0x30, []byte{2, 1, 1, 0x31, 0, 0x30, 0}, element(t, 0xa0, empties)))), "more than 25000 objects"},
		"PKCS#7 that is compressed":    {element(t, 0x30, []byte{6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 9, 0xa0, 2, 0x30, 0}), "not unpacked"},
		"a million levels":             {bytes.Repeat([]byte{0x30, 0x80}, 1<<20), "length"},
		"a million blocks":             {bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), 100_000), "more than 25000 objects"},
	} {
		list, err := inspect.Parse(c.data)
		said := ""
		if err != nil {
			said = err.Error()
		} else if last := list[len(list)-1]; last.Err != nil {
			said = last.Err.Error()
		}
		if !strings.Contains(said, c.says) || len(list) > 25_001 {
			t.Errorf("%s: %d objects, %q", name, len(list), said)
		}
	}
}

// TestLargeCRL counts all that a large list revokes, and shows the first of them.
func TestLargeCRL(t *testing.T) {
	root := newRoot(t, "Root")
	const many = 130_000
	template := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: at.Add(-day), NextUpdate: at.Add(day),
		RevokedCertificateEntries: make([]x509.RevocationListEntry, many)}
	for i := range template.RevokedCertificateEntries {
		template.RevokedCertificateEntries[i] = x509.RevocationListEntry{SerialNumber: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 120), big.NewInt(int64(i))), RevocationTime: at.Add(-day)}
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, root.Certificate, root.key)
	if err != nil {
		t.Fatal(err)
	}
	o := parse(t, der)[0]
	if o.CRL == nil || o.CRLEntries != many || len(o.CRL.RevokedCertificateEntries) != 10_000 {
		t.Fatalf("%d of %d entries of %d bytes: %v", len(o.CRL.RevokedCertificateEntries), o.CRLEntries, len(der), o.Err)
	}
	reports := inspect.DescribeAll("x", []inspect.Object{{Kind: inspect.KindCertificate, Index: 1, Certificate: root.Certificate}, o}, at)
	if c := reports[1].CRL; c.Entries != many || c.Number != "7" || c.IssuedByIndex != 1 || len(reports[1].Findings) > 0 {
		t.Errorf("%d entries, number %s, issued by %d, %v", c.Entries, c.Number, c.IssuedByIndex, reports[1].Findings)
	}
	der[len(der)/2] = 0x55 // an entry that is none: the strict reader has the last word
	if o := parse(t, der)[0]; o.CRL != nil && o.CRLEntries != many {
		t.Errorf("%d entries of a list that is corrupt", o.CRLEntries)
	}
}
