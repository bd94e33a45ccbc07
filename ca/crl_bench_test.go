package ca

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"iter"
	"math/big"
	"runtime"
	"slices"
	"testing"
	"time"
)

// endless is a ledger of many revocations, which it makes up as it is read.
type endless struct {
	memory
	count int
	key   string
}

func (l *endless) serial(n int) string {
	return FormatSerial(new(big.Int).Add(big.NewInt(int64(n)), new(big.Int).Lsh(big.NewInt(0x5a), 120)))
}

func (l *endless) Sift(context.Context, ...Kind) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for n := range l.count {
			if !yield(Entry{Kind: KindRevocation, At: now, Serial: l.serial(n), IssuerKey: l.key, Reason: ReasonNames()[n%3], NotAfter: now.Add(day)}, nil) {
				return
			}
		}
	}
}

// BenchmarkCRLToBare reports how many times as long as crypto/x509 alone a list of
// a million entries takes, from the ledger to the signature, and what memory that
// takes beyond what was there.
func BenchmarkCRLToBare(b *testing.B) {
	const entries = 1_000_000
	issuer := newIssuer(b)
	ledger := &endless{count: entries, key: hex.EncodeToString(issuer.Certificate.SubjectKeyId)}
	issuer.Ledger = ledger
	ours := func() {
		crl, err := issuer.CRL(b.Context(), CRLOrder{NextUpdate: now.Add(7 * day)})
		if err != nil || crl.Entries != entries {
			b.Fatal(err)
		}
	}
	list := make([]x509.RevocationListEntry, entries)
	for n := range list {
		serial, _ := new(big.Int).SetString(ledger.serial(n), 16)
		list[n] = x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now, ReasonCode: n % 3}
	}
	bare := func() {
		_, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now,
			NextUpdate: now.Add(day), RevokedCertificateEntries: list}, issuer.Certificate, issuer.Signer)
		if err != nil {
			b.Fatal(err)
		}
	}
	timed := func(turn func()) float64 {
		runtime.GC()
		start := time.Now()
		turn()
		return time.Since(start).Seconds()
	}
	for b.Loop() {
		var ratios []float64
		for range 3 {
			o := timed(ours)
			ratios = append(ratios, o/timed(bare))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[1], "crl/bare")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCRLMemory reports the most memory that is in use while a list of a
// million entries is made.
func BenchmarkCRLMemory(b *testing.B) {
	issuer := newIssuer(b)
	issuer.Ledger = &endless{count: 1_000_000, key: hex.EncodeToString(issuer.Certificate.SubjectKeyId)}
	var most uint64
	for b.Loop() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := issuer.CRL(b.Context(), CRLOrder{NextUpdate: now.Add(7 * day)}); err != nil {
				b.Error(err)
			}
		}()
		for running := true; running; {
			select {
			case <-done:
				running = false
			case <-time.After(10 * time.Millisecond):
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse+m.StackInuse)
		}
	}
	b.ReportMetric(float64(most)/(1<<20), "MiB-in-use")
	b.ReportMetric(0, "ns/op")
}
