package file

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file/tilelog"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// Ledger is the record of everything signed: a Merkle log in the layout of C2SP
// tlog-tiles, with a signed checkpoint. An entry is JSON. It is appended under a
// lock, and durable, with the checkpoint that covers it, before Record returns;
// those that wait at the same time share one append. Safe for concurrent use, by
// processes too.
type Ledger struct {
	dir    string // the state directory
	origin string // of a log that is yet to be made
	copyTo string // where a copy of each checkpoint goes; "" is nowhere

	// OpenKey opens the log's key where a key URI names it; it may be nil. It does not
	// change once the ledger is in use.
	OpenKey backends.KeyOpener
	// device is the key of a log that is yet to be made, where it is elsewhere, and
	// deviceURI its name.
	device    crypto.Signer
	deviceURI string

	queue  *durable.Queue[[]byte] // of entries
	writer *tilelog.Writer        // of whoever has the turn there

	seen   seen                         // the revocations read so far
	opened atomic.Pointer[tilelog.Tree] // that was read last, for whoever takes it out
}

var (
	_ ca.Ledger = (*Ledger)(nil)
	_ ca.Sifter = (*Ledger)(nil)
	_ ca.Finder = (*Ledger)(nil)
)

// Names in a state directory that belong to the ledger.
const (
	logName      = "log"
	logKeyName   = logName + ".key" // in keys/
	logURIName   = logName + ".uri" // instead of it, where the key is elsewhere
	logPubName   = logName + ".pub" // in ca/
	firstLedger  = "entries.jsonl"
	spareName    = "checkpoint.spare" // in cache/
	journalName  = "log.journal"
	defaultOwner = "localhost/meshpki"
)

// LedgerError says where a ledger is not what was written.
type LedgerError = tilelog.Damage

// errFirstLedger is for a directory of a version that was never released.
var errFirstLedger = errors.New("this ledger was written before the first release and is not read any more: " +
	"keep the directory, and make a new one with meshpki ca init")

// errEntryLong is for what a bundle of entries cannot hold.
var errEntryLong = fmt.Errorf("an entry of the ledger has %d bytes at the most", tilelog.MaxEntry)

// NewLedger is the ledger in a state directory. Nothing is opened yet.
func NewLedger(dir string) *Ledger {
	return &Ledger{dir: dir, origin: defaultOwner, queue: durable.NewQueue[[]byte]()}
}

// path is a file of the state directory.
func (l *Ledger) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir}, elem...)...)
}

// Record appends an entry.
func (l *Ledger) Record(ctx context.Context, e ca.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := e.JSON()
	if err != nil {
		return err
	}
	if len(data) > tilelog.MaxEntry {
		return fmt.Errorf("%w, and this one would have %d", errEntryLong, len(data))
	}
	return l.queue.Wait(ctx, durable.ConvoyOf(ctx), data, func() error { return l.lead(ctx) })
}

// lead records all that waits, under the log's lock. Its error is one of coming so
// far; what comes of the entries each of them is told.
func (l *Ledger) lead(ctx context.Context) error {
	dir := l.path(logDir)
	lock, err := durable.AcquireDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeDir(dir); err == nil {
			lock, err = durable.AcquireDir(ctx, dir)
		}
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	w, err := l.open()
	if err != nil {
		return err
	}
	if err := l.checkCopy(w.Log); err != nil {
		return err
	}
	const crowd, enough = 8, 192
	alone, convoy := crowd-1, durable.ConvoyOf(ctx)
	if convoy != nil {
		alone = 0 // others come
	}
	convoy.Gather(l.queue.Len, alone, enough)
	entries, answer := l.queue.Take(nil)
	c, err := w.Append(entries, l.opened.Swap(nil))
	if err == nil {
		l.take(w.Before, c, entries)
		err = l.keepCopy(c)
	}
	answer(err)
	return nil
}

// makeDir makes the log's directory in the state directory, if nobody else does.
func makeDir(dir string) error {
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return durable.SyncName(dir)
}

// open gives the log's writer, with its key. The log is made if there is none.
func (l *Ledger) open() (*tilelog.Writer, error) {
	if l.writer != nil {
		return l.writer, nil
	}
	if err := l.checkFirst(); err != nil {
		return nil, err
	}
	signer, err := l.signer()
	if errors.Is(err, fs.ErrNotExist) {
		signer, err = l.make()
	}
	if err != nil {
		return nil, err
	}
	log, err := l.log()
	if err != nil {
		return nil, err
	}
	if log.Key.Name() != signer.Name() || log.Key.KeyHash() != signer.KeyHash() {
		return nil, &LedgerError{Path: l.path(caDir, logPubName), Entry: -1, Problem: "it does not belong to " + l.path(keysDir, logKeyName)}
	}
	if err := os.MkdirAll(l.path(cacheDir), dirMode); err != nil {
		return nil, err
	}
	w := l.journaled(log)
	w.Signer = signer
	if err := w.Recover(); err != nil {
		return nil, err
	}
	l.writer = w
	return w, nil
}

// journaled is a writer of the log with its journal. The authority that is being
// made has none: it is durable as a whole, or not at all.
func (l *Ledger) journaled(log tilelog.Log) *tilelog.Writer {
	w := &tilelog.Writer{Log: log, Spare: l.path(cacheDir, spareName)}
	if filepath.Base(l.dir) != stagingName {
		w.Journal, w.Boot = l.path(journalName), durable.Boot()
	}
	return w
}

// settled gives the log for reading. If the machine went down before all of it was
// durable, it is first made whole.
func (l *Ledger) settled() (tilelog.Log, error) {
	log, err := l.log()
	if err != nil {
		return log, err
	}
	cut, err := tilelog.Interrupted(l.path(journalName), durable.Boot())
	if err != nil || !cut {
		return log, err
	}
	lock, err := durable.AcquireDir(context.Background(), l.path(logDir)) // held for as long as an append takes
	if err != nil {
		return log, err
	}
	defer lock.Release()
	if err := l.journaled(log).Recover(); err != nil {
		return log, fmt.Errorf("finish what the machine's going down has interrupted: %w", err)
	}
	return log, nil
}

// checkFirst refuses a directory with a ledger of the first form.
func (l *Ledger) checkFirst() error {
	name := l.path(logDir, firstLedger)
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("%s: %w", name, errFirstLedger)
	}
	return nil
}

// log gives the log and the key that its checkpoints are verified with.
func (l *Ledger) log() (tilelog.Log, error) {
	name := l.path(caDir, logPubName)
	data, err := os.ReadFile(name)
	if err != nil {
		return tilelog.Log{}, err
	}
	key, err := ParseLogKey(data)
	if err != nil {
		return tilelog.Log{}, &LedgerError{Path: name, Entry: -1, Problem: err.Error()}
	}
	return tilelog.Log{Dir: l.path(logDir), Key: key}, nil
}

// tree gives the log as its newest checkpoint has it; nil where there is no log yet.
func (l *Ledger) tree() (*tilelog.Tree, error) {
	if err := l.checkFirst(); err != nil {
		return nil, err
	}
	log, err := l.settled()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, l.checkAbsent()
	}
	if err != nil {
		return nil, err
	}
	return newest(log)
}

// newest opens a log at its newest checkpoint. A tile at its edge that is gone may
// have become a wider one, of a newer checkpoint.
func newest(log tilelog.Log) (*tilelog.Tree, error) {
	c, err := log.Checkpoint()
	if err != nil {
		return nil, err
	}
	return log.Open(c)
}

// checkAbsent tells a log that was never made from one that lost its public key.
func (l *Ledger) checkAbsent() error {
	for _, name := range []string{l.path(logDir, "checkpoint"), l.path(keysDir, logKeyName)} {
		if _, err := os.Lstat(name); err == nil {
			if c, err := os.ReadFile(name); err == nil && isBeginning(c) {
				continue // somebody did not come to the end of making it
			}
			return &LedgerError{Path: l.path(caDir, logPubName), Entry: -1, Problem: "it is missing: the ledger's checkpoint cannot be verified without it"}
		}
	}
	return nil
}

// Entries reads the ledger from its first entry, and holds each against the
// checkpoint. What does not hold is a *LedgerError.
func (l *Ledger) Entries(ctx context.Context) iter.Seq2[ca.Entry, error] {
	return l.entries(ctx, func(ca.Kind) bool { return true })
}

// Sift gives the entries of some kinds. Each entry is held against the checkpoint,
// but of those of other kinds nothing more than the kind is read.
func (l *Ledger) Sift(ctx context.Context, kinds ...ca.Kind) iter.Seq2[ca.Entry, error] {
	return l.entries(ctx, func(k ca.Kind) bool { return slices.Contains(kinds, k) })
}

// entries gives the entries of the kinds that are wanted, from the first on.
func (l *Ledger) entries(ctx context.Context, wanted func(ca.Kind) bool) iter.Seq2[ca.Entry, error] {
	return func(yield func(ca.Entry, error) bool) {
		tree, err := l.tree()
		if err = errors.Join(ctx.Err(), err); err != nil {
			yield(ca.Entry{}, err)
			return
		}
		if tree == nil {
			return
		}
		for e, err := range l.read(ctx, tree, 0, wanted) {
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// read gives the entries of a tree of the kinds that are wanted, from a number on.
func (l *Ledger) read(ctx context.Context, tree *tilelog.Tree, from int64, wanted func(ca.Kind) bool) iter.Seq2[ca.Entry, error] {
	return func(yield func(ca.Entry, error) bool) {
		number := from - 1
		for data, err := range tree.Entries(ctx, from) {
			var e ca.Entry
			if number++; err == nil {
				if kind, ok := kindOf(data); ok && !wanted(kind) {
					continue
				}
				if e, err = l.decode(data, number); err == nil && !wanted(e.Kind) {
					continue
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// kindOf reads an entry's kind from its beginning, as Record writes it.
func kindOf(data []byte) (ca.Kind, bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"kind":"`))
	kind, _, closed := bytes.Cut(rest[:min(len(rest), 40)], []byte{'"'})
	return ca.Kind(kind), ok && closed && !bytes.ContainsRune(kind, '\\')
}

// decode reads an entry.
func (l *Ledger) decode(data []byte, number int64) (ca.Entry, error) {
	if e, ok := plainEntry(data); ok {
		return e, nil
	}
	var e ca.Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return e, &LedgerError{Path: l.path(logDir), Entry: number, Problem: "is none of this version of meshpki"}
	}
	return e, nil
}

// signer opens the log's key.
func (l *Ledger) signer() (note.Signer, error) {
	name := l.path(keysDir, logKeyName)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return l.signerElsewhere(err)
	}
	if err != nil {
		return nil, err
	}
	signer, err := parseLogSigner(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return signer, nil
}

// signerElsewhere opens the key that log.uri names; missing where there is none.
func (l *Ledger) signerElsewhere(missing error) (note.Signer, error) {
	uri, err := readURI(l.path(keysDir, logURIName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	key, err := l.openURI(uri, "")
	if err != nil {
		return nil, fmt.Errorf("the log's key: %w", err)
	}
	return newDeviceSigner(l.origin, key)
}
