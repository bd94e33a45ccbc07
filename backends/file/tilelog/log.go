// Package tilelog is a Merkle log on this machine's disk, in the layout of C2SP
// tlog-tiles: tiles of hashes, bundles of entries, and a signed checkpoint that
// says how many there are. It knows nothing of what the entries mean.
//
// The checkpoint is the truth. What lies behind it is what a writer left that did
// not come to its end; nothing was released for it, and the next one writes over it.
package tilelog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/meshpki/meshpki/internal/durable"
)

// Damage says where a log is not what was written.
type Damage struct {
	Path    string // of the file
	Entry   int64  // the number of the entry, from 0; -1 where it is none in particular
	Problem string
}

func (d *Damage) Error() string {
	if d.Entry >= 0 {
		return fmt.Sprintf("%s: entry %d %s", d.Path, d.Entry, d.Problem)
	}
	return fmt.Sprintf("%s: %s", d.Path, d.Problem)
}

// Log is a log in a directory, and the key that its checkpoints are signed with.
type Log struct {
	Dir string
	Key note.Verifier
}

// path is a file of the log.
func (l Log) path(name string) string { return filepath.Join(l.Dir, filepath.FromSlash(name)) }

func (l Log) damage(name string, entry int64, format string, args ...any) *Damage {
	return &Damage{l.path(name), entry, fmt.Sprintf(format, args...)}
}

// Checkpoint reads the newest checkpoint and verifies its signature. One that is
// not what was written, or is not there, is *Damage.
func (l Log) Checkpoint() (Checkpoint, error) {
	const patience, least = 100, 5
	for try := 1; ; try++ {
		raw, current, err := l.readCheckpoint()
		if errors.Is(err, fs.ErrNotExist) {
			return Checkpoint{}, l.damage(checkpointName, -1, "it is missing")
		}
		if err != nil {
			return Checkpoint{}, err
		}
		c, err := parseOwn(raw, l.Key)
		// Between its opening and its reading a file can have become the one that the
		// next checkpoint is written into: what it says may never be published.
		if err == nil && (current || try >= patience) {
			return c, nil
		}
		if err != nil && (current && try >= least || try >= patience) {
			return Checkpoint{}, l.damage(checkpointName, -1, "%v", err)
		}
	}
}

// Raw gives the newest checkpoint as it stands in its file, not verified.
func (l Log) Raw() ([]byte, error) { return readFile(l.path(checkpointName), maxCheckpoint) }

// readCheckpoint reads the checkpoint's file, and tells whether it still is that
// once it has been read.
func (l Log) readCheckpoint() (raw []byte, current bool, err error) {
	f, err := durable.OpenFile(l.path(checkpointName), os.O_RDONLY, 0)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	if raw, err = readOpen(f, maxCheckpoint); err != nil {
		return nil, false, err
	}
	was, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	is, err := os.Stat(l.path(checkpointName))
	return raw, err == nil && os.SameFile(was, is), err
}

// readFile reads a file of at most so many bytes.
func readFile(name string, most int64) ([]byte, error) {
	f, err := durable.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readOpen(f, most)
}

func readOpen(f *os.File, most int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, &Damage{f.Name(), -1, fmt.Sprintf("%d bytes are more than it can have", info.Size())}
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], err
}

// maxFile is how long a tile can be, or a bundle.
func maxFile(level int) int64 {
	if level == entriesLevel {
		return width * (2 + MaxEntry)
	}
	return width * tlog.HashSize
}

// read gives the bytes of a tile or bundle from the first file that has w of what
// is in it, and that file's name. It is the one of that width; but a file that has
// grown may already have, or still have, the name of another.
func (l Log) read(level int, n int64, w int) ([]byte, string, error) {
	exact := tilePath(level, n, w)
	var failed error
	try := func(name string) ([]byte, bool) {
		data, err := readFile(l.path(name), maxFile(level))
		if err == nil {
			err = l.holds(data, level, w, name)
		}
		if err != nil && (failed == nil || errors.Is(failed, fs.ErrNotExist)) {
			failed = err
		}
		return data, err == nil
	}
	const patience = 100 // a writer may be renaming it, again and again
	for range patience {
		failed = nil
		if data, ok := try(exact); ok {
			return data, exact, nil
		}
		if !errors.Is(failed, fs.ErrNotExist) {
			return nil, exact, failed
		}
		for _, name := range l.others(level, n) {
			if data, ok := try(name); ok {
				return data, name, nil
			}
		}
	}
	if errors.Is(failed, fs.ErrNotExist) {
		failed = l.damage(exact, -1, "it is missing")
	}
	return nil, exact, failed
}

// holds tells whether data is long enough for w hashes or entries, and for a file
// of full width not longer.
func (l Log) holds(data []byte, level, w int, name string) error {
	have, end := len(data)/tlog.HashSize, width*tlog.HashSize
	if level == entriesLevel {
		entries, e, _ := parseBundle(data, w)
		have, end = len(entries), e
	}
	if have < w {
		return l.damage(name, -1, "it is cut off: %d of %d are there", have, w)
	}
	if w == width && end != len(data) {
		return l.damage(name, -1, "%d bytes were added to it", len(data)-end)
	}
	return nil
}

// others are the files that a tile can be in besides its own, the widest first.
func (l Log) others(level int, n int64) []string {
	full := fullPath(level, n)
	names := []string{full}
	files, err := os.ReadDir(l.path(full + ".p"))
	if err != nil {
		return names
	}
	var widths []int
	for _, f := range files {
		if w, err := strconv.Atoi(f.Name()); err == nil && w > 0 && w < width && strconv.Itoa(w) == f.Name() {
			widths = append(widths, w)
		}
	}
	slices.SortFunc(widths, func(a, b int) int { return cmp.Compare(b, a) })
	for _, w := range widths {
		names = append(names, tilePath(level, n, w))
	}
	return names
}

// hashes reads the first w hashes of a tile, as they lie on the disk.
func (l Log) hashes(level int, n int64, w int) ([]tlog.Hash, error) {
	data, _, err := l.read(level, n, w)
	if err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, w)
	for i := range out {
		copy(out[i][:], data[i*tlog.HashSize:])
	}
	return out, nil
}
