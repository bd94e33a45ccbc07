package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/meshpki/meshpki/ca"
)

// wantFind looks for serial numbers of a ledger that fill has made.
func wantFind(t *testing.T, l *Ledger, entries int) {
	t.Helper()
	for _, n := range []int{0, 1, 2, 255, 256, entries / 2, entries - 7, entries - 1} {
		want := 1
		if n%5 == 4 { // a revocation is no certificate
			want = 0
		}
		found := 0
		for e, err := range l.Find(t.Context(), fmt.Sprintf("5a%06x", n)) {
			if err != nil {
				t.Fatal(err)
			}
			if found++; e.Kind != ca.KindLeaf || e.Serial != entry(n).Serial {
				t.Fatalf("serial number %d led to %+v", n, e)
			}
		}
		if found != want {
			t.Fatalf("serial number %d of %d was found %d times", n, entries, found)
		}
	}
}

// A serial number is found with the index and without, whatever has become of it.
func TestSerials(t *testing.T) {
	const many = 3 * serialsAfter / 2
	l := newLedger(t)
	fill(t, l, 300, 10)
	wantFind(t, l, 300)
	name := l.path(cacheDir, serialsName)
	if _, err := os.Stat(name); err == nil {
		t.Error("an index was made of a few entries")
	}
	fill(t, l, many, 10)
	wantFind(t, again(l), many)
	good := read(t, name)
	fill(t, l, many+100, 10)
	wantFind(t, again(l), many+100)
	if !bytes.Equal(read(t, name), good) {
		t.Error("it was written anew for a few entries")
	}
	other := newLedger(t)
	fill(t, other, many, 11)
	wantFind(t, other, many)
	record := func(data []byte, i int) []byte { return data[serialsStart+i*recordSize:][:recordSize] }
	for what, spoil := range map[string]func(data []byte) []byte{
		"another ledger's": func([]byte) []byte { return read(t, other.path(cacheDir, serialsName)) },
		"empty":            func([]byte) []byte { return nil },
		"cut off":          func(data []byte) []byte { return data[:len(data)-3] },
		"without records":  func(data []byte) []byte { return data[:serialsStart] },
		"of a longer log":  func(data []byte) []byte { binary.BigEndian.PutUint64(data[len(serialsHeader):], 1<<40); return data },
		"of noughts":       func(data []byte) []byte { clear(data[serialsStart:]); return data },
		"leading elsewhere": func(data []byte) []byte {
			for i := range (len(data) - serialsStart) / recordSize {
				binary.BigEndian.PutUint64(record(data, i)[8:], uint64(i))
			}
			return data
		},
		"leading out of it": func(data []byte) []byte {
			for i := range (len(data) - serialsStart) / recordSize {
				binary.BigEndian.PutUint64(record(data, i)[8:], 1<<63)
			}
			return data
		},
		"turned round": func(data []byte) []byte {
			for i, j := 0, (len(data)-serialsStart)/recordSize-1; i < j; i, j = i+1, j-1 {
				a, b := [recordSize]byte(record(data, i)), [recordSize]byte(record(data, j))
				copy(record(data, i), b[:])
				copy(record(data, j), a[:])
			}
			return data
		},
	} {
		t.Run(what, func(t *testing.T) {
			write(t, name, spoil(bytes.Clone(good)))
			wantFind(t, again(l), many+100)
		})
	}
	t.Run("younger ones are taken up", func(t *testing.T) {
		write(t, name, good)
		fill(t, l, many+100+serialsAfter, 10)
		wantFind(t, again(l), many+100+serialsAfter)
		if is := read(t, name); len(is) <= len(good) {
			t.Error("the index has not grown")
		}
		wantFind(t, again(l), many+100+serialsAfter)
	})
	for _, err := range l.Find(t.Context(), "none") {
		t.Errorf("a serial number of nobody was found: %v", err)
	}
	if _, _, err := l.Prove(t.Context(), "none"); !errors.Is(err, ca.ErrUnknownSerial) {
		t.Errorf("error %v", err)
	}
}

// What the index leads past is not read: one certificate of many costs a few files.
func TestSerialsReadLittle(t *testing.T) {
	const many = 20_000
	l := newLedger(t)
	fill(t, l, many, 10)
	wantFind(t, l, many)
	for n := range many / 256 {
		if n != 10000/256 {
			write(t, l.path(logDir, "tile", "entries", fmt.Sprintf("%03d", n)), nil)
		}
	}
	p, proof, err := again(l).Prove(t.Context(), entry(10000).Serial)
	if err != nil || p.Number != 10000 {
		t.Fatalf("number %d, %v", p.Number, err)
	}
	key := read(t, l.path(caDir, logPubName))
	if p, err = CheckProof(proof, key); err != nil || p.Serial != entry(10000).Serial {
		t.Errorf("%+v, %v", p, err)
	}
}
