package command

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/cmd/meshpki/config"
)

func TestArrange(t *testing.T) {
	for _, test := range []struct {
		line string // words, with · between them
		want string // the words for the flag parser, or the error
	}{
		{"version", "version --"},
		{"--version", "version --"},
		{"--version · --json", "version --json --"},
		{"ca · init", "ca init --"},
		{"ca · --dir · x · init", "ca init --dir=x --"},
		{"--dir · x · ca · init · --json", "ca init --dir=x --json --"},
		{"--dir=x · ca · init", "ca init --dir=x --"},
		{"inspect · a · --json", "inspect --json -- a"},
		{"inspect · a · --json · b", "inspect --json -- a b"},
		{"inspect · a · -- · --json", "inspect -- a --json"},
		{"inspect · -- · a · -- · b", "inspect -- a -- b"},
		{"inspect · -", "inspect -- -"},
		{"inspect · --json=false · a", "inspect --json=false -- a"},
		{"verify · a · --roots · r · --roots · s", "verify --roots=r --roots=s -- a"},
		{"verify · a · --roots=r=s", "verify --roots=r=s -- a"},
		{"verify · a · --name · -x", "verify --name=-x -- a"},
		{"issue · --service=a · --dns · a,b", "issue --service=a --dns=a,b --"},
		{"issue · --service · a · --service · a", "issue --service=a --service=a --"},
		{"issue · --csr · - · --out · -", "issue --csr=- --out=- --"},
		{"ca · show · help", "ca show -- help"},

		{"isue", `unknown command "isue" (did you mean "issue"?)`},
		{"ca · lsit", `unknown command "lsit" of meshpki ca (did you mean "list"?)`},
		{"xyzzy", `unknown command "xyzzy" (meshpki --help lists the commands)`},
		{"issue · --servce · a", `unknown flag "--servce" of meshpki issue (did you mean --service?)`},
		{"version · --service · a", `unknown flag "--service" of meshpki version (meshpki version --help lists the flags)`},
		{"version · -json", `unknown flag "-json" of meshpki version (did you mean --json?)`},
		{"version · ---json", `unknown flag "---json" of meshpki version (did you mean --json?)`},
		{"version · -j=x", `unknown flag "-j" of meshpki version (meshpki version --help lists the flags)`},
		{"--frob", `unknown flag "--frob" of meshpki (meshpki --help lists the flags)`},
		{"issue · --service", "flag --service needs a value"},
		{"issue · --service · --json", "flag --service needs a value (--service=VALUE takes a value that starts with --)"},
		{"issue · --service · --", "flag --service needs a value (--service=VALUE takes a value that starts with --)"},
		{"issue · --service=", "flag --service is empty"},
		{"verify · a · --roots · ", "flag --roots is empty"},
		{"version · --json=perhaps", `flag --json takes no value but true or false, not "perhaps"`},
		{"ca · intermediate · a · --max-path-len · x", `flag --max-path-len takes a whole number, not "x"`},
		{"issue · --service · a · --service · b", `flag --service is given twice: "a" and "b"`},
		{"version · --json · --json=false", `flag --json is given twice: "true" and "false"`},
		{"-- · version", `"version" stands behind --, where no command is looked for (meshpki --help)`},
		{"inspect · - · -", "standard input can be read only once: - stands for it twice"},
		{"verify · - · --roots · -", "standard input can be read only once: - stands for it twice"},
	} {
		t.Run(test.line, func(t *testing.T) {
			w, err := arrange(root(), strings.Split(test.line, " · "))
			got := strings.Join(w.argv, " ")
			if err != nil {
				got = err.Error()
				if hint := hintFor(err); hint != "" {
					got += " (" + hint + ")"
				}
				if exitCode(err) != codeUsage {
					t.Errorf("exit code %d", exitCode(err))
				}
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestArrangeHelp(t *testing.T) {
	for line, want := range map[string]string{
		"help":                     "meshpki",
		"-h":                       "meshpki",
		"--help":                   "meshpki",
		"help issue":               "meshpki issue",
		"issue --help":             "meshpki issue",
		"issue --nonsense -h word": "meshpki issue",
		"ca help init":             "meshpki ca init",
		"help ca init":             "meshpki ca init",
		"--help ca":                "meshpki ca",
	} {
		w, err := arrange(root(), strings.Fields(line))
		if err != nil || !w.help || w.command.path() != want {
			t.Errorf("%s: help %t of %s, error %v", line, w.help, w.command.path(), err)
		}
	}
	if w, err := arrange(root(), []string{"inspect", "--", "--help"}); err != nil || w.help {
		t.Errorf("a file --help: help %t, error %v", w.help, err)
	}
}

// FuzzArrange holds what must be true of every command line: it never panics, no
// word gets lost or is made up, and what stands after -- stays an argument.
func FuzzArrange(f *testing.F) {
	for _, seed := range []string{
		"", "version", "inspect\na.pem\n--json", "inspect\n--\n--json\n--", "issue\n--service\na\n--dns=b,c\n--force",
		"--dir\nx\nca\ninit\n--permit-only-named=false", "ca\n--\ninit", "verify\n-\n--roots\n-", "help\nca", "--version",
		"version\n-json", "issue\n--service\n--json", "issue\n--service=\n", "ca\nintermediate\nx\n--max-path-len\n-1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, "\n")
		w, err := arrange(root(), words)
		if w.command == nil {
			t.Fatal("no command")
		}
		if err != nil || w.help || slices.Contains(words, "--version") {
			return
		}
		head, tail := split(words)
		flags, rest := split(w.argv)
		if len(tail) > len(rest) || !slices.Equal(tail, rest[len(rest)-len(tail):]) {
			t.Errorf("after -- stood %q, and the arguments are %q", tail, rest)
		}
		for _, arg := range rest[:len(rest)-len(tail)] {
			if len(arg) > 1 && arg[0] == '-' {
				t.Errorf("%q stood before --, and is taken for an argument", arg)
			}
		}
		came, went := atoms(head), atoms(append(flags, rest[:len(rest)-len(tail)]...))
		if !slices.Equal(came, went) {
			t.Errorf("words in  %q\nwords out %q", came, went)
		}
		again, err := arrange(root(), w.argv)
		if err != nil || !slices.Equal(again.argv, w.argv) {
			t.Errorf("arranged again %q is %q (%v)", w.argv, again.argv, err)
		}
	})
}

// split parts words at the first --, which is in neither half.
func split(words []string) (before, after []string) {
	i := slices.Index(words, "--")
	if i < 0 {
		return words, nil
	}
	return slices.Clone(words[:i]), words[i+1:]
}

// atoms are the flags and values of words, each for itself, in order of their text:
// --dir=x has the same as --dir x.
func atoms(words []string) []string {
	var out []string
	for _, w := range words {
		name, value, found := strings.Cut(w, "=")
		if found && strings.HasPrefix(name, "--") {
			out = append(out, name, value)
			continue
		}
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

// TestFlagsTakeTheSameEverywhere: a flag may stand before its command, so whether it
// takes a value cannot depend on the command.
func TestFlagsTakeTheSameEverywhere(t *testing.T) {
	type first struct {
		takes bool
		path  string
	}
	seen := map[string]first{}
	walk(root(), func(c *command) {
		var own []string
		for _, f := range c.flags {
			if len(f.Names()) != 1 {
				t.Errorf("%s: flag %v has another name", c.path(), f.Names())
			}
			name := f.Names()[0]
			if slices.Contains(own, name) {
				t.Errorf("%s has flag --%s twice", c.path(), name)
			}
			own = append(own, name)
			was, known := seen[name]
			if now := takesValue(f); !known {
				seen[name] = first{now, c.path()}
			} else if was.takes != now {
				t.Errorf("--%s takes a value: %t in %s, %t in %s", name, was.takes, was.path, now, c.path())
			}
			switch f.(type) {
			case *cli.StringFlag, *cli.StringSliceFlag, *cli.BoolFlag, *cli.IntFlag:
			default:
				t.Errorf("%s: --%s is a %T, whose values arrange does not check", c.path(), name, f)
			}
		}
		for _, name := range []string{"dir", "config", "format", "json", "no-color"} {
			if !c.takes(name) {
				t.Errorf("%s has no flag --%s", c.path(), name)
			}
		}
	})
	for _, name := range stdinFlags {
		if !seen[name].takes {
			t.Errorf("--%s is to read standard input and does not exist", name)
		}
	}
}

// TestValuesAreTakenAsTheyAre: the flag parser has habits of its own, of which
// nothing may reach a value.
func TestValuesAreTakenAsTheyAre(t *testing.T) {
	for _, value := range []string{"a,b", " a ", "a\n", "-a", "a=b", "'a'", "*", "\xff", "sl:::0:::[]"} {
		var one string
		var several []string
		tree := &command{name: "meshpki", sub: []*command{{name: "look", flags: common(text("one", "`A`"), many("several", "`B`"))}}}
		adopt(tree)
		tree.sub[0].run = func(_ context.Context, c *call) error {
			one, several = c.String("one"), c.values("several")
			return nil
		}
		line, err := arrange(tree, []string{"look", "--one", value, "--several", value, "--several=" + value})
		if err == nil {
			err = run(t.Context(), &Env{Getenv: func(string) string { return "" }}, tree, line)
		}
		if err != nil || one != value || !slices.Equal(several, []string{value, value}) {
			t.Errorf("%q became %q and %q (%v)", value, one, several, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"issue", "inspect", "ca", "log", "verify", "needs-renewal"}
	for given, want := range map[string]string{
		"isue": "issue", "isssue": "issue", "verfiy": "verify", "cs": "ca", "lgo": "log", "insp": "inspect", "needs": "needs-renewal",
		"x": "", "": "", "frobnicate": "", strings.Repeat("issue", 20): "",
	} {
		if got := config.Nearest(given, known); got != want {
			t.Errorf("%q is like %q, not %q", given, got, want)
		}
	}
}
