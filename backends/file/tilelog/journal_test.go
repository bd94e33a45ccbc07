package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// afterPowerFailure gives files as a file system may have them after the power
// failed: of each, what was synced is there, under that name or the one that it got
// since; of what came later there is all, nothing, or noughts in its place.
func afterPowerFailure(r *rand.Rand, synced, now map[string]string) map[string]string {
	left := map[string]string{checkpointName: synced[checkpointName]}
	if r.IntN(2) == 0 {
		left[checkpointName] = now[checkpointName]
	}
	tile := func(name string) string { t, _, _ := strings.Cut(name, ".p/"); return t }
	before := map[string]string{} // by tile
	for name := range synced {
		before[tile(name)] = name
	}
	for name, data := range now {
		if name == checkpointName {
			continue
		}
		old, existed := before[tile(name)]
		durable := synced[old]
		whole := []byte(data)
		switch r.IntN(4) {
		case 0: // nothing of what came later
			whole = whole[:len(durable)]
		case 1: // blocks that were never written
			clear(whole[len(durable):])
		case 2:
			whole = whole[:len(durable)+r.IntN(1+len(whole)-len(durable))]
		}
		switch {
		case existed && r.IntN(2) == 0:
			left[old] = string(whole)
		case existed || r.IntN(3) > 0:
			left[name] = string(whole)
		}
	}
	return left
}

// The machine goes down after appends that the journal has: nothing of them is lost.
func TestPowerFailure(t *testing.T) {
	for _, size := range []int{0, 5, 250, 256, 600} {
		for _, batches := range [][]int{{}, {1}, {1, 1, 1}, {3, 10}, {7, 300, 2}} {
			w := newWriter(t)
			mustAppend(t, w, entries(0, size)) // there is no journal yet: this is synced, and begins one
			synced, total := files(t, w.Log), size
			for _, n := range batches {
				mustAppend(t, w, entries(total, total+n))
				total += n
			}
			if w.at.base != int64(size) || w.at.offset == journalStart && total > size {
				t.Fatalf("%d entries are durable, the journal is at %d", w.at.base, w.at.offset)
			}
			now := files(t, w.Log)
			journal, err := os.ReadFile(w.Journal)
			if err != nil {
				t.Fatal(err)
			}
			for seed := range uint64(12) {
				r := rand.New(rand.NewPCG(seed, 1))
				restore(t, w.Log, afterPowerFailure(r, synced, now))
				if err := os.WriteFile(w.Journal, journal, 0o644); err != nil {
					t.Fatal(err)
				}
				h := w.other()
				h.Boot = fmt.Sprint("boot-", seed+2)
				if err := h.Recover(); err != nil {
					t.Fatalf("%d entries and %v, seed %d: %v", size, batches, seed, err)
				}
				wantWhole(t, w.Log, total)
				if cut, err := Interrupted(h.Journal, h.Boot); cut || err != nil {
					t.Fatalf("it is to be recovered again: %v", err)
				}
				mustAppend(t, h, entries(total, total+2))
				wantWhole(t, w.Log, total+2)
			}
		}
	}
}

// The same where the journal got full in between and was begun anew.
func TestPowerFailureBehindAFullJournal(t *testing.T) {
	w := newWriter(t)
	size := 0
	add := func(n, bytes int) {
		t.Helper()
		var more [][]byte
		for i := range n {
			more = append(more, fmt.Appendf(nil, "%0*d", bytes, size+i))
		}
		mustAppend(t, w, more)
		size += n
	}
	add(1, 100)
	var synced map[string]string
	for base := w.at.base; w.at.base == base; {
		synced = files(t, w.Log) // all of it is synced before the journal is begun anew
		add(60, 1500)
	}
	if w.at.size != 2*journalSize || w.at.base != int64(size-60) {
		t.Fatalf("the journal has %d bytes and %d entries before it, of %d", w.at.size, w.at.base, size)
	}
	add(3, 100)
	now := files(t, w.Log)
	journal, err := os.ReadFile(w.Journal)
	if err != nil || len(journal) != 2*journalSize {
		t.Fatalf("a journal of %d bytes, %v", len(journal), err)
	}
	for seed := range uint64(24) {
		restore(t, w.Log, afterPowerFailure(rand.New(rand.NewPCG(seed, 2)), synced, now))
		if err := os.WriteFile(w.Journal, journal, 0o644); err != nil {
			t.Fatal(err)
		}
		h := w.other()
		h.Boot = fmt.Sprint("boot-", seed+2)
		if err := h.Recover(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		c, err := h.Log.Checkpoint()
		if err != nil || c.Size != int64(size) {
			t.Fatalf("seed %d: %d of %d entries, %v", seed, c.Size, size, err)
		}
		if found, err := h.Log.Verify(t.Context(), c, nil); err != nil || len(found) > 0 {
			t.Fatalf("seed %d: %v, %v", seed, found, err)
		}
	}
}

// A journal that another writer has begun anew, without coming to its append, is not
// written on where this one left it: nobody would find that when the machine goes down.
func TestJournalOfAnotherCycle(t *testing.T) {
	w := newWriter(t)
	mustAppend(t, w, entries(0, 5))
	mustAppend(t, w, entries(5, 6))
	before := files(t, w.Log)
	c, err := w.Log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	w.other().restart(c, 0)
	mustAppend(t, w, entries(6, 7))
	restore(t, w.Log, before) // nothing of the append was synced in the log itself
	h := w.other()
	h.Boot = "boot-2"
	if err := h.Recover(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w.Log, 7)
}

// While the machine runs the journal is not asked: an append that did not come to
// its end is overwritten, and so is one whose log was put back.
func TestJournalIsNotAsked(t *testing.T) {
	w := newWriter(t)
	mustAppend(t, w, entries(0, 5))
	mustAppend(t, w, entries(5, 6))
	before := files(t, w.Log)
	mustAppend(t, w, [][]byte{[]byte("never released")})
	mustAppend(t, w, [][]byte{[]byte("nor this")})
	restore(t, w.Log, before)
	if err := w.other().Recover(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w.Log, 6)
	h := w.other()
	mustAppend(t, h, entries(6, 7))
	if h.at.base != 5 {
		t.Error("the journal was not gone on with")
	}
	// And what was overwritten does not come back when the machine goes down.
	g := w.other()
	g.Boot = "boot-2"
	if err := g.Recover(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w.Log, 7)
}

// A journal that is full, gone, another's, or of before a copy of the log.
func TestJournalThatDoesNotFit(t *testing.T) {
	w, other := newWriter(t), newWriter(t)
	size := 0
	add := func(n int) {
		t.Helper()
		mustAppend(t, w.other(), entries(size, size+n))
		size += n
		wantWhole(t, w.Log, size)
	}
	add(3)
	mustAppend(t, other, entries(0, 9))
	theirs, err := os.ReadFile(other.Journal)
	if err != nil {
		t.Fatal(err)
	}
	early, err := os.ReadFile(w.Journal)
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{"gone": nil, "another's": theirs, "short": theirs[:100], "noughts": make([]byte, journalSize),
		"too long": append(bytes.Clone(theirs), 0)} {
		if err := os.WriteFile(w.Journal, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if data == nil {
			if err := os.Remove(w.Journal); err != nil {
				t.Fatal(err)
			}
		}
		add(1)
		if cut, err := Interrupted(w.Journal, w.Boot); cut || err != nil {
			t.Errorf("%s: %t, %v", what, cut, err)
		}
	}
	// Left behind by a copy: the log goes further, and stays as it is.
	for range 3 {
		if err := os.WriteFile(w.Journal, early, 0o644); err != nil {
			t.Fatal(err)
		}
		h := w.other()
		h.Boot = "another machine's"
		if err := h.Recover(); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, w.Log, size)
		add(1)
	}
	// Appends that it has no room for, and more of them than it has.
	big := [][]byte{make([]byte, MaxEntry), make([]byte, MaxEntry), make([]byte, MaxEntry)}
	begun := map[int64]bool{}
	for range 12 {
		mustAppend(t, w, big)
		begun[w.at.base] = true
	}
	if len(begun) < 3 {
		t.Errorf("the journal was begun anew at %v", slices.Collect(maps.Keys(begun)))
	}
	c, err := w.Log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if found, err := w.Log.Verify(t.Context(), c, nil); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}

// A journal whose records do not hold is named, and nothing is made of it.
func TestDamagedJournal(t *testing.T) {
	w := newWriter(t)
	mustAppend(t, w, entries(0, 5))
	for n := 5; n < 9; n++ {
		mustAppend(t, w, entries(n, n+1))
	}
	good, err := os.ReadFile(w.Journal)
	if err != nil {
		t.Fatal(err)
	}
	end := int(w.at.offset)
	now := files(t, w.Log)
	for at := journalStart; at < end; at += 7 {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if err := os.WriteFile(w.Journal, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		restore(t, w.Log, now)
		h := w.other()
		h.Boot = "boot-2"
		if err := h.Recover(); err != nil {
			if _, ok := errors.AsType[*Damage](err); !ok {
				t.Fatalf("byte %d: %v", at, err)
			}
			continue
		}
		// The log has it all in its own files, and goes further than what can be read.
		wantWhole(t, w.Log, 9)
	}
}

// FuzzJournal: whatever lies there as a journal, the log is whole afterwards or the
// journal's damage is named.
func FuzzJournal(f *testing.F) {
	w := newWriter(f)
	mustAppend(f, w, entries(0, 5))
	for n := 5; n < 9; n++ {
		mustAppend(f, w, entries(n, n+1))
	}
	good, err := os.ReadFile(w.Journal)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:w.at.offset+4], true)
	f.Add(good[:w.at.offset-9], true)
	f.Add(good[:100], false)
	f.Fuzz(func(t *testing.T, data []byte, sum bool) {
		if len(data) > journalMost {
			return
		}
		if sum && len(data) > journalStart { // so that what is behind the header is reached
			data = append(bytes.Clone(good[:journalStart]), data[journalStart:]...)
		}
		if err := os.WriteFile(w.Journal, data, 0o644); err != nil {
			t.Fatal(err)
		}
		h := w.other()
		h.Boot = "boot-2"
		err := h.Recover()
		if d, ok := errors.AsType[*Damage](err); err != nil && (!ok || d.Path != w.Journal) {
			t.Fatal(err)
		}
		wantWhole(t, w.Log, 9)
	})
}
