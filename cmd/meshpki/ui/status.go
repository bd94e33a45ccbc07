package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Levels of attention, the least first: of services, of authorities and of the whole.
const (
	LevelFine    = "fine"
	LevelDue     = "due" // the next pass sees to it
	LevelWarning = "warning"
	LevelError   = "error"
)

// StatusService is one service under care: what it has, where, until when, and what
// is wrong.
type StatusService struct {
	RenewedService
	Level     string    `json:"level"`
	Unread    bool      `json:"unreadable,omitempty"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	Ends      time.Time `json:"ends,omitzero"` // with itself, or with the first CA above it
	Due       time.Time `json:"due,omitzero"`
	Opens     time.Time `json:"opens,omitzero"`
	HeldBy    string    `json:"heldBy,omitempty"`
	Issuer    string    `json:"issuer,omitempty"` // a common name
	Authority string    `json:"authority,omitempty"`
	Backend   string    `json:"backend,omitempty"`
	Listed    bool      `json:"listed"`
	Advice    string    `json:"advice,omitempty"` // what would make it better, though nothing is wrong with it
}

// attention tells whether somebody has to look.
func (s StatusService) attention() bool { return s.Level == LevelWarning || s.Level == LevelError }

// StatusAuthority is one CA of the directory, and what hangs on it.
type StatusAuthority struct {
	Name       string    `json:"name"`
	CommonName string    `json:"commonName"`
	Role       string    `json:"role"`
	Parent     string    `json:"parent,omitempty"` // its name in the directory
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	Level      string    `json:"level"`
	Signs      bool      `json:"signs"` // services are to get their certificates from it, or from one below it
	Services   int       `json:"services"`
	// Longest is the longest life of a certificate below it.
	Longest int64 `json:"longestSeconds,omitempty"`
	// The command that helps, where it comes to its end.
	Todo string `json:"todo,omitempty"`
}

func (a StatusAuthority) attention() bool { return a.Level == LevelWarning || a.Level == LevelError }

// StatusPass is the last pass that went over everything.
type StatusPass struct {
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Listed  int       `json:"listed"`
	Targets int       `json:"targets"`
	Good    time.Time `json:"successful,omitzero"` // the end of the last one after which nothing failed
}

// Status is everything under care, and the passes that care for it.
type Status struct {
	Services    []StatusService
	Authorities []StatusAuthority
	Published   []StatusPublication // as the manifest has them
	Last        *StatusPass
	Problems    []string // of the passes themselves, as sentences
	All         bool     // list all, also what is fine and far
	Dir         string
	Flags       string // those that name directory and manifest, for commands to paste
	Now         time.Time
}

// Schema names the document.
func (Status) Schema() string { return "status" }

// statusCounts is how many services there are of each level.
type statusCounts struct {
	Services int `json:"services"`
	Error    int `json:"error"`
	Warning  int `json:"warning"`
	Due      int `json:"due"`
	Fine     int `json:"fine"`
}

func (c statusCounts) attention() int { return c.Error + c.Warning }

func (d Status) counts() statusCounts {
	c := statusCounts{Services: len(d.Services)}
	for _, s := range d.Services {
		switch s.Level {
		case LevelError:
			c.Error++
		case LevelWarning:
			c.Warning++
		case LevelDue:
			c.Due++
		default:
			c.Fine++
		}
	}
	return c
}

// Data is all that is known.
func (d Status) Data() any {
	out := struct {
		Level       string              `json:"level"`
		Problems    []string            `json:"problems"`
		LastPass    *StatusPass         `json:"lastPass,omitempty"`
		Counts      statusCounts        `json:"counts"`
		Services    []StatusService     `json:"services"`
		Authorities []StatusAuthority   `json:"authorities"`
		Published   []StatusPublication `json:"publications,omitempty"`
	}{d.Level(), d.Problems, d.Last, d.counts(), d.Services, d.Authorities, d.Published}
	if out.Problems == nil {
		out.Problems = []string{}
	}
	if out.Services == nil {
		out.Services = []StatusService{}
	}
	if out.Authorities == nil {
		out.Authorities = []StatusAuthority{}
	}
	return out
}

// levels stand in order.
var levels = []string{LevelFine, LevelDue, LevelWarning, LevelError}

// Level is the worst there is.
func (d Status) Level() string {
	worst := 0
	for _, s := range d.Services {
		worst = max(worst, slices.Index(levels, s.Level))
	}
	for _, a := range d.Authorities {
		worst = max(worst, slices.Index(levels, a.Level))
	}
	for _, s := range d.Published {
		worst = max(worst, slices.Index(levels, s.Level))
	}
	if len(d.Problems) > 0 {
		worst = len(levels) - 1
	}
	return levels[worst]
}

// Sort puts what needs attention first, then what ends soonest.
func (d *Status) Sort() {
	slices.SortFunc(d.Services, func(a, b StatusService) int {
		return cmp.Or(
			cmp.Compare(attentionOrder(a.Level), attentionOrder(b.Level)),
			a.Ends.Compare(b.Ends), cmp.Compare(a.Name, b.Name))
	})
}

// attentionOrder is where a level stands in the list.
func attentionOrder(level string) int {
	return min(len(levels)-1-slices.Index(levels, level), 2)
}

// Answer is the one line that answers the question.
func (d Status) Answer() string { return d.standings() + "; " + d.passes() }

// standings counts services by how they stand.
func (d Status) standings() string {
	c := d.counts()
	var parts []string
	switch n := c.attention(); {
	case c.Services == 0:
		parts = append(parts, "nothing is under care here")
	case n == 0 && c.Due == 0:
		parts = append(parts, allFine(c.Fine))
	case n == 1:
		parts = append(parts, "1 needs attention")
	case n > 1:
		parts = append(parts, fmt.Sprintf("%d need attention", n))
	}
	if c.Due > 0 {
		parts = append(parts, fmt.Sprintf("%d %s due", c.Due, isAre(c.Due)))
	}
	if c.Fine > 0 && c.Fine < c.Services {
		parts = append(parts, fmt.Sprintf("%d %s fine", c.Fine, isAre(c.Fine)))
	}
	if said := d.publishing(); said != "" {
		parts = append(parts, said)
	}
	return strings.Join(parts, ", ")
}

func allFine(n int) string {
	switch n {
	case 1:
		return "1 is fine"
	case 2:
		return "both are fine"
	}
	return fmt.Sprintf("all %d are fine", n)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// passes says when the last ones were.
func (d Status) passes() string {
	switch p := d.Last; {
	case p == nil:
		return "no pass is recorded"
	case p.Good.Equal(p.Ended):
		return "last successful pass " + justNow(p.Good, d.Now)
	case p.Good.IsZero():
		return "last pass " + justNow(p.Ended, d.Now) + ", and none was successful"
	default:
		return "last pass " + justNow(p.Ended, d.Now) + ", last successful one " + justNow(p.Good, d.Now)
	}
}

// justNow is Relative in a sentence about what has been.
func justNow(t, now time.Time) string {
	return strings.Replace(Relative(t, now), "now", "just now", 1)
}

// place is where the service is kept: the place that something is wrong with, else
// the first; and how many others there are.
func (s StatusService) place() (to string, others int) {
	for i, p := range s.Places {
		if i == 0 || p.Problem != "" && s.Places[0].Problem == "" {
			to = p.To
			if p.Problem != "" {
				break
			}
		}
	}
	return to, max(len(s.Places)-1, 0)
}

// Words say how a service stands; "" where all is well.
func (s StatusService) Words(now time.Time) string {
	switch s.State {
	case "failed":
		return s.failing(now)
	case "pending":
		return s.pending(now)
	case "held":
		return "held by issuer: " + heldWords(s)
	case "waiting":
		return "waiting for its change window, opens " + Date(s.Opens) + " (" + Relative(s.Opens, now) + ")"
	case "left":
		return s.Reason
	case "drifted":
		return s.Reason + "; will be delivered again at the next pass"
	case "due":
		return s.dueWords(now)
	}
	if s.HeldBy != "" {
		return "held by issuer: " + s.HeldBy
	}
	return s.Advice
}

// heldWords say why, without what is known from the state.
func heldWords(s StatusService) string {
	if s.HeldBy != "" {
		return s.HeldBy
	}
	return s.Reason
}

func (s StatusService) failing(now time.Time) string {
	if s.Failures == 0 {
		return s.Problem
	}
	span := ""
	if d := now.Sub(s.Since); d >= time.Minute {
		span = " for " + Span(d)
	}
	return fmt.Sprintf("failing%s (%s): %s", span, times(s.Failures), s.Problem)
}

func (s StatusService) pending(now time.Time) string {
	what, not := "renewed", "not served yet"
	if !s.Since.IsZero() {
		what += " " + justNow(s.Since, now)
	}
	var why []string
	for _, p := range s.Places {
		if p.Problem != "" {
			not = "not in every place yet"
			why = append(why, p.To+": "+p.Problem)
		}
	}
	for _, step := range s.Steps {
		if !step.Done && step.Tries > 0 {
			why = append(why, fmt.Sprintf("hook failed %s: %s", times(step.Tries), step.Problem))
		}
	}
	if s.Confirm != "" {
		why = append(why, s.Confirm)
	}
	if len(why) == 0 && s.Problem != "" {
		why = append(why, s.Problem)
	}
	what += ", " + not
	if s.Alarm {
		what += ", for too long"
	}
	if len(why) == 0 {
		return what
	}
	return what + " (" + strings.Join(why, "; ") + ")"
}

// dueWords say that a service is to be renewed, and why where that is not the clock.
func (s StatusService) dueWords(now time.Time) string {
	switch s.Check {
	case "missing":
		text := "there is none yet"
		for _, p := range s.Places {
			if p.Problem != "" && p.Problem != "nothing is there yet" {
				text += "; " + p.To + ": " + p.Problem
			}
		}
		return text + "; will be issued at the next pass"
	case "window", "shorter":
		if s.attention() {
			return "overdue for " + Span(now.Sub(s.Due)) + ": no pass has renewed it"
		}
		return "will be renewed at the next pass"
	}
	return s.Reason + "; will be renewed at the next pass"
}

// times counts: once, twice, 3 times.
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// Words say what is the matter with an authority.
func (a StatusAuthority) Words(now time.Time) string {
	name := orName(a.CommonName, a.Name)
	switch left := a.NotAfter.Sub(now); {
	case left <= 0:
		return fmt.Sprintf("%s has ended, %s: nothing below it is trusted", name, Relative(a.NotAfter, now))
	case a.Longest > 0 && left < time.Duration(a.Longest)*time.Second:
		return fmt.Sprintf("%s ends in %s: certificates below it are cut short", name, Span(left))
	default:
		return fmt.Sprintf("%s ends in %s, on %s", name, Span(left), Day(a.NotAfter))
	}
}

func orName(name, otherwise string) string {
	if strings.TrimSpace(name) == "" {
		return otherwise
	}
	return name
}
