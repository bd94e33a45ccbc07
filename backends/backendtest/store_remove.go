package backendtest

import (
	"errors"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// testRemove: a place is emptied at the version that was seen, and at no other; then
// it is as it was before the first save, and nothing that was kept can be had back.
func testRemove(t *testing.T, p place) {
	s, versions := kept(t, p, 2, 1)
	r, ok := s.(issue.Remover)
	if !ok {
		t.Skip("this store cannot be emptied")
	}
	for _, was := range []issue.Version{"", versions[1]} {
		if _, err := r.Remove(t.Context(), was); !errors.Is(err, issue.ErrChanged) {
			t.Errorf("remove at version %q of %q: error %v, want issue.ErrChanged", was, versions[2], err)
		}
	}
	wantSet(t, s, pairSet(2), versions[2])
	_, err := r.Remove(cancelled(t), versions[2])
	wantCancelled(t, "remove", err)
	wantSet(t, s, pairSet(2), versions[2])

	mustRemove(t, r, versions[2])
	wantEmpty(t, p.Reopen(t, s))
	if h, ok := s.(issue.Historian); ok {
		wantNoPrevious(t, h)
	}
	mustRemove(t, r, "") // again, and of a place that never was
	never, ok := p.open(t).(issue.Remover)
	if !ok {
		t.Fatal("another place removes nothing")
	}
	mustRemove(t, never, "")

	// No version of before is one of what is saved then.
	v := mustSave(t, s, pairSet(3), "")
	if v == versions[1] || v == versions[2] {
		t.Errorf("what was saved after a removal has version %q, as before it", v)
	}
	wantSet(t, p.Reopen(t, s), pairSet(3), v)
	set := pairSet(4)
	set.Swap = issue.SwapFiles
	mustRemove(t, r, mustSave(t, s, set, v))
	wantEmpty(t, s)
}

// testRemoveKeeps: what is not ours stays, and is named.
func testRemoveKeeps(t *testing.T, p place) {
	s := p.open(t)
	r, ok := s.(issue.Remover)
	if !ok || p.Plant == nil {
		t.Skip("nothing foreign can be in this place, or it cannot be emptied")
	}
	v := mustSave(t, s, pairSet(1), "")
	p.Plant(t, s, "theirs")
	left, err := r.Remove(t.Context(), v)
	if err != nil || len(left) != 1 || left[0] != "theirs" {
		t.Errorf("remove beside something foreign: kept %q, error %v; want it to be named", left, err)
	}
	wantEmpty(t, s)
	left, err = r.Remove(t.Context(), "")
	if err != nil || len(left) != 1 {
		t.Errorf("remove once more: kept %q, error %v", left, err)
	}
}

func mustRemove(t *testing.T, r issue.Remover, was issue.Version) {
	t.Helper()
	if left, err := r.Remove(t.Context(), was); err != nil || len(left) > 0 {
		t.Fatalf("remove at version %q: kept %q, error %v", was, left, err)
	}
}
