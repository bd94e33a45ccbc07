package ui

import (
	"fmt"
	"strings"
	"time"
)

// NagiosLine is a plugin's answer: one line, what is said, then performance data.
func NagiosLine(state, said string, data ...string) string {
	// A bar would begin the data, and what follows a line feed is not the answer.
	line := "meshpki " + state + " - " + strings.NewReplacer("|", "/", "\n", " ", "\r", " ").Replace(said)
	if len(data) > 0 {
		line += " | " + strings.Join(data, " ")
	}
	return line + "\n"
}

// Nagios says the status in one line: what is wrong first, then the counts.
func (d Status) Nagios(state string) string {
	said := d.Problems
	if len(said) == 0 {
		said = []string{d.Answer()}
	}
	var names []string
	for _, s := range d.Services {
		if s.attention() {
			names = append(names, Clean(s.Name))
		}
	}
	for _, a := range d.Authorities {
		if a.attention() {
			names = append(names, Clean(orName(a.CommonName, a.Name)))
		}
	}
	for _, s := range d.Published {
		if s.Level == LevelError {
			names = append(names, Clean(s.To))
		}
	}
	if len(names) > 0 {
		said = append(said[:len(said):len(said)], List(names, 3))
	}
	c := d.counts()
	data := []string{
		fmt.Sprintf("error=%d;;;0;%d", c.Error, c.Services), fmt.Sprintf("warning=%d;;;0;%d", c.Warning, c.Services),
		fmt.Sprintf("due=%d;;;0;%d", c.Due, c.Services), fmt.Sprintf("fine=%d;;;0;%d", c.Fine, c.Services),
	}
	if first, ok := d.firstEnd(); ok {
		data = append(data, fmt.Sprintf("first_end=%ds", int64(first.Sub(d.Now)/time.Second)))
	}
	if d.Last != nil && !d.Last.Good.IsZero() {
		data = append(data, fmt.Sprintf("pass_age=%ds", int64(d.Now.Sub(d.Last.Good)/time.Second)))
	}
	return NagiosLine(state, Safe(strings.Join(said, "; ")), data...)
}

// firstEnd is when the first certificate ends.
func (d Status) firstEnd() (first time.Time, ok bool) {
	for _, s := range d.Services {
		if !s.Ends.IsZero() && (first.IsZero() || s.Ends.Before(first)) {
			first = s.Ends
		}
	}
	return first, !first.IsZero()
}
