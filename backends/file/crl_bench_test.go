package file

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// BenchmarkCRLToBare reports how many times as long a list of a million entries
// takes, with the reading of the whole ledger from the disk and its check against
// the checkpoint, as crypto/x509 alone takes for entries that it is handed.
func BenchmarkCRLToBare(b *testing.B) {
	const bundles, each = 100, 10_000
	d, err := Init(b.Context(), b.TempDir()+"/pki", initOptions())
	if err != nil {
		b.Fatal(err)
	}
	issuer, err := d.Issuer("", KeySource{})
	if err != nil {
		b.Fatal(err)
	}
	w, err := d.Ledger().open()
	if err != nil {
		b.Fatal(err)
	}
	e := ca.Entry{Kind: ca.KindRevocation, At: start, Issuer: "CN=Mesh issuing CA", IssuerKey: hex.EncodeToString(issuer.Certificate.SubjectKeyId),
		Key: strings.Repeat("0f", 32), Service: "payment", Namespace: "prod", Reason: "superseded", NotAfter: start.Add(time.Hour)}
	list := make([]x509.RevocationListEntry, 0, bundles*each)
	for bundle := range bundles {
		var batch [][]byte
		for n := range each {
			e.Serial = fmt.Sprintf("5a%030x", bundle*each+n)
			data, err := json.Marshal(e)
			if err != nil {
				b.Fatal(err)
			}
			batch = append(batch, data)
			serial, _ := new(big.Int).SetString(e.Serial, 16)
			list = append(list, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: start, ReasonCode: int(ca.Superseded)})
		}
		if _, err := w.Append(batch, nil); err != nil {
			b.Fatal(err)
		}
	}
	timed := func(turn func() error) float64 {
		runtime.GC()
		begin := time.Now()
		if err := turn(); err != nil {
			b.Fatal(err)
		}
		return time.Since(begin).Seconds()
	}
	for b.Loop() {
		ours := timed(func() error {
			return d.CRL(b.Context(), "", KeySource{}, ca.CRLOrder{NextUpdate: start.Add(time.Hour)}, func(*ca.CRL) error { return nil })
		})
		bare := timed(func() error {
			_, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: start, NextUpdate: start.Add(time.Hour),
				RevokedCertificateEntries: list}, issuer.Certificate, issuer.Signer)
			return err
		})
		b.ReportMetric(ours/bare, "crl/bare")
	}
	b.ReportMetric(0, "ns/op")
}
