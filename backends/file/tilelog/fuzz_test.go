package tilelog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// FuzzBundle: whatever lies there, what is read of it stands in it.
func FuzzBundle(f *testing.F) {
	var good []byte
	for _, e := range entries(0, 5) {
		good = appendEntry(good, e)
	}
	f.Add(good, 5)
	f.Add(good[:20], 5)
	f.Add([]byte{0xff, 0xff}, 1)
	f.Add([]byte(nil), 0)
	f.Fuzz(func(t *testing.T, data []byte, w int) {
		if w < 0 || w > width {
			return
		}
		all, end, err := parseBundle(data, w)
		if err == nil && len(all) != w || end > len(data) {
			t.Fatalf("%d entries of %d in %d bytes of %d", len(all), w, end, len(data))
		}
		var again []byte
		for _, e := range all {
			again = appendEntry(again, e)
		}
		if !bytes.HasPrefix(data, again) {
			t.Fatal("what was read does not stand there")
		}
	})
}

// FuzzCheckpoint: nothing but what the key has signed is a checkpoint, and of what
// it has signed only what has the form of one.
func FuzzCheckpoint(f *testing.F) {
	w := newWriter(f)
	good := mustAppend(f, w, entries(0, 5)).Raw
	f.Add(good, false)
	f.Add(good[:50], false)
	f.Add([]byte("prod.example/mesh\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), true)
	f.Add([]byte("prod.example/mesh\n-5\n\n"), true)
	f.Add([]byte("prod.example/mesh\n9223372036854775807\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, signed bool) {
		if signed {
			var err error
			if data, err = note.Sign(&note.Note{Text: string(data)}, w.Signer); err != nil {
				return
			}
		}
		c, err := ParseCheckpoint(data, w.Log.Key)
		if err != nil {
			return
		}
		if !signed && !bytes.HasPrefix(data, good[:bytes.Index(good, []byte("\n\n"))+2]) {
			t.Fatalf("%q was taken for a checkpoint", data)
		}
		if c.Size < 0 || c.Origin != w.Log.Key.Name() {
			t.Fatalf("%+v", c)
		}
		// A signed size that the tiles do not have is named.
		if _, err := w.Log.Open(c); err != nil {
			if _, ok := errors.AsType[*Damage](err); !ok {
				t.Fatal(err)
			}
		}
	})
}

// FuzzProof: a proof that holds is of an entry of the log.
func FuzzProof(f *testing.F) {
	w := newWriter(f)
	tree, err := w.Log.Open(mustAppend(f, w, entries(0, 300)))
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int64{0, 7, 299} {
		p, err := tree.Prove(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Encode())
	}
	f.Add([]byte("c2sp.org/tlog-proof@v1\n\n"))
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProof(data)
		if err != nil {
			return
		}
		if again, err := ParseProof(p.Encode()); err != nil || again.Number != p.Number || !bytes.Equal(again.Entry, p.Entry) {
			t.Fatalf("it cannot be written and read again: %v", err)
		}
		if _, err := p.Verify(w.Log.Key); err == nil && !bytes.Equal(p.Entry, entry(int(p.Number))) {
			t.Fatalf("entry %d is proved to be %q", p.Number, p.Entry)
		}
	})
}

// FuzzFiles: a log with any bytes in one of its files is read as it was written, or
// named; nothing is put behind it that would vouch for it.
func FuzzFiles(f *testing.F) {
	w := newWriter(f)
	c := mustAppend(f, w, entries(0, 258))
	names := wanted(258)
	for i, name := range names {
		data, err := os.ReadFile(w.Log.path(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint(i), data)
		f.Add(uint(i), data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, which uint, data []byte) {
		name := names[which%uint(len(names))]
		good, err := os.ReadFile(w.Log.path(name))
		if err != nil {
			t.Fatal(err)
		}
		replace(t, w.Log, name, data)
		defer replace(t, w.Log, name, good)
		found, err := w.Log.Verify(t.Context(), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range found {
			if d.Path != filepath.Join(w.Log.Dir, filepath.FromSlash(name)) {
				t.Fatalf("found %v where %s was changed", d, name)
			}
		}
		tree, err := w.Log.Open(c)
		if err != nil {
			return
		}
		n := 0
		for e, err := range tree.Entries(t.Context(), 0) {
			if err != nil {
				break
			}
			if !bytes.Equal(e, entry(n)) {
				t.Fatalf("entry %d is read as %q", n, e)
			}
			n++
		}
		if len(found) == 0 && n != 258 {
			t.Fatalf("nothing was found, and %d entries were read", n)
		}
	})
}
