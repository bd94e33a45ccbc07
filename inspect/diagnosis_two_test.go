package inspect_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDiagnosisOfTwo breaks chains in two ways at once: the first reason that is named
// is one of them, and who does what each answer says, one after another, comes to a
// path that holds.
func TestDiagnosisOfTwo(t *testing.T) {
	keys, faults := someKeys(t, 40), map[string]worldFault{}
	for _, group := range []map[string]worldFault{timeFaults(), caFaults(), nameFaults(t), formFaults()} {
		maps.Copy(faults, group)
	}
	names := slices.Sorted(maps.Keys(faults))
	for i := range diagnoses / 5 {
		r := rand.New(rand.NewPCG(uint64(i), 5))
		a, b := names[r.IntN(len(names))], names[r.IntN(len(names))]
		w := newWorld(t, uint64(i), keys)
		faults[a].do(w)
		faults[b].do(w)
		if a == b || w.ask != nil || w.breaks != nil {
			continue // what is asked is one thing at a time
		}
		result := w.verify()
		if result.Trusted {
			t.Errorf("%s and %s (%d): trusted", a, b, i)
			continue
		}
		if f := result.Findings[0]; f.Rule != faults[a].rule && f.Rule != faults[b].rule {
			t.Errorf("%s and %s (%d): named %s", a, b, i, f.Rule)
		}
		const most = 4
		for range most {
			if result.Trusted || !w.follow(result.Findings[0]) {
				break
			}
			result = w.verify()
		}
		if !result.Trusted {
			t.Errorf("%s and %s (%d): not mended: %+v", a, b, i, result.Findings)
		}
	}
}
