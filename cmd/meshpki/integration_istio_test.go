//go:build integration && linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// istioReload builds testdata/tools/istio-reload: with the functions by which istiod
// sees its files change, as they stand in the source of the version that is pinned.
func istioReload(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	tool, dir := filepath.Join("..", "..", "testdata", "tools", "istio-reload"), t.TempDir()
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		data, err := os.ReadFile(filepath.Join(tool, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
		_, _ = sum.Write(data)
	}
	_, _ = sum.Write([]byte(runtime.Version()))
	cache := os.Getenv("MESHPKI_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		must(t, err)
		cache = filepath.Join(user, "meshpki")
	}
	kept := filepath.Join(cache, "tools", "istio-reload-"+hex.EncodeToString(sum.Sum(nil)[:8]), "istio-reload")
	if _, err := os.Stat(kept); err == nil {
		return kept
	}
	must(t, os.WriteFile(filepath.Join(dir, "reload.go"), []byte(reloadSource(t, moduleDir(t, "istio-reload", "istio.io/istio"))), 0o600))
	must(t, os.MkdirAll(filepath.Dir(kept), 0o750))
	build := exec.CommandContext(ctx, "go", "build", "-o", kept+".half", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build istio-reload: %v\n%s", err, out)
	}
	must(t, os.Rename(kept+".half", kept))
	return kept
}

// moduleDir is where the source of a module lies that a tool pins.
func moduleDir(t *testing.T, tool, module string) string {
	t.Helper()
	at, err := filepath.Abs(filepath.Join("..", "..", "testdata", "tools", tool))
	must(t, err)
	for _, words := range [][]string{{"mod", "download", module}, {"list", "-m", "-f", "{{.Dir}}", module}} {
		c := exec.CommandContext(t.Context(), "go", words...)
		c.Dir, c.Env = at, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		out, err := c.Output()
		if err != nil {
			t.Fatalf("go %s in %s: %v", strings.Join(words, " "), tool, err)
		}
		if words[0] == "list" {
			return strings.TrimSpace(string(out))
		}
	}
	return ""
}

// reloadSource takes istiod's functions out of its package, word for word.
func reloadSource(t *testing.T, istio string) string {
	t.Helper()
	name := filepath.Join(istio, "pilot", "pkg", "bootstrap", "istio_ca.go")
	text, err := os.ReadFile(name)
	must(t, err)
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, text, 0)
	must(t, err)
	wanted := []string{"handleEvent", "detectSigningCABundleAndCRL", "pemBundleHasSubsetRelation", "pemToRawCertSet"}
	out := "package main\n\nimport (\n\t\"bytes\"\n\t\"encoding/pem\"\n\t\"os\"\n\t\"path\"\n\n\t\"istio.io/istio/pkg/log\"\n\t\"istio.io/istio/pkg/util/sets\"\n\t\"istio.io/istio/security/pkg/pki/ca\"\n)\n"
	found := 0
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && slices.Contains(wanted, fn.Name.Name) {
			out += "\n" + string(text[set.Position(fn.Pos()).Offset:set.Position(fn.End()).Offset]) + "\n"
			found++
		}
	}
	if found != len(wanted) {
		t.Fatalf("%d of %q are in %s", found, wanted, name)
	}
	return out
}

// TestIstioIgnoresWhatWeSay: of each step of a change of roots, Istio's own reload does
// what ca export says of it: takes another CA under the same roots, and ignores other
// roots, unless it is told of several and one bundle is part of the other.
func TestIstioIgnoresWhatWeSay(t *testing.T) {
	t.Parallel()
	judge := istioReload(t)
	m := newMesh(t)
	dirs := t.TempDir()
	said := map[string]string{}
	export := func(name, authority string, more ...string) {
		said[name] = m.must(append([]string{"ca", "export", authority, "--for", "istio", "--out", filepath.Join(dirs, name)}, more...)...)
	}
	export("first", "issuing")
	m.must("ca", "intermediate", "second")
	export("issuer", "second")
	m.must("ca", "rotate", "root", "start")
	export("superset", "second")
	other := newMesh(t)
	other.must("ca", "export", "issuing", "--for", "istio", "--out", filepath.Join(dirs, "roots"))
	ask := func(multi, before, after string) string {
		return strings.TrimSpace(succeed(t, program(t, "env"), "ISTIO_MULTIROOT_MESH="+multi, judge, filepath.Join(dirs, before), filepath.Join(dirs, after)))
	}
	for _, test := range []struct{ before, after, alone, multi, says string }{
		{"first", "issuer", "taken", "taken", "another CA under the same roots"},
		{"issuer", "superset", "ignored", "taken", "with ISTIO_MULTIROOT_MESH=true nothing; else istiod ignores other roots"},
		{"superset", "issuer", "ignored", "taken", ""}, // the way back
		{"first", "roots", "ignored", "ignored", ""},   // somebody else's
	} {
		alone, multi := ask("false", test.before, test.after), ask("true", test.before, test.after)
		if alone != test.alone || multi != test.multi {
			t.Errorf("%s after %s: Istio has %s, and with several roots %s", test.after, test.before, alone, multi)
		}
		if got := strings.Join(strings.Fields(said[test.after]), " "); test.says != "" && !strings.Contains(got, test.says) {
			t.Errorf("of %s after %s we say\n%s", test.after, test.before, said[test.after])
		}
	}
	// Roots that are neither more nor fewer are said to be ignored, too.
	fresh := m.must("ca", "export", "second", "--for", "istio", "--out", filepath.Join(dirs, "again"), "--json")
	if !strings.Contains(fresh, `"change":"none"`) && !strings.Contains(fresh, `"change": "none"`) {
		t.Errorf("the same once more is %s", fresh)
	}
}
