package ui

import "strconv"

// StatusPublication is an object of a cluster in which the manifest has roots published.
type StatusPublication struct {
	To      string `json:"to"`
	Level   string `json:"level"` // due where other roots are there, or none; error where that cannot be seen or done
	Problem string `json:"problem,omitempty"`
}

// Words say how a publication stands; "" where all is well.
func (s StatusPublication) Words() string {
	switch {
	case s.Problem != "":
		return s.Problem
	case s.Level == LevelDue:
		return s.To + " has other roots than these, or none; will be published at the next pass"
	}
	return ""
}

// publications says which objects have not the roots that are to be trusted.
func (d Status) publications(p *Page) {
	said := false
	for _, s := range d.Published {
		words := s.Words()
		if words == "" {
			continue
		}
		if !said {
			p.Blank()
		}
		said = true
		p.Say(levelSign(s.Level), Safe(words))
	}
}

// publishing counts what is not published as it should be, for the one line that answers.
func (d Status) publishing() string {
	failed, due := 0, 0
	for _, s := range d.Published {
		switch s.Level {
		case LevelError:
			failed++
		case LevelDue:
			due++
		}
	}
	switch {
	case failed == 1:
		return "1 publication fails"
	case failed > 1:
		return strconv.Itoa(failed) + " publications fail"
	case due > 0:
		return "the roots are to be published"
	}
	return ""
}
