package ui_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

// judged is an answer with one of each: trusted, trusted with a warning, not trusted
// and hostile, and what could not be read.
func judged() ui.Verification {
	evil := "evil\x1b[2J\n::error::x,y:%0A|]]>\u202e"
	good := inspect.Result{Source: "good.pem", Subject: "payment", Trusted: true, Fingerprint: "aa", Findings: []inspect.Finding{}}
	good.NotAfter = now.Add(30 * day)
	warned := good
	warned.Source, warned.Subject = "dir/warned.pem", "account"
	warned.Findings = []inspect.Finding{{Rule: "key-p224", Severity: inspect.SeverityWarning, Message: "a key on the curve P-224", Citation: "RFC 8446, Section 4.2.3"}}
	bad := inspect.Result{Source: "a b/" + evil + ".pem", Subject: evil, Fingerprint: "bb", Findings: []inspect.Finding{
		{Rule: "leaf-expired", Severity: inspect.SeverityError, Certificate: evil, Message: evil + " expired", Citation: "RFC 5280, Section 4.1.2.5", Fix: "renew " + evil},
		{Rule: "of-tomorrow", Severity: inspect.SeverityInfo, Message: "m", Citation: "RFC 5280, Section 4.1"}}}
	bad.NotAfter = now.Add(-3 * time.Hour)
	bad.Asked.Name = evil
	return ui.Verification{Now: now, Results: []inspect.Result{good, warned, bad}, Unread: []ui.Unread{{Source: evil, Problem: evil + ": no such file"}}}
}

// TestSARIF holds what is written against OASIS's schema, and sees that the schema
// would notice.
func TestSARIF(t *testing.T) {
	name := filepath.Join("..", "..", "..", "testdata", "schemas", "sarif-schema-2.1.0.json")
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("sarif.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []ui.Verification{judged(), {Now: now}} {
		var b bytes.Buffer
		if err := d.SARIF(&b); err != nil {
			t.Fatal(err)
		}
		valid := func(text string) error {
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			return schema.Validate(value)
		}
		if err := valid(b.String()); err != nil {
			t.Errorf("%v\n%s", err, b.String())
		}
		if valid(strings.Replace(b.String(), `"version"`, `"versions"`, 1)) == nil {
			t.Error("the schema takes anything")
		}
		harmless(t, b.String())
	}
	var b bytes.Buffer
	if err := judged().SARIF(&b); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
			}
			Invocations []struct{ ExecutionSuccessful bool }
		}
	}
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if len(run.Results) != 3 || run.Invocations[0].ExecutionSuccessful {
		t.Errorf("%d results, successful %v", len(run.Results), run.Invocations[0].ExecutionSuccessful)
	}
	for _, r := range run.Results {
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("%s is said to be rule %d", r.RuleID, r.RuleIndex)
		}
	}
}

// harmless: nothing in the text works on a terminal, or begins a line of its own.
func harmless(t *testing.T, text string) {
	t.Helper()
	if strings.ContainsAny(text, "\x1b\u202e\x07\x08") {
		t.Errorf("control characters in\n%q", text)
	}
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := judged().JUnit(&b); err != nil {
		t.Fatal(err)
	}
	harmless(t, b.String())
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Suites   []struct {
			Cases []struct {
				Failure, Error *struct {
					Type    string `xml:"type,attr"`
					Message string `xml:"message,attr"`
				}
				Out string `xml:"system-out"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	d := xml.NewDecoder(&b)
	d.Strict = true
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 4 || got.Failures != 1 || got.Errors != 1 || len(got.Suites) != 4 {
		t.Errorf("%+v", got)
	}
	if out := got.Suites[1].Cases[0].Out; !strings.Contains(out, "warning key-p224") {
		t.Errorf("the warning is not told: %q", out)
	}
}

func TestGitHub(t *testing.T) {
	var b bytes.Buffer
	if err := judged().GitHub(&b); err != nil {
		t.Fatal(err)
	}
	harmless(t, b.String())
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines:\n%s", len(lines), b.String())
	}
	form := regexp.MustCompile(`^::(error|warning|notice) file=[^,:]+,line=1,title=meshpki [a-z0-9-]+::.`)
	for i, line := range lines[:4] {
		if !form.MatchString(line) {
			t.Errorf("line %d: %q", i+1, line)
		}
	}
	if want := "1 of 3 certificates not trusted, 1 with warnings, 1 source not read"; lines[4] != want {
		t.Errorf("%q, want %q", lines[4], want)
	}
}

func TestVerifyNagios(t *testing.T) {
	line := judged().Nagios("CRITICAL")
	harmless(t, line)
	if !regexp.MustCompile(`^meshpki CRITICAL - 1 of 3 certificates not trusted[^|\n]* \| trusted=2;;;0;3 untrusted=1;;;0;3 warnings=1;;;0;3 unread=1;;;0 first_end=-10800s\n$`).MatchString(line) {
		t.Errorf("%q", line)
	}
}
