// Package command is the command line: it turns words into calls of the domain,
// and what comes back into documents, sentences and exit codes.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

// Env is the world that a run of meshpki sees.
type Env struct {
	Args           []string // the program's name first
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Now            func() time.Time
	Registry       *backends.Registry
	// Terminals: whether the three streams are terminals, and how wide.
	StdinTTY, StdoutTTY, StderrTTY bool
	Width                          int
	// ReadPassword reads a line from the terminal without showing it.
	ReadPassword func() ([]byte, error)
	// RestoreTerminal undoes what an interrupted ReadPassword did to the terminal.
	RestoreTerminal func() error
	// Workers is how many targets are worked at once; zero leaves it to the program.
	Workers int
	// Hangups, unless nil, gives the requests to read the configuration again (SIGHUP),
	// from now on and until the function is called.
	Hangups func() (<-chan os.Signal, func())
	// Executable gives the program's own path, for what others are to run.
	Executable func() (string, error)
	// Version and Commit are set at build time; empty where they are not known.
	Version, Commit string
}

// command is one command of the tree, as its help shows it.
type command struct {
	name     string
	summary  string // one line, without a full stop
	args     string // "FILE…", after the flags
	about    string // paragraphs
	examples []example
	exits    []exit
	flags    []cli.Flag
	sub      []*command
	run      func(ctx context.Context, c *call) error
	parent   *command
}

// example is a command line that runs as printed, and what it does.
type example struct{ what, line string }

// exit is a line of EXIT STATUS.
type exit struct {
	code int
	what string
}

// words are those that name the command, without the program: "ca", "init".
func (c *command) words() []string {
	if c.parent == nil {
		return nil
	}
	return append(c.parent.words(), c.name)
}

// path is the command as it is typed: "meshpki ca init".
func (c *command) path() string { return strings.Join(append([]string{"meshpki"}, c.words()...), " ") }

// call is one run of a command.
type call struct {
	*cli.Context
	env   *Env
	self  *command
	given []string // the flags on the command line

	reading sync.Mutex       // of the manifest
	read    *config.Manifest // once it was read
	// password opens keystores that are looked at.
	passwordOnce sync.Once
	password     []byte
	passwordErr  error
	asked        []byte // the password of keystores, once it was asked for
	// entriesRead are the backends of entriesOf, which is the manifest that was read.
	entriesOf   *config.Manifest
	entriesRead map[string]backends.Entry

	opening   sync.Mutex
	elsewhere map[string]distant // those that are not of the directory, by reference

	told map[string]bool // in what certificates were altered, once it was said
	lost error           // why an authority of the state directory cannot be read

	leads *leadership // nil where nobody is elected

	settled      atomic.Pointer[settled] // what flags say, once that is asked for over and over
	layouts      sync.Map                // []layout.Named by their names, once they were found
	checkpointTo string                  // where the ledger's checkpoint is copied to, once openToSign has said so
}

// IsSet tells whether a flag was given.
func (c *call) IsSet(name string) bool { return slices.Contains(c.given, name) }

// Main runs the command line and gives the exit code. A panic is told as a failure
// and never as a usage error, whose exit code a Go program's panic has.
func Main(ctx context.Context, env *Env) (code int) {
	tree := root()
	chosen := tree
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(env.Stderr, "meshpki: error: internal error: %s\n", ui.Clean(fmt.Sprint(r)))
			fmt.Fprintln(env.Stderr, "meshpki: hint: this is a defect of meshpki; please report it with the command that you ran")
			code = chosen.status(env.Args, codeFailed, nil)
		}
	}()
	words, err := arrange(tree, env.Args[1:])
	chosen = words.command
	if err == nil {
		err = run(ctx, env, tree, words)
	}
	if err != nil {
		if chosen.plugin(env.Args) && !answered(err) { // who asks for one line shows only that
			fmt.Fprint(env.Stdout, ui.NagiosLine(nagiosStates[nagiosUnknown], ui.Safe(plain(err))))
		}
		tell(env, err)
	}
	if ctx.Err() != nil && err != nil {
		return chosen.status(env.Args, codeInterrupted, nil)
	}
	return chosen.status(env.Args, exitCode(err), err)
}

// run runs the command of a line that has been put in order, or says its help.
func run(ctx context.Context, env *Env, tree *command, words words) error {
	look := env.look(env.StdoutTTY, words.has("no-color"))
	switch {
	case words.help, words.command == tree:
		return ui.Text(env.Stdout, helpDocument(words.command), look)
	case words.command.run == nil:
		return usagef("%s needs a command: %s", words.command.path(), strings.Join(names(words.command.sub), ", ")).
			withHint("%s --help", words.command.path())
	}
	return env.app(ctx, words.command, words.flags).RunContext(ctx, append([]string{tree.name}, words.argv...))
}

// app is the chosen command, and no other, as the flag parser wants it.
func (env *Env) app(ctx context.Context, chosen *command, given []string) *cli.App {
	leaf := &cli.Command{Name: chosen.name, Flags: chosen.needed(given), Action: func(cc *cli.Context) error {
		return chosen.run(ctx, &call{Context: cc, env: env, self: chosen, given: given})
	}}
	top := quiet(leaf)
	for c := chosen.parent; c.parent != nil; c = c.parent {
		top = quiet(&cli.Command{Name: c.name, Subcommands: []*cli.Command{top}})
	}
	return &cli.App{
		Name:                      "meshpki",
		Commands:                  []*cli.Command{top},
		HideHelp:                  true,
		HideVersion:               true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // a name may have a comma in it
		Writer:                    io.Discard,
		ErrWriter:                 io.Discard,
		ExitErrHandler:            func(*cli.Context, error) {}, // exit codes are given in one place
		OnUsageError:              onUsageError,
	}
}

// quiet keeps the parser from answering for itself.
func quiet(c *cli.Command) *cli.Command {
	c.HideHelp, c.HideHelpCommand, c.OnUsageError = true, true, onUsageError
	return c
}

// needed are the flags that were given, and those that mean something when they
// were not: the parser looks at each flag several times over.
func (c *command) needed(given []string) []cli.Flag {
	var out []cli.Flag
	for _, f := range c.flags {
		b, isBool := f.(*cli.BoolFlag)
		if slices.Contains(given, f.Names()[0]) || isBool && b.Value {
			out = append(out, f)
		}
	}
	return out
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	return usagef("%s", strings.TrimPrefix(err.Error(), "flag provided but not defined: "))
}

// look is what the reader of a stream can show.
func (env *Env) look(tty, noColor bool) ui.Options {
	o := ui.Options{Width: 80, UTF8: isUTF8(env.Getenv)}
	if !tty {
		return o
	}
	o.Color = !noColor && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"
	if env.Width > 40 {
		o.Width = min(env.Width, 120)
	}
	return o
}

// isUTF8 reads the locale as the C library does: the first variable that is set
// decides. Without any, UTF-8 is the better guess today.
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			v = strings.ToUpper(v)
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return true
}

// say gives the answer: on standard output, as text or as JSON.
func (c *call) say(d ui.Document) error {
	format, err := c.format()
	if err != nil {
		return err
	}
	if format == "json" {
		err = ui.JSON(c.env.Stdout, d)
	} else {
		err = ui.Text(c.env.Stdout, d, c.env.look(c.env.StdoutTTY, c.Bool("no-color")))
	}
	if err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// format is text or json.
func (c *call) format() (string, error) {
	if f := c.String("format"); f != "" && f != "text" && f != "json" {
		return "", usagef("format %q is neither text nor json", f)
	}
	return c.form([]string{"text", "json"})
}

// form is one of the forms that the command has, text where none is asked for.
func (c *call) form(known []string) (string, error) {
	f := c.String("format")
	if err := oneOf("format", f, known); err != nil {
		return "", err
	}
	switch {
	case c.Bool("json") && f != "" && f != "json":
		return "", usagef("--json and --format %s contradict each other", f)
	case c.Bool("json") || f == "json":
		return "json", nil
	}
	return orElse(f, "text"), nil
}

// notice says something beside the answer, on standard error.
func (c *call) notice(format string, args ...any) {
	p := ui.NewPage(c.env.look(c.env.StderrTTY, c.Bool("no-color")))
	p.Hanging("meshpki: ", fmt.Sprintf(format, args...))
	fmt.Fprint(c.env.Stderr, p)
}

// arguments checks how many arguments there are; what names them.
func (c *call) arguments(least, most int, what string) ([]string, error) {
	args := c.Args().Slice()
	switch {
	case len(args) < least:
		return nil, usagef("%s needs %s", c.self.path(), what).withHint("%s --help", c.self.path())
	case most >= 0 && len(args) > most:
		return nil, usagef("%s does not take %q", c.self.path(), args[most]).withHint("%s --help", c.self.path())
	}
	return args, nil
}

func names(commands []*command) []string {
	var out []string
	for _, c := range commands {
		out = append(out, c.name)
	}
	return out
}
