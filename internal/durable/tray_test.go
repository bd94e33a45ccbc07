package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// withTrays is a convoy that holds files of a directory, whatever file system that is on.
func withTrays(t *testing.T) (c *Convoy, dir string) {
	t.Helper()
	dir = t.TempDir()
	ctx, end := Together(t.Context())
	t.Cleanup(end)
	c = ConvoyOf(ctx)
	c.held[dir] = &trays{dir: dir}
	return c, dir
}

// holdAll holds files of those names, all at the same time.
func holdAll(t *testing.T, c *Convoy, dir string, names []string, size int) {
	t.Helper()
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			if held, err := c.Hold(dir, name, []byte(name+strings.Repeat("x", size))); !held || err != nil {
				t.Errorf("%s: %t, %v", name, held, err)
			}
		})
	}
	all.Wait()
}

func namesFor(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("file-%d", i))
	}
	return names
}

// die lets go of the trays as a process does that dies.
func die(t *testing.T, c *Convoy, dir string) {
	t.Helper()
	for _, tray := range c.held[dir].list {
		if err := tray.file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c.held[dir] = &trays{dir: dir, none: true}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What a dead process held is found under its own name, for its owner alone, but for what
// it had dropped; what was written there since is newer.
func TestRecover(t *testing.T) {
	c, dir := withTrays(t)
	names := namesFor(100)
	holdAll(t, c, dir, names, 100)
	if has := files(t, dir); len(has) != 1 {
		t.Fatalf("besides the trays there are %q", has)
	}
	if held, err := c.Hold(dir, names[2], []byte("the second one")); !held || err != nil {
		t.Fatal(held, err)
	}
	if dropped, err := c.Drop(dir, names[0]); !dropped || err != nil {
		t.Fatal(dropped, err)
	}
	if dropped, err := c.Drop(dir, "another"); dropped || err != nil {
		t.Fatal(dropped, err)
	}
	if err := WriteFile(filepath.Join(dir, names[1]), []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	var alone *Convoy
	if err := alone.Recover(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if has := files(t, dir); len(has) != 2 {
		t.Fatalf("of a process that lives %q were laid out", has)
	}
	die(t, c, dir)
	if err := os.WriteFile(filepath.Join(dir, trayDir, ".new-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, trayDir, "none-of-ours"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := alone.Recover(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	if in := files(t, filepath.Join(dir, trayDir)); len(in) != 1 || in[0] != "none-of-ours" {
		t.Errorf("beside the files there are %q", in)
	}
	if has := files(t, dir); len(has) != 100 { // no tray, not what was dropped, and what is none of ours
		t.Errorf("there are %d: %q", len(has), has)
	}
	for i, name := range names {
		want := name + strings.Repeat("x", 100)
		switch i {
		case 0:
			if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what was dropped is back: %v", err)
			}
			continue
		case 1:
			want = "newer"
		case 2:
			want = "the second one"
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(data) != want {
			t.Errorf("%s: %.30q, %v", name, data, err)
		}
	}
}

// Trays that are full are followed by others, and go with the last of what is in them. At
// the end there is none, and what is still held is in its place.
func TestTraysGo(t *testing.T) {
	c, dir := withTrays(t)
	names := namesFor(60)
	for i := 0; i < len(names); i += 6 {
		holdAll(t, c, dir, names[i:i+6], traySize/16)
	}
	many := len(c.held[dir].list)
	if many < 3 {
		t.Fatalf("all stands in %d trays", many)
	}
	for _, name := range names[:50] {
		if dropped, err := c.Drop(dir, name); !dropped || err != nil {
			t.Fatal(dropped, err)
		}
	}
	if left := len(c.held[dir].list); left >= many || left != len(files(t, filepath.Join(dir, trayDir))) {
		t.Errorf("of %d trays %d are left, and %d files", many, left, len(files(t, filepath.Join(dir, trayDir))))
	}
	for range 2 {
		if err := c.Keep(dir, names[50], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if has := files(t, dir); len(has) != 2 {
		t.Errorf("%q", has)
	}
	if held, err := c.Hold(dir, "large", make([]byte, traySize)); held || err != nil {
		t.Errorf("what is larger than a tray: %t, %v", held, err)
	}
	c.end()
	if has := files(t, dir); len(has) != 10 {
		t.Errorf("at the end there are %q", has)
	}
	if held, err := c.Hold(dir, "later", nil); held || err != nil {
		t.Errorf("when all is over: %t, %v", held, err)
	}
	if held, err := (*Convoy)(nil).Hold(dir, "alone", nil); held || err != nil {
		t.Errorf("alone: %t, %v", held, err)
	}
}

// What was not written to its end was never held; what was is missed.
func TestDamagedTray(t *testing.T) {
	c, dir := withTrays(t)
	holdAll(t, c, dir, namesFor(1), 600)
	holdAll(t, c, dir, []string{"last"}, 600)
	path := c.held[dir].list[0].path
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := trayHead
	second := first + aligned(trayFrame+1+int(binary.BigEndian.Uint32(whole[first:]))+32)
	for _, test := range []struct {
		what string
		do   func(data []byte) []byte
		live int // -1 for damage
	}{
		{"whole", func(d []byte) []byte { return d }, 2},
		{"the last is torn", func(d []byte) []byte { clear(d[second+100:]); return d }, 1},
		{"the last is not there", func(d []byte) []byte { clear(d[second : second+512]); return d }, 1},
		{"the first is not whole", func(d []byte) []byte { d[first+50] ^= 1; return d }, -1},
		{"its sum is not", func(d []byte) []byte { d[second-8] ^= 1; return d }, -1},
		{"too long", func(d []byte) []byte { d[first] = 1; return d }, -1},
		{"no files", func(d []byte) []byte { d[first+7] = 0; return d }, -1},
		{"cut", func(d []byte) []byte { return d[:len(d)/2] }, -1},
		{"empty", func(d []byte) []byte { return nil }, -1},
		{"another size", func(d []byte) []byte { d[trayHead-1] ^= 1; return d }, -1},
		{"another file", func(d []byte) []byte { d[0] = 'M'; return d }, -1},
	} {
		live, err := parseTray(test.do(append([]byte(nil), whole...)))
		if test.live >= 0 && (err != nil || len(live) != test.live) || test.live < 0 && !errors.Is(err, errTrayDamaged) {
			t.Errorf("%s: %d files, %v", test.what, len(live), err)
		}
	}
	die(t, c, dir)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Recover(t.Context(), dir); !errors.Is(err, errTrayDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("an emptied one: %v", err)
	}
}

func FuzzParseTray(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0b\x00\x00\x00\x01\x00\x00\x04\x00\x00\x00\x01namex"))
	f.Fuzz(func(t *testing.T, frames []byte) {
		data := make([]byte, traySize)
		binary.BigEndian.PutUint64(data[copy(data, trayMagic):], traySize)
		copy(data[trayHead:], frames)
		if live, err := parseTray(data); err != nil && live != nil {
			t.Errorf("%d files of one that is damaged", len(live))
		}
	})
}

// More than a tray has room for may come at once: each is held, in one tray or the next.
func TestHoldMoreThanFits(t *testing.T) {
	c, dir := withTrays(t)
	first, err := c.held[dir].now()
	if err != nil {
		t.Fatal(err)
	}
	first.queue.turn <- struct{}{} // so that all of them come while one writes
	const many, size = 40, traySize / 32
	var all sync.WaitGroup
	for _, name := range namesFor(many) {
		all.Go(func() {
			if held, err := c.Hold(dir, name, make([]byte, size)); !held || err != nil {
				t.Errorf("%s: %t, %v", name, held, err)
			}
		})
	}
	for first.queue.Len() < many {
		time.Sleep(time.Millisecond)
	}
	<-first.queue.turn
	all.Wait()
	if n := len(c.held[dir].list); n != 3 {
		t.Errorf("they are in %d trays", n)
	}
	die(t, c, dir)
	if err := c.Recover(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if has := files(t, dir); len(has) != many {
		t.Errorf("%d files of %d are there", len(has), many)
	}
}
