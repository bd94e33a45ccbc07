package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// Verification says for each certificate whether it is trusted, and why not.
type Verification struct {
	Results []inspect.Result
	Now     time.Time
	Unread  []Unread // told to machines; people and JSON's readers see it on standard error
}

// Schema names the document.
func (d Verification) Schema() string { return "verify" }

// Data is the list of results.
func (d Verification) Data() any {
	if d.Results == nil {
		return []inspect.Result{}
	}
	return d.Results
}

// Text says each answer, then its grounds.
func (d Verification) Text(p *Page) {
	several := map[string]int{}
	for _, r := range d.Results {
		several[r.Source]++
	}
	for _, r := range d.Results {
		p.Blank()
		subject := Clean(r.Source)
		if several[r.Source] > 1 {
			subject += ": " + Clean(r.Subject)
		}
		answer, sign := "is trusted", Good
		if !r.Trusted {
			sign = Bad
			if answer = "is not trusted"; endsTooSoon(r) {
				answer = "is trusted, but not for long enough"
			}
		}
		p.Say(sign, subject+" "+answer+purpose(r.Asked)+d.span(r))
		if r.Trusted || len(r.Paths) > 0 {
			accepted(p, r)
		}
		if !r.Trusted {
			refused(p, r)
		} else if len(r.Findings) > 0 {
			p.Blank()
			for _, f := range r.Findings {
				p.reason(p.Indent(), f)
			}
		}
		for i, path := range append(r.Paths[:len(r.Paths):len(r.Paths)], r.Tried...) {
			p.checks(i+1, path)
		}
	}
}

// endsTooSoon tells whether all is well but the time that is left.
func endsTooSoon(r inspect.Result) bool {
	if len(r.Paths) == 0 {
		return false
	}
	for i, f := range r.Findings {
		if (f.Rule == inspect.RuleRemainingTooShort) != (i == 0) && f.Severity == inspect.SeverityError {
			return false
		}
	}
	return len(r.Findings) > 0 && r.Findings[0].Rule == inspect.RuleRemainingTooShort
}

// purpose says what was asked for: " for payment.dev, as a server".
func purpose(a inspect.Asked) string {
	var parts []string
	for _, s := range []string{a.Name, a.SPIFFEID, a.Email} {
		if s != "" {
			parts = append(parts, "for "+Clean(s))
		}
	}
	if a.TrustDomain != "" {
		parts = append(parts, "in trust domain "+Clean(a.TrustDomain))
	}
	switch a.EKU {
	case inspect.EKUAny, "":
	case inspect.EKUServerAuth:
		parts = append(parts, "as a server")
	case inspect.EKUClientAuth:
		parts = append(parts, "as a client")
	default:
		parts = append(parts, "for the use "+Clean(a.EKU))
	}
	if len(parts) == 0 {
		return ""
	}
	return " " + strings.Join(parts, ", ")
}

// span is when, for an answer about a stretch of time its whole.
func (d Verification) span(r inspect.Result) string {
	switch {
	case r.Range == nil:
		return d.when(r.At)
	case r.Range.BreaksAt == nil:
		return " from " + Date(r.Range.From) + " to " + Date(r.Range.To)
	}
	return " from " + Date(*r.Range.BreaksAt) + " on"
}

// checks says what a path was held to, rule by rule.
func (p *Page) checks(number int, path inspect.Path) {
	if len(path.Checks) == 0 {
		return
	}
	p.Blank()
	p.Para(p.Indent(), fmt.Sprintf("checks of path %d, %s:", number, chain(path, false)))
	for _, c := range path.Checks {
		sign, about := Good, ""
		if !c.Holds {
			sign = Bad
		}
		if c.Certificate != "" {
			about = Clean(c.Certificate) + ": "
		}
		hang := 2 * p.Indent()
		p.b.WriteString(strings.Repeat(" ", p.Indent()) + p.Sign(sign))
		p.wrap(hang, hang, about+Clean(c.Title)+" ("+c.Citation+")")
	}
}

// when names the moment that was asked about, unless it is now.
func (d Verification) when(at time.Time) string {
	if at.Sub(d.Now).Abs() < time.Minute {
		return ""
	}
	return " at " + Date(at)
}

// accepted says the paths that hold, and what follows from them.
func accepted(p *Page, r inspect.Result) {
	for i, path := range r.Paths {
		label := "path"
		if i > 0 {
			label = "or"
		}
		p.Field(column, label, chain(path, false))
	}
	p.identity(r.SPIFFEID, false, r.Names)
	p.Field(column, "use", purposes(r.Uses))
	if r.TrustedUntil != nil {
		p.Field(column, "until", untilText(r))
	}
	p.Field(column, "serial", r.Serial)
}

// untilText says how long trust holds, and whose end ends it.
func untilText(r inspect.Result) string {
	text := fmt.Sprintf("%s (%s)", Date(*r.TrustedUntil), away(*r.TrustedUntil, r.At))
	if !r.TrustedUntil.Before(r.NotAfter) {
		return text
	}
	for _, path := range r.Paths {
		for _, c := range path.Certificates {
			if c.NotAfter.Equal(*r.TrustedUntil) {
				return text + ", when " + Clean(c.Name) + " ends"
			}
		}
	}
	return text
}

// refused says every path that was tried, what else is wrong, and what to do first.
func refused(p *Page, r inspect.Result) {
	if len(r.Tried) > 0 {
		p.Blank()
		p.Line("%stried %s:", strings.Repeat(" ", p.Indent()), Count(len(r.Tried), "path"))
	}
	inPath := 0
	for i, path := range r.Tried {
		number := fmt.Sprintf("%-2d ", i+1)
		p.b.WriteString(strings.Repeat(" ", p.Indent()) + number)
		hang := p.Indent() + len(number)
		p.wrap(hang, hang, chain(path, open(path)))
		for _, f := range path.Findings {
			p.reason(hang+2, f)
		}
		if i == 0 {
			inPath = len(path.Findings)
		}
	}
	if rest := r.Findings[min(inPath, len(r.Findings)):]; len(rest) > 0 {
		p.Blank()
		for _, f := range rest {
			p.reason(p.Indent(), f)
		}
	}
	if len(r.Findings) > 0 && r.Findings[0].Fix != "" {
		p.Blank()
		p.Para(p.Indent(), "nearest fix: "+Clean(r.Findings[0].Fix))
	}
}

// reason says a finding without its fix: of several, only the first has one worth showing.
func (p *Page) reason(indent int, f inspect.Finding) {
	f.Fix = ""
	p.finding(indent, f)
}

// chain says a path from the target on; open where nobody knows what comes next.
func chain(path inspect.Path, open bool) string {
	names := make([]string, len(path.Certificates))
	for i, c := range path.Certificates {
		if names[i] = Clean(c.Name); strings.ContainsAny(c.Name, `←<"`) {
			names[i] = `"` + names[i] + `"` // or it would draw a path of its own
		}
	}
	if open {
		names = append(names, "?")
	}
	return strings.Join(names, " ← ")
}

// open tells whether a path broke off before a root.
func open(path inspect.Path) bool {
	for _, f := range path.Findings {
		switch f.Rule {
		case inspect.RuleIssuerMissing, inspect.RuleIssuerKeyDiffers:
			return true
		}
	}
	return false
}
