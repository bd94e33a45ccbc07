package main

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/meshpki/meshpki/backends/backendtest"
)

var updateScripts = flag.Bool("update", false, "write anew what the scripts under testdata/script compare with")

// TestScripts runs testdata/script: the command line as its user sees it. Each
// directory is a command, each script there a sentence that it proves. The real
// main runs in a process of its own, in an empty directory, at
// 2026-11-21 12:00:00 UTC or at MESHPKI_TEST_NOW.
func TestScripts(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("scripts use the tools of a Unix system")
	}
	root := filepath.Join("..", "..", "testdata", "script")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		t.Run(dir.Name(), func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:                filepath.Join(root, dir.Name()),
				Setup:              setupScript,
				Condition:          scriptCondition,
				Cmds:               scriptCommands,
				UpdateScripts:      *updateScripts,
				RequireUniqueNames: true,
			})
		})
	}
}

// setupScript gives a script its own home and a world in which nothing is set that
// meshpki reads: of this machine's environment only the path is there.
func setupScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, ".home")
	env.Setenv("HOME", home)
	env.Setenv("LC_ALL", "C.UTF-8")
	env.Setenv("TZ", "Asia/Kolkata") // every time that is said is UTC all the same
	env.Setenv("GOOS", runtime.GOOS)
	env.Setenv("GOARCH", runtime.GOARCH)
	// What no script file should hold as it is.
	env.Setenv("ESC", "\x1b")
	env.Setenv("TAB", "\t")
	env.Setenv("NL", "\n")
	env.Setenv("RTL", "\u202e")
	env.Setenv("BYTE", "\xff")
	env.Setenv("LONG", strings.Repeat("a", 300))
	certs, err := filepath.Abs(filepath.Join("..", "..", "testdata", "certs"))
	if err != nil {
		return err
	}
	env.Setenv("CERTS", certs)
	env.Setenv("STORES", filepath.Join(filepath.Dir(certs), "stores"))
	env.Values[keptKey{}] = &kept{vars: env.Vars, trees: map[string][]string{}, paths: map[string][]string{}}
	return os.Mkdir(home, 0o700)
}

// kept is what our commands remember within one script.
type kept struct {
	vars         []string
	trees, paths map[string][]string // of snapshots, by name
	kube         *backendtest.KubeAPI
	denied       []string     // verb/resource
	signer       atomic.Value // func(map[string]any)
	cloud        *cloud
}

type keptKey struct{}

func keptOf(ts *testscript.TestScript) *kept { return ts.Value(keptKey{}).(*kept) }

// environ is the environment that a program started by one of our commands gets:
// what the script began with, and what it has set since of the names given here.
func environ(ts *testscript.TestScript) []string {
	var out []string
	seen := map[string]bool{}
	add := func(name string) {
		if value := ts.Getenv(name); !seen[name] && value != "" {
			seen[name] = true
			out = append(out, name+"="+value)
		}
	}
	for _, v := range keptOf(ts).vars {
		name, _, _ := strings.Cut(v, "=")
		add(name)
	}
	for _, name := range []string{"MESHPKI_DIR", "MESHPKI_CONFIG", "MESHPKI_PASSPHRASE", "MESHPKI_PASSPHRASE_FILE", "MESHPKI_PIN_FILE",
		"MESHPKI_TEST_NOW", "HOME", "KUBECONFIG", "LC_ALL", "LC_CTYPE", "LANG", "NO_COLOR", "TERM", "GODEBUG"} {
		add(name)
	}
	return out
}

// scriptCommands are the commands that scripts have beside testscript's own.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	// Running programs.
	"exitcode": exitcode,
	"fails":    fails,
	"hint":     hint,
	"parallel": parallel,
	"serve":    serve,
	"tty":      tty,
	"asuser":   asUser,
	"aws":      awsScript,
	// Making files.
	"norm":        norm,
	"huge":        huge,
	"ocsp-answer": ocspAnswer,
	"truncate":    truncate,
	"smalldisk":   smallDisk,
	"examples":    examples,
	"kube":        kube,
	// Ceremonies.
	"tamper":      tamper,
	"fingerprint": fingerprint,
	"hostilecsr":  hostileCSR,
	// Looking at what came out.
	"json":      jsonHas,
	"columns":   columns,
	"words":     wordsIn,
	"nocontrol": noControl,
	"ascii":     asciiOnly,
	"lines":     lines,
	// Looking at what was made.
	"certinfo":  certinfo,
	"sans":      sans,
	"same-set":  sameSet,
	"ledger":    ledger,
	"mode":      mode,
	"snapshot":  snapshot,
	"unchanged": unchanged,
}
