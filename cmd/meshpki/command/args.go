package command

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/cmd/meshpki/config"
)

// words is a command line put in order: the command, its flags, then "--" and its
// arguments, as the flag parser wants them. That parser takes everything behind
// the first argument for arguments and says nothing, so it never sees such a line.
type words struct {
	command *command
	argv    []string
	flags   []string // names of the flags given
	values  []string // theirs, in the same order
	help    bool
}

func (w words) has(flag string) bool { return slices.Contains(w.flags, flag) }

// arrange sorts the words of a command line. Flags may stand anywhere, before the
// command too; "--" ends them; "-" is an argument.
func arrange(tree *command, args []string) (words, error) {
	w := words{command: tree}
	var flags, rest, unknown []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			rest = append(rest, args[i+1:]...)
			i = len(args)
		case len(arg) > 1 && arg[0] == '-':
			used, err := w.flag(tree, arg, args[i+1:], &flags, &unknown)
			if err != nil {
				w.command = w.command.reach(args[i+1:])
				return w, err
			}
			i += used
		case arg == "help" && len(w.command.sub) > 0:
			w.help = true
		case len(w.command.sub) > 0:
			next, err := w.command.find(arg)
			if err != nil {
				return w, err
			}
			w.command = next
		default:
			rest = append(rest, arg)
		}
	}
	if w.help {
		return w, nil
	}
	if err := w.check(unknown, rest); err != nil {
		return w, err
	}
	w.argv = slices.Concat(w.command.words(), flags, []string{"--"}, rest)
	return w, nil
}

// reach follows the words that name commands, whatever stands between: a line that
// is wrong has the exit code of the command that was meant.
func (c *command) reach(words []string) *command {
	for _, word := range words {
		if next, err := c.find(word); err == nil {
			c = next
		}
	}
	return c
}

// check refuses words that the command cannot have: unknown flags, and arguments
// where a command was to be.
func (w *words) check(unknown, rest []string) error {
	if len(unknown) > 0 {
		return w.command.unknownFlag(unknown[0])
	}
	if w.command.run == nil {
		if len(rest) > 0 {
			return usagef("%q stands behind --, where no command is looked for", rest[0]).withHint("%s --help", w.command.path())
		}
		return nil
	}
	first := map[string]string{}
	for i, name := range w.flags {
		f := w.command.flag(name)
		if f == nil {
			return w.command.unknownFlag("--" + name)
		}
		_, several := f.(*cli.StringSliceFlag)
		if before, twice := first[name]; twice && !several && before != w.values[i] {
			return usagef("flag --%s is given twice: %q and %q", name, before, w.values[i])
		}
		first[name] = w.values[i]
		if w.values[i] == "-" && slices.Contains(stdinFlags, name) {
			rest = append(rest, "-")
		}
	}
	if i := slices.Index(rest, "-"); i >= 0 && slices.Contains(rest[i+1:], "-") {
		return usagef("standard input can be read only once: - stands for it twice")
	}
	return nil
}

// stdinFlags are those whose value names a file to be read, and - standard input.
var stdinFlags = []string{"csr", "intermediates", "passphrase-file", "root-passphrase-file", "roots"}

// flag reads one flag and its value, if it has one, and tells how many words the
// value took. A flag's name means the same in every command that has it, so it can
// be read before the command is known.
func (w *words) flag(tree *command, arg string, next []string, flags, unknown *[]string) (int, error) {
	typed, value, hasValue := strings.Cut(arg, "=")
	name := strings.TrimLeft(typed, "-")
	switch name {
	case "help", "h":
		w.help = true
		return 0, nil
	case "version":
		if w.command == tree && typed == "--version" {
			var err error
			w.command, err = tree.find("version")
			return 0, err
		}
	}
	f := tree.lookup(name)
	if f == nil || typed != "--"+name {
		*unknown = append(*unknown, typed)
		return 0, nil
	}
	word, used := "--"+name, 0
	_, isBool := f.(*cli.BoolFlag)
	switch {
	case hasValue:
		word += "=" + value
	case isBool:
		value = "true"
	case len(next) == 0:
		return 0, usagef("flag --%s needs a value", name)
	case strings.HasPrefix(next[0], "--"):
		return 0, usagef("flag --%s needs a value", name).withHint("--%s=VALUE takes a value that starts with --", name)
	default:
		value, used = next[0], 1
		word += "=" + value
	}
	if err := checkValue(f, name, value); err != nil {
		return 0, err
	}
	w.flags, w.values = append(w.flags, name), append(w.values, value)
	*flags = append(*flags, word)
	return used, nil
}

// checkValue holds a flag's value against what its kind takes. None takes nothing:
// an empty value is a variable of a script that was never set.
func checkValue(f cli.Flag, name, value string) error {
	var err error
	switch f.(type) {
	case *cli.BoolFlag:
		if _, err = strconv.ParseBool(value); err != nil {
			return usagef("flag --%s takes no value but true or false, not %q", name, value)
		}
	case *cli.IntFlag:
		if _, err = strconv.ParseInt(value, 0, 0); err != nil {
			return usagef("flag --%s takes a whole number, not %q", name, value)
		}
	default:
		if value == "" {
			return usagef("flag --%s is empty", name)
		}
	}
	return nil
}

// find is the subcommand of that name; otherwise the error names the nearest.
func (c *command) find(name string) (*command, error) {
	for _, s := range c.sub {
		if s.name == name {
			return s, nil
		}
	}
	err := usagef("unknown command %q", name)
	if c.parent != nil {
		err = usagef("unknown command %q of %s", name, c.path())
	}
	if near := config.Nearest(name, names(c.sub)); near != "" {
		return nil, err.withHint("did you mean %q?", near)
	}
	return nil, err.withHint("%s --help lists the commands", c.path())
}

// lookup finds a flag anywhere in the tree.
func (c *command) lookup(name string) cli.Flag {
	if f := c.flag(name); f != nil {
		return f
	}
	for _, s := range c.sub {
		if f := s.lookup(name); f != nil {
			return f
		}
	}
	return nil
}

// takes tells whether the command itself has a flag.
func (c *command) takes(name string) bool { return c.flag(name) != nil }

// flag is the command's own flag of that name, or nil.
func (c *command) flag(name string) cli.Flag {
	for _, f := range c.flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// unknownFlag is the error for a flag as it was typed, with its dashes.
func (c *command) unknownFlag(typed string) error {
	var known []string
	for _, f := range c.flags {
		known = append(known, f.Names()...)
	}
	err := usagef("unknown flag %q of %s", typed, c.path())
	if near := config.Nearest(strings.TrimLeft(typed, "-"), known); near != "" {
		return err.withHint("did you mean --%s?", near)
	}
	return err.withHint("%s --help lists the flags", c.path())
}
