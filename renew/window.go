package renew

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/cronexpr"
)

// MaxWindow is the longest that a change window may be.
const MaxWindow = 7 * 24 * time.Hour

// Window is a change window: it opens when the clocks of its zone show what a cron
// expression says, and closes when its length is over. An hour that the clocks leave
// out opens it when they are put forward, one that they show twice the first time.
// Windows are made by ParseWindow.
type Window struct {
	cron   *cronexpr.Expression
	length time.Duration
	zone   *time.Location
	text   string
}

// ParseWindow reads a change window: the five fields of a cron expression (minute,
// hour, day of the month, month, day of the week), how long it is open, and the name
// of a time zone ("Europe/Berlin", "Local" for the machine's; "" is UTC).
func ParseWindow(cron string, length time.Duration, zone string) (Window, error) {
	if length < time.Minute || length > MaxWindow {
		return Window{}, fmt.Errorf("a change window of %s: 1m to %s is right", inDays(length), inDays(MaxWindow))
	}
	where, err := parseZone(zone)
	if err != nil {
		return Window{}, err
	}
	if n := len(strings.Fields(cron)); n != 5 || len(cron) > 200 {
		return Window{}, fmt.Errorf("%.40q is no cron expression: five fields are expected (minute, hour, day of the month, month, day of the week)", cron)
	}
	e, err := cronexpr.Parse(cron)
	if err != nil {
		return Window{}, fmt.Errorf("%q is no cron expression: %w", cron, err)
	}
	w := Window{cron: e, length: length, zone: where, text: cron}
	if w.shown(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Window{}, fmt.Errorf("%q names no day that ever comes", cron)
	}
	return w, nil
}

func parseZone(zone string) (*time.Location, error) {
	where, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("%.60q is no time zone that this machine knows: a name such as Europe/Berlin, UTC or Local is expected", zone)
	}
	return where, nil
}

// String is the window as people read it.
func (w Window) String() string {
	return fmt.Sprintf("%s for %s, %s", w.text, inDays(w.length), w.zone)
}

// Open tells whether the window is open at a time.
func (w Window) Open(at time.Time) bool { return isOpen(w, at, Window.Next) }

// Next is when the window opens next, later than at; zero where it never does.
func (w Window) Next(at time.Time) time.Time {
	// What the clocks showed a day before is shown before, whatever was done to them.
	for shown := wall(at.In(w.zone)).Add(-25 * time.Hour); ; {
		if shown = w.shown(shown); shown.IsZero() {
			return time.Time{}
		}
		if t := w.moment(shown); t.After(at) {
			return t.UTC()
		}
	}
}

// shown is the next time, of a clock that is never put forward or back, that the
// expression names.
func (w Window) shown(after time.Time) time.Time {
	e := *w.cron // Next keeps notes in its expression
	return e.Next(after)
}

// wall is what the clocks show, as if they were never changed.
func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// moment is when the clocks of the zone show that for the first time, or are put
// forward past it.
func (w Window) moment(shown time.Time) time.Time {
	t := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), 0, w.zone)
	starts, ends := t.ZoneBounds()
	switch seen := wall(t); {
	case seen.After(shown):
		return starts
	case seen.Before(shown):
		return ends
	}
	if !starts.IsZero() {
		_, before := starts.Add(-time.Nanosecond).Zone()
		if first := shown.Add(-time.Duration(before) * time.Second); first.Before(starts) {
			return first
		}
	}
	return t
}

// opening is when what may wait is done, from that time on: at once, or when a
// change window opens, as next tells. One later than last, if that is not zero, is too
// late: it is then told besides, and nothing waits for it.
func (p Policy) opening(from, last time.Time, next func(Window, time.Time) time.Time) (opens, late time.Time) {
	if len(p.Windows) == 0 {
		return from, late
	}
	var first time.Time
	for _, w := range p.Windows {
		if isOpen(w, from, next) {
			return from, late
		}
		if n := next(w, from); !n.IsZero() && (first.IsZero() || n.Before(first)) {
			first = n
		}
	}
	switch {
	case first.IsZero():
		return from, late
	case !last.IsZero() && first.After(last):
		return from, first
	}
	return first, late
}

func isOpen(w Window, at time.Time, next func(Window, time.Time) time.Time) bool {
	opened := next(w, at.Add(-w.length))
	return !opened.IsZero() && !opened.After(at)
}
