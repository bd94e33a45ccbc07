package ui

import (
	"fmt"
	"strings"
	"time"
)

// RenewedService is what a pass did for one service, and how it stands.
type RenewedService struct {
	Name      string         `json:"name"`
	Service   string         `json:"service,omitempty"`
	Namespace string         `json:"namespace,omitempty"`
	State     string         `json:"state"` // due, drifted, renewed, delivered, pending, failed, held, waiting, fresh
	Check     string         `json:"check,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Problem   string         `json:"problem,omitempty"`
	Alarm     bool           `json:"alarm,omitempty"`
	Failures  int            `json:"failures,omitempty"`
	Since     time.Time      `json:"since,omitzero"`
	Next      time.Time      `json:"next,omitzero"`
	Serial    string         `json:"serial,omitempty"`
	NotAfter  time.Time      `json:"notAfter,omitzero"`
	Places    []RenewedPlace `json:"places,omitempty"`
	Steps     []RenewedStep  `json:"steps,omitempty"`
	Confirm   string         `json:"confirm,omitempty"`
}

// RenewedPlace is a place of a service, and what is wrong with it.
type RenewedPlace struct {
	To      string `json:"to"`
	Problem string `json:"problem,omitempty"`
	// Kept is what stays in a place that was emptied, for it is not ours.
	Kept []string `json:"kept,omitempty"`
}

// RenewedStep is a step of a hook that is not done.
type RenewedStep struct {
	Step    string `json:"step"`
	Done    bool   `json:"done"`
	Tries   int    `json:"tries,omitempty"`
	Problem string `json:"problem,omitempty"`
	Output  string `json:"output,omitempty"`
}

// Label is the service's name for people.
func (s RenewedService) Label() string { return s.Name }

// Renewal is the answer of renew. What was fresh is counted, and not listed.
type Renewal struct {
	List   []RenewedService
	Fresh  int
	DryRun bool
	Now    time.Time
}

// Add takes a service up.
func (d *Renewal) Add(s RenewedService) {
	if s.State == "fresh" {
		d.Fresh++
		return
	}
	d.List = append(d.List, s)
}

// Says tells whether there is anything to be said to a person: with nothing to do
// and nothing wrong there is not, but for one who asks what would be done.
func (d Renewal) Says() bool {
	for _, s := range d.List {
		if s.State != "held" && s.State != "waiting" {
			return true
		}
	}
	return d.DryRun
}

// Schema names the document.
func (Renewal) Schema() string { return "renew" }

// Data is the list of those that were not fresh.
func (d Renewal) Data() any {
	if d.List == nil {
		return []RenewedService{}
	}
	return d.List
}

// Text says what was done, what failed first.
func (d Renewal) Text(p *Page) {
	count := map[string]int{"fresh": d.Fresh}
	for _, s := range d.List {
		count[s.State]++
	}
	var parts []string
	for _, state := range []struct{ name, said string }{
		{"failed", "failed"}, {"pending", "pending"}, {"renewed", "renewed"}, {"delivered", "delivered again"}, {"removed", "removed"}, {"due", "to be renewed"},
		{"drifted", "to be delivered again"}, {"held", "held by their issuer"}, {"waiting", "waiting for their window"}, {"fresh", "fresh"},
	} {
		if n := count[state.name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state.said))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing is under care here"}
	}
	p.Para(p.Indent(), strings.Join(parts, ", "))
	for _, state := range []string{"failed", "pending", "renewed", "delivered", "removed", "due", "drifted", "held", "waiting"} {
		for _, s := range d.List {
			if s.State == state {
				p.Blank()
				s.text(p, d.Now)
			}
		}
	}
}

// text says one service.
func (s RenewedService) text(p *Page, now time.Time) {
	sign := Good
	switch s.State {
	case "failed":
		sign = Bad
	case "pending", "held", "waiting", "due", "drifted":
		sign = Look
	}
	words := s.State
	switch s.State {
	case "renewed", "delivered":
		words = fmt.Sprintf("until %s (%s)", Date(s.NotAfter), Span(s.NotAfter.Sub(now)))
	case "pending":
		words = "has a new certificate and does not serve it yet"
		if s.Alarm {
			words += ", for too long"
		}
	}
	p.heading(sign, Clean(s.Name), words)
	const column = len("because")
	p.Field(column, "because", Safe(s.Reason))
	p.Field(column, "problem", Safe(s.Problem))
	if s.Failures > 1 {
		p.Field(column, "failed", fmt.Sprintf("%d times since %s", s.Failures, Date(s.Since)))
	}
	for _, step := range s.Steps {
		if step.Output != "" {
			p.Field(column, "output", Clean(tail(step.Output)))
		}
	}
	if s.State == "removed" {
		for _, place := range s.Places {
			p.Field(column, "from", Clean(place.To))
			p.Field(column, "", Safe(place.Problem))
			if len(place.Kept) > 0 {
				p.Field(column, "kept", "not ours: "+Clean(List(place.Kept, 5)))
			}
		}
	}
	if s.State == "renewed" {
		for _, place := range s.Places {
			p.Field(column, "in", Clean(place.To))
		}
	}
}

// tail is the last lines of what a program said.
func tail(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(lines) > 3 {
		lines = lines[len(lines)-3:]
	}
	return strings.Join(lines, " / ")
}
