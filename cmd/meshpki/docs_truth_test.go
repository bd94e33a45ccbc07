package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/all"
	"github.com/meshpki/meshpki/cmd/meshpki/command"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

var (
	docLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	docHeading = regexp.MustCompile(`^#{1,6} +(.+)$`)
	docSpan    = regexp.MustCompile("`([^`\n]+)`")
	docFlag    = regexp.MustCompile(`(?:^|[ ,(])(--[a-z][a-z-]*)`)
	docMake    = regexp.MustCompile(`(?m)^make ([a-z]+)`)
	docPlain   = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// prose gives the lines of a page that are not in a block, with empty lines for
// the others.
func prose(t *testing.T, page string) []string {
	t.Helper()
	lines, inside := readDoc(t, page), false
	for i, line := range lines {
		fence := strings.HasPrefix(line, "```")
		if fence || inside {
			lines[i] = ""
		}
		inside = inside != fence
	}
	return lines
}

// anchors are the places in a page that a link can name, as GitHub makes them.
func anchors(t *testing.T, page string) (list []string) {
	t.Helper()
	for _, line := range prose(t, page) {
		if m := docHeading.FindStringSubmatch(line); m != nil {
			list = append(list, strings.ReplaceAll(docPlain.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
		}
	}
	return list
}

// Every link to a file of the repository leads to one, and to a heading that is there.
func TestDocsLinks(t *testing.T) {
	linked := map[string]bool{"README.md": true}
	for _, page := range docPages(t) {
		// A link may be broken over two lines.
		for _, m := range docLink.FindAllStringSubmatch(strings.Join(prose(t, page), "\n"), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := path.Join(path.Dir(page), file)
			if file == "" {
				to = page
			}
			linked[to] = true
			if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(to))); err != nil {
				t.Errorf("%s: a link to %s: %v", page, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(t, to), anchor) {
				t.Errorf("%s: a link to %s: no such heading", page, m[1])
			}
		}
	}
	for _, page := range docPages(t) {
		if !linked[page] {
			t.Errorf("%s: no page links to it", page)
		}
	}
}

// notYet marks a paragraph that speaks of what is to come.
var notYet = regexp.MustCompile(`(?i)not\s+(a\s+\w+\s+)?(there\s+)?yet|no\s+\w+\s+yet|to\s+come`)

// helpOf gives the manual of a command.
func helpOf(words ...string) (string, int) {
	var out bytes.Buffer
	env := &command.Env{Args: slices.Concat([]string{"meshpki"}, words, []string{"--help"}), Stdin: strings.NewReader(""),
		Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }, Now: clock, Registry: all.Registry()}
	code := command.Main(context.Background(), env)
	return out.String(), code
}

// Every command and every flag that a page names exists, unless the paragraph says
// that it does not yet; and what it says to be missing is missing.
func TestDocsNameWhatThereIs(t *testing.T) {
	var script bytes.Buffer
	if code := command.Main(t.Context(), &command.Env{Args: []string{"meshpki", "completion", "bash"}, Stdin: strings.NewReader(""),
		Stdout: &script, Stderr: &script, Getenv: func(string) string { return "" }, Now: clock, Registry: all.Registry()}); code != 0 {
		t.Fatalf("completion: %d", code)
	}
	flags := regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(script.String(), -1)
	for _, page := range docPages(t) {
		for paragraph := range strings.SplitSeq(strings.Join(prose(t, page), "\n"), "\n\n") {
			future := notYet.MatchString(paragraph)
			for _, m := range docSpan.FindAllStringSubmatch(paragraph, -1) {
				for _, f := range docFlag.FindAllStringSubmatch(m[1], -1) {
					if !future && f[1] != "--version" && f[1] != "--permit" && !slices.Contains(flags, f[1]) {
						t.Errorf("%s: no command has a flag %s", page, f[1])
					}
				}
				if words, ok := commandWords(m[1]); ok {
					if _, code := helpOf(words...); code != 0 && !future {
						t.Errorf("%s: there is no command %q", page, m[1])
					}
				}
			}
		}
	}
}

// commandWords are the words of a command line of ours that name the command.
func commandWords(span string) (words []string, ok bool) {
	rest, ok := strings.CutPrefix(span, "meshpki ")
	if !ok {
		return nil, false
	}
	for w := range strings.FieldsSeq(rest) {
		if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) || len(words) == 1 && words[0] != "ca" && words[0] != "log" {
			break
		}
		words = append(words, w)
	}
	return words, len(words) > 0
}

// Every make target that a page names is one.
func TestDocsMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range docPages(t) {
		for _, b := range docBlocks(t, page) {
			for _, m := range docMake.FindAllStringSubmatch(b.text(), -1) {
				if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
					t.Errorf("%s:%d: make %s is no target", page, b.line, m[1])
				}
			}
		}
	}
}

// docDocuments lists the documents of JSON with a value of each; the data of some
// are lists.
var docDocuments = []ui.Document{
	ui.Initialised{}, ui.Authorities{}, ui.AuthorityShown{}, ui.Bundle{}, ui.CARequested{}, ui.CASigned{}, ui.CAImported{}, ui.KeyChanged{},
	ui.Issued{}, ui.Inspection{}, ui.Verification{}, ui.Probe{},
	ui.NeedsRenewal{}, ui.Plan{}, ui.Simulation{}, ui.Units{}, ui.RevokedMany{}, ui.CRL{}, ui.CrossSigned{}, ui.Log{}, ui.LogVerified{}, ui.Demo{}, ui.Version{},
}

// docParts are the objects that several documents have, by their headings.
var docParts = map[reflect.Type]string{
	reflect.TypeFor[ui.Authority]():             "An authority",
	reflect.TypeFor[ui.KeyPlace]():              "The place of a key",
	reflect.TypeFor[ui.Cross]():                 "A cross-signature",
	reflect.TypeFor[ui.Attribute]():             "An attribute",
	reflect.TypeFor[ui.IssuedService]():         "A service",
	reflect.TypeFor[ui.IssuedPlace]():           "A place",
	reflect.TypeFor[ui.IssuedPart]():            "A part of a certificate",
	reflect.TypeFor[ui.PlannedPlace]():          "A planned place",
	reflect.TypeFor[ui.SimulationMargin]():      "A margin",
	reflect.TypeFor[ui.SimulationLapse]():       "A lapse",
	reflect.TypeFor[ui.DemoCall]():              "A call",
	reflect.TypeFor[ui.LogEntry]():              "An entry",
	reflect.TypeFor[ui.Revoked]():               "A revocation",
	reflect.TypeFor[inspect.Report]():           "A report",
	reflect.TypeFor[inspect.CertificateFacts](): "A certificate",
	reflect.TypeFor[inspect.RequestFacts]():     "A certificate request",
	reflect.TypeFor[inspect.CRLFacts]():         "A CRL",
	reflect.TypeFor[inspect.OCSPFacts]():        "An OCSP response",
	reflect.TypeFor[inspect.OCSPAnswer]():       "An answer of an OCSP response",
	reflect.TypeFor[inspect.EndpointFacts]():    "A server",
	reflect.TypeFor[inspect.ConsumerVerdict]():  "A verdict of a mesh",
	reflect.TypeFor[ui.ProbeAttempt]():          "An attempt",
	reflect.TypeFor[inspect.Revoked]():          "A revoked certificate",
	reflect.TypeFor[inspect.PrivateKeyFacts]():  "A private key",
	reflect.TypeFor[inspect.PublicKeyFacts]():   "A public key",
	reflect.TypeFor[inspect.Extension]():        "An extension",
	reflect.TypeFor[inspect.Constraints]():      "Name constraints",
	reflect.TypeFor[inspect.Names]():            "Names",
	reflect.TypeFor[inspect.Finding]():          "A finding",
	reflect.TypeFor[inspect.Result]():           "A result",
	reflect.TypeFor[inspect.Range]():            "A range",
	reflect.TypeFor[inspect.Check]():            "A check",
	reflect.TypeFor[inspect.Asked]():            "What was asked",
	reflect.TypeFor[inspect.Path]():             "A path",
	reflect.TypeFor[inspect.Member]():           "A certificate of a path",
}

// docs/json.md has every field of every document, and none that is not there.
func TestDocsJSON(t *testing.T) {
	const page = "docs/json.md"
	written := map[string][]string{}
	heading := ""
	for _, line := range prose(t, page) {
		if m := docHeading.FindStringSubmatch(line); m != nil {
			heading = strings.Trim(m[1], "`")
		}
		if m := regexp.MustCompile("^\\| `([A-Za-z0-9]+)` \\|").FindStringSubmatch(line); m != nil {
			written[heading] = append(written[heading], m[1])
		}
	}
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type, string)
	visit = func(typ reflect.Type, heading string) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || seen[typ] {
			return
		}
		if part, ok := docParts[typ]; ok {
			heading = part
		} else if typ.Name() != "" && heading == "" {
			t.Errorf("%s needs a heading for %s", page, typ)
		}
		seen[typ] = true
		fields, inner := jsonFields(typ)
		got := slices.Sorted(slices.Values(written[heading]))
		if want := slices.Sorted(slices.Values(fields)); !slices.Equal(got, want) {
			t.Errorf("%s: %q has the fields\n%v\nand %s has\n%v", page, heading, got, typ, want)
		}
		for _, i := range inner {
			visit(i, "")
		}
	}
	for _, d := range docDocuments {
		schema := "meshpki/" + d.Schema() + "/v1"
		if _, ok := written[schema]; !ok && !slices.ContainsFunc(prose(t, page), func(l string) bool { return l == "## `"+schema+"`" }) {
			t.Errorf("%s does not have %s", page, schema)
		}
		data := d.Data()
		if list, ok := data.([]any); ok {
			data = list[0]
		}
		visit(reflect.TypeOf(data), schema)
	}
}

// jsonFields gives the fields of a struct as JSON has them, and the types of those
// that may be objects themselves.
func jsonFields(typ reflect.Type) (names []string, inner []reflect.Type) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "":
			n, in := jsonFields(f.Type)
			names, inner = append(names, n...), append(inner, in...)
		case name == "":
			names = append(names, fmt.Sprintf("%s has no name for JSON", f.Name))
		default:
			names, inner = append(names, name), append(inner, f.Type)
		}
	}
	return names, inner
}
