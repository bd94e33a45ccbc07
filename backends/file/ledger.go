package file

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// Ledger is the record of everything signed: a file of JSON lines, each with its
// own SHA-256 and that of the line before it, so that a line that was changed,
// moved or taken out shows. Lines cut off at the end do not, nor does a file that
// somebody has written anew. An entry is appended under a lock and synced before
// Record returns. Safe for concurrent use, by processes too.
type Ledger struct {
	path  string // of the entries
	cache string // of the revocation index, which can be rebuilt
}

var (
	_ ca.Ledger = (*Ledger)(nil)
	_ ca.Sifter = (*Ledger)(nil)
)

const (
	entriesName = "entries.jsonl"
	indexName   = "revoked.json"
	// maxLine bounds one entry: a certificate of several hundred names fits.
	maxLine = 1 << 20
	// indexAfter is how many bytes of the ledger may be unread by the index before it
	// is written anew.
	indexAfter = 64 << 10
)

// Problems of a line: the first is that of a last one without its line feed.
const (
	unfinishedLine = "the last entry is unfinished: its writer did not come to the end, and released nothing for it"
	changedLine    = "this entry is not what was written"
)

// NewLedger is the ledger in a state directory. Nothing is opened yet.
func NewLedger(dir string) *Ledger {
	return &Ledger{path: filepath.Join(dir, "log", entriesName), cache: filepath.Join(dir, "cache", indexName)}
}

// line is an entry as it stands in the file, but for its own sum, which is its
// last field: see seal.
type line struct {
	Previous string `json:"previous"` // the sum of the line before; empty for the first
	ca.Entry
}

// What stands before and behind a line's sum, and how long they are together.
const (
	sumBefore = `,"sum":"`
	sumBehind = `"}`
	sumLength = len(sumBefore) + 2*sha256.Size + len(sumBehind)
)

// seal ends a line, a JSON object, with the SHA-256 of all that stands before the sum.
func seal(object []byte) []byte {
	open := object[:len(object)-1]
	sum := sha256.Sum256(open)
	return append(hex.AppendEncode(append(open, sumBefore...), sum[:]), sumBehind...)
}

// sumOf gives the sum of a line without its line feed; ok tells whether it is right.
func sumOf(raw []byte) (sum string, ok bool) {
	n := len(raw) - sumLength
	if n < 0 {
		return "", false
	}
	s := sha256.Sum256(raw[:n])
	sum = hex.EncodeToString(s[:])
	return sum, string(raw[n:]) == sumBefore+sum+sumBehind
}

// LedgerError says where a ledger is not what was written.
type LedgerError struct {
	Path    string
	Line    int
	Problem string
}

func (e *LedgerError) Error() string { return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Problem) }

// Record appends an entry.
func (l *Ledger) Record(ctx context.Context, e ca.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	lock, err := durable.AcquireFile(ctx, f)
	if err != nil {
		return err
	}
	defer lock.Release()
	end, previous, err := tail(f)
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	data, err := json.Marshal(line{previous, e})
	if err != nil {
		return err
	}
	if data = seal(data); len(data) >= maxLine {
		return fmt.Errorf("%s: an entry of %d bytes is too long", l.path, len(data))
	}
	if _, err := f.WriteAt(append(data, '\n'), end); err != nil {
		// What was written in part is taken back; if even that fails, the next writer
		// finds an unfinished line and says so.
		return errors.Join(fmt.Errorf("append to %s: %w", l.path, err), f.Truncate(end))
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", l.path, err), f.Truncate(end))
	}
	if end == 0 {
		return l.syncName()
	}
	return nil
}

// syncName makes the name of a file that is new durable.
func (l *Ledger) syncName() error {
	root, err := os.OpenRoot(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	defer root.Close()
	return durable.SyncDir(root, ".")
}

// errLastEntry says that nothing can be appended: the next entry would vouch for
// a last one that is not what was written.
var errLastEntry = errors.New("the last entry is damaged; meshpki log verify says more")

// tail gives the end of the ledger and the sum of its last line. An unfinished
// line at the end is one whose writer died before it was synced: nothing was
// released for it, and it is written over, unless it is whole but for its line feed.
func tail(f *os.File) (end int64, sum string, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, "", err
	}
	size := info.Size()
	from := max(0, size-2*maxLine)
	for window := int64(8 << 10); ; window *= 8 {
		start := max(from, size-window)
		buf := make([]byte, size-start)
		if _, err := f.ReadAt(buf, start); err != nil && !errors.Is(err, io.EOF) {
			return 0, "", err
		}
		end, last, whole := lastLine(buf, start == 0)
		if !whole {
			if start == from {
				return 0, "", errLastEntry
			}
			continue
		}
		sum, ok := sumOf(last)
		switch {
		case end == 0:
			sum = "" // there is no line yet
		case !ok:
			return 0, "", errLastEntry
		}
		if end == len(buf) {
			return size, sum, nil
		}
		return unfinished(f, start+int64(end), buf[end:], sum)
	}
}

// lastLine finds the last finished line of buf, without its line feed, and where
// it ends. whole is false where its beginning is not in buf; first says that buf
// starts at the start of the file.
func lastLine(buf []byte, first bool) (end int, last []byte, whole bool) {
	end = bytes.LastIndexByte(buf, '\n') + 1
	if end == 0 {
		return 0, nil, first
	}
	start := bytes.LastIndexByte(buf[:end-1], '\n') + 1
	return end, buf[start : end-1], start > 0 || first
}

// unfinished deals with the bytes behind the last line feed, which begin at start;
// previous is the sum of the line before them.
func unfinished(f *os.File, start int64, rest []byte, previous string) (end int64, sum string, err error) {
	var l line
	if sum, ok := sumOf(rest); ok && json.Unmarshal(rest, &l) == nil && l.Previous == previous {
		end = start + int64(len(rest))
		if _, err := f.WriteAt([]byte{'\n'}, end); err != nil {
			return 0, "", err
		}
		return end + 1, sum, nil
	}
	if onceFinished(rest) {
		return 0, "", errLastEntry
	}
	return start, previous, f.Truncate(start)
}

// onceFinished tells whether the bytes behind the last line feed are a line whose
// own line feed has become something else.
func onceFinished(rest []byte) bool {
	_, ok := sumOf(rest[:len(rest)-1])
	return ok
}

// Entries reads the ledger from its first line, and checks each line's tie to the
// one before it. What does not hold is a *LedgerError.
func (l *Ledger) Entries(ctx context.Context) iter.Seq2[ca.Entry, error] {
	return l.entries(ctx, everything)
}

// Sift is Entries for some kinds; of the others nothing but the sums is read.
func (l *Ledger) Sift(ctx context.Context, kinds ...ca.Kind) iter.Seq2[ca.Entry, error] {
	wanted := func(k ca.Kind) bool { return slices.Contains(kinds, k) }
	return func(yield func(ca.Entry, error) bool) {
		for e, err := range l.entries(ctx, wanted) {
			if (err != nil || wanted(e.Kind)) && !yield(e, err) {
				return
			}
		}
	}
}

func (l *Ledger) entries(ctx context.Context, wanted func(ca.Kind) bool) iter.Seq2[ca.Entry, error] {
	return func(yield func(ca.Entry, error) bool) {
		f, err := os.Open(l.path)
		if errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
			return
		}
		if err != nil {
			yield(ca.Entry{}, err)
			return
		}
		defer f.Close()
		size, err := l.settled(ctx)
		if err != nil {
			yield(ca.Entry{}, err)
			return
		}
		for entry, err := range l.scan(ctx, io.LimitReader(f, size), "", 1, wanted) {
			if !yield(entry.Entry, err) || err != nil {
				return
			}
		}
	}
}

// settled is the size of the ledger at a moment when nobody writes to it.
func (l *Ledger) settled(ctx context.Context) (int64, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return 0, err
	}
	lock, err := durable.AcquireFile(ctx, f)
	if err != nil {
		return 0, err
	}
	defer lock.Release()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// scanned is an entry, its sum, and how many bytes its line has.
type scanned struct {
	ca.Entry
	sum    string
	length int64
}

// everything is for a scan that reads each entry.
func everything(ca.Kind) bool { return true }

// scan reads lines; previous is the sum of the line before the first of them.
// Every line's sums are checked; of entries of a kind that is not wanted nothing
// but the kind is read.
func (l *Ledger) scan(ctx context.Context, r io.Reader, previous string, number int, wanted func(ca.Kind) bool) iter.Seq2[scanned, error] {
	return func(yield func(scanned, error) bool) {
		fail := func(problem string) {
			yield(scanned{}, &LedgerError{l.path, number, problem})
		}
		in := bufio.NewReaderSize(r, 64<<10)
		for ; ctx.Err() == nil; number++ {
			raw, err := readLine(in)
			switch {
			case errors.Is(err, io.EOF) && len(raw) == 0:
				return
			case errors.Is(err, io.EOF) && onceFinished(raw):
				fail(changedLine)
				return
			case errors.Is(err, io.EOF):
				fail(unfinishedLine)
				return
			case err != nil:
				fail(err.Error())
				return
			}
			sum, ok := sumOf(raw)
			e, err := readEntry(raw, wanted)
			if !ok || err != nil {
				fail(changedLine)
				return
			}
			if e.Previous != previous {
				fail("this entry does not follow the one before it: something was taken out or moved")
				return
			}
			if !yield(scanned{e.Entry, sum, int64(len(raw)) + 1}, nil) {
				return
			}
			previous = sum
		}
		if err := ctx.Err(); err != nil {
			yield(scanned{}, err)
		}
	}
}

// readEntry reads a line, or of one that is not wanted the beginning alone: the
// sum that it follows and its kind, as seal's caller writes them.
func readEntry(raw []byte, wanted func(ca.Kind) bool) (line, error) {
	const first, second = `{"previous":"`, `","kind":"`
	var e line
	if rest, ok := bytes.CutPrefix(raw, []byte(first)); ok {
		previous, rest, ok1 := bytes.Cut(rest, []byte(second))
		kind, _, ok2 := bytes.Cut(rest, []byte{'"'})
		if ok1 && ok2 && len(previous) <= 2*sha256.Size && !wanted(ca.Kind(kind)) {
			e.Previous, e.Kind = string(previous), ca.Kind(kind)
			return e, nil
		}
	}
	return e, json.Unmarshal(raw, &e)
}

// readLine reads up to a line feed, which it takes off; io.EOF comes with what
// stands behind the last one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(out)+len(part) > maxLine {
			return nil, errors.New("this line is longer than any entry")
		}
		out = append(out, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(out, []byte{'\n'}), err
		}
	}
}
