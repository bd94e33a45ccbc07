package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// benchOrder is what one `meshpki issue` orders by default.
func benchOrder(b *testing.B) issue.Order {
	b.Helper()
	profile, err := ca.ProfileByName("")
	if err != nil {
		b.Fatal(err)
	}
	id, err := ca.NewIdentity(ca.Names{Subject: ca.CommonNameOnly("payment"), URI: []string{"spiffe://cluster.local/ns/default/sa/payment"},
		DNS: []string{"payment.default", "payment.default.svc", "payment.default.svc.cluster.local", "payment"}})
	if err != nil {
		b.Fatal(err)
	}
	return issue.Order{Service: "payment", Namespace: "default", Identity: id, Profile: profile, KeyType: ca.ECP256,
		Validity: ca.Validity{NotAfter: start.Add(24 * time.Hour)}}
}

// benchDirectory is a directory with its issuer, on the disk of temporary files.
func benchDirectory(b *testing.B) (*Directory, *ca.Issuer) {
	b.Helper()
	d, err := Init(b.Context(), filepath.Join(b.TempDir(), "pki"), initOptions())
	if err != nil {
		b.Fatal(err)
	}
	i, err := d.Issuer("", KeySource{})
	if err != nil {
		b.Fatal(err)
	}
	return d, i
}

// ratio reports how many times as long one takes as the other: the median over
// pairs of runs that take turns, so that what else the machine does strikes both.
func ratio(b *testing.B, unit string, turns int, ours, theirs func()) {
	b.Helper()
	const pairs = 9
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
		var ratios, one, other []float64
		for range pairs {
			o, t := timed(ours), timed(theirs)
			ratios, one, other = append(ratios, o/t), append(one, o), append(other, t)
		}
		slices.Sort(ratios)
		slices.Sort(one)
		slices.Sort(other)
		b.ReportMetric(ratios[pairs/2], unit)
		b.ReportMetric(one[pairs/2]/float64(turns)*1e6, "µs/ours")
		b.ReportMetric(other[pairs/2]/float64(turns)*1e6, "µs/theirs")
	}
	b.ReportMetric(0, "ns/op")
}

// issuing gives one turn of what `meshpki issue` does: a key, a request, the
// certificate, and its files in a place of its own.
func issuing(b *testing.B, d *Directory, i *ca.Issuer, deliver bool) func() {
	b.Helper()
	order := benchOrder(b)
	return func() {
		c, err := issue.Obtain(b.Context(), i, order, start)
		if err != nil {
			b.Fatal(err)
		}
		if !deliver {
			return
		}
		set := issue.Set{Files: issue.Files{"tls.crt": {Data: c.Leaf().Raw}, "tls.key": {Data: make([]byte, 240), Secret: true}, "ca.crt": {Data: make([]byte, 700)}}}
		if _, err := NewStore(d.ServicePath("default", "p"+ca.FormatSerial(c.Leaf().SerialNumber))).Save(b.Context(), set, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// remembered is a ledger that is gone with its process.
type remembered struct {
	mu  sync.Mutex
	all []ca.Entry
}

func (r *remembered) Record(_ context.Context, e ca.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, e)
	return nil
}

func (r *remembered) Entries(context.Context) iter.Seq2[ca.Entry, error] {
	return func(func(ca.Entry, error) bool) {}
}

func (r *remembered) Revoked(context.Context) (none ca.Revoked, err error) { return none, nil }

// BenchmarkLedgerCost is an issue with this ledger to one with a ledger that only
// remembers: with its files written, as the command does, and without.
func BenchmarkLedgerCost(b *testing.B) {
	for name, deliver := range map[string]bool{"issue": true, "signature": false} {
		b.Run(name, func(b *testing.B) {
			d, with := benchDirectory(b)
			other, without := benchDirectory(b)
			without.Ledger = &remembered{}
			ratio(b, name+"/without", 40, issuing(b, d, with, deliver), issuing(b, other, without, deliver))
		})
	}
}

// BenchmarkCrowd is the rate of 64 that issue at the same time to the rate of one.
func BenchmarkCrowd(b *testing.B) {
	const crowd, each = 64, 4
	d, i := benchDirectory(b)
	one := issuing(b, d, i, false)
	ratio(b, "one/crowd", 1, func() {
		for range crowd * each {
			one()
		}
	}, func() {
		var all sync.WaitGroup
		for range crowd {
			all.Go(func() {
				turn := issuing(b, d, i, false)
				for range each {
					turn()
				}
			})
		}
		all.Wait()
	})
}

// million is a ledger with as many certificates as a large mesh issues in years.
const million = 1_000_000

func fillMillion(b *testing.B, l *Ledger) {
	b.Helper()
	w, err := l.open()
	if err != nil {
		b.Fatal(err)
	}
	certificate := bytes.Repeat([]byte{7}, 560)
	for at := 0; at < million; {
		batch := make([][]byte, 0, 10_000)
		for range cap(batch) {
			e := entry(0)
			e.Serial, e.Certificate = fmt.Sprintf("%032x", at), certificate
			data, err := json.Marshal(e)
			if err != nil {
				b.Fatal(err)
			}
			batch = append(batch, data)
			at++
		}
		if _, err := w.Append(batch, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMillion is what a ledger of a million entries costs: its verification to
// the bare hashing of its entries, an issue in its directory to one in a new
// directory, and how long a proof and a revocation take.
func BenchmarkMillion(b *testing.B) {
	d, i := benchDirectory(b)
	fillMillion(b, d.Ledger())
	if _, err := again(d.Ledger()).Revoked(b.Context()); err != nil { // makes the index
		b.Fatal(err)
	}
	b.Run("verify", func(b *testing.B) { benchVerify(b, d) })
	b.Run("open and issue", func(b *testing.B) {
		other, j := benchDirectory(b)
		for range 100 {
			issuing(b, other, j, false)()
		}
		// Each turn opens the directory anew, as a process would.
		turn := func(d *Directory) func() {
			return func() {
				fresh, err := Open(d.Path(), clock)
				if err != nil {
					b.Fatal(err)
				}
				i, err := fresh.Issuer("", KeySource{})
				if err != nil {
					b.Fatal(err)
				}
				issuing(b, fresh, i, true)()
			}
		}
		ratio(b, "million/new", 10, turn(d), turn(other))
	})
	b.Run("prove", func(b *testing.B) {
		if _, _, err := d.Ledger().Prove(b.Context(), fmt.Sprintf("%032x", 1)); err != nil { // makes the index
			b.Fatal(err)
		}
		for n := 0; b.Loop(); n++ {
			if _, _, err := d.Ledger().Prove(b.Context(), fmt.Sprintf("%032x", n*997%million)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("revoke", func(b *testing.B) {
		c, err := issue.Obtain(b.Context(), i, benchOrder(b), start)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Revoke(b.Context(), c.Leaf().SerialNumber, ca.Superseded); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := d.Revoke(b.Context(), c.Leaf().SerialNumber, ca.Superseded); !errors.Is(err, ca.ErrRevoked) {
				b.Fatal(err)
			}
		}
	})
}

// benchVerify: what is hashed for comparison is one bundle of the entries again and
// again, which lies in the processor's cache.
func benchVerify(b *testing.B, d *Directory) {
	tree, err := d.Ledger().tree()
	if err != nil {
		b.Fatal(err)
	}
	var bundle [][]byte
	for e, err := range tree.Entries(b.Context(), 256*1000) {
		if err != nil {
			b.Fatal(err)
		}
		if bundle = append(bundle, bytes.Clone(e)); len(bundle) == 256 {
			break
		}
	}
	wanted := [][]byte{[]byte("of nobody")}
	ratio(b, "verify/hash", 1, func() {
		v, err := d.Ledger().Verify(context.Background(), wanted)
		if err != nil || len(v.Damage) > 0 || len(v.Missing) != 1 {
			b.Fatal(v.Damage, err)
		}
	}, func() {
		for n := range million {
			tlog.RecordHash(bundle[n%256])
		}
	})
}
