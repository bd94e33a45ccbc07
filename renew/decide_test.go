package renew

import (
	"testing"
	"time"
)

// from is when the certificates of these tests begin; they live 30 days.
var from = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func TestDecide(t *testing.T) {
	life := State{NotBefore: from, NotAfter: from.Add(30 * day)}
	revoked, changed, both := life, life, life
	revoked.Revoked, changed.Changed = "it", "the order has changed in: dns"
	both.Revoked, both.Changed = "it", "the order has changed in: dns"
	for _, test := range []struct {
		name   string
		state  State
		policy Policy
		after  time.Duration
		want   Outcome
		reason string
	}{
		{"new", life, Policy{}, 0, Fresh, "its renewal window has not begun"},
		{"before it begins, by a slow clock", life, Policy{}, -5 * time.Minute, Fresh, "its renewal window has not begun"},
		{"before it begins, by a wrong clock", life, Policy{}, -5*time.Minute - time.Second, Refused,
			"the clock is wrong: it says 2026-11-21 11:54 UTC, and the certificate begins on 2026-11-21 12:00 UTC"},
		{"a second before its window", life, Policy{}, 30*day*66/100 - time.Second, Fresh, "its renewal window has not begun"},
		{"at its window", life, Policy{}, 30 * day * 66 / 100, Renew, "its renewal window has begun"},
		{"a later window", life, Policy{Percent: 90}, 26 * day, Fresh, "its renewal window has not begun"},
		{"a later window, begun", life, Policy{Percent: 90}, 27 * day, Renew, "its renewal window has begun"},
		{"a window from the end", life, Policy{Before: 10 * day}, 20*day - time.Second, Fresh, "its renewal window has not begun"},
		{"a window from the end, begun", life, Policy{Before: 10 * day}, 20 * day, Renew, "less than 10d of its life is left"},
		{"a window of hours", life, Policy{Before: 36 * time.Hour}, 29 * day, Renew, "less than 36h0m0s of its life is left"},
		{"a window longer than its life", life, Policy{Before: 31 * day}, 0, Renew, "less than 31d of its life is left"},
		{"at its last second", life, Policy{Before: time.Second}, 30*day - 2*time.Second, Fresh, "its renewal window has not begun"},
		{"expired", life, Policy{Before: time.Second}, 30 * day, Renew, "it has expired"},
		{"revoked", revoked, Policy{}, 0, Renew, "it is revoked"},
		{"changed", changed, Policy{}, 0, Renew, "the order has changed in: dns"},
		{"revoked and changed", both, Policy{}, 0, Renew, "it is revoked"},
		{"expired and changed", changed, Policy{}, 31 * day, Renew, "it has expired"},
		{"revoked and expired", revoked, Policy{}, 31 * day, Renew, "it is revoked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Decide(test.state, test.policy, from.Add(test.after))
			if got.Outcome != test.want || got.Reason != test.reason {
				t.Errorf("%s, for %q; want %s, for %q", got.Outcome, got.Reason, test.want, test.reason)
			}
			if want := test.policy.DueAt(from, from.Add(30*day)); !got.At.Equal(want) {
				t.Errorf("due at %s by the clock, want %s", got.At, want)
			}
		})
	}
}

// TestDueAt counts on the real lifetime, whatever its length, without overflow.
func TestDueAt(t *testing.T) {
	for _, test := range []struct {
		life   time.Duration
		policy Policy
		after  time.Duration
	}{
		{30 * day, Policy{}, 19*day + 19*time.Hour + 12*time.Minute},
		{30 * day, Policy{Percent: 50}, 15 * day},
		{time.Hour, Policy{}, 39*time.Minute + 36*time.Second},
		{10 * time.Second, Policy{}, 6 * time.Second},
		{100 * 365 * day, Policy{Percent: 99}, 99 * 365 * day},
		{30 * day, Policy{Percent: 50, Before: day}, 29 * day},
	} {
		if got := test.policy.DueAt(from, from.Add(test.life)); !got.Equal(from.Add(test.after)) {
			t.Errorf("%s with %+v is due after %s, want %s", test.life, test.policy, got.Sub(from), test.after)
		}
	}
}

// TestDueOnce goes through a life hour by hour: what is due stays due.
func TestDueOnce(t *testing.T) {
	s := State{NotBefore: from, NotAfter: from.Add(30 * day)}
	due := false
	for at := from; at.Before(from.Add(40 * day)); at = at.Add(time.Hour) {
		d := Decide(s, Policy{}, at)
		if due && d.Outcome != Renew {
			t.Fatalf("%s: %s again, after it was due", at, d.Outcome)
		}
		due = d.Outcome == Renew
	}
	if !due {
		t.Error("never due")
	}
}
