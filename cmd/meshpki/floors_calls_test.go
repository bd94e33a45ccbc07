package main

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// eachSelector calls f with every pkg.Name in a file, pkg by its import path.
func eachSelector(s *source, f func(sel *ast.SelectorExpr, pkg string)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := s.imports[rootName(sel.X)]; ok && isIdent(sel.X) {
				f(sel, pkg)
			}
		}
		return true
	})
}

// eachUse is eachSelector over the files that are no tests.
func eachUse(files []*source, f func(s *source, sel *ast.SelectorExpr, pkg string)) {
	for _, s := range files {
		if !s.test() {
			eachSelector(s, func(sel *ast.SelectorExpr, pkg string) { f(s, sel, pkg) })
		}
	}
}

// eachNode calls f with every node of the files that are no tests.
func eachNode(files []*source, f func(s *source, n ast.Node)) {
	for _, s := range files {
		if s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if n != nil {
				f(s, n)
			}
			return true
		})
	}
}

func isIdent(e ast.Expr) bool {
	_, ok := e.(*ast.Ident)
	return ok
}

// rootName is the variable or package at the start of an expression such as
// a.b[c].d, "" where it starts with something else.
func rootName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return rootName(e.X)
	case *ast.IndexExpr:
		return rootName(e.X)
	case *ast.StarExpr:
		return rootName(e.X)
	case *ast.ParenExpr:
		return rootName(e.X)
	}
	return ""
}

// checkClock: time is an argument, or a field Now; it comes in through main.
func checkClock(files []*source, say report) {
	eachUse(files, func(s *source, sel *ast.SelectorExpr, pkg string) {
		loop, _ := path.Match("renew/loop*.go", s.path)
		reads := slices.Contains([]string{"Now", "Since", "Until"}, sel.Sel.Name)
		if pkg == "time" && reads && !loop && s.path != "cmd/meshpki/main.go" {
			say(s, sel.Pos(), "time.%s", sel.Sel.Name)
		}
	})
}

// checkExit: an exit elsewhere would skip what is deferred, and the exit codes' one switch.
func checkExit(files []*source, say report) {
	exits := 0
	eachUse(files, func(s *source, sel *ast.SelectorExpr, pkg string) {
		exit := pkg == "os" && sel.Sel.Name == "Exit" || pkg == "syscall" && sel.Sel.Name == "Exit" || pkg == "runtime" && sel.Sel.Name == "Goexit"
		if !exit {
			return
		}
		if exits++; s.path != "cmd/meshpki/main.go" || exits > 1 {
			say(s, sel.Pos(), "%s.%s", pkg, sel.Sel.Name)
		}
	})
	for _, s := range files {
		if s.path == "cmd/meshpki/main.go" && exits == 0 {
			say(s, s.file.Pos(), "no os.Exit: the exit code would be lost")
		}
	}
}

func checkInit(files []*source, say report) {
	eachNode(files, func(s *source, n ast.Node) {
		if f, ok := n.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			say(s, f.Pos(), "func init")
		}
	})
}

// checkLog: the domain returns what happened. Two uses of a logger there are: one is
// silenced, log.New(io.Discard, …), and one file of the command line writes the
// events of a daemon.
func checkLog(files []*source, say report) {
	silent := map[ast.Node]bool{}
	eachNode(files, func(s *source, n ast.Node) {
		if c, ok := n.(*ast.CallExpr); ok && len(c.Args) > 0 && isUse(s, c.Fun, "log", "New") && isUse(s, c.Args[0], "io", "Discard") {
			silent[c.Fun] = true
		}
	})
	eachUse(files, func(s *source, sel *ast.SelectorExpr, pkg string) {
		if pkg == "log/slog" && s.path == "cmd/meshpki/command/daemon_log.go" {
			return
		}
		if (pkg == "log" || strings.HasPrefix(pkg, "log/")) && !silent[sel] {
			say(s, sel.Pos(), "%s.%s", path.Base(pkg), sel.Sel.Name)
		}
	})
}

// isUse tells whether an expression is that name of that package.
func isUse(s *source, e ast.Expr, pkg string, names ...string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	return ok && isIdent(sel.X) && s.imports[rootName(sel.X)] == pkg && slices.Contains(names, sel.Sel.Name)
}

// mayPanic lists the functions that may, each for a mistake of the programmer's
// that no input can bring about: path of the file, then the function.
var mayPanic = []string{}

func checkPanic(files []*source, say report) {
	eachDeclaration(files, func(s *source, d ast.Decl, name string) {
		ast.Inspect(d, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if ok && isIdent(c.Fun) && rootName(c.Fun) == "panic" && !slices.Contains(mayPanic, s.path+" "+name) {
				say(s, c.Pos(), "panic in %s", name)
			}
			return true
		})
	})
}

// eachDeclaration calls f with everything that is declared in the files, no
// tests: a function with its name, anything else as "a declaration".
func eachDeclaration(files []*source, f func(s *source, d ast.Decl, name string)) {
	for _, s := range files {
		if s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			name := "a declaration"
			if fn, ok := d.(*ast.FuncDecl); ok {
				name = fn.Name.Name
			}
			f(s, d, name)
		}
	}
}

// eachFunction calls f with every function and method with a body, no tests.
func eachFunction(files []*source, f func(s *source, fn *ast.FuncDecl)) {
	eachNode(files, func(s *source, n ast.Node) {
		if fn, ok := n.(*ast.FuncDecl); ok && fn.Body != nil {
			f(s, fn)
		}
	})
}

// checkShell: an argv has no quoting to get wrong. It holds for test code too.
func checkShell(files []*source, say report) {
	shells := []string{"sh", "bash", "dash", "zsh", "cmd", "cmd.exe", "powershell", "pwsh"}
	for _, s := range files {
		ast.Inspect(s.file, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || !isUse(s, c.Fun, "os/exec", "Command", "CommandContext") {
				return true
			}
			for _, a := range c.Args[:min(len(c.Args), 2)] {
				lit, ok := a.(*ast.BasicLit)
				if ok && slices.Contains(shells, path.Base(strings.Trim(lit.Value, "\"`"))) {
					say(s, c.Pos(), "runs %s", lit.Value)
				}
			}
			return true
		})
	}
}

// checkPrint: what is said goes through a writer that the caller was given.
func checkPrint(files []*source, say report) {
	eachUse(files, func(s *source, sel *ast.SelectorExpr, pkg string) {
		if strings.HasPrefix(s.path, "cmd/meshpki/") && s.room() != "cmd/meshpki/config" {
			return
		}
		stream := pkg == "os" && slices.Contains([]string{"Stdin", "Stdout", "Stderr"}, sel.Sel.Name)
		if stream || pkg == "fmt" && strings.HasPrefix(sel.Sel.Name, "Print") {
			say(s, sel.Pos(), "%s.%s", pkg, sel.Sel.Name)
		}
	})
	eachNode(files, func(s *source, n ast.Node) {
		if c, ok := n.(*ast.CallExpr); ok && isIdent(c.Fun) && (rootName(c.Fun) == "print" || rootName(c.Fun) == "println") {
			say(s, c.Pos(), "%s, left from debugging", rootName(c.Fun))
		}
	})
}

// checkGoroutines: a goroutine's panic ends the program with exit code 2, which
// here means that nothing was attempted. So every goroutine is started by a
// function called Go or guard that recovers. What starts one in hiding
// (WaitGroup.Go, AfterFunc) counts too.
func checkGoroutines(files []*source, say report) {
	eachDeclaration(files, func(s *source, d ast.Decl, name string) {
		starter := name == "Go" || name == "guard"
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				if !starter || !calls(n, "recover") {
					say(s, n.Pos(), "a go statement in %s", name)
				}
			case *ast.CallExpr:
				if isUse(s, n.Fun, "time", "AfterFunc") || isUse(s, n.Fun, "context", "AfterFunc") {
					say(s, n.Pos(), "AfterFunc in %s", name)
				}
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if ok && sel.Sel.Name == "Go" && s.imports["sync"] == "sync" && s.imports[rootName(sel.X)] == "" && !starter {
					say(s, n.Pos(), "WaitGroup.Go, which does not recover, in %s", name)
				}
			}
			return true
		})
	})
}

// calls tells whether a function of that name is called anywhere under a node.
func calls(n ast.Node, name string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && isIdent(c.Fun) && rootName(c.Fun) == name {
			found = true
		}
		return !found
	})
	return found
}

// checkCLI: cli.Exit exits inside Run, and a required flag is complained about on
// standard output with the wrong exit code.
func checkCLI(files []*source, say report) {
	eachUse(files, func(s *source, sel *ast.SelectorExpr, pkg string) {
		if pkg == "github.com/urfave/cli/v2" && sel.Sel.Name == "Exit" {
			say(s, sel.Pos(), "cli.Exit")
		}
	})
	eachNode(files, func(s *source, n ast.Node) {
		kv, ok := n.(*ast.KeyValueExpr)
		if ok && s.room() == "cmd/meshpki/command" && rootName(kv.Key) == "Required" && rootName(kv.Value) == "true" {
			say(s, kv.Pos(), "Required: true")
		}
	})
}

var (
	vagueType = regexp.MustCompile(`(Impl|Manager|Helper|Util|Utils|Common|Base)$`)
	getter    = regexp.MustCompile(`^[gG]et([A-Z]|$)`)
	vagueRoom = regexp.MustCompile(`^(util|utils|common|helper|helpers|base|misc|shared)$`)
)

func checkNames(files []*source, say report) {
	eachNode(files, func(s *source, n ast.Node) {
		switch n := n.(type) {
		case *ast.File:
			if vagueRoom.MatchString(n.Name.Name) {
				say(s, n.Name.Pos(), "a package called %s", n.Name.Name)
			}
		case *ast.TypeSpec:
			if vagueType.MatchString(n.Name.Name) {
				say(s, n.Pos(), "a type called %s", n.Name.Name)
			}
		case *ast.FuncDecl:
			if getter.MatchString(n.Name.Name) || vagueType.MatchString(n.Name.Name) {
				say(s, n.Pos(), "a function called %s", n.Name.Name)
			}
		}
	})
}

// otherCitation finds what is meant as 'RFC 5280, Section 4.2.1.9' and is not
// written so: programs read citations too.
var otherCitation = regexp.MustCompile(`RFC-?\d|RFC \d+,? ?(§|[Ss]ec\b|[Ss]ec\.|section|[Cc]hapter)|RFC \d+ Section|SVID,? (§|section)|SVID Section`)

func checkCitations(files []*source, say report) {
	for _, s := range files {
		if s.test() {
			continue
		}
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				if found := otherCitation.FindString(c.Text); found != "" {
					say(s, c.Pos(), "%q: write 'RFC 5280, Section 4.2.1.9'", found)
				}
			}
		}
	}
	eachNode(files, func(s *source, n ast.Node) {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if found := otherCitation.FindString(lit.Value); found != "" {
				say(s, lit.Pos(), "%q: write 'RFC 5280, Section 4.2.1.9'", found)
			}
		}
	})
}

const (
	mostFunctionLines = 80
	mostFileLines     = 500
)

// checkSizes holds test code too.
func checkSizes(files []*source, say report) {
	for _, s := range files {
		whole := s.fset.File(s.file.FileStart)
		if whole.LineCount() > mostFileLines+1 {
			say(s, s.file.Package, "a file of %d lines", whole.LineCount())
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := whole.Line(f.End()) - whole.Line(f.Pos()) + 1; n > mostFunctionLines {
				say(s, f.Pos(), "%s has %d lines", f.Name.Name, n)
			}
		}
	}
}
