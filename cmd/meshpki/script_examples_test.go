package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// examples PROGRAM pastes every line under EXAMPLES of the program's help, and of
// the help of every command below it, into a shell, in the order in which somebody
// reads them. A line that stands in several places is run once. Each must succeed;
// of needs-renewal 1 is an answer too, and of plan 3.
func examples(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: examples program")
	}
	var run []string
	for _, command := range exampleCommands(ts, args[0]) {
		for _, line := range exampleLines(ts, exampleHelp(ts, command)) {
			if slices.Contains(run, line) {
				continue
			}
			run = append(run, line)
			if strings.Contains(line, exampleServer) {
				line = strings.ReplaceAll(line, exampleServer, serveExample(ts)+" --server-name payment.default.svc")
			}
			// A pipe's last program may not be there; what it is given is ours.
			if _, reader, piped := strings.Cut(line, " | "); piped {
				if _, err := exec.LookPath(strings.Fields(reader)[0]); err != nil {
					line, _, _ = strings.Cut(line, " | ")
				}
			}
			code := codeOf(ts, ts.Exec("sh", "-c", line))
			answer := strings.HasPrefix(line, args[0]+" needs-renewal ") && code == 1 || strings.HasPrefix(line, args[0]+" plan") && code == 3
			if code != 0 && !answer || strings.Contains(ts.ReadFile("stderr"), "error:") {
				ts.Fatalf("%s\nends with exit code %d:\n%s", line, code, ts.ReadFile("stderr"))
			}
		}
	}
	if len(run) < 30 {
		ts.Fatalf("only %d examples were found", len(run))
	}
}

// exampleServer is a server that examples name: no name of it is known here, so that its
// address is put in its place.
const exampleServer = "payment.default.svc:8443"

func exampleHelp(ts *testscript.TestScript, command string) string {
	words := append(strings.Fields(command), "--help")
	ts.Check(ts.Exec(words[0], words[1:]...))
	return ts.ReadFile("stdout")
}

// exampleCommands lists a command and all below it, as their help names them.
func exampleCommands(ts *testscript.TestScript, command string) []string {
	out := []string{command}
	list := helpSection(exampleHelp(ts, command), "COMMANDS")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z-]+)  +\S`).FindAllStringSubmatch(list, -1) {
		out = append(out, exampleCommands(ts, command+" "+m[1])...)
	}
	return out
}

// exampleLines are the command lines of EXAMPLES; one that goes on behind a backslash
// stays on its lines.
func exampleLines(ts *testscript.TestScript, help string) []string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimSpace(helpSection(help, "EXAMPLES")), "\n") {
		switch line = strings.TrimPrefix(line, "  "); {
		case strings.HasPrefix(line, "# "):
		case len(out) > 0 && strings.HasSuffix(out[len(out)-1], `\`):
			out[len(out)-1] += "\n" + line
		default:
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		ts.Fatalf("no examples:\n%s", help)
	}
	return out
}

// helpSection is what stands under a heading of a help, up to the next one.
func helpSection(help, heading string) string {
	_, rest, _ := strings.Cut(help, "\n"+heading+"\n")
	if next := regexp.MustCompile(`(?m)^[A-Z]`).FindStringIndex(rest); next != nil {
		rest = rest[:next[0]]
	}
	return rest
}
