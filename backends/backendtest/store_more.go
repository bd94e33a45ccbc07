package backendtest

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

func testStoreCancelled(t *testing.T, p place) {
	s := p.open(t)
	ctx := cancelled(t)
	_, _, err := s.Load(ctx)
	wantCancelled(t, "load", err)
	_, err = s.Save(ctx, pairSet(1), "")
	wantCancelled(t, "save", err)
	wantEmpty(t, s)
	v := mustSave(t, s, pairSet(1), "")
	_, err = s.Save(ctx, pairSet(2), v)
	wantCancelled(t, "save", err)
	if c, ok := s.(issue.Preparer); ok {
		wantCancelled(t, "prepare", c.Prepare(ctx, pairSet(2)))
	}
	wantSet(t, p.Reopen(t, s), pairSet(1), v)
}

func testString(t *testing.T, p place) {
	s := p.open(t)
	before := s.String()
	if before == "" {
		t.Error("the place has no name")
	}
	set := issue.Set{Files: issue.Files{"tls.key": {Data: []byte("the-private-key"), Secret: true}}}
	mustSave(t, s, set, "")
	if after := s.String(); after != before {
		t.Errorf("the place was called %q, and after a save %q", before, after)
	}
	for _, secret := range append(p.Secrets, "the-private-key") {
		if strings.Contains(s.String(), secret) {
			t.Errorf("the name of the place tells a secret")
		}
	}
}

func testPrepare(t *testing.T, p place) {
	s := p.open(t)
	c, ok := s.(issue.Preparer)
	if !ok {
		t.Skip("this store cannot tell beforehand")
	}
	prepare := func() {
		t.Helper()
		if err := c.Prepare(t.Context(), pairSet(1)); err != nil {
			t.Fatalf("prepare: %v", err)
		}
	}
	prepare()
	wantEmpty(t, s)
	v := mustSave(t, s, pairSet(1), "")
	prepare()
	wantSet(t, s, pairSet(1), v)
	mustSave(t, s, pairSet(2), v)
}

func testForeign(t *testing.T, p place) {
	if p.Plant == nil {
		t.Skip("nothing foreign can be in this place")
	}
	refused := func(t *testing.T, s issue.Store, was issue.Version) {
		t.Helper()
		if _, err := s.Save(t.Context(), pairSet(2), was); !errors.Is(err, issue.ErrForeign) {
			t.Errorf("save over something foreign: error %v, want issue.ErrForeign", err)
		}
		if c, ok := s.(issue.Preparer); ok {
			if err := c.Prepare(t.Context(), pairSet(2)); !errors.Is(err, issue.ErrForeign) {
				t.Errorf("prepare for something foreign: error %v, want issue.ErrForeign", err)
			}
		}
	}
	replace := pairSet(3)
	replace.Replace = true
	t.Run("in an empty place", func(t *testing.T) {
		s := p.open(t)
		p.Plant(t, s, "tls.crt")
		refused(t, s, "")
		wantEmpty(t, s)
		v := mustSave(t, p.Reopen(t, s), replace, "")
		wantSet(t, s, replace, v)
		v = mustSave(t, s, pairSet(4), v)
		wantSet(t, s, pairSet(4), v)
	})
	t.Run("beside our own", func(t *testing.T) {
		s := p.open(t)
		old := textSet(map[string]string{"tls.crt": "ours"})
		v := mustSave(t, s, old, "")
		p.Plant(t, s, "tls.key")
		refused(t, s, v)
		wantSet(t, s, old, v)
		v = mustSave(t, s, replace, v)
		wantSet(t, p.Reopen(t, s), replace, v)
	})
}

func testAccess(t *testing.T, p place) {
	if p.Access == nil {
		t.Skip("this place knows no owners and modes")
	}
	s := p.open(t)
	v := mustSave(t, s, pairSet(1), "")
	want := func(name string, mode fs.FileMode, owner, group string) {
		t.Helper()
		a := p.Access(t, s, name)
		if a.Mode != mode {
			t.Errorf("%s has mode %04o, want %04o", name, a.Mode, mode)
		}
		if owner != "" && a.Owner != owner || group != "" && a.Group != group {
			t.Errorf("%s belongs to %s:%s, want %s:%s", name, a.Owner, a.Group, owner, group)
		}
	}
	want("tls.crt", 0o644, "", "")
	want("tls.key", 0o600, "", "")
	set := pairSet(2)
	set.Mode = 0o640
	v = mustSave(t, s, set, v)
	want("tls.crt", 0o644, "", "")
	want("tls.key", 0o640, "", "")
	if p.Owner != "" || p.Group != "" {
		set.Owner, set.Group = p.Owner, p.Group
		v = mustSave(t, s, set, v)
		want("tls.crt", 0o644, p.Owner, p.Group)
		want("tls.key", 0o640, p.Owner, p.Group)
	}
	set.Owner, set.Group = "no-such-user-\x1b", ""
	if _, err := s.Save(t.Context(), set, v); err == nil {
		t.Error("a set was saved for a user that does not exist")
	}
	set.Owner, set.Group, set.Mode = "", "", 0
	mustSave(t, s, set, v)
	want("tls.key", 0o600, "", "")
}

// testUnchanged: a place is known by the version that was loaded. Once another has
// saved it is so no more, or the Save at that version says so.
func testUnchanged(t *testing.T, p place) {
	s := p.open(t)
	c, ok := s.(issue.Comparer)
	if !ok {
		t.Skip("this store cannot tell cheaply")
	}
	unchanged := func(was issue.Version) bool {
		t.Helper()
		same, err := c.Unchanged(t.Context(), was)
		if err != nil {
			t.Fatalf("whether the place is at version %q: %v", was, err)
		}
		return same
	}
	wantEmpty(t, s)
	if !unchanged("") {
		t.Error("an empty place that was loaded is not as it was")
	}
	v := mustSave(t, s, pairSet(1), "")
	wantSet(t, s, pairSet(1), v)
	if !unchanged(v) {
		t.Error("a place that was loaded is not as it was")
	}
	if unchanged("made-up") || unchanged("") {
		t.Error("a place is at a version at which it is not")
	}
	now := mustSave(t, p.Reopen(t, s), pairSet(2), v)
	if unchanged(v) {
		if _, err := s.Save(t.Context(), pairSet(3), v); !errors.Is(err, issue.ErrChanged) {
			t.Errorf("a place that another has written is as it was, and saving over it gives error %v", err)
		}
	}
	wantSet(t, s, pairSet(2), now)
	if !unchanged(now) {
		t.Error("a place that was loaded again is not as it was")
	}
	_, err := c.Unchanged(cancelled(t), now)
	wantCancelled(t, "compare", err)
}
