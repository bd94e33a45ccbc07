package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The pages are run as their readers would run them: each page in a directory of
// its own, its commands in order, what they print held against what is shown.
//
//   - A ```console block has command lines after "$ " and what they print below.
//     A command without anything below it is run and may print what it likes; a
//     line "…" stands for any lines; "$ echo $?" shows the exit code of the line
//     before, and without it that code must be 0.
//   - A meshpki command in a unit, a crontab or a pipeline is run as well; a daemon
//     until it says that it is ready.
//   - An HTML comment before a block directs it: "now TIME" sets the clock from
//     there on, "file NAME" writes the block into that file, "aws" runs a local AWS
//     that the commands from there on find, with the variables it tells of.
//   - A ```sh block is for what cannot be run here.
//
// MESHPKI_DOCS=update writes what commands print into the pages.

// docBlock is a fenced block of a page.
type docBlock struct {
	page, lang, directive string
	line                  int // of the opening fence, from 1
	lines                 []string
}

func (b docBlock) text() string { return strings.Join(b.lines, "\n") + "\n" }

var docDirective = regexp.MustCompile(`^<!-- ((?:now|file) .*|aws) -->$`)

// docPages lists the pages by their path from the module's root.
func docPages(t *testing.T) []string {
	t.Helper()
	pages := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "docs/design/*.md"} {
		found, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no pages (%v)", pattern, err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(filepath.Join("..", ".."), f)
			if err != nil {
				t.Fatal(err)
			}
			pages = append(pages, filepath.ToSlash(rel))
		}
	}
	return pages
}

func readDoc(t *testing.T, page string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(page)))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
}

// docBlocks finds the fenced blocks of a page.
func docBlocks(t *testing.T, page string) (blocks []docBlock) {
	t.Helper()
	lines := readDoc(t, page)
	directive := ""
	for i := 0; i < len(lines); i++ {
		lang, fenced := strings.CutPrefix(lines[i], "```")
		switch m := docDirective.FindStringSubmatch(lines[i]); {
		case m != nil:
			directive = m[1]
			continue
		case !fenced:
			if lines[i] != "" {
				directive = ""
			}
			continue
		}
		b := docBlock{page: page, lang: lang, directive: directive, line: i + 1}
		for i++; i < len(lines) && lines[i] != "```"; i++ {
			b.lines = append(b.lines, lines[i])
		}
		if i == len(lines) {
			t.Fatalf("%s:%d: the block has no end", page, b.line)
		}
		blocks, directive = append(blocks, b), ""
	}
	return blocks
}

func TestDocsRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the pages are written for a shell of Unix")
	}
	for _, page := range docPages(t) {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			r := &docRun{t: t, root: t.TempDir(), now: "2026-11-21T12:00:00Z"}
			for _, b := range docBlocks(t, page) {
				r.block(b)
			}
			r.update(page)
		})
	}
}

// docRun runs a page. Paths of the page that begin at the root of the file system
// begin at root instead.
type docRun struct {
	t       *testing.T
	root    string
	now     string // the clock, in RFC 3339
	code    int    // exit code of the last command
	skipped bool   // a program is missing, so what follows cannot be run
	vars    map[string]string
	printed []docPrinted
}

// docPrinted is what a command printed, and the lines of the page that show it.
type docPrinted struct {
	first, last int // line numbers, from 1; the last one is not shown any more
	text        string
}

// home is where the commands of a page are run.
func (r *docRun) home() string {
	dir := filepath.Join(r.root, "home")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

// docCommands find the meshpki commands in files that run them.
var docCommands = map[string]*regexp.Regexp{
	"ini":     regexp.MustCompile(`^Exec(?:Condition|StartPre|Start|StartPost)=(\S*/meshpki .*)$`),
	"crontab": regexp.MustCompile(`^(?:\S+ ){5}(?:root )?((?:[A-Z_]+=\S+ )*\S*/meshpki .*)$`),
	"yaml":    regexp.MustCompile(`^ *(?:- )?run: (meshpki .*)$`),
	"nginx":   regexp.MustCompile(`^ *ssl_\w*certificate\w* +(\S+);$`),
}

func (r *docRun) block(b docBlock) {
	r.t.Helper()
	if r.skipped {
		return
	}
	if now, ok := strings.CutPrefix(b.directive, "now "); ok {
		r.now = now
	}
	if b.directive == "aws" {
		r.startAWS()
	}
	if name, ok := strings.CutPrefix(b.directive, "file "); ok {
		name = r.path(name)
		text := docPlace.ReplaceAllString(b.text(), "${1}"+r.root+"/")
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			r.t.Fatal(err)
		}
	}
	switch find := docCommands[b.lang]; {
	case b.lang == "console":
		r.console(b)
	case find != nil:
		r.snippet(b, find)
	}
}

// docPlace is an absolute path in a manifest.
var docPlace = regexp.MustCompile(`(to: )/`)

// snippet runs the commands in a file that others run, with what a unit sets for
// them, and looks for the files that a server's configuration names.
func (r *docRun) snippet(b docBlock, find *regexp.Regexp) {
	r.t.Helper()
	credentials, env := map[string]string{}, ""
	for i, line := range b.lines {
		if name, file, ok := strings.Cut(strings.TrimPrefix(line, "LoadCredential="), ":"); ok && strings.HasPrefix(line, "LoadCredential=") {
			credentials["%d/"+name] = file
		}
		if set, ok := strings.CutPrefix(line, "Environment="); ok {
			name, value, _ := strings.Cut(set, "=")
			env += name + "=" + credentials[value] + " "
		}
		m := find.FindStringSubmatch(line)
		switch {
		case m == nil:
		case b.lang == "nginx":
			if _, err := os.Stat(r.path(m[1])); err != nil {
				r.t.Errorf("%s:%d: %v", b.page, b.line+1+i, err)
			}
		default:
			out := r.run(env + m[1])
			condition := strings.HasPrefix(line, "ExecCondition=")
			if r.code != 0 && (!condition || r.code != 1) {
				r.t.Errorf("%s:%d: exit code %d\n%s", b.page, b.line+1+i, r.code, out)
			}
		}
	}
}

// console runs the commands of a block, each with the lines that it shows.
func (r *docRun) console(b docBlock) {
	r.t.Helper()
	for i := 0; i < len(b.lines) && !r.skipped; {
		at := b.line + 1 + i
		command, ok := strings.CutPrefix(b.lines[i], "$ ")
		if !ok {
			r.t.Errorf("%s:%d: %q is not below a command", b.page, at, b.lines[i])
			return
		}
		for i++; strings.HasSuffix(command, `\`) && i < len(b.lines); i++ {
			command = strings.TrimSuffix(command, `\`) + strings.TrimLeft(b.lines[i], " ")
		}
		first := i
		for i < len(b.lines) && !strings.HasPrefix(b.lines[i], "$ ") {
			i++
		}
		shown := b.lines[first:i]
		out := r.run(command)
		if r.skipped {
			return
		}
		if r.code != 0 && (i == len(b.lines) || b.lines[i] != "$ echo $?") {
			r.t.Errorf("%s:%d: %s: exit code %d\n%s", b.page, at, command, r.code, out)
		}
		if len(shown) == 0 {
			continue
		}
		if want := strings.Join(shown, "\n"); !docSame(want, out) {
			r.t.Errorf("%s:%d: %s\nshown:\n%s\nprinted:\n%s", b.page, at, command, want, out)
			if !slices.Contains(shown, "…") {
				r.printed = append(r.printed, docPrinted{b.line + 1 + first, b.line + 1 + i, out})
			}
		}
	}
}

// run runs one command line and gives what it prints, on both streams.
func (r *docRun) run(commandLine string) string {
	r.t.Helper()
	for name, value := range r.vars {
		commandLine = strings.ReplaceAll(commandLine, "$"+name, value)
	}
	words, err := docWords(commandLine)
	if err != nil || len(words) == 0 {
		r.t.Fatalf("%s: not a command line (%v)", commandLine, err)
	}
	env := []string{"MESHPKI_TEST_NOW=" + r.now, "LC_ALL=C.UTF-8", "HOME=" + r.home(), "PATH=" + os.Getenv("PATH")}
	for name, value := range r.vars {
		env = append(env, name+"="+value)
	}
	for len(words) > 1 && docAssignment.MatchString(words[0]) {
		name, value, _ := strings.Cut(words[0], "=")
		if strings.HasPrefix(value, "/") {
			value = r.path(value)
		}
		env, words = append(env, name+"="+value), words[1:]
	}
	var out bytes.Buffer
	stdout := &out
	if n := len(words); n > 2 && words[n-2] == ">" {
		file := r.path(words[n-1])
		stdout, words = &bytes.Buffer{}, words[:n-2]
		defer func() {
			if err := os.WriteFile(file, stdout.Bytes(), 0o600); err != nil {
				r.t.Fatal(err)
			}
		}()
	}
	if r.builtin(words, stdout) {
		return strings.TrimSpace(out.String())
	}
	name := filepath.Base(words[0])
	if _, err := exec.LookPath(name); err != nil {
		r.t.Logf("%s is not on this machine: the rest of the page is not run", name)
		r.skipped = true
		return ""
	}
	for i, w := range words[1:] {
		if strings.HasPrefix(w, "/") {
			words[i+1] = r.path(w)
		}
	}
	cmd := exec.CommandContext(r.t.Context(), name, words[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.home(), env, stdout, &out
	if slices.Contains(words, "--daemon") {
		err = runDaemon(r.t, cmd)
	} else {
		err = cmd.Run()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		r.t.Fatalf("%s: %v", commandLine, err)
	} else if r.code = 0; ok {
		r.code = exit.ExitCode()
	}
	return strings.TrimRight(strings.ReplaceAll(out.String(), r.root, ""), "\n")
}

var docAssignment = regexp.MustCompile(`^[A-Z_]+=`)

// builtin runs the few commands that are a shell's.
func (r *docRun) builtin(words []string, stdout *bytes.Buffer) bool {
	r.t.Helper()
	switch words[0] {
	case "echo":
		text := strings.Join(words[1:], " ")
		fmt.Fprintln(stdout, strings.ReplaceAll(text, "$?", strconv.Itoa(r.code)))
	case "mkdir":
		if err := os.MkdirAll(r.path(words[len(words)-1]), 0o755); err != nil {
			r.t.Fatal(err)
		}
	case "cat":
		data, err := os.ReadFile(r.path(words[1]))
		if err != nil {
			r.t.Fatal(err)
		}
		stdout.Write(data)
	default:
		return false
	}
	r.code = 0
	return true
}

// path is where a path of the page lies.
func (r *docRun) path(name string) string {
	if strings.HasPrefix(name, "/") {
		return filepath.Join(r.root, name)
	}
	return filepath.Join(r.home(), name)
}

// docWords splits a command line as a shell does, as far as the pages go.
func docWords(s string) (words []string, err error) {
	var word strings.Builder
	in, quote := false, rune(0)
	for _, c := range s {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ':
			if in {
				words = append(words, word.String())
			}
			word.Reset()
			in = false
		case strings.ContainsRune("|&;<*(){}`", c):
			return nil, fmt.Errorf("%q is for a real shell", c)
		default:
			word.WriteRune(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote that does not end")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// What differs from run to run.
var (
	docLongHex  = regexp.MustCompile(`\b[0-9a-f]{26,64}\b`)
	docShortHex = regexp.MustCompile(`\b[0-9a-f]{8}…[0-9a-f]{4}\b`)
	docSuffix   = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	docBase64   = regexp.MustCompile(`(?m)^[A-Za-z0-9+/]{20,64}=*$`)
	docElided   = regexp.MustCompile(`(?m)^ *…\n?`)
)

// docSame tells whether a command printed what is shown: but for numbers that
// nobody can foresee, and for lines that "…" stands for.
func docSame(shown, printed string) bool {
	long := docLongHex.MatchString(shown)
	alike := func(s string) string {
		s = docLongHex.ReplaceAllString(s, "HEX")
		s = docShortHex.ReplaceAllString(s, "SHORTHEX")
		s = docSuffix.ReplaceAllString(s, "SUFFIX")
		s = docBase64.ReplaceAllString(s, "BASE64")
		if long {
			// A serial number may be a digit or two shorter, and a line break fall elsewhere.
			s = strings.Join(strings.Fields(s), " ")
		}
		return s
	}
	var parts []string
	for _, part := range docElided.Split(strings.TrimRight(shown, "\n"), -1) {
		parts = append(parts, regexp.QuoteMeta(alike(part)))
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, `.*`) + `$`).MatchString(alike(printed))
}

// update writes what was printed into the page, where that is asked for.
func (r *docRun) update(page string) {
	r.t.Helper()
	if os.Getenv("MESHPKI_DOCS") != "update" {
		return
	}
	lines := readDoc(r.t, page)
	for _, p := range slices.Backward(r.printed) {
		lines = slices.Replace(lines, p.first-1, p.last-1, strings.Split(p.text, "\n")...)
	}
	name := filepath.Join("..", "..", filepath.FromSlash(page))
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		r.t.Fatal(err)
	}
}
