package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// A byte that was changed, anywhere, is found, and its file is named; in a bundle
// its entry as well.
func TestFlippedByte(t *testing.T) {
	for _, size := range []int{1, 5, 258} {
		w := newWriter(t)
		c := mustAppend(t, w, entries(0, size))
		for name, good := range files(t, w.Log) {
			step := 1
			if len(good) > 2000 {
				step = 61
			}
			for at := 0; at < len(good); at += step {
				bad := []byte(good)
				bad[at] ^= 1 << (at % 8)
				what := fmt.Sprintf("%d entries, %s, byte %d", size, name, at)
				replace(t, w.Log, name, bad)
				wantFound(t, w.Log, c, name, what)
				if !strings.Contains(name, ".p/") && name != checkpointName {
					continue
				}
				// A writer looks at what it builds on: the checkpoint, and what is at the edge.
				if _, err := w.other().Append(entries(size, size+1), nil); err == nil {
					t.Fatalf("%s: an entry was put behind it", what)
				}
				if got := files(t, w.Log)[name]; got != string(bad) {
					t.Fatalf("%s: it was changed", what)
				}
			}
			replace(t, w.Log, name, []byte(good))
		}
		wantWhole(t, w.Log, size)
	}
}

func replace(t testing.TB, l Log, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(l.path(name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantFound is for a log with one file that is not what was written.
func wantFound(t *testing.T, l Log, c Checkpoint, name, what string) {
	t.Helper()
	if name == checkpointName {
		_, err := l.Checkpoint()
		if d, ok := errors.AsType[*Damage](err); !ok || d.Path != l.path(name) {
			t.Fatalf("%s: %v", what, err)
		}
		return
	}
	found, err := l.Verify(t.Context(), c, nil)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: nothing was found, %v", what, err)
	}
	for _, d := range found {
		if d.Path != l.path(name) {
			t.Fatalf("%s: found %v", what, found)
		}
	}
	if d := found[0]; strings.Contains(name, "entries") && (d.Entry < 0) == (d.Problem == "is not what was written") {
		t.Fatalf("%s: no entry is named: %v", what, d)
	}
	// Who reads on without looking at everything does not go past it either.
	tree, err := l.Open(c)
	if err != nil {
		return
	}
	for i := range c.Size {
		if p, err := tree.Prove(i); err == nil && !bytes.Equal(p.Entry, entry(int(i))) {
			t.Fatalf("%s: entry %d was given as %q", what, i, p.Entry)
		}
	}
}

// A file that is gone, cut off, or another's is found.
func TestFilesTakenAway(t *testing.T) {
	const size = 600
	w, other := newWriter(t), newWriter(t)
	c := mustAppend(t, w, entries(0, size))
	mustAppend(t, other, entries(1, size+1))
	foreign := files(t, other.Log)
	for name, good := range files(t, w.Log) {
		if err := os.Remove(w.Log.path(name)); err != nil {
			t.Fatal(err)
		}
		wantFound(t, w.Log, c, name, name+" taken away")
		for what, bad := range map[string]string{"emptied": "", "cut off": good[:len(good)-1], "another's": foreign[name]} {
			replace(t, w.Log, name, []byte(bad))
			wantFound(t, w.Log, c, name, name+" "+what)
		}
		if !strings.Contains(name, ".p/") {
			replace(t, w.Log, name, []byte(good+"x"))
			wantFound(t, w.Log, c, name, name+" with something behind it")
		}
		replace(t, w.Log, name, []byte(good))
	}
	wantWhole(t, w.Log, size)
}

// Two places at once are both found.
func TestTwoDamages(t *testing.T) {
	w := newWriter(t)
	c := mustAppend(t, w, entries(0, 600))
	for _, name := range []string{"tile/0/000", "tile/entries/001"} {
		bad := []byte(files(t, w.Log)[name])
		bad[100] ^= 1
		replace(t, w.Log, name, bad)
	}
	found, err := w.Log.Verify(t.Context(), c, nil)
	if err != nil || len(found) != 2 || found[0].Path != w.Log.path("tile/0/000") || found[1].Path != w.Log.path("tile/entries/001") {
		t.Errorf("found %v, %v", found, err)
	}
	// The same entry changed in the bundle and in the tile, and the tiles above left alone.
	w = newWriter(t)
	c = mustAppend(t, w, entries(0, 600))
	bundle := bytes.Replace([]byte(files(t, w.Log)["tile/entries/000"]), entry(7), bytes.ToUpper(entry(7)), 1)
	tile := []byte(files(t, w.Log)["tile/0/000"])
	h := tlog.RecordHash(bytes.ToUpper(entry(7)))
	copy(tile[7*32:], h[:])
	replace(t, w.Log, "tile/entries/000", bundle)
	replace(t, w.Log, "tile/0/000", tile)
	found, err = w.Log.Verify(t.Context(), c, nil)
	if err != nil || len(found) != 1 || found[0].Path != w.Log.path("tile/0/000") {
		t.Errorf("found %v, %v", found, err)
	}
	tree, err := w.Log.Open(c)
	if err == nil {
		_, err = tree.Entry(7)
	}
	if err == nil {
		t.Error("an entry was given that was changed with its tile")
	}
}
