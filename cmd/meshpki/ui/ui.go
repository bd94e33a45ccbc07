// Package ui says documents: as text for a person, or as JSON for a program.
// It alone chooses words' order, columns, signs and colours.
package ui

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// Document is one answer of a command, with its two voices.
type Document interface {
	// Schema is the document's short name: "inspect" becomes meshpki/inspect/v1.
	Schema() string
	// Data is what the JSON envelope carries; encoding/json must be able to say it.
	Data() any
	// Text says it on the page.
	Text(p *Page)
}

// Options say what the reader can show. The zero value is a pipe: no colour,
// ASCII signs, 80 columns.
type Options struct {
	Color bool
	UTF8  bool
	Width int // columns; 0 is 80
}

// Text writes the document for a person.
func Text(w io.Writer, d Document, o Options) error {
	p := NewPage(o)
	d.Text(p)
	_, err := io.WriteString(w, p.String())
	return err
}

// Sign opens a line: good, look at it, bad, or nothing.
type Sign int

// The signs, and what they mean.
const (
	None Sign = iota
	Good      // ✓ or ok
	Look      // ! or warn
	Bad       // ✗ or FAIL
)

// Page is text in the making. It is not safe for concurrent use.
type Page struct {
	b     strings.Builder
	r     *lipgloss.Renderer
	utf8  bool
	width int
}

// NewPage gives an empty page.
func NewPage(o Options) *Page {
	p := &Page{utf8: o.UTF8, width: o.Width, r: lipgloss.NewRenderer(io.Discard)}
	if p.width == 0 {
		p.width = 80
	}
	// One renderer of our own: the global one colours by its own guess.
	p.r.SetColorProfile(termenv.Ascii)
	if o.Color {
		p.r.SetColorProfile(termenv.ANSI)
	}
	return p
}

// String is the page so far. Where the reader has no UTF-8, our own few signs
// are spelled in ASCII; what a certificate says has been through Clean.
func (p *Page) String() string {
	if p.utf8 {
		return p.b.String()
	}
	return asciiSigns.Replace(p.b.String())
}

// asciiSigns spells the signs of our own texts for a reader without UTF-8.
var asciiSigns = strings.NewReplacer("…", "...", "←", "<-", "→", "->", "✓", "ok", "✗", "FAIL", "·", "-")

// Width is the number of columns that a line may have.
func (p *Page) Width() int { return p.width }

// Sign gives the sign as this page can show it, coloured, padded to its column:
// two columns with UTF-8 ("✓ "), five without ("ok   ").
func (p *Page) Sign(s Sign) string {
	plain := [...]string{"  ", "✓ ", "! ", "✗ "}[s]
	if !p.utf8 {
		plain = [...]string{"     ", "ok   ", "warn ", "FAIL "}[s]
	}
	color := [...]string{"", "2", "3", "1"}[s]
	if color == "" {
		return plain
	}
	sign := strings.TrimRight(plain, " ")
	return p.colored(color, sign) + plain[len(sign):]
}

// colored gives s in one of the eight colours where there is colour.
func (p *Page) colored(color, s string) string {
	return p.styled(s, func(in lipgloss.Style) lipgloss.Style { return in.Foreground(lipgloss.Color(color)) })
}

// styled gives s in a style. Without colour none changes a line that has no tabs, and a
// long page asks for many.
func (p *Page) styled(s string, style func(lipgloss.Style) lipgloss.Style) string {
	if p.r.ColorProfile() == termenv.Ascii && !strings.ContainsAny(s, "\n\t\r") {
		return s
	}
	return style(p.r.NewStyle()).Render(s)
}

// Indent is the width of a sign's column on this page.
func (p *Page) Indent() int {
	if p.utf8 {
		return 2
	}
	return 5
}

// Bold gives s in bold where there is colour.
func (p *Page) Bold(s string) string {
	return p.styled(s, func(in lipgloss.Style) lipgloss.Style { return in.Bold(true) })
}

// Faint gives s in grey where there is colour.
func (p *Page) Faint(s string) string {
	return p.styled(s, func(in lipgloss.Style) lipgloss.Style { return in.Faint(true) })
}

// Line writes one line as it is; the caller has seen to its width.
func (p *Page) Line(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

// Blank writes an empty line, and never two of them.
func (p *Page) Blank() {
	if s := p.b.String(); s != "" && !strings.HasSuffix(s, "\n\n") {
		p.b.WriteByte('\n')
	}
}

// Say writes a sign and text behind it, wrapped under itself.
func (p *Page) Say(s Sign, text string) {
	p.b.WriteString(p.Sign(s))
	p.wrap(p.Indent(), p.Indent(), text)
}

// Para writes text wrapped at that indent.
func (p *Page) Para(indent int, text string) {
	p.b.WriteString(strings.Repeat(" ", indent))
	p.wrap(indent, indent, text)
}

// Hanging writes text behind a lead-in, wrapped two columns in: errors and hints.
func (p *Page) Hanging(lead, text string) {
	p.b.WriteString(lead)
	p.wrap(wide(lead), 2, text)
}

// Field writes a named fact, its text wrapped in a column of its own:
// "  names    payment.prod, payment.prod.svc". column is the width of the names.
func (p *Page) Field(column int, name, text string) {
	if text == "" {
		return
	}
	in := p.Indent()
	pad := max(column-utf8.RuneCountInString(name), 0)
	at := in + column + 2
	p.b.WriteString(strings.Repeat(" ", in) + p.Faint(name))
	if first, _, _ := strings.Cut(text, " "); at+wide(first) > p.width && strings.Contains(text, " ") {
		p.b.WriteString("\n" + strings.Repeat(" ", at)) // the word stands alone, as in wrap
	} else {
		p.b.WriteString(strings.Repeat(" ", pad+2))
	}
	p.wrap(at, at, text)
}

// heading writes whom it is about and what is said of it, on one line where they fit,
// else below each other; a name wider than the page loses its middle.
func (p *Page) heading(sign Sign, name, words string) {
	room := p.width - p.Indent()
	name = p.shorten(name, room)
	if p.widthOf(name)+2+wide(words) <= room {
		p.Line("%s%s", p.Sign(sign), p.Bold(name+"  "+words))
		return
	}
	p.Line("%s%s", p.Sign(sign), p.Bold(strings.TrimRight(name, " ")))
	p.Para(p.Indent()+2, words)
}

// widthOf is how many columns a text of ours takes on this page, its signs spelled.
func (p *Page) widthOf(s string) int {
	if !p.utf8 {
		s = asciiSigns.Replace(s)
	}
	return wide(s)
}

// wide is how many columns a text takes; plain ASCII, as nearly always, is not searched
// for clusters of characters.
func wide(s string) int {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return lipgloss.Width(s)
		}
	}
	return len(s)
}

// Command writes a command that can be pasted, on a line of its own, never wrapped.
func (p *Page) Command(indent int, cmd string) {
	p.Line("%s%s", strings.Repeat(" ", indent), p.Bold(cmd))
}

// Next writes what to do now, as the last line.
func (p *Page) Next(cmd string) {
	p.Blank()
	p.Line("%snext:  %s", strings.Repeat(" ", p.Indent()), p.Bold(cmd))
}

// Row is a line of a table, behind a sign.
type Row struct {
	Sign  Sign
	Cells []string
}

// Table writes rows in columns as wide as their widest cell, two spaces between;
// a row too wide for the page goes on under its second column.
func (p *Page) Table(rows []Row) {
	var widths []int
	for _, r := range rows {
		for i, c := range r.Cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], wide(c))
		}
	}
	for _, r := range rows {
		p.b.WriteString(strings.TrimRight(p.row(r, widths), " "))
		p.b.WriteByte('\n')
	}
}

func (p *Page) row(r Row, widths []int) string {
	var b strings.Builder
	b.WriteString(p.Sign(r.Sign))
	at, gap := p.Indent(), ""
	for i, c := range r.Cells {
		n := wide(c)
		if i > 1 && at+len(gap)+n > p.width {
			gap = "\n" + strings.Repeat(" ", p.Indent()+widths[0]+2)
			at = p.Indent() + widths[0] + 2
		} else {
			at += len(gap)
		}
		b.WriteString(gap + c)
		at += n
		gap = strings.Repeat(" ", widths[i]-n+2)
	}
	return b.String()
}

// wrap writes the words of text on lines of the page's width; at is the column
// where it starts and hang the indent of every further line. A word that is
// longer than a line stands on a line of its own, whole, so that it can be copied.
func (p *Page) wrap(at, hang int, text string) {
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			p.b.WriteString("\n" + strings.Repeat(" ", hang))
			at = hang
		}
		first := true
		for word := range strings.FieldsSeq(line) {
			n := wide(word)
			switch {
			case first:
			case at+1+n > p.width:
				p.b.WriteString("\n" + strings.Repeat(" ", hang))
				at = hang
			default:
				p.b.WriteByte(' ')
				at++
			}
			p.b.WriteString(word)
			at += n
			first = false
		}
	}
	p.b.WriteByte('\n')
}
