package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/meshpki/meshpki/renew"
)

// Simulation is the answer of plan --simulate.
type Simulation struct {
	SimulationData
	Now time.Time
}

// SimulationData is what a simulation has shown.
type SimulationData struct {
	From            time.Time         `json:"from"`
	To              time.Time         `json:"to"`
	EverySeconds    int64             `json:"everySeconds"` // 0 is a daemon
	Targets         int               `json:"targets"`
	Unreadable      int               `json:"unreadable"`
	Passes          int               `json:"passes"`
	Issuances       int               `json:"issuances"`
	Peak            int               `json:"peakPerMinute"`
	Busiest         time.Time         `json:"busiest,omitzero"`
	PerDay          []int             `json:"issuancesPerDay"`
	Tightest        *SimulationMargin `json:"tightest,omitempty"`
	SurvivesSeconds int64             `json:"survivesSeconds"`
	Lapses          []SimulationLapse `json:"lapses"`
	OutageSeconds   int64             `json:"outageSeconds,omitempty"`
	Longest         *SimulationMargin `json:"longest,omitempty"`
	Lost            []SimulationLapse `json:"lost"`
}

// SimulationMargin is a renewal, and what is left then.
type SimulationMargin struct {
	Name        string    `json:"name"`
	Since       time.Time `json:"since"`
	Renewed     time.Time `json:"renewed"`
	NotAfter    time.Time `json:"notAfter"`
	LeftSeconds int64     `json:"leftSeconds"`
}

// SimulationLapse is a certificate that expires, or one that there never is.
type SimulationLapse struct {
	Name   string    `json:"name"`
	At     time.Time `json:"at,omitzero"`
	Reason string    `json:"reason"`
}

// Take takes up what a simulation has shown.
func (d *Simulation) Take(f renew.Forecast) {
	seconds := func(t time.Duration) int64 { return int64(t / time.Second) }
	margin := func(m *renew.Margin) *SimulationMargin {
		if m == nil {
			return nil
		}
		return &SimulationMargin{m.Name, m.Since.UTC(), m.Renewed.UTC(), m.Ends.UTC(), seconds(m.Left)}
	}
	lapses := func(list []renew.Lapse) []SimulationLapse {
		out := []SimulationLapse{}
		for _, l := range list {
			at := l.At
			if !at.IsZero() {
				at = at.UTC()
			}
			out = append(out, SimulationLapse{l.Name, at, l.Reason})
		}
		return out
	}
	d.From, d.To, d.EverySeconds, d.Targets = f.From, f.To, seconds(f.Every), f.Targets
	d.Passes, d.Issuances, d.Peak, d.PerDay = f.Passes, f.Issuances, f.Peak, f.PerDay
	if d.Peak > 0 {
		d.Busiest = f.Busiest.UTC()
	}
	d.Tightest, d.SurvivesSeconds, d.Lapses = margin(f.Tightest), seconds(f.Survives), lapses(f.Lapses)
	d.OutageSeconds, d.Longest, d.Lost = seconds(f.Outage), margin(f.Longest), lapses(f.Lost)
}

// Schema names the document.
func (Simulation) Schema() string { return "plan-simulate" }

// Data is what a simulation has shown.
func (d Simulation) Data() any { return d.SimulationData }

// span says seconds.
func span(seconds int64) string { return Span(time.Duration(seconds) * time.Second) }

// Text says it in words, and draws it.
func (d Simulation) Text(p *Page) {
	d.answer(p)
	p.Blank()
	const column = len("survives")
	if d.EverySeconds > 0 {
		p.Field(column, "passes", fmt.Sprintf("%d, one every %s", d.Passes, span(d.EverySeconds)))
	} else {
		p.Field(column, "passes", fmt.Sprintf("a daemon, at work in %s", Count(d.Passes, "minute")))
	}
	p.Field(column, "issued", fmt.Sprintf("%s for %s", Count(d.Issuances, "certificate"), Count(d.Targets, "service")))
	if d.Peak > 0 {
		p.Field(column, "peak", fmt.Sprintf("%d in one minute, at %s", d.Peak, Date(d.Busiest)))
	}
	if m := d.Tightest; m != nil {
		p.Field(column, "closest", fmt.Sprintf("%s, renewed on %s with %s left", Clean(m.Name), Date(m.Renewed), left(m)))
		p.Field(column, "survives", d.survives())
	}
	if m := d.Longest; m != nil {
		p.Field(column, "outage", fmt.Sprintf("if every pass failed for %s, %s would go longest without being renewed: %s, from %s to %s",
			span(d.OutageSeconds), Clean(m.Name), Span(m.Renewed.Sub(m.Since)), Day(m.Since), Day(m.Renewed)))
	}
	d.lapses(p, d.Lapses, "expire although every pass succeeds")
	d.lapses(p, d.Lost, fmt.Sprintf("would expire in an outage of %s at the worst moment", span(d.OutageSeconds)))
	d.chart(p)
	if d.Unreadable > 0 {
		p.Blank()
		p.Para(p.Indent(), fmt.Sprintf("left out, for they cannot be read: %s; meshpki plan says why", Count(d.Unreadable, "service")))
	}
}

// answer is the first line.
func (d Simulation) answer(p *Page) {
	over := Span(d.To.Sub(d.From))
	switch {
	case d.Targets == 0:
		p.Para(p.Indent(), "nothing is under care here")
	case len(d.Lapses) > 0:
		p.Say(Bad, fmt.Sprintf("in %s, %d of %s would expire although every pass succeeds", over, len(d.Lapses), Count(d.Targets, "service")))
	case len(d.Lost) > 0:
		p.Say(Bad, fmt.Sprintf("an outage of %s, at the worst moment, would let %d of %s expire", span(d.OutageSeconds), len(d.Lost), Count(d.Targets, "service")))
	case d.OutageSeconds > 0:
		p.Say(Good, fmt.Sprintf("in %s nothing would expire, nor in an outage of %s", over, span(d.OutageSeconds)))
	default:
		p.Say(Good, fmt.Sprintf("in %s nothing would expire", over))
	}
}

// survives says for how long every pass may fail.
func (d Simulation) survives() string {
	if d.SurvivesSeconds == 0 {
		return "no outage at all"
	}
	return fmt.Sprintf("an outage of %s; a longer one would let %s expire first", span(d.SurvivesSeconds), Clean(d.Tightest.Name))
}

func left(m *SimulationMargin) string {
	if m.LeftSeconds < 0 {
		return "nothing"
	}
	return span(m.LeftSeconds)
}

// lapses lists what expires, the soonest first.
func (d Simulation) lapses(p *Page, list []SimulationLapse, what string) {
	if len(list) == 0 {
		return
	}
	const most = 10
	p.Blank()
	p.Para(p.Indent(), fmt.Sprintf("%s:", what))
	for i, l := range list {
		if i == most {
			p.Para(p.Indent(), fmt.Sprintf("and %d more", len(list)-most))
			return
		}
		when := "there is none"
		if !l.At.IsZero() {
			when = "on " + Date(l.At)
		}
		p.Say(Bad, fmt.Sprintf("%s, %s: %s", Clean(l.Name), when, Safe(l.Reason)))
	}
}

// The chart's size, without its axes.
const (
	chartWidth  = 60
	chartHeight = 5
)

// chart draws how many certificates are issued, over the time that was simulated.
func (d Simulation) chart(p *Page) {
	if d.Issuances == 0 || len(d.PerDay) < 2 {
		return
	}
	bars, days := d.bars()
	top := 0
	for _, n := range bars {
		top = max(top, n)
	}
	steps, axis := []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, []string{"┤", "└", "─"}
	if !p.utf8 {
		steps, axis = []string{" ", ".", "#"}, []string{"|", "+", "-"}
	}
	p.Blank()
	per := "a day"
	if days > 1 {
		per = fmt.Sprintf("in %d days", days)
	}
	p.Para(p.Indent(), "certificates "+per)
	margin := len(fmt.Sprint(top))
	full := len(steps) - 1
	for row := chartHeight - 1; row >= 0; row-- {
		label := ""
		if row == chartHeight-1 {
			label = fmt.Sprint(top)
		}
		var b strings.Builder
		for _, n := range bars {
			// Of so many steps as the chart is high, those above this row's foot; what
			// there is at all is seen.
			height := n * chartHeight * full / top
			if n > 0 {
				height = max(height, 1)
			}
			b.WriteString(steps[min(max(height-row*full, 0), full)])
		}
		p.Line("%s%*s %s%s", strings.Repeat(" ", p.Indent()), margin, label, axis[0], strings.TrimRight(b.String(), " "))
	}
	p.Line("%s%*s %s%s", strings.Repeat(" ", p.Indent()), margin, "", axis[1], strings.Repeat(axis[2], len(bars)))
	foot := Day(d.From)
	end := Day(d.To)
	p.Line("%s%*s  %s%*s", strings.Repeat(" ", p.Indent()), margin, "", foot, max(len(bars)-len(foot), len(end)+1), end)
}

// bars are the issuances of so many days each.
func (d Simulation) bars() (bars []int, days int) {
	days = (len(d.PerDay) + chartWidth - 1) / chartWidth
	for i, n := range d.PerDay {
		if i%days == 0 {
			bars = append(bars, 0)
		}
		bars[len(bars)-1] += n
	}
	return bars, days
}
