package ui

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// The answers of verify for machines: JUnit, GitHub's annotations and a Nagios
// plugin's line. SARIF has a file of its own.

// Unread is a source of which nothing could be said.
type Unread struct{ Source, Problem string }

// verdict counts what the machines are told.
type verdict struct{ trusted, untrusted, warned int }

func (d Verification) count() (v verdict) {
	for _, r := range d.Results {
		switch {
		case !r.Trusted:
			v.untrusted++
		case worst(r.Findings) != Good:
			v.warned, v.trusted = v.warned+1, v.trusted+1
		default:
			v.trusted++
		}
	}
	return v
}

// blame are the findings that make the answer no; without one of them, that there is
// no path.
func blame(r inspect.Result) (errors, others []inspect.Finding) {
	for _, f := range r.Findings {
		if f.Severity == inspect.SeverityError && !r.Trusted {
			errors = append(errors, f)
		} else {
			others = append(others, f)
		}
	}
	return errors, others
}

// sentence is a finding in one line: what is wrong, with whom, the clause and the fix.
func sentence(f inspect.Finding) string {
	text := Clean(f.Message) + " (" + f.Citation + ")"
	if f.Certificate != "" && !strings.Contains(f.Message, f.Certificate) {
		text = Clean(f.Certificate) + ": " + text
	}
	if f.Fix != "" {
		text += "; fix: " + Clean(f.Fix)
	}
	return text
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Time      string      `xml:"time,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitProblem `xml:"failure,omitempty"`
	Error   *junitProblem `xml:"error,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitProblem struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes one test suite a source and one test case a certificate, in the form
// that Jenkins and GitLab read: an untrusted one has failed, what could not be read is
// an error.
func (d Verification) JUnit(w io.Writer) error {
	all := junitSuites{Name: "meshpki verify"}
	suite := func(source string) *junitSuite {
		for i := range all.Suites {
			if all.Suites[i].Name == source {
				return &all.Suites[i]
			}
		}
		all.Suites = append(all.Suites, junitSuite{Name: source, Time: "0", Timestamp: d.Now.UTC().Format("2006-01-02T15:04:05")})
		return &all.Suites[len(all.Suites)-1]
	}
	for _, r := range d.Results {
		s := suite(Clean(r.Source))
		c := junitCase{Class: s.Name, Name: Clean(r.Subject) + purpose(r.Asked), Time: "0"}
		errors, others := blame(r)
		if !r.Trusted {
			c.Failure = junitFailure(errors)
			s.Failures++
			all.Failures++
		}
		for _, f := range others {
			c.Out += string(f.Severity) + " " + f.Rule + ": " + sentence(f) + "\n"
		}
		s.Cases, s.Tests, all.Tests = append(s.Cases, c), s.Tests+1, all.Tests+1
	}
	for _, u := range d.Unread {
		s := suite(Clean(u.Source))
		problem := &junitProblem{Type: "unreadable", Message: Clean(u.Problem)}
		s.Cases = append(s.Cases, junitCase{Class: s.Name, Name: "can be read", Time: "0", Error: problem})
		s.Tests, s.Errors, all.Tests, all.Errors = s.Tests+1, s.Errors+1, all.Tests+1, all.Errors+1
	}
	data, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, xml.Header+string(data)+"\n")
	return err
}

func junitFailure(errors []inspect.Finding) *junitProblem {
	p := &junitProblem{Type: "untrusted", Message: "not trusted"}
	for i, f := range errors {
		if i == 0 {
			p.Type, p.Message = f.Rule, sentence(f)
		}
		p.Text += f.Rule + ": " + sentence(f) + "\n"
	}
	return p
}

// GitHub writes workflow commands, which become annotations of the file at fault; the
// last line is for people.
func (d Verification) GitHub(w io.Writer) error {
	var b strings.Builder
	for _, r := range d.Results {
		errors, others := blame(r)
		for _, f := range errors {
			annotation(&b, "error", r.Source, f.Rule, Clean(r.Subject)+" is not trusted"+purpose(r.Asked)+": "+sentence(f))
		}
		for _, f := range others {
			level := map[inspect.Severity]string{inspect.SeverityError: "error", inspect.SeverityWarning: "warning"}[f.Severity]
			annotation(&b, orName(level, "notice"), r.Source, f.Rule, Clean(r.Subject)+": "+sentence(f))
		}
		if !r.Trusted && len(errors) == 0 {
			annotation(&b, "error", r.Source, "untrusted", Clean(r.Subject)+" is not trusted"+purpose(r.Asked))
		}
	}
	for _, u := range d.Unread {
		annotation(&b, "error", u.Source, "unreadable", Clean(u.Problem))
	}
	b.WriteString(d.answer() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// annotation writes one workflow command. Its values are escaped as the runner undoes it.
func annotation(b *strings.Builder, level, source, rule, text string) {
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	fmt.Fprintf(b, "::%s file=%s,line=1,title=meshpki %s::%s\n", level, property.Replace(Clean(source)), property.Replace(rule), value.Replace(text))
}

// answer is all of it in a line.
func (d Verification) answer() string {
	v := d.count()
	text := Count(v.trusted, "certificate") + " trusted"
	if v.untrusted > 0 {
		text = fmt.Sprintf("%d of %s not trusted", v.untrusted, Count(v.trusted+v.untrusted, "certificate"))
	}
	if v.warned > 0 {
		text += fmt.Sprintf(", %d with warnings", v.warned)
	}
	if n := len(d.Unread); n > 0 {
		text += fmt.Sprintf(", %s not read", Count(n, "source"))
	}
	return text
}

// Nagios says it in one line: what is wrong first, then performance data.
func (d Verification) Nagios(state string) string {
	said := []string{d.answer()}
	for _, r := range d.Results {
		if errors, _ := blame(r); !r.Trusted && len(said) < 4 {
			text := Clean(r.Subject)
			if len(errors) > 0 {
				text += ": " + Clean(errors[0].Message)
			}
			said = append(said, text)
		}
	}
	for _, u := range d.Unread[:min(2, len(d.Unread))] {
		said = append(said, Clean(u.Problem))
	}
	v := d.count()
	all := v.trusted + v.untrusted
	data := []string{
		fmt.Sprintf("trusted=%d;;;0;%d", v.trusted, all), fmt.Sprintf("untrusted=%d;;;0;%d", v.untrusted, all),
		fmt.Sprintf("warnings=%d;;;0;%d", v.warned, all), fmt.Sprintf("unread=%d;;;0", len(d.Unread)),
	}
	if first, name, ok := d.firstEnd(); ok {
		data = append(data, fmt.Sprintf("first_end=%ds", int64(first.Sub(d.Now)/time.Second)))
		said = append(said, "the first end is "+Clean(name)+"'s, "+away(first, d.Now))
	}
	return NagiosLine(state, Safe(strings.Join(said, "; ")), data...)
}

// firstEnd is when the first trust ends, or the first certificate that is not trusted.
func (d Verification) firstEnd() (first time.Time, name string, ok bool) {
	for _, r := range d.Results {
		end := r.NotAfter
		if r.TrustedUntil != nil {
			end = *r.TrustedUntil
		}
		if !ok || end.Before(first) {
			first, name, ok = end, r.Subject, true
		}
	}
	return first, name, ok
}
