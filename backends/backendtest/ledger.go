package backendtest

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// LedgerOptions say what a ledger can do besides what every Ledger must.
type LedgerOptions struct {
	// Reopen gives another handle on the same ledger, as another process would have
	// one. Without it the same handle is used again.
	Reopen func(t *testing.T, l ca.Ledger) ca.Ledger
}

// book is a ledger under test.
type book struct {
	LedgerOptions
	open func(t *testing.T) ca.Ledger
}

// TestLedger holds a ledger against its contract. open gives a new, empty ledger
// each time.
func TestLedger(t *testing.T, open func(t *testing.T) ca.Ledger, o LedgerOptions) {
	if o.Reopen == nil {
		o.Reopen = func(_ *testing.T, l ca.Ledger) ca.Ledger { return l }
	}
	b := book{o, open}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b book)
	}{
		{"an empty ledger has no entries", testEmptyLedger},
		{"entries are kept whole and in order", testRecorded},
		{"what is handed over is copied", testLedgerCopies},
		{"writers at once lose nothing", testManyWriters},
		{"a reader beside a writer sees whole entries", testReaderBeside},
		{"revocations are seen at once, and they alone", testRevocations},
		{"the entries of some kinds are found", testSift},
		{"a reader may stop", testReaderStops},
		{"a context that has ended is honoured", testLedgerCancelled},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
}

// entryNumber is an entry that can be told from others.
func entryNumber(n int) ca.Entry {
	return ca.Entry{Kind: ca.KindLeaf, At: time.Date(2026, 11, 21, 21, 40, n%60, 0, time.UTC),
		Serial: fmt.Sprintf("5a%06x", n), Issuer: "CN=Mesh issuing CA", IssuerKey: "ab12", Service: "payment",
		Namespace: "prod", Key: strings.Repeat("0f", 32), Certificate: []byte{0x30, 0x82, byte(n >> 8), byte(n), 0}}
}

// strange are entries of every kind, with all that their texts may hold.
func strange() []ca.Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	large := entryNumber(1)
	large.Certificate = make([]byte, 40<<10)
	return []ca.Entry{
		{Kind: ca.KindCA, At: at, Serial: "01", Issuer: "CN=A \"root\"\n<&>\x1b[31m \u202e 値", Certificate: []byte("x")},
		{Kind: ca.KindIntent, At: at, Key: "ff", Token: strings.Repeat("9a", 32)},
		large,
		{Kind: ca.KindRevocation, At: at, Serial: "01", IssuerKey: "cd", Reason: ca.Superseded.String(), NotAfter: at.Add(time.Hour)},
		{Kind: ca.KindCRL, At: at, IssuerKey: "cd", NotAfter: at, Number: "1795262400000", SHA256: strings.Repeat("1f", 32)},
		{Kind: "of-a-later-version", At: at, Note: strings.Repeat("long ", 4000)},
		{},
	}
}

func mustRecord(t *testing.T, l ca.Ledger, e ca.Entry) {
	t.Helper()
	if err := l.Record(t.Context(), e); err != nil {
		t.Fatalf("record: %v", err)
	}
}

func readAll(t *testing.T, l ca.Ledger) []ca.Entry {
	t.Helper()
	var all []ca.Entry
	for e, err := range l.Entries(t.Context()) {
		if err != nil {
			t.Fatalf("entry %d: %v", len(all), err)
		}
		all = append(all, e)
	}
	return all
}

// said writes an entry as text, to be compared.
func said(e ca.Entry) string {
	text, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func wantEntries(t *testing.T, l ca.Ledger, want []ca.Entry) {
	t.Helper()
	got := readAll(t, l)
	if len(got) != len(want) {
		t.Errorf("%d entries were read, %d recorded", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if g, w := said(got[i]), said(want[i]); g != w {
			t.Errorf("entry %d:\n read     %.300s\n recorded %.300s", i, g, w)
		}
	}
}

func testEmptyLedger(t *testing.T, b book) {
	l := b.open(t)
	wantEntries(t, l, nil)
	r, err := l.Revoked(t.Context())
	if err != nil || r.Len() != 0 {
		t.Errorf("%d are revoked, error %v", r.Len(), err)
	}
}

func testRecorded(t *testing.T, b book) {
	l := b.open(t)
	var want []ca.Entry
	for n := range 20 {
		want = append(want, entryNumber(n))
	}
	want = append(want, strange()...)
	for i, e := range want {
		// Every other one through a handle that has not seen what was before.
		if i%2 == 1 {
			mustRecord(t, b.Reopen(t, l), e)
		} else {
			mustRecord(t, l, e)
		}
		if got := readAll(t, b.Reopen(t, l)); len(got) != i+1 {
			t.Fatalf("%d entries are to be read after %d were recorded", len(got), i+1)
		}
	}
	wantEntries(t, l, want)
	wantEntries(t, b.Reopen(t, l), want)
}

func testLedgerCopies(t *testing.T, b book) {
	l := b.open(t)
	e := entryNumber(1)
	mustRecord(t, l, e)
	copy(e.Certificate, "spoilt")
	wantEntries(t, l, []ca.Entry{entryNumber(1)})
	copy(readAll(t, l)[0].Certificate, "spoilt")
	wantEntries(t, l, []ca.Entry{entryNumber(1)})
}

func testManyWriters(t *testing.T, b book) {
	const writers, each = 8, 12
	l := b.open(t)
	none(t, guard(writers, func(w int) error {
		h := b.Reopen(t, l)
		for i := range each {
			if err := h.Record(t.Context(), entryNumber(w*each+i)); err != nil {
				return err
			}
		}
		return nil
	}))
	next := map[int]int{}
	for _, e := range readAll(t, b.Reopen(t, l)) {
		var n int
		if _, err := fmt.Sscanf(e.Serial, "5a%06x", &n); err != nil || said(e) != said(entryNumber(n)) {
			t.Fatalf("an entry that nobody recorded: %s", said(e))
		}
		if n%each != next[n/each] {
			t.Fatalf("writer %d's entry %d comes where %d was to come", n/each, n%each, next[n/each])
		}
		next[n/each]++
	}
	for w := range writers {
		if next[w] != each {
			t.Errorf("%d of %d entries of writer %d are there", next[w], each, w)
		}
	}
}

func testReaderBeside(t *testing.T, b book) {
	const entries = 60
	l := b.open(t)
	mustRecord(t, l, entryNumber(0))
	none(t, guard(3, func(i int) error {
		h := b.Reopen(t, l)
		if i == 0 {
			for n := 1; n < entries; n++ {
				if err := h.Record(t.Context(), entryNumber(n)); err != nil {
					return err
				}
			}
			return nil
		}
		for seen := 0; seen < entries; {
			n := 0
			for e, err := range h.Entries(t.Context()) {
				if err != nil {
					return err
				}
				if said(e) != said(entryNumber(n)) {
					return fmt.Errorf("entry %d was read as %s", n, said(e))
				}
				n++
			}
			if n < seen {
				return fmt.Errorf("%d entries were read, then %d", seen, n)
			}
			seen = n
			if _, err := h.Revoked(t.Context()); err != nil {
				return err
			}
		}
		return nil
	}))
}

// certificateNumber is the certificate that entryNumber(n) would be of, as far as
// finding its revocation goes.
func certificateNumber(n int) *x509.Certificate {
	return &x509.Certificate{AuthorityKeyId: []byte{0xab, 0x12}, SerialNumber: big.NewInt(0x5a000000 + int64(n))}
}

func revocation(n int, reason ca.Reason) ca.Entry {
	e := entryNumber(n)
	key := hex.EncodeToString([]byte{byte(n), byte(n >> 8)})
	return ca.Entry{Kind: ca.KindRevocation, At: e.At, Serial: e.Serial, IssuerKey: e.IssuerKey, Key: key, Reason: reason.String()}
}

func testRevocations(t *testing.T, b book) {
	l := b.open(t)
	reader := b.Reopen(t, l)
	for n := range 12 {
		mustRecord(t, l, entryNumber(n))
		if n%3 == 0 {
			reason := ca.Superseded
			if n == 6 {
				reason = ca.KeyCompromise
			}
			mustRecord(t, l, revocation(n, reason))
		}
		r, err := reader.Revoked(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := n/3 + 1; r.Len() != want {
			t.Fatalf("%d are revoked after entry %d, want %d", r.Len(), n, want)
		}
		for c := range n + 1 {
			e, found := r.Certificate(certificateNumber(c))
			if found != (c%3 == 0) || found && e.Kind != ca.KindRevocation {
				t.Fatalf("after entry %d certificate %d is revoked: %t, by %s", n, c, found, said(e))
			}
		}
		if _, found := r.Key(revocation(6, 0).Key); found != (n >= 6) {
			t.Errorf("the compromised key is known after entry %d: %t", n, found)
		}
		if _, found := r.Key(revocation(3, 0).Key); found {
			t.Error("a key that was only superseded is called compromised")
		}
	}
	stranger := certificateNumber(0)
	stranger.AuthorityKeyId = []byte{0xcd}
	if r, err := reader.Revoked(t.Context()); err != nil {
		t.Error(err)
	} else if _, found := r.Certificate(stranger); found {
		t.Error("another issuer's certificate of the same serial number is revoked")
	}
}

func testSift(t *testing.T, b book) {
	l := b.open(t)
	all := strange()
	for _, e := range all {
		mustRecord(t, l, e)
	}
	for _, kinds := range [][]ca.Kind{{ca.KindRevocation, ca.KindCRL}, {ca.KindCA}, {"none-such"}, nil} {
		var want, got []string
		for _, e := range all {
			if slices.Contains(kinds, e.Kind) {
				want = append(want, said(e))
			}
		}
		for e, err := range ca.Sift(t.Context(), b.Reopen(t, l), kinds...) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, said(e))
		}
		if !slices.Equal(got, want) {
			t.Errorf("of the kinds %s it gives\n%s; want\n%s", kinds, got, want)
		}
	}
	for _, err := range ca.Sift(cancelled(t), l, ca.KindCA) {
		wantCancelled(t, "sift", err)
	}
}

func testReaderStops(t *testing.T, b book) {
	l := b.open(t)
	for n := range 5 {
		mustRecord(t, l, entryNumber(n))
	}
	entries := l.Entries(t.Context())
	for range 2 {
		seen := 0
		for _, err := range entries {
			if err != nil {
				t.Fatal(err)
			}
			// Going on after the loop was left would panic here.
			if seen++; seen == 2 {
				break
			}
		}
		if seen != 2 {
			t.Fatalf("%d entries were given", seen)
		}
	}
	mustRecord(t, l, entryNumber(5)) // no lock was left behind
}

func testLedgerCancelled(t *testing.T, b book) {
	l := b.open(t)
	for n := range 3 {
		mustRecord(t, l, entryNumber(n))
	}
	ended := cancelled(t)
	wantCancelled(t, "record", l.Record(ended, entryNumber(3)))
	_, err := l.Revoked(ended)
	wantCancelled(t, "read the revocations", err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, test := range []struct {
		ctx   context.Context
		whole int
	}{{ended, 0}, {ctx, 1}} {
		seen, last := 0, error(nil)
		for _, err := range l.Entries(test.ctx) {
			if last != nil {
				t.Fatal("the reading goes on after an error")
			}
			if last = err; err == nil {
				seen++
				cancel()
			}
		}
		if !errors.Is(last, context.Canceled) || seen != test.whole {
			t.Errorf("%d entries were given after the context had ended, then error %v", seen-test.whole, last)
		}
	}
	if got := readAll(t, b.Reopen(t, l)); len(got) != 3 {
		t.Errorf("%d entries are there after 3 were recorded and one was cancelled", len(got))
	}
}
