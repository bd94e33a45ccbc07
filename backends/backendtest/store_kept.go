package backendtest

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// testSwapFiles: a place takes both ways to replace files, in turn, or says at once
// that it does not.
func testSwapFiles(t *testing.T, p place) {
	s := p.open(t)
	var v issue.Version
	for n, swap := range []string{issue.SwapFiles, issue.SwapFiles, issue.SwapDirectory, issue.SwapFiles, ""} {
		set := pairSet(n)
		set.Swap = swap
		v = mustSave(t, s, set, v)
		wantSet(t, p.Reopen(t, s), set, v)
		if a, ok := s.(issue.Auditor); ok {
			wantAudit(t, a, set)
		}
	}
}

// kept gives a place with n sets saved one over the other, and their versions.
func kept(t *testing.T, p place, n, whole int) (issue.Store, []issue.Version) {
	t.Helper()
	s := p.open(t)
	versions := []issue.Version{""}
	for i := range n {
		set := pairSet(i + 1)
		set.Whole = whole
		versions = append(versions, mustSave(t, s, set, versions[i]))
	}
	return s, versions
}

// wantPrevious is for a place whose newest whole set before the present one is that.
func wantPrevious(t *testing.T, h issue.Historian, n int, at issue.Version) {
	t.Helper()
	set, v, err := h.Previous(t.Context())
	if err != nil {
		t.Fatalf("previous: %v", err)
	}
	if v != at {
		t.Errorf("the previous version is %q, want %q", v, at)
	}
	if d := difference(set, pairSet(n)); d != "" {
		t.Error("the previous set: " + d)
	}
}

func wantNoPrevious(t *testing.T, h issue.Historian) {
	t.Helper()
	if set, v, err := h.Previous(t.Context()); !errors.Is(err, fs.ErrNotExist) || v != "" || len(set.Files) > 0 {
		t.Errorf("previous: version %q, files %q, error %v; want fs.ErrNotExist", v, set.Files.Names(), err)
	}
}

func testPrevious(t *testing.T, p place) {
	s := p.open(t)
	h, ok := s.(issue.Historian)
	if !ok {
		t.Skip("this store keeps nothing that it replaced")
	}
	wantNoPrevious(t, h)
	first := mustSave(t, s, pairSet(1), "")
	wantNoPrevious(t, h)
	v := mustSave(t, s, pairSet(2), first)
	wantPrevious(t, h, 1, first)
	// And back again: it is a new set with the old bytes.
	old, _, err := h.Previous(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back := mustSave(t, s, old, v)
	wantSet(t, p.Reopen(t, s), pairSet(1), back)
	wantPrevious(t, h, 2, v)
	_, _, err = h.Previous(cancelled(t))
	wantCancelled(t, "previous", err)
	facts := issue.Set{Facts: map[string]string{"held": "by issuer"}}
	v = mustSave(t, s, facts, back)
	mustSave(t, s, pairSet(3), v)
	if set, at, err := h.Previous(t.Context()); err != nil || at != v || difference(set, facts) != "" {
		t.Errorf("a set of facts alone: version %q, %q, %v", at, set.Facts, err)
	}
}

func testWhole(t *testing.T, p place) {
	for _, whole := range []int{0, 1, 3} {
		s, versions := kept(t, p, 6, whole)
		h, historian := s.(issue.Historian)
		purger, ok := s.(issue.Purger)
		if !ok {
			t.Skip("this store keeps nothing that it replaced")
		}
		if historian {
			wantPrevious(t, h, 5, versions[5])
		}
		var asked []string
		n, err := purger.Purge(t.Context(), func(f issue.Files) bool {
			asked = append(asked, string(f["tls.key"].Data)+"/"+string(f["tls.crt"].Data))
			return false
		})
		if err != nil || n != 0 {
			t.Errorf("purge of nothing: %d, %v", n, err)
		}
		slices.Sort(asked)
		want := []string{"000003/000003", "000004/000004", "000005/000005"}
		if want = want[3-max(1, whole):]; !slices.Equal(asked, want) {
			t.Errorf("with %d to be kept whole, there are %q, want %q", whole, asked, want)
		}
		wantSet(t, s, pairSet(6), versions[6])
	}
}

func testPurge(t *testing.T, p place) {
	empty := p.open(t)
	if purger, ok := empty.(issue.Purger); !ok {
		t.Skip("this store keeps nothing that it replaced")
	} else if n, err := purger.Purge(t.Context(), func(issue.Files) bool { return true }); n != 0 || err != nil {
		t.Errorf("purge of an empty place: %d, %v", n, err)
	}
	s, versions := kept(t, p, 5, 3)
	purger, ok := s.(issue.Purger)
	if !ok {
		t.Fatal("another handle on the place purges nothing")
	}
	_, err := purger.Purge(cancelled(t), func(issue.Files) bool { return true })
	wantCancelled(t, "purge", err)
	two := func(f issue.Files) bool {
		if !f["tls.key"].Secret || f["tls.crt"].Secret {
			t.Error("the files do not say which of them is secret")
		}
		return string(f["tls.crt"].Data) == "000004" || string(f["tls.crt"].Data) == "000002"
	}
	for i, want := range []int{2, 0} {
		if n, err := purger.Purge(t.Context(), two); n != want || err != nil {
			t.Errorf("purge %d: %d, %v; want %d", i, n, err, want)
		}
	}
	wantSet(t, p.Reopen(t, s), pairSet(5), versions[5])
	if h, ok := s.(issue.Historian); ok {
		wantPrevious(t, h, 3, versions[3])
		if n, err := purger.Purge(t.Context(), func(issue.Files) bool { return true }); n != 1 || err != nil {
			t.Errorf("purge of all: %d, %v; want 1", n, err)
		}
		wantNoPrevious(t, h)
	}
	wantSet(t, s, pairSet(5), versions[5])
	mustSave(t, s, pairSet(6), versions[5])
}

// wantAudit compares what the place finds to differ from want with words that the
// findings must hold, one each.
func wantAudit(t *testing.T, a issue.Auditor, want issue.Set, words ...string) {
	t.Helper()
	found, err := a.Audit(t.Context(), want)
	if err != nil {
		t.Fatalf("audit: %v", err)
	}
	if len(found) != len(words) {
		t.Fatalf("audit found %q, want %q", found, words)
	}
	for i, w := range words {
		if !strings.Contains(found[i], w) {
			t.Errorf("audit found %q, want %q", found[i], w)
		}
	}
}

func testAudit(t *testing.T, p place) {
	s := p.open(t)
	a, ok := s.(issue.Auditor)
	if !ok {
		t.Skip("this store does not look at how its files are kept")
	}
	if _, err := a.Audit(t.Context(), pairSet(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("audit of an empty place: error %v, want fs.ErrNotExist", err)
	}
	set := pairSet(1)
	v := mustSave(t, s, set, "")
	_, err := a.Audit(cancelled(t), set)
	wantCancelled(t, "audit", err)
	wantAudit(t, a, set)
	wantAudit(t, a, issue.Set{})
	if p.Access == nil {
		return
	}
	set.Mode = 0o640
	const drifted = "tls.key has mode 0600 and should have 0640"
	wantAudit(t, a, set, drifted)
	wantAudit(t, a, issue.Set{Mode: 0o640}, drifted)
	v = mustSave(t, s, set, v)
	wantAudit(t, a, set)
	if p.Owner == "" || p.Group == "" {
		return
	}
	set.Owner, set.Group = p.Owner, p.Group
	wantAudit(t, a, set, "tls.crt belongs to ", "tls.crt has group ", "tls.key belongs to ", "tls.key has group ")
	mustSave(t, s, set, v)
	wantAudit(t, a, set)
}
