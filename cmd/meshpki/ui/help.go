package ui

import (
	"fmt"
	"strings"
)

// Help is a command's manual: on the terminal, or as a man page.
type Help struct {
	Path     string // "meshpki ca init"
	Summary  string
	Synopsis string
	About    string // paragraphs, separated by empty lines
	Commands [][2]string
	Flags    [][2]string
	Examples [][2]string // what it does, the line
	Exits    [][2]string
}

// Schema names the document.
func (h Help) Schema() string { return "help" }

// Data is the manual itself.
func (h Help) Data() any { return h }

// Text writes the manual for a terminal.
func (h Help) Text(p *Page) {
	p.Hanging(p.Bold(h.Path)+" - ", h.Summary)
	p.section("SYNOPSIS")
	p.Para(2, h.Synopsis)
	if h.About != "" {
		p.section("DESCRIPTION")
		for i, para := range strings.Split(h.About, "\n\n") {
			if i > 0 {
				p.Blank()
			}
			p.Para(2, para)
		}
	}
	p.pairs("COMMANDS", h.Commands, 16)
	p.pairs("FLAGS", h.Flags, 26)
	if len(h.Examples) > 0 {
		p.section("EXAMPLES")
		for _, e := range h.Examples {
			p.Para(2, "# "+e[0])
			p.pasted(2, e[1])
		}
	}
	p.pairs("EXIT STATUS", h.Exits, 4)
}

// pasted writes a command that can be pasted. One that is too wide goes on behind a
// backslash, as a shell reads it, from a flag on.
func (p *Page) pasted(indent int, cmd string) {
	rest, in := cmd, indent
	for len(rest)+in > p.width {
		at := strings.LastIndex(rest[:p.width-in-2], " --")
		if at <= 0 {
			break
		}
		p.Line("%s%s \\", strings.Repeat(" ", in), p.Bold(rest[:at]))
		rest, in = rest[at+1:], indent+4
	}
	p.Command(in, rest)
}

func (p *Page) section(title string) {
	p.Blank()
	p.Line("%s", p.Bold(title))
}

// pairs writes names and their texts in two columns; a name that is too wide for
// its column stands on a line of its own.
func (p *Page) pairs(title string, pairs [][2]string, column int) {
	if len(pairs) == 0 {
		return
	}
	p.section(title)
	for _, pair := range pairs {
		lead := "  " + pair[0]
		if len(lead) > column+1 {
			p.Line("%s", lead)
			lead = ""
		}
		p.b.WriteString(lead + strings.Repeat(" ", column+2-len(lead)))
		p.wrap(column+2, column+2, pair[1])
	}
}

// Man gives manuals as one man page in roff: the first is the program, the others
// its commands. date is the day that stands at its foot.
func Man(pages []Help, date string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 %q\n", strings.ToUpper(pages[0].Path), date)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pages[0].Path), roff(pages[0].Summary))
	for i, h := range pages {
		if i == 0 {
			b.WriteString(".SH SYNOPSIS\n" + roff(h.Synopsis) + "\n.SH DESCRIPTION\n" + paragraphs(h.About))
			roffExamples(&b, h.Examples)
			b.WriteString(".SH COMMANDS\n")
			continue
		}
		fmt.Fprintf(&b, ".SS %s\n%s.\n.PP\n.B %s\n", roff(h.Path), roff(upperFirst(h.Summary)), roff(h.Synopsis))
		b.WriteString(".PP\n" + paragraphs(h.About))
		roffPairs(&b, h.Flags)
		roffExamples(&b, h.Examples)
		if len(h.Exits) > 0 {
			b.WriteString(".PP\nExit status:\n")
			roffPairs(&b, h.Exits)
		}
	}
	return b.String()
}

func roffPairs(b *strings.Builder, pairs [][2]string) {
	for _, p := range pairs {
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(p[0]), roff(p[1]))
	}
}

func roffExamples(b *strings.Builder, examples [][2]string) {
	if len(examples) == 0 {
		return
	}
	b.WriteString(".PP\nExamples:\n")
	for _, e := range examples {
		fmt.Fprintf(b, ".TP\n%s:\n.B %s\n", roff(upperFirst(e[0])), roff(e[1]))
	}
}

func paragraphs(s string) string {
	var out []string
	for para := range strings.SplitSeq(s, "\n\n") {
		out = append(out, roff(para))
	}
	return strings.Join(out, "\n.PP\n") + "\n"
}

// roff escapes text: backslashes, hyphens that are to be copied, and a dot or a
// quote at the start of a line, which would make it a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
