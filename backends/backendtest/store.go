package backendtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// StoreOptions say what a place can do besides what every Store must. The zero
// value tests the latter.
type StoreOptions struct {
	// Reopen gives another handle on the place of s, as another process would have
	// one. Without it the same handle is used again.
	Reopen func(t *testing.T, s issue.Store) issue.Store
	// Plant puts something that is not ours into the place, under a name that a set
	// will want. Nil: the place cannot hold such a thing.
	Plant func(t *testing.T, s issue.Store, name string)
	// Access tells how a file of the set is kept. Nil: the place knows no owners and modes.
	Access func(t *testing.T, s issue.Store, name string) Access
	// Owner and Group are to be given to the files, as Access would tell them; empty
	// where the test has not the right to give files away.
	Owner, Group string
	// Largest is how many bytes the place must be able to take in one file; 0 is 1 MiB.
	Largest int
	// Secrets must not appear in what String gives.
	Secrets []string
}

// Access is how a file is kept: its owner and group, and its mode bits.
type Access struct {
	Owner, Group string
	Mode         fs.FileMode
}

// place is a store under test.
type place struct {
	StoreOptions
	open func(t *testing.T) issue.Store
}

// TestStore holds a store against its contract. open gives a new, empty place
// each time.
func TestStore(t *testing.T, open func(t *testing.T) issue.Store, o StoreOptions) {
	if o.Reopen == nil {
		o.Reopen = func(_ *testing.T, s issue.Store) issue.Store { return s }
	}
	if o.Largest == 0 {
		o.Largest = 1 << 20
	}
	p := place{o, open}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, p place)
	}{
		{"an empty place is fs.ErrNotExist", testEmpty},
		{"what was saved is loaded", testKept},
		{"a set of facts alone is kept", testFactsAlone},
		{"a large file is kept", testLarge},
		{"names that the new set lacks vanish", testVanish},
		{"what is handed over is copied", testCopies},
		{"a lost update is refused", testLostUpdate},
		{"of several at once exactly one wins", testOneWins},
		{"readers see whole sets", testWholeSets},
		{"hostile names are refused", testHostileNames},
		{"a context that has ended is honoured", testStoreCancelled},
		{"String names the place and no secret", testString},
		{"trying beforehand leaves nothing behind", testPrepare},
		{"what is not ours is left alone", testForeign},
		{"owner and mode are as asked", testAccess},
		{"plain files are kept as asked", testSwapFiles},
		{"what was replaced can be had back", testPrevious},
		{"as many stay whole as are wanted", testWhole},
		{"doomed keys are taken away, and no others", testPurge},
		{"what drifted is named", testAudit},
		{"what is as it was is known by its version", testUnchanged},
		{"what is remembered is held against the place", testRemember},
		{"a place is emptied", testRemove},
		{"what is not ours outlives that", testRemoveKeeps},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, p) })
	}
}

// textSet is a set of public files with these contents, by name.
func textSet(files map[string]string) issue.Set {
	s := issue.Set{Files: issue.Files{}}
	for name, text := range files {
		s.Files[name] = issue.File{Data: []byte(text)}
	}
	return s
}

// pairSet is a set of two files, one of them secret, and a fact, that all say n.
func pairSet(n int) issue.Set {
	text := fmt.Sprintf("%06d", n)
	s := textSet(map[string]string{"tls.crt": text, "tls.key": text})
	s.Files["tls.key"] = issue.File{Data: []byte(text), Secret: true}
	s.Facts = map[string]string{"number": text}
	return s
}

func mustSave(t *testing.T, s issue.Store, set issue.Set, was issue.Version) issue.Version {
	t.Helper()
	v, err := s.Save(t.Context(), set, was)
	if err != nil {
		t.Fatalf("save over version %q: %v", was, err)
	}
	if v == "" || v == was {
		t.Fatalf("saving over version %q gave version %q", was, v)
	}
	return v
}

// wantSet loads and compares; an empty version is not compared.
func wantSet(t *testing.T, s issue.Store, want issue.Set, at issue.Version) {
	t.Helper()
	got, v, err := s.Load(t.Context())
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if at != "" && v != at {
		t.Errorf("loaded version %q, saved %q", v, at)
	}
	if d := difference(got, want); d != "" {
		t.Error(d)
	}
}

// difference tells in what a set that was loaded is not the one that was saved.
func difference(got, want issue.Set) string {
	if g, w := got.Files.Names(), want.Files.Names(); !slices.Equal(g, w) {
		return fmt.Sprintf("loaded files %q, saved %q", g, w)
	}
	for name, w := range want.Files {
		g := got.Files[name]
		if !bytes.Equal(g.Data, w.Data) {
			return fmt.Sprintf("%s: loaded %d bytes that are not the %d that were saved", name, len(g.Data), len(w.Data))
		}
		if g.Secret != w.Secret {
			return fmt.Sprintf("%s: loaded with secret %t, saved with %t", name, g.Secret, w.Secret)
		}
	}
	if !maps.Equal(got.Facts, want.Facts) {
		return fmt.Sprintf("loaded facts %q, saved %q", got.Facts, want.Facts)
	}
	return ""
}

// wantEmpty is for a place that must still hold nothing.
func wantEmpty(t *testing.T, s issue.Store) {
	t.Helper()
	set, v, err := s.Load(t.Context())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load from an empty place: error %v, want fs.ErrNotExist", err)
	}
	if v != "" || len(set.Files) > 0 || len(set.Facts) > 0 {
		t.Errorf("load from an empty place: version %q, files %q, facts %q", v, set.Files.Names(), set.Facts)
	}
}

func testEmpty(t *testing.T, p place) {
	s := p.open(t)
	wantEmpty(t, s)
	wantEmpty(t, p.Reopen(t, s))
}

func testKept(t *testing.T, p place) {
	s := p.open(t)
	set := textSet(map[string]string{
		"tls.crt": "first line\nsecond line\n", "empty": "", "no-line-feed": "x",
		"binary": "\x00\xff\r\n\x1a\x80", "UPPER_and.dots-1": "-----BEGIN", ".hidden": "h",
	})
	set.Files["tls.key"] = issue.File{Data: []byte("not for all"), Secret: true}
	set.Facts = map[string]string{
		"due": "2026-12-21T21:40:00Z", "empty": "", "with \"quotes\" <&>": "line\nfeed\ttab", "ünïcødé": "値 \u202e",
	}
	v := mustSave(t, s, set, "")
	wantSet(t, s, set, v)
	wantSet(t, p.Reopen(t, s), set, v)
	set.Facts = nil
	v = mustSave(t, s, set, v)
	wantSet(t, p.Reopen(t, s), set, v)
}

func testFactsAlone(t *testing.T, p place) {
	s := p.open(t)
	set := issue.Set{Facts: map[string]string{"held": "by issuer"}}
	v := mustSave(t, s, set, "")
	wantSet(t, p.Reopen(t, s), set, v)
	full := pairSet(1)
	v = mustSave(t, s, full, v)
	wantSet(t, s, full, v)
	v = mustSave(t, s, set, v)
	wantSet(t, p.Reopen(t, s), set, v)
}

func testLarge(t *testing.T, p place) {
	s := p.open(t)
	data := make([]byte, p.Largest)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	set := issue.Set{Files: issue.Files{"large": {Data: data}}}
	v := mustSave(t, s, set, "")
	wantSet(t, p.Reopen(t, s), set, v)
}

func testVanish(t *testing.T, p place) {
	s := p.open(t)
	v := mustSave(t, s, textSet(map[string]string{"a": "1", "b": "2", "c": "3"}), "")
	second := textSet(map[string]string{"b": "4", "d": "5"})
	second.Facts = map[string]string{"generation": "2"}
	v = mustSave(t, s, second, v)
	wantSet(t, p.Reopen(t, s), second, v)
	third := textSet(map[string]string{"a": "6"})
	v = mustSave(t, p.Reopen(t, s), third, v)
	wantSet(t, s, third, v)
}

func testCopies(t *testing.T, p place) {
	s := p.open(t)
	set := pairSet(1)
	v := mustSave(t, s, set, "")
	spoil := func(set issue.Set) {
		for name, f := range set.Files {
			copy(f.Data, "spoilt")
			set.Files[name] = issue.File{Data: f.Data}
		}
		for name := range set.Facts {
			set.Facts[name] = "spoilt"
		}
	}
	spoil(set)
	wantSet(t, s, pairSet(1), v)
	loaded, _, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spoil(loaded)
	wantSet(t, s, pairSet(1), v)
}

func testLostUpdate(t *testing.T, p place) {
	s := p.open(t)
	other := p.Reopen(t, s)
	refused := func(h issue.Store, was issue.Version, why string) {
		t.Helper()
		if v, err := h.Save(t.Context(), pairSet(99), was); !errors.Is(err, issue.ErrChanged) {
			t.Errorf("%s: version %q, error %v; want issue.ErrChanged", why, v, err)
		}
	}
	refused(s, "made-up", "save over a version that never was, of an empty place")
	wantEmpty(t, other)
	first := mustSave(t, s, pairSet(1), "")
	refused(other, "", "save as if the place were empty")
	second := mustSave(t, other, pairSet(2), first)
	refused(s, first, "save over a version that another has replaced")
	refused(s, "made-up", "save over a version that never was")
	wantSet(t, s, pairSet(2), second)
	third := mustSave(t, s, pairSet(3), second)
	wantSet(t, other, pairSet(3), third)
}

func testOneWins(t *testing.T, p place) {
	const rounds, rivals = 5, 8
	s := p.open(t)
	handles := make([]issue.Store, rivals)
	for i := range handles {
		handles[i] = p.Reopen(t, s)
	}
	var was issue.Version
	for round := range rounds {
		versions := make([]issue.Version, rivals)
		errs := guard(rivals, func(i int) (err error) {
			versions[i], err = handles[i].Save(t.Context(), pairSet(100*round+i), was)
			return err
		})
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner < 0:
				winner = i
			case err == nil:
				t.Errorf("round %d: %d and %d both saved over version %q", round, winner, i, was)
			case !errors.Is(err, issue.ErrChanged):
				t.Errorf("round %d: error %v, want issue.ErrChanged", round, err)
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody could save over version %q", round, was)
		}
		was = versions[winner]
		wantSet(t, s, pairSet(100*round+winner), was)
	}
}

func testWholeSets(t *testing.T, p place) {
	const saves, readers = 40, 3
	s := p.open(t)
	v := mustSave(t, s, pairSet(0), "")
	done := make(chan struct{})
	none(t, guard(readers+1, func(i int) error {
		if i == 0 {
			defer close(done)
			return saveMany(t, s, v, saves)
		}
		h := p.Reopen(t, s)
		for last := 0; ; {
			n, err := loadPair(t, h)
			if err != nil {
				return err
			}
			if n < last {
				return fmt.Errorf("set %d was loaded after set %d", n, last)
			}
			last = n
			select {
			case <-done:
				return nil
			default:
			}
		}
	}))
	wantSet(t, s, pairSet(saves), "")
}

func saveMany(t *testing.T, s issue.Store, v issue.Version, saves int) (err error) {
	for n := range saves {
		if v, err = s.Save(t.Context(), pairSet(n+1), v); err != nil {
			return err
		}
	}
	return nil
}

// loadPair loads a set of pairSet's and gives its number.
func loadPair(t *testing.T, s issue.Store) (int, error) {
	set, _, err := s.Load(t.Context())
	if err != nil {
		return 0, err
	}
	var n int
	if _, err := fmt.Sscanf(set.Facts["number"], "%d", &n); err != nil {
		return 0, fmt.Errorf("facts %q: %w", set.Facts, err)
	}
	if d := difference(set, pairSet(n)); d != "" {
		return 0, errors.New("not one set: " + d)
	}
	return n, nil
}

func testHostileNames(t *testing.T, p place) {
	s := p.open(t)
	v := mustSave(t, s, pairSet(1), "")
	for _, name := range []string{
		"", ".", "..", "../up", "../../etc/passwd", "a/b", "/abs", `a\b`, "..data", "..gen-1", "nul\x00byte",
		"line\nfeed", "escape\x1b[31m", "bidi\u202ename", "not\xffUTF-8", strings.Repeat("n", 300),
	} {
		set := textSet(map[string]string{"tls.crt": "new", name: "x"})
		if _, err := s.Save(t.Context(), set, v); err == nil {
			t.Fatalf("a file named %q was saved", name)
		} else if errors.Is(err, issue.ErrChanged) || errors.Is(err, issue.ErrForeign) {
			t.Errorf("a file named %q: error %v, which says something else", name, err)
		}
		if c, ok := s.(issue.Preparer); ok && c.Prepare(t.Context(), set) == nil {
			t.Errorf("a file named %q: preparing for it found nothing wrong", name)
		}
	}
	wantSet(t, s, pairSet(1), v)
}
