package command

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

// now is when these tests live.
func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// helpOf is a command's help as a terminal of 80 columns without colour shows it.
func helpOf(t *testing.T, c *command, utf8 bool) string {
	t.Helper()
	var b bytes.Buffer
	if err := ui.Text(&b, helpDocument(c), ui.Options{UTF8: utf8}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHelp: the help of every command is a small man page.
func TestHelp(t *testing.T) {
	walk(root(), func(c *command) {
		t.Run(c.path(), func(t *testing.T) {
			text := helpOf(t, c, true)
			first, _, _ := strings.Cut(text, "\n")
			if !strings.HasPrefix(first, c.path()+" - ") {
				t.Errorf("the first line is %q", first)
			}
			for _, section := range []string{"\nSYNOPSIS\n", "\nDESCRIPTION\n", "\nFLAGS\n", "\nEXAMPLES\n", "\nEXIT STATUS\n"} {
				if strings.Count(text, section) != 1 {
					t.Errorf("section %s stands there %d times", strings.TrimSpace(section), strings.Count(text, section))
				}
			}
			for line := range strings.SplitSeq(text, "\n") {
				if n := utf8.RuneCountInString(line); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("blanks at the end of %q", line)
				}
			}
			if strings.Contains(text, "`") || strings.Contains(text, "\n\n\n") {
				t.Error("back quotes or two blank lines in it")
			}
			if strings.HasSuffix(c.summary, ".") || c.summary == "" || strings.ToLower(c.summary[:1]) != c.summary[:1] {
				t.Errorf("the summary %q is no phrase without a full stop", c.summary)
			}
			for _, r := range helpOf(t, c, false) {
				if r >= utf8.RuneSelf {
					t.Errorf("%q where there is no UTF-8", r)
				}
			}
		})
	})
}

func TestHelpExitStatus(t *testing.T) {
	known := []int{codeDone, codeFailed, codeUsage, codeNo, codeRefused, codePartial, codeInterrupted, codeElse}
	walk(root(), func(c *command) {
		var codes []int
		for _, e := range c.exits {
			codes = append(codes, e.code)
			if e.what == "" || !slices.Contains(known, e.code) {
				t.Errorf("%s: exit status %d is %q", c.path(), e.code, e.what)
			}
		}
		if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) || !slices.Contains(codes, codeDone) {
			t.Errorf("%s: exit status %v", c.path(), codes)
		}
		if c.name != "needs-renewal" && !slices.Contains(codes, codeUsage) || c.name == "needs-renewal" && !slices.Equal(codes, []int{0, codeNotDue, codeElse}) {
			t.Errorf("%s: exit status %v", c.path(), codes)
		}
	})
}

// TestHelpExamples: every line of every EXAMPLES is one that the command line
// understands, and one of the command itself.
func TestHelpExamples(t *testing.T) {
	walk(root(), func(c *command) {
		for _, e := range c.examples {
			line, _, _ := strings.Cut(e.line, " | ")
			line, _, _ = strings.Cut(line, " > ")
			words := strings.Fields(line)
			if words[0] != "meshpki" || strings.ContainsAny(line, "'\"$`*;&<>|") {
				t.Errorf("%s: %q is no plain command line", c.path(), e.line)
				continue
			}
			w, err := arrange(root(), words[1:])
			if err != nil || w.help || w.command.run == nil {
				t.Errorf("%s: %q: %v", c.path(), e.line, err)
				continue
			}
			if p := w.command.path(); p != c.path() && !strings.HasPrefix(p, c.path()+" ") {
				t.Errorf("%s: %q is an example of %s", c.path(), e.line, p)
			}
			if e.what == "" || strings.HasSuffix(e.what, ".") {
				t.Errorf("%s: %q is called %q", c.path(), e.line, e.what)
			}
		}
	})
}

// TestFlagHelp: what a flag takes is named in capitals, or as the words to choose from.
func TestFlagHelp(t *testing.T) {
	value := regexp.MustCompile(`^([A-Z][A-Z=-]*|[a-z0-9:<>A-Z|-]+)$`)
	walk(root(), func(c *command) {
		for _, f := range c.flags {
			described := describeFlag(f)
			name, takes, _ := strings.Cut(described[0], " ")
			switch {
			case name != "--"+f.Names()[0]:
				t.Errorf("%s: --%s is described as %q", c.path(), f.Names()[0], name)
			case takesValue(f) != (takes != "") || takes != "" && !value.MatchString(takes):
				t.Errorf("%s: %s takes %q", c.path(), name, takes)
			case described[1] == "" || strings.HasSuffix(described[1], "."):
				t.Errorf("%s: %s is %q", c.path(), name, described[1])
			}
		}
	})
}

// TestManual: the man page has every command with all its flags and examples.
func TestManual(t *testing.T) {
	env, stdout, _ := world("man")
	if code := Main(t.Context(), env); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	page := strings.NewReplacer(`\-`, "-", `\e`, `\`, `\&`, "").Replace(stdout.String())
	for _, c := range leaves(root()) {
		_, section, found := strings.Cut(page, "\n.SS "+c.path()+"\n")
		if !found {
			t.Errorf("%s is not there", c.path())
			continue
		}
		section, _, _ = strings.Cut(section, "\n.SS ")
		for _, f := range c.flags {
			if !strings.Contains(section, "\n.B --"+f.Names()[0]) {
				t.Errorf("%s: --%s is not there", c.path(), f.Names()[0])
			}
		}
		for _, e := range c.examples {
			if !strings.Contains(section, "\n.B "+e.line+"\n") {
				t.Errorf("%s: the example %s is not there", c.path(), e.line)
			}
		}
	}
}
