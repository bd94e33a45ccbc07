package renew

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// How much a person has to mind each standing, at each time.
func TestConcern(t *testing.T) {
	due := from.Add(20 * day) // of thirty days
	table := []struct {
		name   string
		result Result
		after  time.Duration
		want   Concern
	}{
		{"fresh", Result{Standing: StandsFresh}, 10 * day, ConcernNone},
		{"just due", Result{Standing: StandsDue, Decision: Decision{Outcome: Renew, Check: "window"}}, 20 * day, ConcernSoon},
		{"a tenth later", Result{Standing: StandsDue, Decision: Decision{Outcome: Renew, Check: "window"}}, 21 * day, ConcernLook},
		{"half later", Result{Standing: StandsDue, Decision: Decision{Outcome: Renew, Check: "window"}}, 25 * day, ConcernBad},
		{"order", Result{Standing: StandsDue, Decision: Decision{Outcome: Renew, Check: "order"}}, 10 * day, ConcernSoon},
		{"missing", Result{Standing: StandsDue, Decision: Decision{Outcome: Renew, Check: "missing"}}, 10 * day, ConcernLook},
		{"revoked", Result{Standing: StandsDue, Decision: Decision{Outcome: Renew, Check: "revoked"}}, 10 * day, ConcernBad},
		{"issuer", Result{Standing: StandsDue, Decision: Decision{Outcome: Renew, Check: "issuer"}}, 10 * day, ConcernBad},
		{"roots", Result{Standing: StandsDrifted, Decision: Decision{Outcome: Deliver, Check: "roots"}}, 10 * day, ConcernSoon},
		{"layout", Result{Standing: StandsDrifted, Decision: Decision{Outcome: Deliver, Check: "layout"}}, 10 * day, ConcernLook},
		{"held long before", Result{Standing: StandsFresh, Decision: Decision{HeldBy: "its issuer ends"}}, 1 * day, ConcernLook},
		{"held", Result{Standing: StandsHeld, Decision: Decision{Outcome: Held, HeldBy: "its issuer ends"}}, 20 * day, ConcernLook},
		{"held and late", Result{Standing: StandsHeld, Decision: Decision{Outcome: Held, HeldBy: "its issuer ends"}}, 26 * day, ConcernBad},
		{"waiting", Result{Standing: StandsWaiting, Decision: Decision{Outcome: Waiting}}, 24 * day, ConcernSoon},
		{"pending", Result{Standing: StandsPending}, 1 * day, ConcernLook},
		{"pending too long", Result{Standing: StandsPending, Alarm: true}, 1 * day, ConcernBad},
		{"pending and late", Result{Standing: StandsPending}, 26 * day, ConcernBad},
		{"failed", Result{Standing: StandsFailed, Err: errors.New("no")}, 1 * day, ConcernBad},
	}
	for _, test := range table {
		if test.result.Decision.Check != "missing" {
			test.result.Decision.At, test.result.Decision.Ends = due, from.Add(30*day)
		}
		if got := test.result.Concern(from.Add(test.after)); got != test.want {
			t.Errorf("%s is %s, not %s", test.name, got, test.want)
		}
	}
}

// What could not be read is no answer.
func TestBlind(t *testing.T) {
	for want, results := range map[bool][]Result{
		true: {
			{Standing: StandsFailed, Err: errors.New("permission denied")},
			{Standing: StandsDue, Decision: Decision{Outcome: Renew, Check: "unreadable"}},
			{Standing: StandsFailed, Decision: Decision{Outcome: Fresh}, Err: fmt.Errorf("%w of a is damaged", ErrJournal)},
		},
		false: {{Standing: StandsFresh, Decision: Decision{Outcome: Fresh}}, {Standing: StandsFailed, Decision: Decision{Outcome: Renew}, Err: errors.New("refused")}},
	} {
		for _, r := range results {
			if r.Blind() != want {
				t.Errorf("%+v: blind is %t", r, !want)
			}
		}
	}
}

func TestAuthorityConcern(t *testing.T) {
	end := from.Add(1000 * day)
	for left, want := range map[time.Duration]Concern{
		201 * day: ConcernNone, 199 * day: ConcernLook, 51 * day: ConcernLook, 49 * day: ConcernBad, -day: ConcernBad,
	} {
		if got := AuthorityConcern(from, end, 30*day, end.Add(-left)); got != want {
			t.Errorf("%s before its end it is %s, not %s", left, got, want)
		}
	}
	if got := AuthorityConcern(from, end, 365*day, end.Add(-300*day)); got != ConcernLook {
		t.Errorf("one that cuts its certificates short is %s", got)
	}
}

func TestTroubles(t *testing.T) {
	now := from.Add(10 * day)
	good := Report{Ended: now.Add(-time.Hour), Good: now.Add(-time.Hour), Listed: 3}
	table := []struct {
		name   string
		change func(r *Report)
		listed int
		maxAge time.Duration
		want   []Trouble
	}{
		{"all is well", func(*Report) {}, 3, time.Hour, nil},
		{"too old by a second", func(r *Report) { r.Good = r.Good.Add(-time.Second) }, 3, time.Hour, []Trouble{TroubleOld}},
		{"old, and nobody asked", func(r *Report) { r.Good = from }, 3, 0, nil},
		{"none was good", func(r *Report) { r.Good = time.Time{} }, 3, time.Hour, []Trouble{TroubleOld}},
		{"in the future", func(r *Report) { r.Good = now.Add(time.Hour) }, 3, time.Hour, []Trouble{TroubleOld}},
		{"no services any more", func(*Report) {}, 0, time.Hour, []Trouble{TroubleLost}},
		{"never any", func(r *Report) { r.Listed = 0 }, 0, time.Hour, nil},
	}
	for _, test := range table {
		r := good
		test.change(&r)
		if got := Troubles(&r, test.listed, test.maxAge, now); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, not %v", test.name, got, test.want)
		}
	}
	if got := Troubles(nil, 3, 0, now); !slices.Equal(got, []Trouble{TroubleNever}) {
		t.Errorf("without a pass: %v", got)
	}
}
