package renew

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// Failure is what is known of a target that has failed, when it is to be said how
// long to wait.
type Failure struct {
	Target string
	// Count is how many tries in a row have failed.
	Count int
	// Unserved says that the certificate is in its places, and a hook or its
	// confirmation has failed.
	Unserved bool
	// Ends is when the certificate in use ends; zero where there is none.
	Ends time.Time
	Now  time.Time
}

// How long a daemon waits before it tries again: doubling, from the first to the longest.
const (
	firstRetry, longestRetry = 30 * time.Second, time.Hour
	firstHook, longestHook   = time.Second, 15 * time.Minute
	// ended bounds it where there is no valid certificate: somebody waits for one.
	endedRetry = 5 * time.Minute
	// soonest is the shortest wait that the end of a certificate can bring about.
	soonest = 10 * time.Second
)

// Backoff is how long to wait after a failure: doubling, and never more than a tenth
// of the life that is left. Up to a fifth is taken off, by the target's name, so that
// what failed together is not tried together.
func Backoff(f Failure) time.Duration {
	first, longest := firstRetry, longestRetry
	if f.Unserved {
		first, longest = firstHook, longestHook
	}
	wait := longest
	if n := max(f.Count, 1) - 1; n < 16 {
		wait = min(first<<n, longest)
	}
	left := f.Ends.Sub(f.Now)
	switch {
	case f.Unserved:
	case f.Ends.IsZero() || left <= 0:
		wait = min(wait, endedRetry)
	default:
		wait = min(wait, max(left/10, soonest))
	}
	return wait - wait/5*time.Duration(share(f))/256
}

// share is 0 to 255, by the name and the count.
func share(f Failure) byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(f.Target), uint64(f.Count)))
	return sum[0]
}

// failure is what a wait after this target's failure goes by.
func (w *work) failure() Failure {
	f := Failure{Target: w.t.Name, Ends: w.d.Ends, Now: w.r.Now(), Unserved: w.m.unserved()}
	if !f.Unserved {
		return f
	}
	// Those of the step that is next: what failed before is no reason to wait for it.
	for _, s := range w.m.Steps {
		if !s.Done {
			f.Count = max(s.Tries, 1)
			return f
		}
	}
	if w.m.Confirm != nil {
		f.Count = max(w.m.Confirm.Tries, 1)
	}
	return f
}

// next is when the credential in hand is to be looked at again once it is delivered:
// when it is due, or when its journal may be taken away.
func (w *work) next() time.Time {
	// Publish has read it.
	due, _ := time.Parse(time.RFC3339, w.m.Due)
	if kept := w.now.Add(keptWhole); w.manySteps() && kept.Before(due) {
		return kept
	}
	return due
}

// ago writes a span of the clock as people read it: 21d, 3h20m.
func ago(d time.Duration) string {
	d = d.Abs().Round(time.Second)
	const day = 24 * time.Hour
	if d < 2*day {
		return d.String()
	}
	return fmt.Sprintf("%dd", (d+day/2)/day)
}
