package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"github.com/meshpki/meshpki/internal/durable"
)

// Modes of what a log makes: everybody may read it.
const (
	fileMode fs.FileMode = 0o644
	dirMode  fs.FileMode = 0o755
)

// Writer appends to a log. Whoever uses it holds the log's lock meanwhile; it is
// not safe for concurrent use.
type Writer struct {
	Log    Log
	Signer note.Signer
	// Spare is a file, on the log's file system and not in the log, that the next
	// checkpoint is written into before it takes the present one's place.
	Spare string
	// Journal is a file for appends that wait for less, and Boot names the time since
	// the machine was started. Without both every append waits for the log's own files.
	Journal, Boot string

	// Before is the checkpoint that the last append went behind.
	Before []byte

	tail // as this writer left the log, if it did
	at   position
}

// Begin makes an empty log: the checkpoint of a tree without entries.
func (w *Writer) Begin() error {
	if err := durable.MkdirAll(w.Log.Dir, dirMode); err != nil {
		return err
	}
	c, err := sign(w.Signer, 0, edgeRoot(nil))
	if err != nil {
		return err
	}
	return durable.WriteFile(w.Log.path(checkpointName), c.Raw, fileMode)
}

// Append puts entries behind the log's last, and gives the checkpoint that covers
// them. When it returns they would survive a crash, and so would the checkpoint.
// After an error the log is what it was before: either as it is now, or, where the
// last sync failed, with the entries in it. A tree that was read just before, and
// that nobody else uses, saves reading the log's end again; it may be nil.
func (w *Writer) Append(entries [][]byte, read *Tree) (Checkpoint, error) {
	was, err := w.load(read)
	if err != nil {
		return Checkpoint{}, err
	}
	p := plan{tail: was, room: bundled(entries)}
	for _, e := range entries {
		if len(e) > MaxEntry {
			return Checkpoint{}, fmt.Errorf("an entry of %d bytes is too long: %d is the most", len(e), MaxEntry)
		}
		p.add(e)
	}
	p.finish()
	c, err := sign(w.Signer, p.size, peaksRoot(p.peaks))
	if err != nil {
		return c, err
	}
	w.Before = was.raw
	w.tail = tail{} // whatever happens now, it is read again
	if err := w.keep(was, p, c, entries); err != nil {
		return c, err
	}
	w.tail = p.tail
	w.raw = c.Raw
	return c, nil
}

// keep makes an append durable: by a record in the journal, and the log's own files
// without waiting for them; or, where the journal has no room, by those.
func (w *Writer) keep(was tail, p plan, c Checkpoint, entries [][]byte) error {
	if w.Journal == "" || w.Boot == "" {
		return w.write(p.pieces, c, true)
	}
	r := record{checkpoint: c.Raw, entries: make([]byte, 0, bundled(entries))}
	for _, e := range entries {
		r.entries = appendEntry(r.entries, e)
	}
	journal, err := durable.OpenFile(w.Journal, os.O_RDWR, 0)
	if err == nil {
		defer journal.Close() // what is written is synced
	}
	at, ok := w.find(journal, was.raw)
	if ok && at.fits(r) {
		return w.noted(journal, at, r, p, c)
	}
	if !ok {
		at.base = max(0, was.size-unknownRange)
	}
	// What the journal still answers for first; then it can begin anew.
	if err := w.syncRange(at.base, was.size); err != nil {
		return err
	}
	if ok {
		w.restart(Checkpoint{Raw: was.raw, Size: was.size}, 2*at.size)
		if at := w.at; at.raw != nil && at.fits(r) {
			return w.notedAnew(at, r, p, c)
		}
	}
	if err := w.write(p.pieces, c, true); err != nil {
		return err
	}
	w.restart(c, at.size)
	return nil
}

// notedAnew is noted in a journal that was begun anew, and may be another file.
func (w *Writer) notedAnew(at position, r record, p plan, c Checkpoint) error {
	journal, err := durable.OpenFile(w.Journal, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer journal.Close() // what is written is synced
	return w.noted(journal, at, r, p, c)
}

// noted makes an append durable by a record in the journal.
func (w *Writer) noted(journal *os.File, at position, r record, p plan, c Checkpoint) error {
	at, err := at.take(journal, r)
	if err == nil {
		err = w.write(p.pieces, c, false)
	}
	if err == nil {
		w.at = at
	}
	return err
}

// unknownRange is how many entries at the end may not be durable where no journal
// tells: more than one has room for.
const unknownRange = journalMost / 64

// syncRange syncs the files that the entries of a range have been written to, of a
// log of to entries, and their names.
func (w *Writer) syncRange(from, to int64) error {
	if from >= to {
		return nil
	}
	var names []string
	for level := entriesLevel; level == entriesLevel || to>>(height*level) > 0; level++ {
		shift := height * max(level, 0)
		for n := from >> shift / width; n*width < to>>shift; n++ {
			name := tilePath(level, n, int(min(width, to>>shift-n*width)))
			_, err := os.Lstat(w.Log.path(name))
			if errors.Is(err, fs.ErrNotExist) {
				_, name, err = w.Log.read(level, n, int(min(width, to>>shift-n*width)))
			}
			if err != nil {
				return fmt.Errorf("sync the log: %w", err)
			}
			names = append(names, w.Log.path(name))
		}
	}
	if err := durable.SyncFiles(append(names, w.Log.path(checkpointName))); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	return nil
}

// load gives the log's end: what this writer remembers, if nobody else has written
// since, or what is on the disk, once it was held against the checkpoint.
func (w *Writer) load(read *Tree) (tail, error) {
	if raw, err := w.Log.Raw(); err == nil {
		switch {
		case w.raw != nil && bytes.Equal(raw, w.raw):
			return w.clone(), nil
		case read != nil && bytes.Equal(raw, read.Raw):
			return read.tail()
		}
	}
	c, err := w.Log.Checkpoint()
	if err != nil {
		return tail{}, err
	}
	return w.loadAt(c)
}

// loadAt is the log's end as a checkpoint has it.
func (w *Writer) loadAt(c Checkpoint) (tail, error) {
	tree, err := w.Log.Open(c)
	if err != nil {
		return tail{}, err
	}
	return tree.tail()
}

// tail is where the log goes on behind the tree. The tree is not used any more.
func (t *Tree) tail() (tail, error) {
	end := tail{raw: t.Raw, size: t.Size, peaks: peaksOf(t.edge)}
	if t.Size%width > 0 {
		entries, err := t.bundle(t.Size / width)
		if err != nil {
			return tail{}, err
		}
		for _, e := range entries {
			end.end += int64(2 + len(e))
		}
	}
	return end, nil
}

// written is a piece that stands in its file.
type written struct {
	piece
	name  string // of the file, in the log
	fresh bool   // it was made for this
}

// write writes the pieces and then the checkpoint, both so that they are durable
// if that is wanted.
func (w *Writer) write(pieces []piece, c Checkpoint, sync bool) error {
	done, spare, err := w.put(pieces, c, sync)
	if err != nil {
		for _, d := range done {
			err = errors.Join(err, w.undo(d))
		}
		return err
	}
	for _, d := range done {
		if err := w.settle(d, sync); err != nil {
			return err
		}
	}
	exchange := durable.Swap
	if sync {
		exchange = durable.Exchange
	}
	if spare && exchange(w.Spare, w.Log.path(checkpointName)) == nil {
		return nil
	}
	return durable.WriteFile(w.Log.path(checkpointName), c.Raw, fileMode)
}

// put writes the pieces into their files and the checkpoint into the spare one,
// and syncs them together if that is wanted. What it has written comes with an error too. spare
// tells whether there is a spare file.
func (w *Writer) put(pieces []piece, c Checkpoint, sync bool) (done []written, spare bool, err error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, p := range pieces {
		f, d, err := w.file(p)
		if err != nil {
			return done, false, fmt.Errorf("write to the log: %w", err)
		}
		files, done = append(files, f), append(done, d)
		if _, err := f.WriteAt(p.data, p.offset); err != nil {
			return done, false, fmt.Errorf("write to the log: %w", err)
		}
	}
	// Without a spare file the checkpoint costs more, and is none the worse.
	if f, err := overwrite(w.Spare, c.Raw); err == nil {
		files, spare = append(files, f), true
	}
	if !sync {
		return done, spare, nil
	}
	if err := durable.SyncAll(files...); err != nil {
		return done, spare, fmt.Errorf("sync the log: %w", err)
	}
	for _, d := range done {
		if d.fresh {
			if err := durable.SyncName(w.Log.path(d.name)); err != nil {
				return done, spare, err
			}
		}
	}
	return done, spare, nil
}

// file opens the file that a piece goes to, without what an earlier writer may
// have left behind the log's end, or makes it.
func (w *Writer) file(p piece) (*os.File, written, error) {
	d := written{p, tilePath(p.level, p.n, p.had), false}
	if p.had == 0 {
		d.name, d.fresh = tilePath(p.level, p.n, p.has), true
		if err := durable.MkdirAll(filepath.Dir(w.Log.path(d.name)), dirMode); err != nil {
			return nil, d, err
		}
		f, err := overwrite(w.Log.path(d.name), nil)
		return f, d, err
	}
	f, err := durable.OpenFile(w.Log.path(d.name), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, d.name, err = w.Log.read(p.level, p.n, p.had); err != nil {
			return nil, d, err
		}
		f, err = durable.OpenFile(w.Log.path(d.name), os.O_RDWR, 0)
	}
	if err != nil {
		return nil, d, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < p.offset {
		err = w.Log.damage(d.name, -1, "it is cut off")
	}
	if err == nil && info.Size() > p.offset {
		err = f.Truncate(p.offset)
	}
	if err != nil {
		return nil, d, errors.Join(err, f.Close())
	}
	return f, d, nil
}

// undo takes back what was written and is not covered by a checkpoint.
func (w *Writer) undo(d written) error {
	if d.fresh {
		return os.Remove(w.Log.path(d.name))
	}
	return os.Truncate(w.Log.path(d.name), d.offset)
}

// settle gives a file the name of what is in it now, and takes away the files that
// it supersedes.
func (w *Writer) settle(d written, sync bool) error {
	name := tilePath(d.level, d.n, d.has)
	if d.name != name {
		err := os.Rename(w.Log.path(d.name), w.Log.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			// A tile that was full, in a state that no checkpoint covers, goes back.
			if err = durable.MkdirAll(filepath.Dir(w.Log.path(name)), dirMode); err == nil {
				err = os.Rename(w.Log.path(d.name), w.Log.path(name))
			}
		}
		if err != nil {
			return err
		}
	}
	partial := w.Log.path(fullPath(d.level, d.n) + ".p")
	if d.has == width {
		if !d.fresh && sync {
			if err := durable.SyncName(w.Log.path(name)); err != nil {
				return err
			}
		}
		return os.RemoveAll(partial)
	}
	if !d.fresh {
		return nil
	}
	others, err := os.ReadDir(partial)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.Name() != filepath.Base(name) {
			if err := os.Remove(filepath.Join(partial, o.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// overwrite opens a file, which it makes if need be, and has it hold data alone.
// The blocks that the file has are used again: that is what makes it cheap.
func overwrite(name string, data []byte) (*os.File, error) {
	f, err := durable.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() == 0 {
		err = durable.Chmod(f, fileMode)
	}
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil && info.Size() > int64(len(data)) {
		err = f.Truncate(int64(len(data)))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
