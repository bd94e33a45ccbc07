package ui

import (
	"fmt"
	"strings"
	"time"
)

// PlannedService is what apply would do about one service, or leaves alone.
type PlannedService struct {
	Name      string         `json:"name"`
	Service   string         `json:"service,omitempty"`
	Namespace string         `json:"namespace,omitempty"`
	Change    string         `json:"change"` // create, renew, deliver, publish, finish, remove, failed, held, waiting, none
	Listed    bool           `json:"listed"`
	Check     string         `json:"check,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Problem   string         `json:"problem,omitempty"`
	NotAfter  time.Time      `json:"notAfter,omitzero"`
	Places    []PlannedPlace `json:"places,omitempty"`
	Advice    string         `json:"advice,omitempty"`
}

// PlannedPlace is a place of a service: what is wrong with it, what others keep
// there, and whether it is to be emptied.
type PlannedPlace struct {
	To      string `json:"to"`
	Problem string `json:"problem,omitempty"`
	Foreign string `json:"foreign,omitempty"`
	Remove  bool   `json:"remove,omitempty"`
}

// Plan is the answer of plan. What is fine is counted, and not listed.
type Plan struct {
	List     []PlannedService
	Fine     int
	Manifest string // its file; "" where there is none
	Flags    string // those that name directory and manifest, for commands to paste
	Now      time.Time
}

// Differs tells whether apply would have anything to do.
func (d Plan) Differs() bool {
	for _, s := range d.List {
		if s.differs() {
			return true
		}
	}
	return false
}

func (s PlannedService) differs() bool {
	switch s.Change {
	case "held", "waiting", "none":
		return s.removes()
	}
	return true
}

// removes tells whether something is to be taken away.
func (s PlannedService) removes() bool {
	if s.Change == "remove" {
		return true
	}
	for _, p := range s.Places {
		if p.Remove {
			return true
		}
	}
	return false
}

func (s PlannedService) foreign() bool {
	for _, p := range s.Places {
		if p.Foreign != "" {
			return true
		}
	}
	return false
}

// Schema names the document.
func (Plan) Schema() string { return "plan" }

// Data is the list of those that are not fine, or not the manifest's.
func (d Plan) Data() any {
	if d.List == nil {
		return []PlannedService{}
	}
	return d.List
}

// plannedChanges are the changes, and what is said of each: as a count, and of one.
var plannedChanges = []struct{ name, counted, said string }{
	{"failed", "failing", "is failing"},
	{"finish", "begun and to be finished", "was begun, and is to be finished"},
	{"create", "to create", "is to be created"},
	{"renew", "to renew", "is to be renewed"},
	{"deliver", "drifted", "has drifted, and is to be laid out again"},
	{"publish", "to publish", "is to have the roots as they are now"},
	{"remove", "to remove", "is to be removed"},
	{"held", "held by their issuer", "is held by its issuer"},
	{"waiting", "waiting for their window", "waits for its window"},
	{"none", "", "is as it should be"},
}

// Text says what is to be done, what fails first.
func (d Plan) Text(p *Page) {
	d.summary(p)
	var unlisted []string
	for _, change := range plannedChanges {
		for _, s := range d.List {
			if s.Change != change.name {
				continue
			}
			if s.Change == "none" && !s.removes() && s.Advice == "" {
				if !s.Listed {
					unlisted = append(unlisted, Clean(s.Name))
				}
				continue
			}
			p.Blank()
			s.text(p, change.said)
		}
	}
	if len(unlisted) > 0 && d.Manifest != "" {
		p.Blank()
		p.Para(p.Indent(), "issued without the manifest, renewed all the same, and never removed: "+List(unlisted, 5))
	}
	d.next(p)
}

// summary counts.
func (d Plan) summary(p *Page) {
	count := map[string]int{}
	places, foreign := 0, 0
	for _, s := range d.List {
		count[s.Change]++
		if s.foreign() {
			foreign++
		}
		if s.Change != "remove" && s.removes() {
			places++
		}
	}
	var parts []string
	add := func(n int, said string) {
		if n > 0 && said != "" {
			parts = append(parts, fmt.Sprintf("%d %s", n, said))
		}
	}
	for _, change := range plannedChanges {
		add(count[change.name], change.counted)
	}
	add(places, "with places to remove")
	add(foreign, "with foreign files in the way")
	add(d.Fine+count["none"], "fine")
	if len(parts) == 0 {
		parts = []string{"nothing is under care here"}
	}
	if d.Differs() {
		p.Para(p.Indent(), strings.Join(parts, ", "))
	} else {
		p.Para(p.Indent(), "nothing to do: "+strings.Join(parts, ", "))
	}
	if d.Manifest == "" {
		p.Para(p.Indent(), "there is no manifest: only what has been issued is looked at, and nothing is removed")
	}
}

// next says how to make it so.
func (d Plan) next(p *Page) {
	var do, removes, foreign bool
	for _, s := range d.List {
		do = do || s.differs() && s.Change != "remove" && s.Change != "none"
		removes, foreign = removes || s.removes(), foreign || s.foreign()
	}
	if !do && !removes {
		return
	}
	cmd := "meshpki apply"
	if removes {
		cmd += " --prune"
	}
	if foreign {
		cmd += " --force"
	}
	p.Next(cmd + d.Flags)
}

func (s PlannedService) text(p *Page, said string) {
	sign := Look
	switch {
	case s.Change == "failed", s.foreign():
		sign = Bad
	case s.Change == "none" && s.Advice == "" && !s.removes():
		sign = Good
	}
	p.Line("%s%s", p.Sign(sign), p.Bold(Clean(s.Name)+"  "+said))
	const column = len("because")
	p.Field(column, "because", Safe(s.Reason))
	p.Field(column, "problem", Safe(s.Problem))
	for _, place := range s.Places {
		to := Clean(place.To)
		switch {
		case place.Remove:
			p.Field(column, "remove", to)
			p.Field(column, "", Safe(place.Problem))
		case place.Foreign != "":
			p.Field(column, "foreign", to+": "+Safe(place.Foreign)+"; left alone without --force")
		case place.Problem != "" && !strings.Contains(s.Reason+"\n"+s.Problem, place.To+": "+place.Problem): // else it has been said
			p.Field(column, "in", to+": "+Safe(place.Problem))
		default:
			p.Field(column, "in", to)
		}
	}
	p.Field(column, "advice", s.Advice)
}
