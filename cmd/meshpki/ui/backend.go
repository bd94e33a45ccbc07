package ui

import (
	"strings"
	"unicode/utf8"
)

// BackendCheck is one assumption about a backend that was tried.
type BackendCheck struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warning, failed, unknown
	Says   string `json:"says"`
	Remedy string `json:"remedy,omitempty"`
}

// BackendChecked is the answer of backend check.
type BackendChecked struct {
	Ref      string
	List     []BackendCheck
	Services int // that were held against it
}

// Schema names the document.
func (BackendChecked) Schema() string { return "backend-check" }

// Data is the list of what was tried, in its order.
func (d BackendChecked) Data() any {
	if d.List == nil {
		return []BackendCheck{}
	}
	return d.List
}

// Text says how it came out, and each with its remedy.
func (d BackendChecked) Text(p *Page) {
	failed, warned, column := 0, 0, 0
	for _, c := range d.List {
		switch c.State {
		case "failed":
			failed++
		case "warning", "unknown":
			warned++
		}
		column = max(column, utf8.RuneCountInString(Clean(c.Name)))
	}
	head := Clean(d.Ref) + ": "
	switch {
	case failed > 0:
		p.Say(Bad, head+Count(failed, "thing")+map[bool]string{true: " does", false: " do"}[failed == 1]+" not hold")
	case warned > 0:
		p.Say(Look, head+"it will do, and "+Count(warned, "thing")+map[bool]string{true: " is", false: " are"}[warned == 1]+" worth a look")
	default:
		p.Say(Good, head+"all of it holds")
	}
	p.Blank()
	for _, c := range d.List {
		sign := map[string]Sign{"ok": Good, "warning": Look, "unknown": Look, "failed": Bad}[c.State]
		text := Safe(c.Says)
		if c.State == "unknown" {
			text = "not known: " + text
		}
		name := Clean(c.Name)
		pad := strings.Repeat(" ", column-utf8.RuneCountInString(name)+2)
		p.b.WriteString(p.Sign(sign) + p.Bold(name) + pad)
		in := p.Indent() + column + 2
		p.wrap(in, in, text)
		if c.Remedy != "" {
			p.b.WriteString(strings.Repeat(" ", in) + "→ ")
			p.wrap(in+p.widthOf("→ "), in+p.widthOf("→ "), Safe(c.Remedy))
		}
	}
}

// Suggestion is a setting at a backend that would do.
type Suggestion struct {
	Form string `json:"form"` // whose it is: vault, terraform
	Text string `json:"text"`
}

// BackendSuggested is the answer of backend check --suggest.
type BackendSuggested struct {
	List []Suggestion
}

// Schema names the document.
func (BackendSuggested) Schema() string { return "backend-suggest" }

// Data is the list of suggestions.
func (d BackendSuggested) Data() any {
	if d.List == nil {
		return []Suggestion{}
	}
	return d.List
}

// Text is what can be pasted, each under a comment that says whose it is.
func (d BackendSuggested) Text(p *Page) {
	for i, s := range d.List {
		if i > 0 {
			p.Blank()
		}
		p.Line("# %s", Clean(s.Form))
		for line := range strings.Lines(s.Text) {
			p.Line("%s", Safe(strings.TrimRight(line, "\n")))
		}
	}
}
