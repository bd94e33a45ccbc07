package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The laws of docs/architecture.md, held against the tree: this file has the
// reading of it and who may import whom, floors_calls_test.go what no code may
// do, and floors_self_test.go the proof that each law can be broken. They read
// the sources themselves, all platforms and build tags at once, so they need
// neither the network nor the go command.

// source is one Go file.
type source struct {
	path    string // from the module's root, with slashes
	fset    *token.FileSet
	file    *ast.File
	imports map[string]string // what a package is called in this file → its path
}

// test tells whether the file is test code.
func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// room is the directory that the file lies in, "." for the module's root.
func (s *source) room() string { return path.Dir(s.path) }

// report takes a finding: at that place of that file, in words.
type report func(s *source, at token.Pos, format string, args ...any)

// law is one rule over the files of one room.
type law struct {
	name  string
	check func(room []*source, say report)
}

const modulePath = "github.com/meshpki/meshpki"

// laws lists every rule that holds in every room.
var laws = []law{
	{"floors: every arrow points down", checkFloors},
	{"floors: only backends/all and the state directory's commands know a backend", checkBackends},
	{"rooms: each third-party module has its owner", checkOwners},
	{"rooms: a layout never opens a file", checkLayouts},
	{"rooms: a store never parses a certificate", checkStores},
	{"imports: none blank, none into the file's own names", checkImportNames},
	{"time: only main and the renewal loop read the clock", checkClock},
	{"exit: one os.Exit, in main", checkExit},
	{"init: no init functions", checkInit},
	{"log: no logger", checkLog},
	{"panic: errors are returned", checkPanic},
	{"shell: programs are run without one", checkShell},
	{"print: only the command line speaks", checkPrint},
	{"variables: none of a package changes", checkVariables},
	{"goroutines: each starts where a panic is caught", checkGoroutines},
	{"command line: the traps of urfave/cli", checkCLI},
	{"names: one term a thing", checkNames},
	{"citations: one form", checkCitations},
	{"sizes: functions of 80 lines, files of 500", checkSizes},
}

func TestFloors(t *testing.T) {
	tree := readTree(t, filepath.Join("..", ".."))
	self := path.Join("cmd", "meshpki", "floors_test.go")
	if !slices.ContainsFunc(tree, func(s *source) bool { return s.path == self }) {
		t.Fatalf("%d Go files were read and %s is none of them: the tree was not found", len(tree), self)
	}
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			for _, finding := range judge(l, tree) {
				t.Error(finding)
			}
		})
	}
}

// judge holds the files against a law, room by room.
func judge(l law, tree []*source) (findings []string) {
	rooms := map[string][]*source{}
	for _, s := range tree {
		rooms[s.room()] = append(rooms[s.room()], s)
	}
	for _, files := range rooms {
		l.check(files, func(s *source, at token.Pos, format string, args ...any) {
			line := s.fset.Position(at).Line
			findings = append(findings, fmt.Sprintf("%s:%d: %s (%s)", s.path, line, fmt.Sprintf(format, args...), l.name))
		})
	}
	slices.Sort(findings)
	return findings
}

// readTree parses every Go file under root but those that the go command passes over too.
func readTree(t *testing.T, root string) (tree []*source) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != root && (base == "testdata" || base == "bin" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s, err := parseSource(filepath.ToSlash(rel), string(text))
		if err != nil {
			return err
		}
		tree = append(tree, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func parseSource(name, text string) (*source, error) {
	s := &source{path: name, fset: token.NewFileSet(), imports: map[string]string{}}
	var err error
	if s.file, err = parser.ParseFile(s.fset, name, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	for _, i := range s.file.Imports {
		p := importPath(i)
		called := path.Base(p)
		if strings.HasPrefix(called, "v") && strings.Trim(called[1:], "0123456789") == "" {
			called = path.Base(path.Dir(p))
		}
		if i.Name != nil {
			called = i.Name.Name
		}
		s.imports[called] = p
	}
	return s, nil
}

func importPath(i *ast.ImportSpec) string {
	// The parser has checked the quotes.
	p, _ := strconv.Unquote(i.Path.Value)
	return p
}

// eachImport calls f with every import of the files, our own without the module's path.
func eachImport(files []*source, f func(s *source, i *ast.ImportSpec, p string)) {
	for _, s := range files {
		for _, i := range s.file.Imports {
			f(s, i, importPath(i))
		}
	}
}

// ours gives the room that an import path names, if it is one of this module.
func ours(p string) (room string, ok bool) {
	return strings.CutPrefix(p, modulePath+"/")
}

// floorOf numbers the rooms from the ground up: a room may import those with a
// lower number. Two with the same number are siblings: neither knows the other.
func floorOf(room string) (int, bool) {
	floor, ok := map[string]int{
		"ca": 20, "inspect": 20,
		"issue": 30, "issue/layout": 31,
		"renew": 40, "backends": 40, "backends/file/tilelog": 41, "backends/awspca/localaws": 41, "backends/backendtest": 41, "backends/all": 43,
		"cmd/meshpki/config": 50, "cmd/meshpki/ui": 50, "cmd/meshpki/command": 51, "cmd/meshpki": 52,
	}[room]
	if ok {
		return floor, true
	}
	switch parent, noun := path.Split(room); {
	case parent == "internal/" && noun != "util":
		return 10, true
	case parent == "backends/":
		return 42, true
	}
	return 0, false
}

// checkFloors holds the drawing of the floors, for test code too, so that a
// test of a low room links nothing of a high one.
func checkFloors(files []*source, say report) {
	eachImport(files, func(s *source, i *ast.ImportSpec, p string) {
		to, ok := ours(p)
		if !ok {
			return
		}
		from := s.room()
		high, known := floorOf(from)
		low, named := floorOf(to)
		switch {
		case !known:
			say(s, i.Pos(), "%s is no room of the house", from)
		case !named:
			say(s, i.Pos(), "%s is no room of the house", to)
		case to == from && s.test():
		case s.test() && to == "backends/memory" && high <= low:
			// A fake authority and place without an SDK: what tests want to talk to.
		case strings.HasPrefix(from, "backends") && to == "renew":
			say(s, i.Pos(), "%s imports renew: places and times do not know each other", from)
		case low >= high:
			say(s, i.Pos(), "%s imports %s, which is not below it", from, to)
		}
	})
}

// checkBackends: only backends/all imports a backend, and only main.go imports
// backends/all. The commands may use backends/file besides: it is the state directory.
func checkBackends(files []*source, say report) {
	eachImport(files, func(s *source, i *ast.ImportSpec, p string) {
		to, ok := ours(p)
		place, under := strings.CutPrefix(to, "backends/")
		from := s.room()
		if !ok || !under || from == to || s.test() && (place == "backendtest" || place == "memory") {
			return
		}
		switch {
		case place == "all":
			if s.path != "cmd/meshpki/main.go" && from != "cmd/meshpki" {
				say(s, i.Pos(), "%s imports backends/all, which is main's alone", from)
			}
		case from == "backends/all" && place != "backendtest":
		case from == "cmd/meshpki/command" && place == "file":
		case from == "backends/file" && place == "file/tilelog": // the part of it that knows no entries
		case s.test() && from == "cmd/meshpki":
		case s.test() && from == "backends/awspca" && place == "awspca/localaws": // the service, for tests
		default:
			say(s, i.Pos(), "%s imports %s", from, to)
		}
	})
}

// owners says which rooms may import which module that is not ours; with tests,
// test code of those rooms only.
var owners = []struct {
	module string
	rooms  []string
	tests  bool
}{
	{"github.com/charmbracelet/lipgloss", []string{"cmd/meshpki/ui"}, false},
	{"github.com/muesli/termenv", []string{"cmd/meshpki/ui"}, false},
	{"github.com/urfave/cli/v2", []string{"cmd/meshpki/command"}, false},
	{"golang.org/x/term", []string{"cmd/meshpki", "cmd/meshpki/command"}, false},
	{"github.com/goccy/go-yaml", []string{"cmd/meshpki/config", "issue/layout", "inspect", "cmd/meshpki"}, false},
	{"software.sslmate.com/src/go-pkcs12", []string{"issue/layout"}, false},
	{"github.com/pavlo-v-chernykh/keystore-go/v4", []string{"issue/layout"}, false},
	{"github.com/hashicorp/cronexpr", []string{"renew"}, false},
	{"go.step.sm/crypto/pemutil", []string{"internal/pemfile"}, false},
	{"golang.org/x/crypto/scrypt", []string{"internal/pemfile"}, false},
	{"go.step.sm/crypto/kms", []string{"backends/kms"}, false},
	{"go.step.sm/crypto/tpm", []string{"backends/kms"}, false},
	{"go.step.sm/crypto/keyutil", []string{"issue"}, false},
	{"github.com/hashicorp/vault/api", []string{"backends/vault", "backends/backendtest"}, false},
	{"github.com/aws/aws-sdk-go-v2/aws/signer/v4", []string{"backends/vault"}, false},
	{"github.com/aws/aws-sdk-go-v2/config", []string{"backends/vault", "backends/awspca"}, false},
	{"golang.org/x/crypto/cryptobyte", []string{"inspect", "ca", "issue"}, false},
	{"filippo.io/bigmod", []string{"ca"}, false},
	{"golang.org/x/text/unicode/norm", []string{"inspect"}, false},
	{"golang.org/x/crypto/ocsp", []string{"cmd/meshpki"}, true},
	{"golang.org/x/mod/sumdb", []string{"backends/file", "backends/file/tilelog"}, false},
	{"k8s.io/client-go", []string{"backends/kubernetes"}, false},
	{"google.golang.org/protobuf/encoding/protowire", []string{"backends/kubernetes"}, false},
	{"golang.org/x/time", []string{"renew", "backends/awspca"}, false},
	{"github.com/aws/aws-sdk-go-v2", []string{"backends/awspca"}, false},
	{"github.com/aws/smithy-go", []string{"backends/awspca"}, false},
	{"golang.org/x/sys", []string{"internal/durable", "backends/file", "renew", "cmd/meshpki/command"}, false},
	{"github.com/rogpeppe/go-internal/testscript", []string{"cmd/meshpki"}, true},
	{"github.com/mholt/acmez/v3", []string{"backends/acme"}, false},
	{"golang.org/x/net/publicsuffix", []string{"backends/acme"}, false},
	{"golang.org/x/net/html", []string{"cmd/meshpki/ui"}, true},
	{"github.com/santhosh-tekuri/jsonschema/v6", []string{"cmd/meshpki/ui"}, true},
	{"github.com/prometheus/common", []string{"cmd/meshpki/ui", "cmd/meshpki"}, true},
}

// checkOwners: every import that is neither the standard library's nor ours is
// in the list of owners, and its room with it.
func checkOwners(files []*source, say report) {
	eachImport(files, func(s *source, i *ast.ImportSpec, p string) {
		if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") {
			return
		}
		if _, ok := ours(p); ok || p == modulePath {
			return
		}
		for _, o := range owners {
			if p != o.module && !strings.HasPrefix(p, o.module+"/") {
				continue
			}
			switch {
			case !slices.Contains(o.rooms, s.room()):
				say(s, i.Pos(), "%s belongs to %s", p, strings.Join(o.rooms, " and "))
			case o.tests && !s.test():
				say(s, i.Pos(), "%s is for tests", p)
			}
			return
		}
		say(s, i.Pos(), "%s has no owner: give it one room in floors_test.go, with a reason in docs/design", p)
	})
}

// checkLayouts: bytes in, bytes out. fs.FileMode is a number; opening is not.
func checkLayouts(files []*source, say report) {
	layout := func(s *source) bool { return s.room() == "issue/layout" && !s.test() }
	eachImport(files, func(s *source, i *ast.ImportSpec, p string) {
		if layout(s) && (p == "os" || strings.HasPrefix(p, "os/") || p == "net" || p == "net/http" || p == "net/rpc" || p == "syscall" || p == "io/ioutil" || p == "embed") {
			say(s, i.Pos(), "a layout imports %s", p)
		}
	})
	for _, s := range files {
		if !layout(s) {
			continue
		}
		eachSelector(s, func(sel *ast.SelectorExpr, pkg string) {
			opens := []string{"ReadFile", "ReadDir", "Stat", "Glob", "Sub", "WalkDir", "FS"}
			if pkg == "io/fs" && slices.Contains(opens, sel.Sel.Name) {
				say(s, sel.Pos(), "a layout uses fs.%s", sel.Sel.Name)
			}
		})
	}
}

// checkStores: the files of a backend that keep sets of named bytes.
func checkStores(files []*source, say report) {
	eachImport(files, func(s *source, i *ast.ImportSpec, p string) {
		base := path.Base(s.path)
		store := strings.HasPrefix(base, "store") || strings.HasPrefix(base, "set")
		if !strings.HasPrefix(s.path, "backends/") || !store || s.test() {
			return
		}
		if p == "crypto/x509" || p == "crypto/tls" || p == "encoding/pem" || p == "encoding/asn1" || p == modulePath+"/internal/pemfile" {
			say(s, i.Pos(), "a store imports %s", p)
		}
	})
}

// checkImportNames: what a package does by being imported cannot be seen.
func checkImportNames(files []*source, say report) {
	eachImport(files, func(s *source, i *ast.ImportSpec, p string) {
		switch {
		case i.Name == nil:
		case i.Name.Name == "_" && p != "embed":
			say(s, i.Pos(), "a blank import of %s", p)
		case i.Name.Name == ".":
			say(s, i.Pos(), "an import of %s into the file's own names", p)
		}
	})
}
