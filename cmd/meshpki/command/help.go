package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

// helpDocument is the manual of a command.
func helpDocument(c *command) ui.Help {
	h := ui.Help{Path: c.path(), Summary: c.summary, Synopsis: c.synopsis(), About: c.about}
	for _, s := range c.sub {
		h.Commands = append(h.Commands, [2]string{s.name, s.summary})
	}
	for _, f := range c.flags {
		h.Flags = append(h.Flags, describeFlag(f))
	}
	for _, e := range c.examples {
		h.Examples = append(h.Examples, [2]string{e.what, e.line})
	}
	for _, e := range c.exits {
		h.Exits = append(h.Exits, [2]string{strconv.Itoa(e.code), e.what})
	}
	return h
}

func (c *command) synopsis() string {
	switch {
	case c.parent == nil:
		return c.name + " COMMAND [FLAGS] [ARGUMENTS]"
	case len(c.sub) > 0:
		return c.path() + " COMMAND [FLAGS]"
	}
	return strings.TrimSpace(c.path() + " [FLAGS] " + c.args)
}

// describeFlag gives a flag with what it takes, and its text: the word in back
// quotes names the value.
func describeFlag(f cli.Flag) [2]string {
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return [2]string{"--" + f.Names()[0], ""}
	}
	usage := doc.GetUsage()
	before, rest, found := strings.Cut(usage, "`")
	value, after, _ := strings.Cut(rest, "`")
	name := "--" + f.Names()[0]
	if !doc.TakesValue() {
		return [2]string{name, usage}
	}
	if !found {
		return [2]string{name + " VALUE", usage}
	}
	if strings.ToUpper(value) != value || strings.Contains(value, "|") {
		// A choice is named where it stands, and not again in the sentence.
		text := strings.TrimSuffix(strings.TrimSpace(before), ":") + " " + strings.TrimSpace(after)
		if len(name+value) > 70 {
			return [2]string{name + " WORD", before + "one of " + strings.ReplaceAll(value, "|", ", ") + after}
		}
		return [2]string{name + " " + value, strings.TrimSpace(text)}
	}
	return [2]string{name + " " + value, before + value + after}
}

func manCommand() *command {
	return &command{
		name:     "man",
		summary:  "print the manual page",
		about:    "Prints one man page of meshpki and all its commands, in roff.",
		examples: []example{{"read it", "meshpki man | man -l -"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage),
		flags:    common(),
		run: func(_ context.Context, c *call) error {
			if _, err := c.arguments(0, 0, ""); err != nil {
				return err
			}
			pages := []ui.Help{helpDocument(root())}
			for _, leaf := range leaves(root()) {
				pages = append(pages, helpDocument(leaf))
			}
			_, err := fmt.Fprint(c.env.Stdout, ui.Man(pages, c.env.Now().UTC().Format(time.DateOnly)))
			return err
		},
	}
}

// leaves lists the commands that do something, in the order of the tree.
func leaves(c *command) []*command {
	if c.run != nil {
		return []*command{c}
	}
	var out []*command
	for _, s := range c.sub {
		out = slices.Concat(out, leaves(s))
	}
	return out
}
