package renew

import (
	"errors"
	"testing"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/issue"
)

// A place beside it that has the order alone makes no second step of a renewal, unless
// the order is another: then both are in the journal before either is written.
func TestJournalOfARegister(t *testing.T) {
	w := newWorld(t)
	place, register := memory.NewStore("place"), memory.NewStore("register")
	target := w.target("payment", place)
	target.Places = append(target.Places, Place{Output: issue.Output{Store: register}})
	full := errors.New("no journal can be written")

	w.notes.fail = full
	if r := w.one(target); !errors.Is(r.Err, full) {
		t.Errorf("a first delivery to both is not journaled: %v", r.Err)
	}
	w.notes.fail = nil
	w.now = w.now.AddDate(0, 0, 1)
	want(t, w.one(target), StandsRenewed)

	w.notes.fail = full
	w.now = w.now.AddDate(0, 0, 25)
	want(t, w.one(target), StandsRenewed)
	facts := func(s issue.Store) map[string]string {
		set, _, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return set.Facts
	}
	if a, b := facts(place)[issue.FactOrder], facts(register)[issue.FactOrder]; a != b || len(facts(register)) != 1 {
		t.Errorf("the place has %s, and the register says %v", a, facts(register))
	}
	target.Record.DNS = append(target.Record.DNS, "other.example.org")
	if r := w.one(target); !errors.Is(r.Err, full) {
		t.Errorf("another order is not journaled: %v", r.Err)
	}
}
