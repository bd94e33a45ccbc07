package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/meshpki/meshpki/backends/file/tilelog"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// The index of serial numbers in cache/ tells at which entries a serial number may
// stand, so that one certificate of a million is found without reading the others.
// It is only a hint: what it leads to is held against the log, and where it leads
// to nothing the log itself is read.
//
// It is a header, the size and root of the tree that it covers, and a record for
// each certificate in order: eight bytes of the serial's SHA-256, and the number.
const (
	serialsName   = "serials"
	serialsHeader = "meshpki serials v1\n"
	serialsStart  = len(serialsHeader) + 8 + sha256.Size
	recordSize    = 16
	// serialsAfter is how many entries may be unread by the index before it is written anew.
	serialsAfter = 4096
)

// spot is where a serial number may stand.
type spot struct{ key, number uint64 }

func serialKey(serial string) uint64 {
	sum := sha256.Sum256([]byte(serial))
	return binary.BigEndian.Uint64(sum[:])
}

// Find gives the entries of the certificates with that serial number, the oldest
// first. Each was held against the checkpoint.
func (l *Ledger) Find(ctx context.Context, serial string) iter.Seq2[ca.Entry, error] {
	return func(yield func(ca.Entry, error) bool) {
		for f, err := range l.find(ctx, serial) {
			if !yield(f.entry, err) || err != nil {
				return
			}
		}
	}
}

// found is an entry that was looked for, and where it stands.
type found struct {
	entry  ca.Entry
	number int64
	tree   *tilelog.Tree
}

func (l *Ledger) find(ctx context.Context, serial string) iter.Seq2[found, error] {
	return func(yield func(found, error) bool) {
		tree, err := l.tree()
		if err = errors.Join(ctx.Err(), err); err != nil {
			yield(found{}, err)
			return
		}
		if tree == nil {
			return
		}
		numbers, err := l.lookUp(ctx, tree, serial)
		if err != nil {
			yield(found{}, err)
			return
		}
		for _, n := range numbers {
			e, err := l.entryAt(tree, n)
			if !yield(found{e, n, tree}, err) || err != nil {
				return
			}
		}
	}
}

func (l *Ledger) entryAt(tree *tilelog.Tree, number int64) (ca.Entry, error) {
	data, err := tree.Entry(number)
	if err != nil {
		return ca.Entry{}, err
	}
	return l.decode(data, number)
}

// lookUp gives the numbers of the entries of a serial number: by the index and what
// is younger, and if that has none, by all there is.
func (l *Ledger) lookUp(ctx context.Context, tree *tilelog.Tree, serial string) ([]int64, error) {
	ix, err := l.openSerials(tree)
	if err != nil {
		ix = &serials{}
	}
	defer ix.close()
	hits, err := ix.look(tree, serial)
	if err != nil {
		ix.close()
		ix, hits = &serials{}, nil
	}
	younger, more, err := l.scanSerials(ctx, tree, ix.size, serial)
	if err != nil {
		return nil, err
	}
	if hits = append(hits, more...); len(hits) == 0 && ix.size > 0 {
		ix.close()
		ix = &serials{}
		if younger, hits, err = l.scanSerials(ctx, tree, 0, serial); err != nil {
			return nil, err
		}
	}
	if tree.Size-ix.size >= serialsAfter {
		l.writeSerials(tree, ix, younger)
	}
	return hits, nil
}

// scanSerials reads the certificates' serial numbers from an entry on, and says
// which entries have the one that is looked for.
func (l *Ledger) scanSerials(ctx context.Context, tree *tilelog.Tree, from int64, serial string) (all []spot, hits []int64, err error) {
	number := from - 1
	for data, err := range tree.Entries(ctx, from) {
		if err != nil {
			return nil, nil, err
		}
		number++
		s, ok := serialOf(data)
		if !ok {
			continue
		}
		all = append(all, spot{serialKey(s), uint64(number)})
		if s == serial {
			hits = append(hits, number)
		}
	}
	return all, hits, nil
}

// serialOf reads a certificate's serial number from the beginning of its entry, as
// Record writes it: kind, time, serial number.
func serialOf(data []byte) (string, bool) {
	if kind, ok := kindOf(data); !ok || kind != ca.KindLeaf && kind != ca.KindCA {
		return "", false
	}
	_, rest, ok := bytes.Cut(data[:min(len(data), 256)], []byte(`,"serial":"`))
	serial, _, closed := bytes.Cut(rest, []byte{'"'})
	return string(serial), ok && closed
}

// serials is an index that is open; the zero value covers nothing.
type serials struct {
	file    *os.File
	size    int64 // of the tree that it covers
	records int
}

func (s *serials) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only read
		s.file = nil
	}
}

// openSerials opens the index, if it is of an earlier state of this tree.
func (l *Ledger) openSerials(tree *tilelog.Tree) (*serials, error) {
	f, err := os.Open(l.path(cacheDir, serialsName))
	if err != nil {
		return nil, err
	}
	s := &serials{file: f}
	if err := s.readHeader(tree); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *serials) readHeader(tree *tilelog.Tree) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, serialsStart)
	if _, err := io.ReadFull(s.file, head); err != nil {
		return err
	}
	size := binary.BigEndian.Uint64(head[len(serialsHeader):])
	length := info.Size() - int64(serialsStart)
	if string(head[:len(serialsHeader)]) != serialsHeader || size > uint64(tree.Size) || length%recordSize != 0 || length/recordSize > int64(size) {
		return errIndex
	}
	s.size, s.records = int64(size), int(length/recordSize)
	if root, err := tree.RootAt(s.size); err != nil || !bytes.Equal(root[:], head[serialsStart-sha256.Size:]) {
		return errIndex
	}
	return nil
}

// at reads one record.
func (s *serials) at(i int) (spot, error) {
	var b [recordSize]byte
	_, err := s.file.ReadAt(b[:], int64(serialsStart+i*recordSize))
	return spot{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}, err
}

// look finds the entries of a serial number by the index. An index that leads to
// other entries is an error.
func (s *serials) look(tree *tilelog.Tree, serial string) ([]int64, error) {
	key := serialKey(serial)
	low, high := 0, s.records
	for low < high {
		middle := (low + high) / 2
		p, err := s.at(middle)
		if err != nil {
			return nil, err
		}
		if p.key < key {
			low = middle + 1
		} else {
			high = middle
		}
	}
	var hits []int64
	for ; low < s.records; low++ {
		p, err := s.at(low)
		if err != nil || p.key != key {
			return hits, err
		}
		if p.number >= uint64(s.size) {
			return nil, errIndex
		}
		data, err := tree.Entry(int64(p.number))
		if err != nil {
			return nil, err
		}
		is, ok := serialOf(data)
		if !ok || serialKey(is) != key {
			return nil, errIndex
		}
		if is == serial {
			hits = append(hits, int64(p.number))
		}
	}
	return hits, nil
}

// writeSerials writes the index anew. A cache that cannot be written costs time,
// not truth.
func (l *Ledger) writeSerials(tree *tilelog.Tree, old *serials, younger []spot) {
	all := make([]spot, 0, old.records+len(younger))
	if old.records > 0 {
		data := make([]byte, old.records*recordSize)
		if _, err := old.file.ReadAt(data, int64(serialsStart)); err != nil {
			return
		}
		for ; len(data) > 0; data = data[recordSize:] {
			all = append(all, spot{binary.BigEndian.Uint64(data), binary.BigEndian.Uint64(data[8:])})
		}
	}
	all = append(all, younger...)
	slices.SortFunc(all, func(a, b spot) int {
		if a.key != b.key {
			if a.key < b.key {
				return -1
			}
			return 1
		}
		return int(int64(a.number) - int64(b.number))
	})
	out := append(make([]byte, 0, serialsStart+len(all)*recordSize), serialsHeader...)
	out = binary.BigEndian.AppendUint64(out, uint64(tree.Size))
	out = append(out, tree.Checkpoint.Root[:]...)
	for _, p := range all {
		out = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(out, p.key), p.number)
	}
	_ = durable.WriteFile(l.path(cacheDir, serialsName), out, publicMode)
}
