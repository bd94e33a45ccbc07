package main

import (
	"go/ast"
	"go/token"
	"slices"
)

// checkVariables: a variable of a package is set where it is declared (or by the
// linker) and never again, so that no room can change another's mind. It is read
// from the text alone, without types: a change through a pointer, or inside
// another package's function, is not seen.
func checkVariables(files []*source, say report) {
	vars := packageVariables(files, say)
	eachFunction(files, func(s *source, f *ast.FuncDecl) {
		local := localNames(f)
		changed := func(e ast.Expr, how string) {
			name := rootName(e)
			switch {
			case name == "" || local[name]:
			case vars[name]:
				say(s, e.Pos(), "%s is %s in %s", name, how, f.Name.Name)
			case s.imports[name] != "" && !isIdent(e):
				say(s, e.Pos(), "a variable of package %s is %s in %s", name, how, f.Name.Name)
			}
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						changed(e, "assigned to")
					}
				}
			case *ast.IncDecStmt:
				changed(n.X, "counted")
			case *ast.UnaryExpr:
				if n.Op == token.AND && isIdent(n.X) {
					changed(n.X, "made a pointer to")
				}
			case *ast.CallExpr:
				if isIdent(n.Fun) && (rootName(n.Fun) == "delete" || rootName(n.Fun) == "clear") {
					changed(n.Args[0], "emptied")
				}
			}
			return true
		})
	})
}

// packageVariables collects the names that the files declare as variables of the
// package, and finds those whose very type is made to change.
func packageVariables(files []*source, say report) map[string]bool {
	vars := map[string]bool{}
	for _, s := range files {
		if s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for _, name := range v.Names {
					vars[name.Name] = name.Name != "_"
				}
				if changes(s, v) {
					say(s, v.Pos(), "%s is of a type that is there to change", v.Names[0].Name)
				}
			}
		}
	}
	return vars
}

// changes tells whether a variable is a lock, a counter, a pool or a channel.
// sync.OnceValue is none of them: a constant that is worked out late.
func changes(s *source, v *ast.ValueSpec) bool {
	stateful := func(e ast.Expr) (found bool) {
		if e == nil {
			return false
		}
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ChanType:
				found = true
			case *ast.SelectorExpr:
				pkg := s.imports[rootName(n.X)]
				found = found || pkg == "sync/atomic" || isUse(s, n, "sync", "Mutex", "RWMutex", "Once", "Map", "Pool", "WaitGroup", "Cond")
			}
			return !found
		})
		return found
	}
	return stateful(v.Type) || slices.ContainsFunc(v.Values, stateful)
}

// localNames collects every name that a function declares for itself.
func localNames(f *ast.FuncDecl) map[string]bool {
	local := map[string]bool{}
	add := func(e ast.Expr) {
		if id, ok := e.(*ast.Ident); ok {
			local[id.Name] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key)
				add(n.Value)
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				add(id)
			}
		}
		return true
	})
	return local
}
