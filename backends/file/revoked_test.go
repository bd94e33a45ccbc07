package file

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshpki/meshpki/ca"
)

// fill writes a ledger of n entries, each with a certificate of size bytes, faster
// than Record would.
func fill(t testing.TB, l *Ledger, n, size int) {
	t.Helper()
	var out bytes.Buffer
	previous := ""
	for i := range n {
		e := entry(i)
		if e.Kind == ca.KindLeaf {
			e.Certificate = bytes.Repeat([]byte{byte(i)}, size)
		}
		data, err := json.Marshal(line{previous, e})
		if err != nil {
			t.Fatal(err)
		}
		data = seal(data)
		previous, _ = sumOf(data)
		out.Write(append(data, '\n'))
	}
	write(t, l.path, out.Bytes())
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

// The index is made once there is enough to read, used from then on, and made
// anew wherever it does not fit.
func TestRevocationIndex(t *testing.T) {
	const many, size = 400, 1500 // some 800 kB
	l := newLedger(t)
	fill(t, l, 20, size)
	wantRevoked(t, l, 20)
	if _, err := os.Stat(l.cache); err == nil {
		t.Error("an index was made of a few entries")
	}
	fill(t, l, many, size)
	wantRevoked(t, l, many)
	index := read(t, l.cache)
	t.Run("it is used", func(t *testing.T) {
		good := read(t, l.path)
		defer write(t, l.path, good)
		bad := bytes.Clone(good)
		bad[100] ^= 1 // before what the index covers: log verify finds it, issue does not read it
		write(t, l.path, bad)
		wantRevoked(t, l, many)
	})
	t.Run("younger entries are seen beside it", func(t *testing.T) {
		for n := many; n < many+10; n++ {
			if err := l.Record(t.Context(), entry(n)); err != nil {
				t.Fatal(err)
			}
			wantRevoked(t, l, n+1)
		}
		if !bytes.Equal(read(t, l.cache), index) {
			t.Error("it was written anew for a few entries")
		}
	})
	t.Run("taken away", func(t *testing.T) {
		if err := os.Remove(l.cache); err != nil {
			t.Fatal(err)
		}
		wantRevoked(t, l, many+10)
		wantRevoked(t, l, many+10)
	})
	t.Run("an old one", func(t *testing.T) {
		write(t, l.cache, index)
		wantRevoked(t, l, many+10)
	})
	t.Run("a ledger restored from an old copy", func(t *testing.T) {
		fill(t, l, many-7, size)
		wantRevoked(t, l, many-7)
	})
	t.Run("another ledger's", func(t *testing.T) {
		other := newLedger(t)
		fill(t, other, many, size+1)
		wantRevoked(t, other, many)
		write(t, l.cache, read(t, other.cache))
		wantRevoked(t, l, many-7)
	})
	t.Run("none can be written", func(t *testing.T) {
		if err := os.RemoveAll(filepath.Dir(l.cache)); err != nil {
			t.Fatal(err)
		}
		wantRevoked(t, l, many-7)
	})
}

func TestDamagedRevocationIndex(t *testing.T) {
	const many = 300
	l := newLedger(t)
	fill(t, l, many, 1500)
	wantRevoked(t, l, many)
	var good index
	if err := json.Unmarshal(read(t, l.cache), &good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*index){
		"another schema":        func(ix *index) { ix.Schema = "meshpki/revoked/v2" },
		"an offset in a line":   func(ix *index) { ix.Offset-- },
		"an offset before all":  func(ix *index) { ix.Offset = -5 },
		"no offset":             func(ix *index) { ix.Offset = 0 },
		"an offset beyond all":  func(ix *index) { ix.Offset = 1 << 60 },
		"another sum":           func(ix *index) { ix.Last = ix.Last[1:] + "0" },
		"no sum":                func(ix *index) { ix.Last = "" },
		"a sum longer than all": func(ix *index) { ix.Last = string(make([]byte, 1<<20)) },
	} {
		bad := good
		spoil(&bad)
		data, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			write(t, l.cache, data)
			wantRevoked(t, l, many)
		})
	}
	for _, text := range []string{"", "{", "null", "[]", `{"schema":"meshpki/revoked/v1","offset":1e99}`} {
		write(t, l.cache, []byte(text))
		wantRevoked(t, l, many)
	}
}

// An issue costs the same however much was signed before: what the index covers is
// not read.
func TestBigLedger(t *testing.T) {
	const many = 20_000
	l := newLedger(t)
	fill(t, l, many, 300)
	wantRevoked(t, l, many)
	size := len(read(t, l.path))
	// All that the index covers becomes unreadable, but its last line.
	f, err := os.OpenFile(l.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, size-4096), 0); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(t.Context(), entry(many)); err != nil {
		t.Fatal(err)
	}
	wantRevoked(t, l, many+1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Revoked(ctx); err == nil {
		t.Error("revocations were given after the context had ended")
	}
}
