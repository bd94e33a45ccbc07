package ui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
)

const (
	// soonest is how many of those that need no attention are listed, without --all.
	soonest = 10
	// How wide names and places may be on a page of 80 columns.
	nameColumn, placeColumn = 22, 26
)

// Text answers in its first line; then what needs attention, what ends soonest, and
// what to do.
func (d Status) Text(p *Page) {
	p.Para(p.Indent(), d.Answer())
	for _, problem := range d.Problems {
		p.Say(Bad, Safe(problem))
	}
	d.table(p)
	p.Timeline(d.Services, d.Now)
	d.authorities(p)
	d.publications(p)
	if next := d.next(); next != "" {
		p.Next(next + d.Flags)
	}
}

// listed are the services that are shown, and how many are not.
func (d Status) listed(most int) (list []StatusService, hidden int) {
	if d.All {
		return d.Services, 0
	}
	n := d.counts().attention() + most
	if n >= len(d.Services) {
		return d.Services, 0
	}
	return d.Services[:n], len(d.Services) - n
}

// statusRow is a service as the table shows it.
type statusRow struct {
	sign  Sign
	cells [4]string
	words string
}

func (d Status) table(p *Page) {
	list, hidden := d.listed(soonest)
	if len(list) == 0 {
		return
	}
	extra := max(p.width-80, 0)
	rows := []statusRow{{None, [4]string{"SERVICE", "PLACE", "EXPIRES", "DUE"}, "STATE"}}
	for _, s := range list {
		rows = append(rows, s.row(p, d.Now, extra/3))
	}
	var widths [4]int
	for _, r := range rows {
		for i, c := range r.cells {
			widths[i] = max(widths[i], lipgloss.Width(c))
		}
	}
	p.Blank()
	for i, r := range rows {
		p.statusRow(r, widths, i == 0)
	}
	if hidden > 0 {
		p.Line("%s%s", strings.Repeat(" ", p.Indent()), p.Faint(fmt.Sprintf("and %d more; --all lists them", hidden)))
	}
}

// row is a service's line.
func (s StatusService) row(p *Page, now time.Time, extra int) statusRow {
	r := statusRow{sign: levelSign(s.Level), words: Safe(s.Words(now))}
	to, others := s.place()
	more := ""
	if others > 0 {
		more = " +" + strconv.Itoa(others)
	}
	r.cells = [4]string{
		p.shorten(Clean(s.Name), nameColumn+extra),
		p.shorten(Clean(to), placeColumn+extra-len(more)) + more,
		when(s.Ends, now), when(s.Due, now),
	}
	return r
}

func levelSign(level string) Sign {
	switch level {
	case LevelError:
		return Bad
	case LevelWarning:
		return Look
	case LevelFine:
		return Good
	}
	return None
}

// when is where a moment lies, in few columns: "in 29 d", "5 d ago", "now".
func when(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := t.Sub(now)
	short := Span(d)
	if n, unit, ok := strings.Cut(short, " "); ok && !strings.HasPrefix(short, "less") {
		short = n + " " + map[string]string{"s": "s", "m": "min", "h": "h", "d": "d", "y": "y"}[unit[:1]]
	}
	switch {
	case d.Abs() < time.Second:
		return "now"
	case d < 0:
		return short + " ago"
	}
	return "in " + short
}

// statusRow writes a row; its words stand behind it where they fit, else below its
// second column.
func (p *Page) statusRow(r statusRow, widths [4]int, head bool) {
	at := p.Indent()
	var b strings.Builder
	for i, c := range r.cells {
		b.WriteString(c + strings.Repeat(" ", widths[i]-lipgloss.Width(c)+2))
		at += widths[i] + 2
	}
	line := b.String()
	if head {
		line = p.Faint(line + r.words)
	} else if r.words != "" && at+lipgloss.Width(r.words) <= p.width {
		line += r.words
	}
	p.Line("%s%s", p.Sign(r.sign), strings.TrimRight(line, " "))
	if !head && r.words != "" && at+lipgloss.Width(r.words) > p.width {
		p.Para(p.Indent()+2, r.words)
	}
}

// shorten takes the middle out of a text that is wider than that many columns: the
// beginning and the end of a path say most.
func (p *Page) shorten(s string, columns int) string {
	if wide(s) <= columns {
		return s
	}
	if !p.utf8 {
		columns -= len("...") - 1 // what stands for the ellipsis is wider
	}
	runes := []rune(s)
	head, tail := (columns-1)/2, 0
	i, w := 0, 0
	for ; i < len(runes) && w+lipgloss.Width(string(runes[i])) <= head; i++ {
		w += lipgloss.Width(string(runes[i]))
	}
	j := len(runes)
	for ; j > i && tail+lipgloss.Width(string(runes[j-1])) <= columns-1-w; j-- {
		tail += lipgloss.Width(string(runes[j-1]))
	}
	return string(runes[:i]) + "…" + string(runes[j:])
}

// authorities says which CAs come to their end, and what helps.
func (d Status) authorities(p *Page) {
	for _, a := range d.Authorities {
		if !a.attention() {
			continue
		}
		p.Blank()
		p.Say(levelSign(a.Level), Clean(a.Words(d.Now)))
		if a.Todo != "" {
			p.Command(p.Indent()+2, a.Todo)
		}
	}
}

// next is what to do now; "" where there is nothing, or it has been said.
func (d Status) next() string {
	c := d.counts()
	switch {
	case c.Services == 0 && len(d.Published) == 0:
		return "meshpki issue --service payment"
	case d.Last == nil, d.publishing() != "", c.attention() > 0 && d.someFor("due", "drifted", "pending", "failed"):
		return "meshpki renew"
	}
	return ""
}

// someFor tells whether a service that needs attention is in one of these states.
func (d Status) someFor(states ...string) bool {
	return slices.ContainsFunc(d.Services, func(s StatusService) bool {
		return s.attention() && slices.Contains(states, s.State)
	})
}
