package renew

import (
	"strings"
	"testing"
	"time"
)

func window(t testing.TB, cron string, length time.Duration, zone string) Window {
	t.Helper()
	w, err := ParseWindow(cron, length, zone)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04 -0700", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Each opening on the calendar happens once, whatever is done to the clocks.
func TestWindowOpens(t *testing.T) {
	const berlin, york, howe = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
	for _, test := range []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"every day", "0 2 * * *", berlin, "2026-11-21 12:00 +0000", []string{"2026-11-22 02:00 +0100", "2026-11-23 02:00 +0100"}},
		{"on Tuesdays", "0 2 * * 2", "", "2026-11-21 12:00 +0000", []string{"2026-11-24 02:00 +0000", "2026-12-01 02:00 +0000"}},
		{"on two days by name", "0 2 * * tue,THU", "UTC", "2026-11-21 12:00 +0000", []string{"2026-11-24 02:00 +0000", "2026-11-26 02:00 +0000"}},
		{"in leap years", "0 0 29 2 *", "UTC", "2026-11-21 12:00 +0000", []string{"2028-02-29 00:00 +0000", "2032-02-29 00:00 +0000"}},
		{"later than itself", "0 2 * * *", berlin, "2026-11-22 02:00 +0100", []string{"2026-11-23 02:00 +0100"}},
		{"left out: when the clocks are put forward", "30 2 * * *", berlin, "2027-03-27 12:00 +0100",
			[]string{"2027-03-28 03:00 +0200", "2027-03-29 02:30 +0200"}},
		{"left out, at its edge", "0 2 * * 0", berlin, "2027-03-27 12:00 +0100", []string{"2027-03-28 03:00 +0200", "2027-04-04 02:00 +0200"}},
		{"twice: the first time", "30 2 * * *", berlin, "2026-10-24 12:00 +0200",
			[]string{"2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"}},
		{"twice, after the first", "30 2 * * *", berlin, "2026-10-25 02:45 +0200", []string{"2026-10-26 02:30 +0100"}},
		{"every hour of the day they are put back", "0 * * * *", berlin, "2026-10-25 00:30 +0200",
			[]string{"2026-10-25 01:00 +0200", "2026-10-25 02:00 +0200", "2026-10-25 03:00 +0100"}},
		{"west of UTC, left out", "30 2 * * *", york, "2027-03-13 12:00 -0500", []string{"2027-03-14 03:00 -0400", "2027-03-15 02:30 -0400"}},
		{"west of UTC, twice", "30 1 * * *", york, "2026-10-31 12:00 -0400", []string{"2026-11-01 01:30 -0400", "2026-11-02 01:30 -0500"}},
		{"half an hour, left out", "15 2 * * *", howe, "2026-10-03 12:00 +1030", []string{"2026-10-04 02:30 +1100", "2026-10-05 02:15 +1100"}},
		{"a day left out", "0 2 * * *", "Pacific/Apia", "2011-12-29 01:00 -1000",
			[]string{"2011-12-29 02:00 -1000", "2011-12-31 00:00 +1400", "2011-12-31 02:00 +1400"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, at := window(t, test.cron, time.Hour, test.zone), moment(t, test.after)
			for _, want := range test.want {
				if at = w.Next(at); !at.Equal(moment(t, want)) {
					t.Fatalf("opens on %s, want %s", at.In(w.zone), want)
				}
			}
		})
	}
}

func TestWindowIsOpen(t *testing.T) {
	w := window(t, "30 2 * * 0", 3*time.Hour, "Europe/Berlin")
	for at, want := range map[string]bool{
		"2026-11-22 02:29 +0100": false, "2026-11-22 02:30 +0100": true, "2026-11-22 05:29 +0100": true, "2026-11-22 05:30 +0100": false,
		"2026-11-23 03:00 +0100": false,
		"2026-10-25 02:30 +0200": true, "2026-10-25 02:15 +0100": true, "2026-10-25 04:29 +0100": true, "2026-10-25 04:30 +0100": false,
		"2027-03-28 01:59 +0100": false, "2027-03-28 03:00 +0200": true, "2027-03-28 05:59 +0200": true, "2027-03-28 06:00 +0200": false,
	} {
		if got := w.Open(moment(t, at)); got != want {
			t.Errorf("open at %s: %t", at, got)
		}
	}
	if night := window(t, "0 22 * * 5", 7*day, "UTC"); !night.Open(from) || !night.Open(from.Add(100*day)) {
		t.Error("a window of a week, each week, is not open")
	}
}

func TestParseWindow(t *testing.T) {
	for _, test := range []struct {
		cron   string
		length time.Duration
		zone   string
		want   string
	}{
		{"0 0 30 2 *", time.Hour, "", `"0 0 30 2 *" names no day that ever comes`},
		{"0 0 31 4,6,9,11 *", time.Hour, "", "no day that ever comes"},
		{"5-1 * * * *", time.Hour, "", "no day that ever comes"},
		{"", time.Hour, "", "five fields are expected"},
		{"0 2 * *", time.Hour, "", "five fields are expected"},
		{"0 0 2 * * 2", time.Hour, "", "five fields are expected"},
		{"0 2 * * 2 2030", time.Hour, "", "five fields are expected"},
		{"@daily", time.Hour, "", "five fields are expected"},
		{"TZ=UTC 0 2 * * 2", time.Hour, "", "five fields are expected"},
		{"TZ=UTC 2 * * 2", time.Hour, "", "syntax error in minute field"},
		{"60 * * * *", time.Hour, "", "syntax error in minute field"},
		{"* * * * funday", time.Hour, "", "syntax error in day-of-week field"},
		{"*/0 * * * *", time.Hour, "", "invalid interval"},
		{strings.Repeat("1,", 150) + "1 * * * *", time.Hour, "", "five fields are expected"},
		{"0 2 * * 2", 0, "", "a change window of 0d: 1m to 7d is right"},
		{"0 2 * * 2", 8 * day, "", "a change window of 8d: 1m to 7d is right"},
		{"0 2 * * 2", time.Hour, "Europe/Berln", `"Europe/Berln" is no time zone that this machine knows`},
		{"0 2 * * 2", time.Hour, "../../etc/passwd", "is no time zone"},
	} {
		if _, err := ParseWindow(test.cron, test.length, test.zone); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q for %s in %q: %v, want %s", test.cron, test.length, test.zone, err, test.want)
		}
	}
	if got := window(t, "0 2 * * 2", 3*time.Hour, "Europe/Berlin").String(); got != "0 2 * * 2 for 3h0m0s, Europe/Berlin" {
		t.Error(got)
	}
}

// Whatever a manifest gives for an expression, it is refused or has openings that go on.
func FuzzParseWindow(f *testing.F) {
	for _, s := range []string{"0 2 * * 2", "*/5 1-3 L * *", "0 0 15W 2 1#5", "0 0 29 2 *", "5-1 * * * *", "TZ=0", "\x00 1 2 3 4"} {
		f.Add(s, "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, cron, zone string) {
		w, err := ParseWindow(cron, time.Hour, zone)
		if err != nil {
			return
		}
		at := from
		for range 3 {
			next := w.Next(at)
			if next.IsZero() {
				return // a leap day on a Monday may be beyond what the library looks at
			}
			if !next.After(at) || !w.Open(next) {
				t.Fatalf("%q in %q: after %s opens on %s", cron, zone, at, next)
			}
			at = next
		}
	})
}

// What can wait does so for the next opening, unless that is too close to the end.
func TestChangeWindows(t *testing.T) {
	weekly := Policy{Windows: []Window{window(t, "0 2 * * 2", 3*time.Hour, "UTC")}}   // 24 November, 1, 8, 15, 22 December
	monthly := Policy{Windows: []Window{window(t, "0 2 20 * *", 3*time.Hour, "UTC")}} // 20 December: 28.6 days, past the margin
	both := Policy{Windows: append(append([]Window{}, monthly.Windows...), weekly.Windows...)}
	for _, test := range []struct {
		name    string
		policy  Policy
		change  func(s *State)
		at      string
		outcome Outcome
		reason  string
		next    string
	}{
		{"fresh", weekly, nil, "2026-11-24 03:00 +0000", Fresh, "its renewal window has not begun", "2026-12-15 02:00 +0000"},
		{"due, it waits", weekly, nil, "2026-12-12 12:00 +0000", Waiting, "its renewal window has begun; its change window opens on 2026-12-15 02:00 UTC", "2026-12-15 02:00 +0000"},
		{"due, the first of two", both, nil, "2026-12-12 12:00 +0000", Waiting, "its renewal window has begun; its change window opens on 2026-12-15 02:00 UTC", "2026-12-15 02:00 +0000"},
		{"due, and open", weekly, nil, "2026-12-15 04:59 +0000", Renew, "its renewal window has begun", ""},
		{"due, and missed", weekly, nil, "2026-12-15 05:00 +0000", Renew, "its renewal window has begun; its next change window, on 2026-12-22 02:00 UTC, is too close to its end", ""},
		{"due, and none in time", monthly, nil, "2026-12-12 12:00 +0000", Renew, "its renewal window has begun; its next change window, on 2026-12-20 02:00 UTC, is too close to its end", ""},
		{"fresh, and none in time", monthly, nil, "2026-12-01 12:00 +0000", Fresh, "its renewal window has not begun", "2026-12-11 07:12 +0000"},
		{"expired", weekly, nil, "2026-12-21 12:00 +0000", Renew, "it has expired", ""},
		{"revoked", weekly, func(s *State) { s.Revoked = "it" }, "2026-12-01 12:00 +0000", Renew, "it is revoked", ""},
		{"mismatch", weekly, func(s *State) { s.Mismatch = "its key is another's" }, "2026-12-01 12:00 +0000", Renew, "its key is another's", ""},
		{"missing", weekly, func(s *State) { s.Missing = true }, "2026-12-01 12:00 +0000", Renew, "there is none yet", ""},
		{"unreadable", weekly, func(s *State) { s.Unreadable = "no PEM" }, "2026-12-01 12:00 +0000", Renew, "it cannot be read: no PEM", ""},
		{"issuer", weekly, func(s *State) { s.Issuer = "another root" }, "2026-12-01 12:00 +0000", Renew, "another root", ""},
		{"order waits", weekly, func(s *State) { s.Changed = "dns" }, "2026-12-01 12:00 +0000", Waiting, "dns; its change window opens on 2026-12-08 02:00 UTC", "2026-12-08 02:00 +0000"},
		{"roots wait", weekly, func(s *State) { s.Roots = "roots" }, "2026-12-01 12:00 +0000", Waiting, "roots; its change window opens on 2026-12-08 02:00 UTC", "2026-12-08 02:00 +0000"},
		{"roots, open", weekly, func(s *State) { s.Roots = "roots" }, "2026-12-01 03:00 +0000", Deliver, "roots", ""},
		{"layout waits", weekly, func(s *State) { s.Layout = "ca.crt" }, "2026-12-01 12:00 +0000", Waiting, "ca.crt; its change window opens on 2026-12-08 02:00 UTC", "2026-12-08 02:00 +0000"},
		{"an open key does not wait", weekly, func(s *State) { s.Attributes = "mode" }, "2026-12-01 12:00 +0000", Deliver, "mode", ""},
		{"waiting keeps nothing else from being done", weekly, func(s *State) { s.Attributes = "mode" }, "2026-12-12 12:00 +0000", Deliver, "mode", ""},
		{"held before waiting", weekly, func(s *State) { s.ChainEnds, s.IssuerUntil = s.NotAfter, s.NotAfter }, "2026-12-12 12:00 +0000", Held,
			"its renewal window has begun; it ends with its issuer, on 2026-12-21 12:00 UTC: a longer-lived issuer is needed", "2026-12-21 12:00 +0000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := State{NotBefore: from, NotAfter: from.Add(30 * day)}
			if test.change != nil {
				test.change(&s)
			}
			now := moment(t, test.at)
			next := now
			if test.next != "" {
				next = moment(t, test.next)
			}
			d := Decide(s, test.policy, now)
			if d.Outcome != test.outcome || d.Reason != test.reason || !d.Next.Equal(next) {
				t.Errorf("%s, for %q, until %s; want %s, for %q, until %s", d.Outcome, d.Reason, d.Next, test.outcome, test.reason, next)
			}
			if (d.Outcome == Waiting) != !d.Opens.IsZero() {
				t.Errorf("%s, and opens on %s", d.Outcome, d.Opens)
			}
		})
	}
}
