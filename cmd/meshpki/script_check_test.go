package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
)

// json FILE PATH… holds JSON against what is expected: data.0.dnsNames.1==payment,
// data.count==2 for the length of a list or an object, serial~=^[0-9a-f]+$ for a pattern,
// a bare path for being there. With ! none of them may hold.
func jsonHas(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: json file path[==value|~=pattern]...")
	}
	var document any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &document); err != nil {
		ts.Fatalf("%s is not JSON: %v", args[0], err)
	}
	for _, claim := range args[1:] {
		path, want, op := claim, "", ""
		for _, o := range []string{"==", "~="} {
			if p, w, found := strings.Cut(claim, o); found && (op == "" || len(p) < len(path)) {
				path, want, op = p, w, o
			}
		}
		got, there := at(document, path)
		holds := there
		switch op {
		case "==":
			holds = there && got == want
		case "~=":
			holds = there && regexp.MustCompile(want).MatchString(got)
		}
		if holds == neg {
			ts.Fatalf("%s: %s is %q (there: %t)", claim, path, got, there)
		}
	}
}

// at follows a path into JSON, and gives what is there as text.
func at(v any, path string) (text string, there bool) {
	for step := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			if step == "count" {
				v = float64(len(at))
			} else if v, there = at[step]; !there {
				return "", false
			}
		case []any:
			i, err := strconv.Atoi(step)
			switch {
			case step == "count":
				v = float64(len(at))
			case err != nil || i < 0 || i >= len(at):
				return "", false
			default:
				v = at[i]
			}
		default:
			return "", false
		}
	}
	if s, ok := v.(string); ok {
		return s, true
	}
	data, err := json.Marshal(v)
	return string(data), err == nil
}

// columns N FILE… sees that no line is wider than N columns, unless it is one word
// that cannot be broken.
func columns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: columns n file...")
	}
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	for _, name := range args[1:] {
		for i, line := range strings.Split(ts.ReadFile(name), "\n") {
			if width := utf8.RuneCountInString(line); width > most && len(strings.Fields(line)) > 1 {
				ts.Fatalf("%s: line %d is %d columns wide, not %d:\n%s", name, i+1, width, most, line)
			}
		}
	}
}

// nocontrol FILE… sees that nothing in a file works on a terminal but line feeds: no
// control characters, nothing that turns the writing direction or is not seen.
func noControl(ts *testscript.TestScript, neg bool, args []string) {
	eachRune(ts, neg, args, func(r rune) bool {
		return r == utf8.RuneError || r != '\n' && !unicode.IsPrint(r)
	})
}

// ascii FILE… sees that a file has no character beyond ASCII.
func asciiOnly(ts *testscript.TestScript, neg bool, args []string) {
	eachRune(ts, neg, args, func(r rune) bool { return r > unicode.MaxASCII })
}

func eachRune(ts *testscript.TestScript, neg bool, args []string, wrong func(rune) bool) {
	if len(args) < 1 {
		ts.Fatalf("usage: nocontrol|ascii file...")
	}
	for _, name := range args {
		found := ""
		for i, r := range ts.ReadFile(name) {
			if wrong(r) {
				found = fmt.Sprintf("%+q at byte %d", r, i)
				break
			}
		}
		switch {
		case !neg && found != "":
			ts.Fatalf("%s has %s", name, found)
		case neg && found == "":
			ts.Fatalf("%s has no such character", name)
		}
	}
}

// lines N FILE sees that a file has that many lines.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines n file")
	}
	if got := strconv.Itoa(strings.Count(ts.ReadFile(args[1]), "\n")); got != args[0] {
		ts.Fatalf("%s has %s lines, not %s", args[1], got, args[0])
	}
}

// wordsIn FILE TEXT finds a text in what was said, however its lines were wrapped.
func wordsIn(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: words file text")
	}
	said := strings.Join(strings.Fields(ts.ReadFile(args[0])), " ")
	if strings.Contains(said, args[1]) == neg {
		ts.Fatalf("%q in: %t\n%s", args[1], !neg, said)
	}
}
