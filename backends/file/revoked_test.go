package file

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/meshpki/meshpki/ca"
)

// fill appends entries up to a number of them, each with a certificate of size
// bytes, faster than Record would.
func fill(t testing.TB, l *Ledger, to, size int) {
	t.Helper()
	tree, err := l.tree()
	if err != nil {
		t.Fatal(err)
	}
	from := 0
	if tree != nil {
		from = int(tree.Size)
	}
	w, err := l.open()
	if err != nil {
		t.Fatal(err)
	}
	for from < to {
		var batch [][]byte
		for ; from < to && len(batch) < 5000; from++ {
			e := entry(from)
			if e.Kind == ca.KindLeaf {
				e.Certificate = bytes.Repeat([]byte{byte(from)}, size)
			}
			data, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, data)
		}
		if _, err := w.Append(batch, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// wantRevoked compares what is revoked with what the entries say: every fifth
// entry revokes the one before it.
func wantRevoked(t *testing.T, l *Ledger, entries int) {
	t.Helper()
	r, err := l.Revoked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Len(), entries/5; got != want {
		t.Fatalf("%d of %d entries revoke, want %d", got, entries, want)
	}
	for n := range entries {
		c := &x509.Certificate{AuthorityKeyId: []byte{0xab, 0x12}, SerialNumber: big.NewInt(0x5a000000 + int64(n))}
		if _, found := r.Certificate(c); found != (n%5 == 3 && n+1 < entries) {
			t.Fatalf("certificate %d of %d is revoked: %t", n, entries, found)
		}
		if _, found := r.Key(fmt.Sprintf("%064x", n)); found != (n%5 == 3 && n+1 < entries) {
			t.Fatalf("key %d of %d is compromised: %t", n, entries, found)
		}
	}
}

// again is another handle on a ledger, which knows nothing yet.
func again(l *Ledger) *Ledger { return NewLedger(l.dir) }

// What this process has appended is not read back, and what others have put in
// between is read.
func TestRevokedAfterRecord(t *testing.T) {
	l := newLedger(t)
	fill(t, l, 11, 10)
	record := func(h *Ledger, n int) {
		t.Helper()
		if err := h.Record(t.Context(), entry(n)); err != nil {
			t.Fatal(err)
		}
	}
	h, other := again(l), again(l)
	wantRevoked(t, h, 11)
	record(h, 11)
	record(h, 12)
	bundle := l.path(logDir, "tile", "entries", "000.p", "13")
	good := read(t, bundle)
	bad := bytes.Clone(good)
	bad[len(bad)-10] ^= 1
	write(t, bundle, bad)
	wantRevoked(t, h, 13)
	write(t, bundle, good)
	record(other, 13)
	record(other, 14) // a revocation
	record(h, 15)
	wantRevoked(t, h, 16)
	for n := 16; n < 20; n++ {
		record(h, n)
	}
	wantRevoked(t, h, 20) // with one of its own
}

// The index is made once there is enough to read, used from then on, and made
// anew wherever it does not fit.
func TestRevocationIndex(t *testing.T) {
	const many = 700
	l := newLedger(t)
	cache := l.path(cacheDir, indexName)
	fill(t, l, 20, 10)
	wantRevoked(t, again(l), 20)
	if _, err := os.Stat(cache); err == nil {
		t.Error("an index was made of a few entries")
	}
	fill(t, l, many, 10)
	wantRevoked(t, again(l), many)
	index := read(t, cache)
	t.Run("it is used", func(t *testing.T) {
		name := l.path(logDir, "tile", "entries", "000")
		good := read(t, name)
		defer write(t, name, good)
		bad := bytes.Clone(good)
		bad[100] ^= 1 // before what the index covers: log verify finds it, issue does not read it
		write(t, name, bad)
		wantRevoked(t, again(l), many)
	})
	t.Run("younger entries are seen beside it", func(t *testing.T) {
		h := again(l)
		for n := many; n < many+10; n++ {
			if err := l.Record(t.Context(), entry(n)); err != nil {
				t.Fatal(err)
			}
			wantRevoked(t, h, n+1)
			wantRevoked(t, again(l), n+1)
		}
		if !bytes.Equal(read(t, cache), index) {
			t.Error("it was written anew for a few entries")
		}
	})
	t.Run("taken away", func(t *testing.T) {
		if err := os.Remove(cache); err != nil {
			t.Fatal(err)
		}
		wantRevoked(t, again(l), many+10)
		wantRevoked(t, again(l), many+10)
	})
	t.Run("an old one", func(t *testing.T) {
		write(t, cache, index)
		wantRevoked(t, again(l), many+10)
	})
	t.Run("another ledger's", func(t *testing.T) {
		other := newLedger(t)
		fill(t, other, many, 11)
		wantRevoked(t, other, many)
		write(t, cache, read(t, other.path(cacheDir, indexName)))
		wantRevoked(t, again(l), many+10)
	})
	t.Run("none can be written", func(t *testing.T) {
		if err := os.RemoveAll(l.path(cacheDir)); err != nil {
			t.Fatal(err)
		}
		wantRevoked(t, again(l), many+10)
	})
}

// What is read of an index was signed with the log's key, and is of this log.
func TestDamagedRevocationIndex(t *testing.T) {
	const many = 300
	l := newLedger(t)
	fill(t, l, many, 15)
	cache := l.path(cacheDir, indexName)
	wantRevoked(t, l, many)
	good := string(read(t, cache))
	signer, err := l.signer()
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(good, "\n\n")
	text += "\n"
	lines := strings.SplitAfter(text, "\n")
	sign := func(text string) string {
		data, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if sign(text) != good {
		t.Fatal("the index is not what was thought")
	}
	for name, bad := range map[string]string{
		"one revocation taken out":   strings.Replace(good, lines[7], "", 1),
		"a reason changed":           strings.Replace(good, "keyCompromise", "superseded\t\t\t", 1),
		"not signed":                 text,
		"empty":                      "",
		"cut off":                    good[:len(good)/2],
		"of a later version":         sign(strings.Replace(text, " v1\n", " v2\n", 1)),
		"beyond the log":             sign(strings.Replace(text, "\n300 ", "\n301 ", 1)),
		"before the beginning":       sign(strings.Replace(text, "\n300 ", "\n-1 ", 1)),
		"another size than its root": sign(strings.Replace(text, "\n300 ", "\n299 ", 1)),
		"no revocation":              sign(text + "not JSON\n"),
		"one line":                   sign(lines[0]),
	} {
		t.Run(name, func(t *testing.T) {
			write(t, cache, []byte(bad))
			wantRevoked(t, again(l), many)
		})
	}
}

// An issue costs the same however much was signed before: what the index covers is
// not read.
func TestBigLedger(t *testing.T) {
	const many = 20_000
	l := newLedger(t)
	fill(t, l, many, 30)
	wantRevoked(t, again(l), many)
	// All that the index covers becomes unreadable, but what is at the log's edge.
	for n := range many / 256 {
		write(t, l.path(logDir, "tile", "entries", fmt.Sprintf("%03d", n)), nil)
	}
	h := again(l)
	if err := h.Record(t.Context(), entry(many)); err != nil {
		t.Fatal(err)
	}
	wantRevoked(t, h, many+1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Revoked(ctx); err == nil {
		t.Error("revocations were given after the context had ended")
	}
}
