package renew

import (
	"errors"
	"iter"
	"slices"
	"testing"
	"time"
)

// TestOutlasting: what keeps an old CA needed is what nobody has seen get the new chain.
func TestOutlasting(t *testing.T) {
	at := func(minutes int) time.Time { return from.Add(time.Duration(minutes) * time.Minute) }
	all := []Outstanding{
		{"1", "payment", at(-300), at(900), true},  // replaced before: it may be in use somewhere
		{"2", "payment", at(-200), at(800), true},  // in use when the chains were replaced
		{"3", "account", at(-200), at(700), false}, // ended, or revoked
		{"4", "account", at(-100), at(950), true},  // in use now
		{"5", "gone", at(-100), at(600), true},     // of nobody under care
		{"6", "", at(-90), at(600), true},          // nor this
		{"7", "payment", at(4), at(500), true},     // may have been on its way
		{"8", "late", at(6), at(500), true},        // made with the new chain
	}
	in := func(serials ...string) map[string]bool {
		m := map[string]bool{}
		for _, s := range serials {
			m[s] = true
		}
		return m
	}
	for _, test := range []struct {
		name           string
		all            []Outstanding
		inUse, targets map[string]bool
		want           []string
	}{
		{"all of it", all, in("4", "8"), in("payment", "account"), []string{"5", "6", "2", "1"}},
		{"the last one of a target was in its place", all[:6], in("4", "9"), in("payment", "account"), []string{"5", "6", "1"}},
		{"of a target that is gone, none was", all[:6], in("4", "9"), in("account"), []string{"5", "6", "2", "1"}},
		{"nothing was signed before", all[7:], nil, nil, nil},
	} {
		got, err := Outlasting(func(yield func(Outstanding, error) bool) {
			for _, o := range test.all {
				if !yield(o, nil) {
					return
				}
			}
		}, from, test.inUse, test.targets)
		var serials []string
		for _, o := range got {
			serials = append(serials, o.Serial)
		}
		if err != nil || !slices.Equal(serials, test.want) {
			t.Errorf("%s: %v, want %v (%v)", test.name, serials, test.want, err)
		}
	}
	broken := errors.New("broken")
	var seq iter.Seq2[Outstanding, error] = func(yield func(Outstanding, error) bool) { yield(Outstanding{}, broken) }
	if _, err := Outlasting(seq, from, nil, nil); !errors.Is(err, broken) {
		t.Errorf("a ledger that cannot be read: %v", err)
	}
}
