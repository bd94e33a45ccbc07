package backendtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// testRemember: a place that was told what it is like is written over as if it had been
// read, and is not written at all where it is otherwise in any way.
func testRemember(t *testing.T, p place) {
	if _, ok := p.open(t).(issue.Rememberer); !ok {
		t.Skip("this store remembers nothing")
	}
	recall := func(t *testing.T, s issue.Store, text string, v issue.Version) issue.Store {
		t.Helper()
		again := p.Reopen(t, s)
		if at, ok := as[issue.Rememberer](t, again).Recall(text); !ok || at != v {
			t.Fatalf("%q is recalled at version %q (%v), and was at %q", text, at, ok, v)
		}
		return again
	}
	written := func(t *testing.T) (issue.Store, issue.Version, string) {
		t.Helper()
		s := p.open(t)
		v := mustSave(t, s, pairSet(1), "")
		text := as[issue.Rememberer](t, s).Remember(v)
		if text == "" || strings.Contains(text, "000001") {
			t.Fatalf("of a set that was saved it remembers %q", text)
		}
		return s, v, text
	}

	s, v, text := written(t)
	again := recall(t, s, text, v)
	if c, ok := again.(issue.Comparer); ok {
		if same, err := c.Unchanged(t.Context(), v); err != nil || !same {
			t.Errorf("what was recalled is not as it was: %v, %v", same, err)
		}
	}
	v = mustSave(t, again, pairSet(2), v)
	wantSet(t, s, pairSet(2), v)
	if as[issue.Rememberer](t, s).Remember("made-up") != "" {
		t.Error("a version at which the place never was is remembered")
	}
	for _, text := range []string{"", "made-up", "{}"} {
		if _, ok := as[issue.Rememberer](t, p.Reopen(t, s)).Recall(text); ok {
			t.Errorf("%q is recalled", text)
		}
	}

	remove := func(t *testing.T, s issue.Store) {
		if _, err := as[issue.Remover](t, s).Remove(t.Context(), mustLoad(t, s)); err != nil {
			t.Fatal(err)
		}
	}
	changes := map[string]func(t *testing.T, s issue.Store){
		"another has saved": func(t *testing.T, s issue.Store) { mustSave(t, s, pairSet(2), mustLoad(t, s)) },
		"saved, and as before": func(t *testing.T, s issue.Store) {
			mustSave(t, s, pairSet(1), mustSave(t, s, pairSet(2), mustLoad(t, s)))
		},
		"removed":                remove,
		"removed, and as before": func(t *testing.T, s issue.Store) { remove(t, s); mustSave(t, s, pairSet(1), "") },
	}
	if p.Plant != nil {
		changes["another has put in a key"] = func(t *testing.T, s issue.Store) { p.Plant(t, s, "more") }
		changes["another has put in ours"] = func(t *testing.T, s issue.Store) { p.Plant(t, s, "tls.crt") }
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s, v, text := written(t)
			change(t, p.Reopen(t, s))
			before, at, _ := s.Load(t.Context())
			again := recall(t, s, text, v)
			if _, err := again.Save(t.Context(), pairSet(3), v); !errors.Is(err, issue.ErrChanged) {
				t.Errorf("saving over what it is no more gives error %v, want issue.ErrChanged", err)
			}
			if after, now, _ := s.Load(t.Context()); now != at || after.Files.Digest() != before.Files.Digest() {
				t.Error("it was written all the same")
			}
		})
	}
}

func mustLoad(t *testing.T, s issue.Store) issue.Version {
	t.Helper()
	_, v, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// as is the store as one that can do more.
func as[More any](t *testing.T, s issue.Store) More {
	t.Helper()
	more, ok := s.(More)
	if !ok {
		t.Fatalf("%T cannot do what others of its kind can", s)
	}
	return more
}
