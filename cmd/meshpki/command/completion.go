package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func completionCommand() *command {
	return &command{
		name:    "completion",
		summary: "print a completion script for a shell",
		args:    "bash|zsh|fish",
		about:   "Prints a script that completes commands, flags and the words that a flag takes. It asks nothing of meshpki when it runs.",
		examples: []example{
			{"bash", "meshpki completion bash > meshpki.bash"},
			{"zsh", "meshpki completion zsh > _meshpki"},
			{"fish", "meshpki completion fish > meshpki.fish"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage),
		flags: common(),
		run: func(_ context.Context, c *call) error {
			args, err := c.arguments(1, 1, "a shell: bash, zsh or fish")
			if err != nil {
				return err
			}
			shells := map[string]func(*command) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
			script, ok := shells[args[0]]
			if !ok {
				return usagef("%q is no shell that is completed here: bash, zsh and fish are", args[0])
			}
			_, err = fmt.Fprint(c.env.Stdout, script(root()))
			return err
		},
	}
}

// walk visits every command, the root first.
func walk(c *command, visit func(*command)) {
	visit(c)
	for _, s := range c.sub {
		walk(s, visit)
	}
}

// flagWords are the flags of a command, for completion.
func (c *command) flagWords() string {
	var words []string
	for _, f := range c.flags {
		words = append(words, "--"+f.Names()[0])
	}
	return strings.Join(append(words, "--help"), " ")
}

// argumentWords are what a command takes that is not a file: its subcommands, or
// one of a few words (bash|zsh|fish).
func (c *command) argumentWords() string {
	if strings.Contains(c.args, "|") && strings.ToLower(c.args) == c.args {
		return strings.ReplaceAll(c.args, "|", " ")
	}
	return strings.Join(names(c.sub), " ")
}

// takesValue tells whether a flag is followed by a word of its own.
func takesValue(f cli.Flag) bool {
	doc, ok := f.(cli.DocGenerationFlag)
	return ok && doc.TakesValue()
}

// choices are the words that a flag takes, where it takes one of a few.
func choices(f cli.Flag) []string {
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return nil
	}
	_, rest, _ := strings.Cut(doc.GetUsage(), "`")
	value, _, found := strings.Cut(rest, "`")
	if !found || !strings.Contains(value, "|") {
		return nil
	}
	var out []string
	for word := range strings.SplitSeq(value, "|") {
		if !strings.ContainsAny(word, "<>") {
			out = append(out, word)
		}
	}
	return out
}

// valueFlags maps each flag that takes a value to the words that it takes, "" where
// it takes any.
func valueFlags(tree *command) map[string]string {
	out := map[string]string{}
	walk(tree, func(c *command) {
		for _, f := range c.flags {
			if name := "--" + f.Names()[0]; takesValue(f) && out[name] == "" {
				out[name] = strings.Join(choices(f), " ")
			}
		}
	})
	return out
}

// bashCompletion offers commands, after a dash flags, behind a flag its words; where
// nothing of ours fits, bash offers files.
func bashCompletion(tree *command) string {
	var b strings.Builder
	b.WriteString(`# bash completion for meshpki
_meshpki() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev="" path="" words="" flags="" word
  [ "$COMP_CWORD" -gt 0 ] && prev=${COMP_WORDS[COMP_CWORD-1]}
  # bash makes three words of --flag=value.
  if [ "$cur" = "=" ]; then cur=""; elif [ "$prev" = "=" ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
  for word in "${COMP_WORDS[@]:0:COMP_CWORD}"; do
    case "$path $word" in
`)
	walk(tree, func(c *command) {
		if c.parent == nil {
			b.WriteString("      \" meshpki\"|\" \"*/meshpki) path=meshpki ;;\n")
			return
		}
		fmt.Fprintf(&b, "      %q) path=%q ;;\n", c.path(), c.path())
	})
	b.WriteString("    esac\n  done\n  COMPREPLY=()\n  case \"$prev\" in\n")
	flags := valueFlags(tree)
	for _, flag := range sortedKeys(flags) {
		fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", flag, flags[flag])
	}
	b.WriteString("  esac\n  case \"$path\" in\n")
	walk(tree, func(c *command) {
		fmt.Fprintf(&b, "    %q) words=%q flags=%q ;;\n", c.path(), c.argumentWords(), c.flagWords())
	})
	b.WriteString(`  esac
  case "$cur" in -*) words=$flags ;; esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o bashdefault -o default -F _meshpki meshpki
`)
	return b.String()
}

func zshCompletion(tree *command) string {
	// zsh reads bash's script through its own compatibility layer, which keeps the
	// two alike.
	return "#compdef meshpki\nautoload -Uz bashcompinit && bashcompinit\n" + bashCompletion(tree)
}

func fishCompletion(tree *command) string {
	var b strings.Builder
	b.WriteString("# fish completion for meshpki\n")
	walk(tree, func(c *command) {
		condition := fishCondition(c)
		for _, s := range c.sub {
			fmt.Fprintf(&b, "complete -c meshpki -f -n %s -a %s -d %s\n", fishQuote(condition), s.name, fishQuote(s.summary))
		}
		if c.parent == nil {
			return
		}
		for _, f := range c.flags {
			line := "complete -c meshpki -n " + fishQuote(condition) + " -l " + f.Names()[0]
			if list := choices(f); list != nil {
				line += " -x -a " + fishQuote(strings.Join(list, " "))
			} else if takesValue(f) {
				line += " -r"
			}
			fmt.Fprintf(&b, "%s -d %s\n", line, fishQuote(describeFlag(f)[1]))
		}
	})
	return b.String()
}

// fishCondition is true where the command's words, and none of its subcommands',
// have been typed.
func fishCondition(c *command) string {
	if c.parent == nil {
		return "__fish_use_subcommand"
	}
	var parts []string
	for p := c; p.parent != nil; p = p.parent {
		parts = append([]string{"__fish_seen_subcommand_from " + p.name}, parts...)
	}
	if len(c.sub) > 0 {
		parts = append(parts, "not __fish_seen_subcommand_from "+strings.Join(names(c.sub), " "))
	}
	return strings.Join(parts, "; and ")
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
