package tilelog

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/meshpki/meshpki/internal/durable"
)

// A journal lets an append wait for one write to a file that has its blocks
// already, and not for the names and lengths of the log's own files: those become
// durable later, for many appends together. It is a header, with a checkpoint at
// which all of the log was durable, and a record for each append since: its
// entries, and the checkpoint that covers them.
//
// While the machine runs the journal is written and never read for what it says:
// what one process has written to the log's files the next one sees, synced or not.
// Only after the machine went down without it, which the boot's name in the header
// tells, the log is made of the journal again.
const (
	journalMagic = "meshpki log journal v1\n"
	journalStart = 4 << 10 // where the records begin
	journalSize  = 512 << 10
	journalMost  = 4 << 20 // one that gets full is made larger
	bootSize     = 64
	generation   = 8
)

// position is where a writer goes on in a journal.
type position struct {
	raw    []byte // the checkpoint that the log has there; nil where nothing is known
	cycle  [generation]byte
	base   int64 // how many entries were durable in the log's own files
	offset int64 // of the next record
	size   int64 // of the journal
}

// header is the beginning of a journal.
type header struct {
	boot  string
	cycle [generation]byte
	base  []byte // a checkpoint
}

// encode gives the header's bytes, which end with their SHA-256.
func (h header) encode() ([]byte, error) {
	if len(h.boot) > bootSize || len(h.base) > journalStart/2 {
		return nil, errors.New("the checkpoint is too long for a journal")
	}
	out := append(make([]byte, 0, journalStart), journalMagic...)
	out = append(out, h.boot...)
	out = append(out, make([]byte, bootSize-len(h.boot))...)
	out = append(out, h.cycle[:]...)
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(h.base))), h.base...)
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

var errNoJournal = errors.New("there is no journal, or none that was written to its end")

// parseHeader reads the beginning of a journal.
func parseHeader(data []byte) (header, error) {
	var h header
	fixed := len(journalMagic) + bootSize + generation + 2
	if len(data) < journalStart || string(data[:len(journalMagic)]) != journalMagic {
		return h, errNoJournal
	}
	end := fixed + int(binary.BigEndian.Uint16(data[fixed-2:]))
	if end > journalStart-sha256.Size {
		return h, errNoJournal
	}
	sum := sha256.Sum256(data[:end])
	if !bytes.Equal(sum[:], data[end:end+sha256.Size]) {
		return h, errNoJournal
	}
	h.boot = string(bytes.TrimRight(data[len(journalMagic):][:bootSize], "\x00"))
	copy(h.cycle[:], data[len(journalMagic)+bootSize:])
	h.base = data[fixed:end]
	return h, nil
}

// record is one append: its entries as they stand in a bundle.
type record struct {
	checkpoint []byte
	entries    []byte
}

// encode gives a record's bytes, and behind them a length of nothing: what an
// earlier cycle, or a record that came to nothing, has left there is not read.
func (r record) encode(cycle [generation]byte) []byte {
	n := generation + 2 + len(r.checkpoint) + len(r.entries)
	out := binary.BigEndian.AppendUint32(make([]byte, 0, n+sha256.Size+8), uint32(n))
	out = append(out, cycle[:]...)
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(r.checkpoint))), r.checkpoint...)
	out = append(out, r.entries...)
	sum := sha256.Sum256(out)
	return append(append(out, sum[:]...), 0, 0, 0, 0)
}

// parseRecord reads the record at the beginning of data, and how long it is. Its
// sum is checked where that is wanted. ok is false where there is none.
func parseRecord(data []byte, cycle [generation]byte, check bool) (r record, length int, ok bool) {
	const before = 4 + generation + 2
	if len(data) < before {
		return r, 0, false
	}
	n := int64(binary.BigEndian.Uint32(data))
	if n < generation+2 || n > int64(len(data)-4-sha256.Size) || [generation]byte(data[4:4+generation]) != cycle {
		return r, 0, false
	}
	end := 4 + int(n)
	split := before + int(binary.BigEndian.Uint16(data[before-2:]))
	if split > end {
		return r, 0, false
	}
	if sum := sha256.Sum256(data[:end]); check && !bytes.Equal(sum[:], data[end:end+sha256.Size]) {
		return r, 0, false
	}
	return record{data[before:split], data[split:end]}, end + sha256.Size, true
}

// readJournal reads a journal and its header.
func readJournal(name string) ([]byte, header, error) {
	data, err := readFile(name, journalMost)
	if err != nil {
		return nil, header{}, err
	}
	h, err := parseHeader(data)
	return data, h, err
}

// Interrupted tells whether the machine went down before what the journal has was
// durable in the log's own files, so that a writer has to Recover.
func Interrupted(journal, boot string) (bool, error) {
	f, err := durable.OpenFile(journal, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, journalStart+4)
	if _, err := f.ReadAt(head, 0); err != nil {
		return false, nil // shorter than a header: it was being made
	}
	h, err := parseHeader(head)
	// A header that is not whole is of a journal that has nothing the log has not.
	return err == nil && h.boot != boot, nil
}

// find gives the place in the journal, which is open if there is one, at which the log
// has that checkpoint; ok is false where the journal does not know it, or there is none
// of this boot.
func (w *Writer) find(journal *os.File, checkpoint []byte) (at position, ok bool) {
	if journal == nil {
		return position{}, false
	}
	if w.at.raw != nil && bytes.Equal(w.at.raw, checkpoint) && isIn(journal, w.at.cycle) {
		return w.at, true
	}
	data, h, err := readJournal(w.Journal)
	if err != nil || h.boot != w.Boot {
		return position{}, false
	}
	base, err := parseOwn(h.base, w.Log.Key)
	if err != nil {
		return position{}, false
	}
	at = position{raw: checkpoint, cycle: h.cycle, base: base.Size, offset: journalStart, size: int64(len(data))}
	if bytes.Equal(h.base, checkpoint) {
		return at, true
	}
	for {
		r, length, ok := parseRecord(data[at.offset:], h.cycle, false)
		if !ok {
			return position{}, false
		}
		at.offset += int64(length)
		if bytes.Equal(r.checkpoint, checkpoint) {
			return at, true
		}
	}
}

// isIn tells whether a journal is still in that cycle: another writer may have begun it
// anew, and not come to the append that it did so for.
func isIn(journal *os.File, cycle [generation]byte) bool {
	var is [generation]byte
	_, err := journal.ReadAt(is[:], int64(len(journalMagic)+bootSize))
	return err == nil && is == cycle
}

// take writes a record into the journal, syncs it, and gives the place of the next.
func (at position) take(journal *os.File, r record) (position, error) {
	data := r.encode(at.cycle)
	_, err := journal.WriteAt(data, at.offset)
	if err == nil {
		err = durable.SyncData(journal)
	}
	if err != nil {
		return at, fmt.Errorf("write to the journal: %w", err)
	}
	at.raw, at.offset = r.checkpoint, at.offset+int64(len(data)-4)
	return at, nil
}

// fits tells whether a record would have room.
func (at position) fits(r record) bool {
	return at.offset+int64(len(r.checkpoint)+len(r.entries))+128 <= at.size
}

// restart begins a journal anew, of that size if that is more than the least, at a
// checkpoint that all of the log's own files are durable at. One that cannot be begun is
// taken away: it costs time, not truth.
func (w *Writer) restart(c Checkpoint, size int64) {
	w.at = position{}
	h := header{boot: w.Boot, base: c.Raw}
	_, _ = rand.Read(h.cycle[:]) // it does not fail
	head, err := h.encode()
	if err == nil {
		size = min(max(size, journalSize), journalMost)
		err = w.begin(head, size)
	}
	if err != nil {
		_ = os.Remove(w.Journal)
		return
	}
	w.at = position{raw: c.Raw, cycle: h.cycle, base: c.Size, offset: journalStart, size: size}
}

// begin writes a header, into a file that has all its blocks.
func (w *Writer) begin(head []byte, size int64) error {
	whole := func() error {
		data := make([]byte, size)
		copy(data, head)
		return durable.WriteFile(w.Journal, data, fileMode)
	}
	f, err := durable.OpenFile(w.Journal, os.O_RDWR, 0)
	if err != nil {
		return whole()
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		return errors.Join(f.Close(), whole())
	}
	if err == nil {
		_, err = f.WriteAt(append(head, make([]byte, journalStart+4-len(head))...), 0)
	}
	if err == nil {
		err = durable.SyncData(f)
	}
	return errors.Join(err, f.Close())
}

// Recover makes the log what it was when the machine went down: from the journal,
// unless the log goes further already. Without need it changes nothing.
func (w *Writer) Recover() error {
	if w.Journal == "" {
		return nil
	}
	if cut, err := Interrupted(w.Journal, w.Boot); err != nil || !cut {
		return err
	}
	data, h, err := readJournal(w.Journal)
	if err != nil {
		return err
	}
	w.tail, w.at = tail{}, position{}
	t, last, err := w.replay(data, h)
	if err != nil {
		return err
	}
	present, err := w.Log.Checkpoint()
	if err == nil && present.Size > last.Size {
		// The journal was left behind, by a copy of the directory for one: all that the
		// log has is its own.
		last = present
		if err := w.syncRange(0, last.Size); err != nil {
			return err
		}
	} else if err := w.write(t.pieces, last, true); err != nil {
		return err
	}
	w.restart(last, int64(len(data)))
	return nil
}

// replay gives the pieces that lead from the journal's first checkpoint to its last.
func (w *Writer) replay(data []byte, h header) (plan, Checkpoint, error) {
	damaged := func(format string, args ...any) (plan, Checkpoint, error) {
		return plan{}, Checkpoint{}, &Damage{w.Journal, -1, fmt.Sprintf(format, args...)}
	}
	last, err := parseOwn(h.base, w.Log.Key)
	if err != nil {
		return damaged("its first checkpoint: %v", err)
	}
	was, err := w.loadAt(last)
	if err != nil {
		return plan{}, last, err
	}
	p := plan{tail: was}
	for at := journalStart; ; {
		r, length, ok := parseRecord(data[at:], h.cycle, true)
		if !ok {
			break
		}
		c, err := parseOwn(r.checkpoint, w.Log.Key)
		if err != nil {
			return damaged("a checkpoint in it: %v", err)
		}
		count := c.Size - last.Size
		if count < 0 || count > int64(len(data)) {
			return damaged("%d entries follow %d", c.Size, last.Size)
		}
		entries, end, err := parseBundle(r.entries, int(count))
		if err != nil || end != len(r.entries) {
			return damaged("an append in it has other entries than its checkpoint")
		}
		for _, e := range entries {
			p.add(e)
		}
		if peaksRoot(p.peaks) != c.Root {
			return damaged("its entries do not lead to its checkpoint of %d", c.Size)
		}
		last, at = c, at+length
	}
	p.finish()
	return p, last, nil
}
