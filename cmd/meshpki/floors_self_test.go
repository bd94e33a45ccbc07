package main

import (
	"slices"
	"strings"
	"testing"
)

// snippet is a file made up to break a law, or to keep it in a way that looks
// like breaking it.
type snippet struct {
	path, code string
}

// proofs has for every law what breaks it and what does not.
var proofs = map[string]struct{ wrong, right []snippet }{
	"floors: every arrow points down": {
		wrong: []snippet{
			{"inspect/a.go", imports("meshpki/ca")},
			{"ca/a.go", imports("meshpki/inspect")},
			{"ca/a.go", imports("meshpki/issue")},
			{"ca/a_test.go", imports("meshpki/issue/layout")},
			{"issue/a.go", imports("meshpki/issue/layout")},
			{"renew/a.go", imports("meshpki/backends")},
			{"backends/file/a.go", imports("meshpki/renew")},
			{"backends/file/a.go", imports("meshpki/backends/memory")},
			{"internal/durable/a.go", imports("meshpki/internal/pemfile")},
			{"internal/util/a.go", imports("meshpki/internal/pemfile")},
			{"cmd/meshpki/ui/a.go", imports("meshpki/cmd/meshpki/config")},
			{"cmd/meshpki/config/a.go", imports("meshpki/cmd/meshpki/command")},
			{"issue/a.go", imports("meshpki/tools")},
		},
		right: []snippet{
			{"issue/layout/a.go", imports("meshpki/issue")},
			{"renew/a.go", imports("meshpki/issue")},
			{"backends/file/a.go", imports("meshpki/internal/durable")},
			{"backends/file/a_test.go", imports("meshpki/backends/backendtest")},
			{"issue/a_test.go", imports("meshpki/backends/memory")},
			{"issue/a_test.go", imports("meshpki/issue")},
			{"cmd/meshpki/command/a.go", imports("meshpki/cmd/meshpki/ui")},
		},
	},
	"floors: only backends/all and the state directory's commands know a backend": {
		wrong: []snippet{
			{"cmd/meshpki/command/a.go", imports("meshpki/backends/memory")},
			{"cmd/meshpki/command/a.go", imports("meshpki/backends/all")},
			{"cmd/meshpki/config/a.go", imports("meshpki/backends/file")},
			{"cmd/meshpki/main.go", imports("meshpki/backends/file")},
			{"backends/all/a.go", imports("meshpki/backends/backendtest")},
			{"backends/vault/a.go", imports("meshpki/backends/backendtest")},
		},
		right: []snippet{
			{"cmd/meshpki/command/a.go", imports("meshpki/backends/file")},
			{"cmd/meshpki/command/a.go", imports("meshpki/backends")},
			{"cmd/meshpki/main.go", imports("meshpki/backends/all")},
			{"backends/all/a.go", imports("meshpki/backends/vault")},
		},
	},
	"rooms: each third-party module has its owner": {
		wrong: []snippet{
			{"cmd/meshpki/command/a.go", imports("charmbracelet/lipgloss")},
			{"ca/a.go", "import _ `golang.org/x/sys/unix`"},
			{"cmd/meshpki/main.go", imports("rogpeppe/go-internal/testscript")},
			{"ca/a_test.go", imports("stretchr/testify/assert")},
		},
		right: []snippet{
			{"cmd/meshpki/ui/a.go", imports("charmbracelet/lipgloss")},
			{"cmd/meshpki/main_test.go", imports("rogpeppe/go-internal/testscript")},
			{"ca/a.go", "import _ `crypto/x509`"},
		},
	},
	"rooms: a layout never opens a file": {
		wrong: []snippet{
			{"issue/layout/a.go", "import `os`"},
			{"issue/layout/a.go", "import `net/http`"},
			{"issue/layout/a.go", "import `io/fs`\nvar _ = fs.ReadFile"},
		},
		right: []snippet{
			{"issue/layout/a.go", "import `io/fs`\nvar _ fs.FileMode"},
			{"issue/layout/a_test.go", "import `os`"},
			{"issue/a.go", "import `os`"},
		},
	},
	"rooms: a store never parses a certificate": {
		wrong: []snippet{
			{"backends/file/store.go", "import `crypto/x509`"},
			{"backends/file/set_read.go", imports("meshpki/internal/pemfile")},
		},
		right: []snippet{
			{"backends/file/authority.go", "import `crypto/x509`"},
			{"backends/file/store_test.go", "import `crypto/x509`"},
		},
	},
	"imports: none blank, none into the file's own names": {
		wrong: []snippet{
			{"ca/a.go", "import _ `crypto/sha512`"},
			{"ca/a.go", "import . `strings`"},
		},
		right: []snippet{{"ca/a.go", "import _ `embed`"}},
	},
	"time: only main and the renewal loop read the clock": {
		wrong: []snippet{
			{"ca/a.go", "import `time`\nvar now = time.Now"},
			{"cmd/meshpki/command/a.go", "import clock `time`\nfunc f(t clock.Time) { _ = clock.Since(t) }"},
			{"renew/decide.go", "import `time`\nfunc f(t time.Time) { _ = time.Until(t) }"},
		},
		right: []snippet{
			{"cmd/meshpki/main.go", "import `time`\nvar now = time.Now"},
			{"renew/loop_sleep.go", "import `time`\nvar now = time.Now"},
			{"ca/a_test.go", "import `time`\nvar now = time.Now"},
			{"ca/a.go", "import `time`\nvar unix = time.Unix"},
		},
	},
	"exit: one os.Exit, in main": {
		wrong: []snippet{
			{"cmd/meshpki/command/a.go", "import `os`\nfunc f() { os.Exit(1) }"},
			{"cmd/meshpki/main.go", "import `os`\nfunc f() { os.Exit(1); os.Exit(2) }"},
			{"cmd/meshpki/main.go", "func main() {}"},
		},
		right: []snippet{{"cmd/meshpki/main.go", "import `os`\nfunc f() { os.Exit(1) }"}},
	},
	"init: no init functions": {
		wrong: []snippet{{"ca/a.go", "func init() {}"}},
		right: []snippet{{"ca/a.go", "type t struct{}\nfunc (t) init() {}"}},
	},
	"log: no logger": {
		wrong: []snippet{
			{"ca/a.go", "import `log`\nfunc f() { log.Print(1) }"},
			{"ca/a.go", "import `log/slog`\nfunc f() { slog.Info(``) }"},
			{"ca/a.go", "import (`log`; `os`)\nvar l = log.New(os.Stderr, ``, 0)"},
			{"cmd/meshpki/command/a.go", "import `log/slog`\nfunc f() { slog.Info(``) }"},
			{"cmd/meshpki/command/daemon_log.go", "import (`log`; `os`)\nvar l = log.New(os.Stderr, ``, 0)"},
		},
		right: []snippet{
			{"ca/a.go", "import (`log`; `io`)\nvar l = log.New(io.Discard, ``, 0)"},
			{"cmd/meshpki/command/daemon_log.go", "import `log/slog`\nfunc f(h slog.Handler) { _ = slog.Record{} }"},
		},
	},
	"panic: errors are returned": {
		wrong: []snippet{
			{"ca/a.go", "func f() { panic(1) }"},
			{"ca/a.go", "var f = func() { panic(1) }"},
		},
		right: []snippet{{"ca/a_test.go", "func f() { panic(1) }"}},
	},
	"shell: programs are run without one": {
		wrong: []snippet{
			{"renew/hook.go", "import `os/exec`\nvar c = exec.Command(`sh`, `-c`, `ls`)"},
			{"renew/hook.go", "import (`os/exec`; `context`)\nfunc f(ctx context.Context) { exec.CommandContext(ctx, \"/bin/bash\") }"},
		},
		right: []snippet{{"renew/hook.go", "import `os/exec`\nvar c = exec.Command(`nginx`, `-s`, `reload`)"}},
	},
	"print: only the command line speaks": {
		wrong: []snippet{
			{"ca/a.go", "import `fmt`\nfunc f() { fmt.Println() }"},
			{"ca/a.go", "import `os`\nvar w = os.Stderr"},
			{"cmd/meshpki/command/a.go", "func f() { println(1) }"},
		},
		right: []snippet{
			{"ca/a.go", "import (`fmt`; `io`)\nfunc f(w io.Writer) { fmt.Fprintln(w) }"},
			{"cmd/meshpki/main.go", "import `os`\nvar w = os.Stderr"},
		},
	},
	"variables: none of a package changes": {
		wrong: []snippet{
			{"ca/a.go", "var a int\nfunc f() { a = 1 }"},
			{"ca/a.go", "var a []int\nfunc f() { a[0] += 1 }"},
			{"ca/a.go", "var a struct{ n int }\nfunc f() { a.n++ }"},
			{"ca/a.go", "var a map[int]int\nfunc f() { delete(a, 1) }"},
			{"ca/a.go", "var a int\nfunc f() *int { return &a }"},
			{"ca/a.go", "import `sync`\nvar mu sync.Mutex"},
			{"ca/a.go", "import `sync/atomic`\nvar n atomic.Int64"},
			{"ca/a.go", "var c = make(chan int)"},
			{"ca/a.go", "import `net/http`\nfunc f() { http.DefaultClient = nil }"},
		},
		right: []snippet{
			{"ca/a.go", "var a int\nfunc f() { a := 2; a = 1; _ = a }"},
			{"ca/a.go", "var a int\nfunc f(a []int) { a[0] = 1 }"},
			{"ca/a.go", "import `sync`\nvar table = sync.OnceValue(func() int { var mu sync.Mutex; mu.Lock(); return 1 })"},
			{"ca/a.go", "import `errors`\nvar ErrNone = errors.New(`none`)"},
		},
	},
	"goroutines: each starts where a panic is caught": {
		wrong: []snippet{
			{"renew/a.go", "func f() { go f() }"},
			{"renew/a.go", "func Go(f func()) { go f() }"},
			{"renew/a.go", "var f = func() { go f() }"},
			{"renew/a.go", "func f() { go func() { defer func() { recover() }(); f() }() }"},
			{"renew/a.go", "import `sync`\nfunc f(wg *sync.WaitGroup) { wg.Go(func() {}) }"},
			{"renew/a.go", "import `time`\nfunc f() { time.AfterFunc(1, f) }"},
		},
		right: []snippet{
			{"renew/a.go", "func Go(f func()) { go func() { defer func() { recover() }(); f() }() }"},
			{"renew/a_test.go", "func f() { go f() }"},
		},
	},
	"command line: the traps of urfave/cli": {
		wrong: []snippet{
			{"cmd/meshpki/command/a.go", "import `github.com/urfave/cli/v2`\nvar e = cli.Exit(``, 1)"},
			{"cmd/meshpki/command/a.go", "import `github.com/urfave/cli/v2`\nvar f = &cli.StringFlag{Required: true}"},
		},
		right: []snippet{{"ca/a.go", "var f = struct{ Required bool }{Required: true}"}},
	},
	"names: one term a thing": {
		wrong: []snippet{
			{"ca/a.go", "type keyManager struct{}"},
			{"ca/a.go", "func GetRoots() {}"},
			{"internal/a/a.go", "package util"},
		},
		right: []snippet{{"ca/a.go", "type t struct{ GetCertificate func() }\nfunc Getaway() {}"}},
	},
	"citations: one form": {
		wrong: []snippet{
			{"ca/a.go", "// f follows RFC5280.\nfunc f() {}"},
			{"ca/a.go", "const c = `RFC 5280 section 4.2`"},
			{"ca/a.go", "const c = `RFC 5280, § 4.2`"},
		},
		right: []snippet{{"ca/a.go", "// f follows RFC 5280, Section 4.2.1.9, and X509-SVID, Section 4.1.\nfunc f() {}"}},
	},
	"sizes: functions of 80 lines, files of 500": {
		wrong: []snippet{
			{"ca/a.go", "func f() {" + strings.Repeat("\n", 81) + "}"},
			{"ca/a_test.go", strings.Repeat("\n", 501)},
		},
		right: []snippet{{"ca/a.go", "func f() {" + strings.Repeat("\n", 78) + "}" + strings.Repeat("\n", 400)}},
	},
}

// imports is a file's text that imports one package, its path without the host and
// without our own path's beginning.
func imports(p string) string {
	return "import x `github.com/" + strings.Replace(p, "meshpki/", "meshpki/meshpki/", 1) + "`\nvar _ = x.X"
}

// TestLawsCanFail holds every law against what breaks it.
func TestLawsCanFail(t *testing.T) {
	for _, l := range laws {
		proof := proofs[l.name]
		if len(proof.wrong) == 0 || len(proof.right) == 0 {
			t.Errorf("%s: no proof that it can fail, or that it can be kept", l.name)
		}
		for _, sn := range proof.wrong {
			if findings := judgeSnippet(t, l, sn); len(findings) == 0 {
				t.Errorf("%s: not found in %s:\n%s", l.name, sn.path, sn.code)
			} else if !strings.HasPrefix(findings[0], sn.path+":") {
				t.Errorf("%s: a finding without its place: %s", l.name, findings[0])
			}
		}
		for _, sn := range proof.right {
			if findings := judgeSnippet(t, l, sn); len(findings) != 0 {
				t.Errorf("%s: found in good code: %s\n%s", l.name, findings, sn.code)
			}
		}
	}
	for name := range proofs {
		if !slices.ContainsFunc(laws, func(l law) bool { return l.name == name }) {
			t.Errorf("proofs for %q, which is no law", name)
		}
	}
}

func judgeSnippet(t *testing.T, l law, sn snippet) []string {
	t.Helper()
	code := sn.code
	if !strings.HasPrefix(code, "package ") {
		code = "package x\n" + code
	}
	s, err := parseSource(sn.path, code)
	if err != nil {
		t.Fatal(err)
	}
	return judge(l, []*source{s})
}
