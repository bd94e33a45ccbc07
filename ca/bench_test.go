package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"testing"
	"time"
)

// order is what a caller does before it asks: it makes the subject's key and a
// request that states the wanted names.
func order(b *testing.B, id Identity) (csr []byte, pub crypto.PublicKey) {
	b.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	subject, err := asn1.Marshal(id.Subject())
	if err != nil {
		b.Fatal(err)
	}
	csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: subject, DNSNames: id.DNS(), URIs: id.URIs()}, k)
	if err != nil {
		b.Fatal(err)
	}
	return csr, k.Public()
}

// service is the default identity of a service: a SPIFFE ID and four DNS names.
func service() Identity {
	return must(NewIdentity(Names{Subject: CommonNameOnly("payment"), URI: []string{"spiffe://cluster.local/ns/default/sa/payment"},
		DNS: []string{"payment.default", "payment.default.svc", "payment.default.svc.cluster.local", "payment"}}))
}

// issuing gives one turn of Issuer.Issue with its ledger in memory.
func issuing(b *testing.B, issuer *Issuer) func() {
	b.Helper()
	profile := must(ProfileByName("workload"))
	return func() {
		id := service()
		csr, _ := order(b, id)
		chain, err := issuer.Issue(b.Context(), Request{CSR: csr, Identity: id, Profile: profile,
			Validity: Validity{NotAfter: now.Add(profile.Validity()), UpTo: true}, Service: "payment", Namespace: "default"})
		if err != nil || len(chain) != 2 {
			b.Fatal(err)
		}
	}
}

// bare gives one turn of what no authority can do without, for the same leaf: the
// key, the request, its check, and x509.CreateCertificate.
func bare(b *testing.B) func() {
	b.Helper()
	issuer := newIssuer(b)
	id := service()
	req := request(b, must(NewKey(ECP256)))
	req.Identity = id
	template, err := issuer.draft(b.Context(), must(ParseCSR(req.CSR)), req)
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		der, pub := order(b, id)
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			b.Fatal(err)
		}
		if err := csr.CheckSignature(); err != nil {
			b.Fatal(err)
		}
		if _, err := x509.CreateCertificate(rand.Reader, template, issuer.Certificate, pub, issuer.Signer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssue(b *testing.B) {
	turn := issuing(b, newIssuer(b))
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}

// BenchmarkIssueHere is BenchmarkIssue with a key that is at hand, as ca init makes it.
func BenchmarkIssueHere(b *testing.B) {
	turn := issuing(b, here(b, ECP256))
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}

func BenchmarkBare(b *testing.B) {
	turn := bare(b)
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}

// BenchmarkIssueToBare reports how many times as long the one takes as the other,
// for keys that are elsewhere and for those at hand.
func BenchmarkIssueToBare(b *testing.B) {
	b.Run("elsewhere", func(b *testing.B) { toBare(b, newIssuer(b)) })
	b.Run("here", func(b *testing.B) { toBare(b, here(b, ECP256)) })
}

// toBare reports the median over pairs of runs that take turns, so that what else the
// machine does strikes both.
func toBare(b *testing.B, issuer *Issuer) {
	b.Helper()
	const pairs, turns = 25, 100
	ours, theirs := issuing(b, issuer), bare(b)
	timed := func(turn func()) float64 {
		start := time.Now()
		for range turns {
			turn()
		}
		return time.Since(start).Seconds()
	}
	timed(ours)
	timed(theirs)
	for b.Loop() {
		ratios := make([]float64, pairs)
		for i := range ratios {
			if i%2 == 0 {
				o := timed(ours)
				ratios[i] = o / timed(theirs)
			} else {
				t := timed(theirs)
				ratios[i] = timed(ours) / t
			}
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[pairs/2], "issue/bare")
	}
	b.ReportMetric(0, "ns/op")
}
