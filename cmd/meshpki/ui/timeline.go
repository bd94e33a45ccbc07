package ui

import (
	"fmt"
	"slices"
	"time"
)

const oneDay = 24 * time.Hour

// horizons are how far ahead a timeline may look, and what that is called.
var horizons = []struct {
	span time.Duration
	name string
}{
	{time.Hour, "1 h"}, {6 * time.Hour, "6 h"}, {oneDay, "24 h"}, {3 * oneDay, "3 d"}, {7 * oneDay, "7 d"}, {14 * oneDay, "14 d"},
	{30 * oneDay, "30 d"}, {60 * oneDay, "60 d"}, {90 * oneDay, "90 d"}, {180 * oneDay, "180 d"}, {365 * oneDay, "1 y"},
	{2 * 365 * oneDay, "2 y"}, {5 * 365 * oneDay, "5 y"}, {10 * 365 * oneDay, "10 y"}, {100 * 365 * oneDay, "100 y"},
}

// timeline is when services end, in cells of the same length from now on.
type timeline struct {
	name  string // of the end: "30 d"
	span  time.Duration
	cells []timeCell
	later int // services that end beyond it
}

// timeCell counts the services that end in it, by level: fine and due, warning, error.
type timeCell struct{ fine, warning, bad int }

func (c timeCell) total() int { return c.fine + c.warning + c.bad }

// timelineOf spreads the ends of services over n cells. The end is chosen so that
// most fit: a few that live for years do not crowd the others. nil where none has an end.
func timelineOf(services []StatusService, now time.Time, n int) *timeline {
	var left []time.Duration
	for _, s := range services {
		if !s.Ends.IsZero() {
			left = append(left, s.Ends.Sub(now))
		}
	}
	if len(left) == 0 || n <= 0 {
		return nil
	}
	slices.Sort(left)
	most := left[(len(left)-1)*9/10]
	t := &timeline{cells: make([]timeCell, n)}
	for _, h := range horizons {
		// A minute more: what was made for 30 days ends within 30 days.
		if t.span, t.name = h.span, h.name; most <= h.span+time.Minute {
			break
		}
	}
	for _, s := range services {
		if s.Ends.IsZero() {
			continue
		}
		in := s.Ends.Sub(now)
		if in > t.span+time.Minute {
			t.later++
			continue
		}
		cell := &t.cells[min(max(int(float64(in)/float64(t.span)*float64(n)), 0), n-1)]
		switch s.Level {
		case LevelError:
			cell.bad++
		case LevelWarning:
			cell.warning++
		default:
			cell.fine++
		}
	}
	return t
}

// Timeline draws when services end, on one line of the page's width; the worst of a
// cell is its mark.
func (p *Page) Timeline(services []StatusService, now time.Time) {
	left, line, right, good, bad := "├", "─", "┤", "✓", "✗"
	if !p.utf8 {
		left, line, right, good, bad = "|", "-", "|", "o", "X"
	}
	lead := p.Indent() + len("now ")
	t := timelineOf(services, now, min(p.width, 100)-lead-2-len(" 100 y"))
	if t == nil {
		return
	}
	p.Blank()
	fmt.Fprintf(&p.b, "%*snow %s", p.Indent(), "", left)
	for _, c := range t.cells {
		switch {
		case c.bad > 0:
			p.b.WriteString(p.colored("1", bad))
		case c.warning > 0:
			p.b.WriteString(p.colored("3", "!"))
		case c.fine > 0:
			p.b.WriteString(p.colored("2", good))
		default:
			p.b.WriteString(line)
		}
	}
	p.Line("%s %s", right, t.name)
	if t.later > 0 {
		p.Line("%*s%s", p.Indent(), "", fmt.Sprintf("and %d later than that", t.later))
	}
}
