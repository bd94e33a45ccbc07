package tilelog

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// newWriter makes an empty log.
func newWriter(t testing.TB) *Writer {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, "prod.example/mesh")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &Writer{Log: Log{Dir: filepath.Join(dir, "log"), Key: key}, Signer: signer, Spare: filepath.Join(dir, "spare"), Journal: filepath.Join(dir, "journal"), Boot: "boot-1"}
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	return w
}

// other is another handle on a writer's log, as another process would have one.
func (w *Writer) other() *Writer {
	return &Writer{Log: w.Log, Signer: w.Signer, Spare: w.Spare, Journal: w.Journal, Boot: w.Boot}
}

// entry is one that can be told from others.
func entry(n int) []byte { return fmt.Appendf(nil, "entry %d%s", n, strings.Repeat(".", n%7)) }

func entries(from, to int) [][]byte {
	var all [][]byte
	for n := from; n < to; n++ {
		all = append(all, entry(n))
	}
	return all
}

func mustAppend(t testing.TB, w *Writer, entries [][]byte) Checkpoint {
	t.Helper()
	c, err := w.Append(entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reference is the same log as golang.org/x/mod/sumdb/tlog would keep it in memory.
type reference struct {
	n      int64
	hashes []tlog.Hash
}

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, r.hashes[i])
	}
	return out, nil
}

func (r *reference) add(t *testing.T, entries [][]byte) {
	t.Helper()
	for _, e := range entries {
		more, err := tlog.StoredHashes(r.n, e, r)
		if err != nil {
			t.Fatal(err)
		}
		r.hashes = append(r.hashes, more...)
		r.n++
	}
}

func (r *reference) root(t *testing.T) tlog.Hash {
	t.Helper()
	root, err := tlog.TreeHash(r.n, r)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// files gives the files of a log by name, with what is in them.
func files(t testing.TB, l Log) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(l.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(l.Dir, name)
		found[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wanted gives the files that a log of that many entries has, by the words of
// tlog-tiles: floor(s / 256**l) hashes at level l.
func wanted(size int) []string {
	names := []string{"checkpoint"}
	add := func(level, count int) {
		for n := 0; n*256 < count; n++ {
			names = append(names, tilePath(level, int64(n), min(256, count-n*256)))
		}
	}
	add(entriesLevel, size)
	for level, count := 0, size; count > 0; level, count = level+1, count/256 {
		add(level, count)
	}
	return names
}

// wantWhole holds a log against the entries that it should have.
func wantWhole(t testing.TB, l Log, size int) *Tree {
	t.Helper()
	c, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if c.Size != int64(size) {
		t.Fatalf("the log has %d entries, want %d", c.Size, size)
	}
	tree, err := l.Open(c)
	if err != nil {
		t.Fatalf("with %d entries: %v", size, err)
	}
	n := 0
	for e, err := range tree.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatalf("entry %d of %d: %v", n, size, err)
		}
		if !bytes.Equal(e, entry(n)) {
			t.Fatalf("entry %d of %d is %q", n, size, e)
		}
		n++
	}
	if n != size {
		t.Fatalf("%d entries were given, want %d", n, size)
	}
	if found, err := l.Verify(t.Context(), c, nil); err != nil || len(found) > 0 {
		t.Fatalf("with %d entries: found %v, %v", size, found, err)
	}
	return tree
}

// wantLayout sees that there are the files of a log and no others.
func wantLayout(t *testing.T, l Log, size int) {
	t.Helper()
	got, want := slices.Sorted(maps.Keys(files(t, l))), wanted(size)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("with %d entries there are\n%s; want\n%s", size, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The paths are those of tlog-tiles, to the letter.
func TestPaths(t *testing.T) {
	for _, test := range []struct {
		level int
		n     int64
		w     int
		want  string
	}{
		{0, 0, 256, "tile/0/000"},
		{0, 0, 5, "tile/0/000.p/5"},
		{entriesLevel, 0, 255, "tile/entries/000.p/255"},
		{0, 999, 256, "tile/0/999"},
		{1, 1000, 256, "tile/1/x001/000"},
		{0, 1234067, 256, "tile/0/x001/x234/067"},
		{entriesLevel, 1234067, 1, "tile/entries/x001/x234/067.p/1"},
		{7, 63, 17, "tile/7/063.p/17"},
	} {
		if got := tilePath(test.level, test.n, test.w); got != test.want {
			t.Errorf("it is %s, want %s", got, test.want)
		}
	}
}

// However the entries come, the log has the root that it should, the files that it
// should and no others, and gives back what it was given.
func TestLayout(t *testing.T) {
	w, ref := newWriter(t), &reference{}
	var checkpoints []Checkpoint
	size := 0
	for i, batch := range []int{0, 1, 1, 3, 1, 250, 1, 1, 254, 1, 300, 1, 1000, 7} {
		if i%3 == 2 {
			w = w.other()
		}
		c := mustAppend(t, w, entries(size, size+batch))
		ref.add(t, entries(size, size+batch))
		size += batch
		if c.Size != int64(size) || c.Root != ref.root(t) || c.Origin != "prod.example/mesh" {
			t.Fatalf("after %d entries: %+v, want root %s", size, c, ref.root(t))
		}
		wantLayout(t, w.Log, size)
		tree := wantWhole(t, w.Log, size)
		for n := 0; n < size; n += 1 + size/11 {
			p, err := tree.Prove(int64(n))
			if err != nil || !bytes.Equal(p.Entry, entry(n)) {
				t.Fatalf("prove entry %d of %d: %v", n, size, err)
			}
			if _, err := p.Verify(w.Log.Key); err != nil {
				t.Fatalf("the proof of entry %d of %d: %v", n, size, err)
			}
		}
		for _, old := range checkpoints {
			if ok, err := tree.Extends(old); err != nil || !ok {
				t.Fatalf("%d entries do not follow %d: %v", size, old.Size, err)
			}
			if root, err := tree.RootAt(old.Size); err != nil || root != old.Root {
				t.Fatalf("the root at %d entries of %d is %s, %v", old.Size, size, root, err)
			}
		}
		checkpoints = append(checkpoints, c)
	}
}

// A log that is large enough for a third level.
func TestThreeLevels(t *testing.T) {
	const size = 256*256 + 300
	w, ref := newWriter(t), &reference{}
	for at := 0; at < size; {
		n := min(5000, size-at)
		mustAppend(t, w, entries(at, at+n))
		ref.add(t, entries(at, at+n))
		at += n
	}
	wantLayout(t, w.Log, size)
	tree := wantWhole(t, w.Log, size)
	if tree.Checkpoint.Root != ref.root(t) {
		t.Error("another root than it should have")
	}
	// A proof needs a tile of each level, and the bundle.
	fresh, err := w.Log.Open(tree.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Prove(256 * 77); err != nil || fresh.reads > 2*3+1 {
		t.Errorf("a proof from %d entries read %d files, %v", size, fresh.reads, err)
	}
}

// What a writer that was killed anywhere has left is no damage, is not read, and
// the next writer goes on where the checkpoint says.
func TestLeftovers(t *testing.T) {
	for _, size := range []int{0, 1, 5, 255, 256, 257, 511, 600} {
		for _, batch := range []int{1, 2, 300} {
			w := newWriter(t)
			mustAppend(t, w, entries(0, size))
			before := files(t, w.Log)
			mustAppend(t, w, [][]byte{[]byte("never released"), []byte("nor this"), nil}[:1+batch%2])
			mustAppend(t, w, entries(900, 900+batch))
			after := files(t, w.Log)
			for what, left := range map[string]map[string]string{
				"the checkpoint is not there yet": merge(after, map[string]string{"checkpoint": before["checkpoint"]}),
				"nothing was renamed":             merge(after, before),
				"half of a file was written":      merge(before, halves(before, after)),
			} {
				restore(t, w.Log, left)
				wantWhole(t, w.Log, size)
				h := w.other()
				mustAppend(t, h, entries(size, size+1))
				wantWhole(t, w.Log, size+1)
				mustAppend(t, h, entries(size+1, size+300))
				wantWhole(t, w.Log, size+300)
				if t.Failed() {
					t.Fatalf("%d entries, %d more: %s", size, batch, what)
				}
			}
		}
	}
}

// merge is a and over it b.
func merge(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// halves are the files that grew or are new, each with half of what was added.
func halves(before, after map[string]string) map[string]string {
	out := map[string]string{}
	for name, data := range after {
		if name != checkpointName && before[name] == "" {
			out[name] = data[:len(data)/2]
		}
	}
	return out
}

// restore makes a log of those files and no others.
func restore(t testing.TB, l Log, want map[string]string) {
	t.Helper()
	if err := os.RemoveAll(l.Dir); err != nil {
		t.Fatal(err)
	}
	for name, data := range want {
		if err := os.MkdirAll(filepath.Dir(l.path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		replace(t, l, name, []byte(data))
	}
}

// The power failed after a checkpoint was made durable and before a name was: the
// file has what it should under the name that it had.
func TestOldNames(t *testing.T) {
	for _, size := range []int{5, 255, 600} {
		w := newWriter(t)
		mustAppend(t, w, entries(0, size))
		old := wanted(size)
		mustAppend(t, w, entries(size, size+1))
		for _, name := range wanted(size + 1) {
			prefix, _, partial := strings.Cut(name, ".p/")
			for _, o := range old {
				if p, _, _ := strings.Cut(o, ".p/"); p == prefix && o != name && (partial || name == prefix) {
					if err := os.MkdirAll(filepath.Dir(w.Log.path(o)), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.Rename(w.Log.path(name), w.Log.path(o)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		wantWhole(t, w.Log, size+1)
		mustAppend(t, w.other(), entries(size+1, size+3))
		wantWhole(t, w.Log, size+3)
		if size != 255 { // there a full tile keeps its old name beside the new ones
			wantLayout(t, w.Log, size+3)
		}
	}
}

// An entry that no bundle can hold is refused, and nothing is written.
func TestLongEntry(t *testing.T) {
	w := newWriter(t)
	mustAppend(t, w, entries(0, 3))
	before := files(t, w.Log)
	if _, err := w.Append([][]byte{entry(3), make([]byte, MaxEntry+1)}, nil); err == nil {
		t.Error("it was taken")
	}
	if !maps.Equal(before, files(t, w.Log)) {
		t.Error("the log was changed")
	}
	mustAppend(t, w, [][]byte{make([]byte, MaxEntry), nil})
	tree, err := w.Log.Open(mustAppend(t, w, nil))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int64]int{3: MaxEntry, 4: 0} {
		if e, err := tree.Entry(n); err != nil || len(e) != want {
			t.Errorf("entry %d has %d bytes, %v", n, len(e), err)
		}
	}
}
