package ui

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed status.html
var statusPage string

// HTMLMark stands near the beginning of every page that HTML writes.
const HTMLMark = `<meta name="generator" content="meshpki status">`

// Bounds of a page, without All: it is to be read, and to be printed.
const (
	pageSoonest = 100 // services in the table that need no attention
	pageBreaks  = 60  // lines of what breaks when
	pageNames   = 8   // services that one of them names
	pageLeaves  = 40  // services that hang on an issuer
	pageBars    = 60  // of the timeline
)

// HTML writes the status as one page that needs nothing besides itself: no script, no
// picture, no font from elsewhere.
func HTML(w io.Writer, d Status) error {
	page, err := template.New("status").Funcs(template.FuncMap{"parts": parts}).Parse(statusPage)
	if err != nil {
		return err
	}
	return page.Execute(w, pageOf(d))
}

// parts are where a path may be broken: behind each slash.
func parts(path string) []string { return strings.SplitAfter(path, "/") }

// htmlPage is what the page shows. Its texts are clean, and not escaped.
type htmlPage struct {
	Answer, Passes, Level, Dir, Written string
	Problems                            []string
	Counts                              statusCounts
	Attention                           int
	Rows                                []htmlRow
	Hidden                              int
	Timeline                            *htmlTimeline
	Breaks                              []htmlBreak
	LaterBreaks                         int
	Issuers                             []*htmlIssuer
	Warnings                            []htmlWarning
}

type htmlRow struct {
	Level, Mark, Name, Place, Words string
	Others                          []string
	Ends, EndsAt, Due, DueAt        string
}

type htmlWarning struct{ Level, Mark, Text, Command string }

type htmlBreak struct {
	When, At, Level, Mark string
	Names                 []string
	More                  int
	authority             bool
}

type htmlIssuer struct {
	Level, Mark, Name, Role, Ends, EndsAt string
	Below                                 []*htmlIssuer
	Leaves                                []htmlLeaf
	More, Services                        int
}

type htmlLeaf struct{ Level, Mark, Name, Ends string }

var htmlMarks = map[string]string{LevelFine: "✓", LevelDue: "·", LevelWarning: "!", LevelError: "✗"}

func pageOf(d Status) htmlPage {
	p := htmlPage{
		Answer: capital(d.standings()), Passes: capital(d.passes()), Level: d.Level(), Dir: Clean(place(d.Dir)), Written: Date(d.Now), Counts: d.counts(),
		Timeline: htmlTimelineOf(d), Issuers: htmlIssuers(d),
	}
	p.Attention = p.Counts.attention()
	for _, problem := range d.Problems {
		p.Problems = append(p.Problems, capital(Safe(problem))+".")
	}
	list, hidden := d.listed(pageSoonest)
	p.Hidden = hidden
	for _, s := range list {
		p.Rows = append(p.Rows, htmlRowOf(s, d.Now))
	}
	p.Breaks, p.LaterBreaks = htmlBreaks(d)
	for _, a := range d.Authorities {
		if a.attention() {
			p.Warnings = append(p.Warnings, htmlWarning{a.Level, htmlMarks[a.Level], Clean(a.Words(d.Now)) + ".", a.Todo})
		}
	}
	for _, s := range d.Published {
		if words := s.Words(); words != "" {
			p.Warnings = append(p.Warnings, htmlWarning{s.Level, htmlMarks[s.Level], Safe(words) + ".", ""})
		}
	}
	return p
}

func htmlRowOf(s StatusService, now time.Time) htmlRow {
	to, _ := s.place()
	r := htmlRow{
		Level: s.Level, Mark: htmlMarks[s.Level], Name: Clean(s.Name), Place: Clean(to), Words: Safe(s.Words(now)),
		Ends: when(s.Ends, now), Due: when(s.Due, now),
	}
	if r.Words == "" {
		r.Words = "fine"
	}
	if !s.Ends.IsZero() {
		r.EndsAt = minute(s.Ends)
	}
	if !s.Due.IsZero() {
		r.DueAt = minute(s.Due)
	}
	for _, p := range s.Places {
		if p.To != to {
			r.Others = append(r.Others, Clean(p.To))
		}
	}
	return r
}

// htmlBreaks is the order in which things end if nothing is renewed any more: by the
// day, or by the minute for what ends within two days.
func htmlBreaks(d Status) (list []htmlBreak, later int) {
	type end struct {
		at    time.Time
		name  string
		level string
		ca    bool
	}
	var ends []end
	for _, s := range d.Services {
		if !s.Ends.IsZero() {
			ends = append(ends, end{s.Ends, Clean(s.Name), s.Level, false})
		}
	}
	for _, a := range d.Authorities {
		if a.Signs {
			ends = append(ends, end{a.NotAfter, Clean(orName(a.CommonName, a.Name)) + ", and all below it", a.Level, true})
		}
	}
	slices.SortStableFunc(ends, func(a, b end) int { return a.at.Compare(b.at) })
	for _, e := range ends {
		at := Day(e.at)
		if e.at.Sub(d.Now).Abs() < 2*oneDay {
			at = minute(e.at)
		}
		if n := len(list); n == 0 || list[n-1].At != at || list[n-1].authority != e.ca {
			if len(list) == pageBreaks && !d.All {
				later++
				continue
			}
			list = append(list, htmlBreak{When: Relative(e.at, d.Now), At: at, Level: LevelFine, authority: e.ca})
		} else if later > 0 {
			later++
			continue
		}
		b := &list[len(list)-1]
		if slices.Index(levels, e.level) > slices.Index(levels, b.Level) {
			b.Level = e.level
		}
		b.Mark = htmlMarks[b.Level]
		if len(b.Names) < pageNames || d.All {
			b.Names = append(b.Names, e.name)
		} else {
			b.More++
		}
	}
	return list, later
}

// htmlIssuers are the trees of issuers: those of the directory from their roots, then
// those that are not ours.
func htmlIssuers(d Status) []*htmlIssuer {
	known := map[string]*htmlIssuer{}
	var top []*htmlIssuer
	for _, a := range d.Authorities {
		known[a.Name] = &htmlIssuer{Level: a.Level, Mark: htmlMarks[a.Level], Name: Clean(orName(a.CommonName, a.Name)), Role: a.Role,
			Ends: Relative(a.NotAfter, d.Now), EndsAt: Day(a.NotAfter)}
	}
	for _, a := range d.Authorities {
		if above := known[a.Parent]; above != nil && a.Parent != a.Name {
			above.Below = append(above.Below, known[a.Name])
			continue
		}
		top = append(top, known[a.Name])
	}
	for _, s := range d.Services {
		i := known[s.Authority]
		if i == nil {
			name, role := "no certificate yet", ""
			if s.Issuer != "" || !s.Ends.IsZero() {
				name, role = Clean(orName(s.Issuer, "an issuer without a name")), "elsewhere"
			}
			if i = known["/"+name]; i == nil {
				i = &htmlIssuer{Level: LevelFine, Name: name, Role: role}
				known["/"+name] = i
				top = append(top, i)
			}
		}
		i.Services++
		if len(i.Leaves) >= pageLeaves && !d.All {
			i.More++
			continue
		}
		i.Leaves = append(i.Leaves, htmlLeaf{s.Level, htmlMarks[s.Level], Clean(s.Name), when(s.Ends, d.Now)})
	}
	return top
}

// htmlTimeline is the drawing of when services end: bars of a height of 100 at most,
// the worst of each lowest.
type htmlTimeline struct {
	Name  string
	Bars  []htmlBar
	Half  string
	Later int
	Most  int
	Said  string // for who cannot see it
}

type htmlBar struct {
	X, Y, W, H float64
	Level      string
}

func htmlTimelineOf(d Status) *htmlTimeline {
	t := timelineOf(d.Services, d.Now, pageBars)
	if t == nil {
		return nil
	}
	out := &htmlTimeline{Name: t.name, Later: t.later, Half: Span(t.span / 2)}
	for _, c := range t.cells {
		out.Most = max(out.Most, c.total())
	}
	var said []string
	width := 600 / float64(pageBars)
	for i, c := range t.cells {
		y := 100.0
		for _, part := range []struct {
			n     int
			level string
		}{{c.bad, LevelError}, {c.warning, LevelWarning}, {c.fine, LevelFine}} {
			if part.n == 0 {
				continue
			}
			// One among thousands is to be seen too.
			h := max(100*float64(part.n)/float64(max(out.Most, 1)), 4)
			h = min(h, y)
			y -= h
			out.Bars = append(out.Bars, htmlBar{X: float64(i)*width + 1, Y: y, W: width - 2, H: h, Level: part.level})
		}
		if n := c.total(); n > 0 && len(said) < 12 {
			said = append(said, fmt.Sprintf("%d in the %s from %s on", n, Span(t.span/pageBars), Day(d.Now.Add(t.span/pageBars*time.Duration(i)))))
		}
	}
	out.Said = strings.Join(said, "; ")
	return out
}

// minute is a moment on a page that says that all are UTC.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
