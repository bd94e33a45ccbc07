package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A manifest is read piece by piece: each key at its top is one, and each item
// of the list under services. So a hundred thousand services need no more memory
// at a time than one of them, and no piece is large enough to make the YAML
// library, whose time and stack grow faster than its input, slow or deep.
//
// YAML lets nothing but a new key or item begin at that indentation, so lines
// are all that has to be looked at. What other readers put up with (a quoted
// text that goes on at the margin) ends here as a quote that is never closed.

// maxPiece is the most bytes that one piece may have.
const maxPiece = 64 << 10

// maxTabs bounds the tabs in a line: the YAML library's time grows with their square.
const maxTabs = 64

// piece is a part of the manifest that can be read by itself.
type piece struct {
	line   int // of its first line, from 1
	text   string
	item   bool // one item of services; else keys of the manifest
	header bool // "services:" alone, whose items follow as pieces
}

var (
	// servicesHeader is the key with nothing behind it but a comment.
	servicesHeader = lazy(`^(services|"services"|'services')[ \t]*:[ \t]*([ \t]#.*)?$`)
	// blockText is a line that ends with the sign of a text over several lines.
	blockText = lazy(`^[^#]*[ \t][|>][-+0-9]{0,2}[ \t]*([ \t]#.*)?$`)
)

// clean gives the file's text with line feeds alone at the ends of lines. Bytes
// that are no text are refused, with their place.
func clean(data []byte) (string, *Error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if strings.Contains(text, "\r\n") {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	for i, r := range text {
		bad := ""
		switch {
		case r == utf8.RuneError && strings.HasPrefix(text[i:], "\xef\xbf\xbd"):
		case r == utf8.RuneError:
			bad = fmt.Sprintf("byte 0x%02x is not UTF-8", text[i])
		case r < ' ' && r != '\n' && r != '\t', 0x7f <= r && r < 0xa0, r == '\ufeff', r == '\u2028', r == '\u2029':
			bad = fmt.Sprintf("character %U does not belong in a manifest", r)
		}
		if bad != "" {
			start := strings.LastIndexByte(text[:i], '\n') + 1
			return "", &Error{Line: 1 + strings.Count(text[:i], "\n"), Column: 1 + utf8.RuneCountInString(text[start:i]), Problem: bad}
		}
	}
	return text, nil
}

// line is a line of the manifest that is neither empty nor a comment.
type line struct {
	text       string // behind its indentation
	number     int
	indent     int // spaces in front of it
	start, end int // in the file's text, the line feed included
}

// entry tells whether the line begins with the dash of a list's item.
func (l line) entry() bool { return l.text == "-" || strings.HasPrefix(l.text, "- ") }

// marker tells whether the line is that sign at the margin, and nothing else but a comment.
func (l line) marker(sign string) (is, alone bool) {
	rest, ok := strings.CutPrefix(l.text, sign)
	if l.indent > 0 || !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return false, false
	}
	rest = strings.TrimSpace(rest)
	return true, rest == "" || rest[0] == '#'
}

// splitter cuts the text into pieces, line by line.
type splitter struct {
	src    string
	each   func(piece) *Error
	piece  piece // in hand; of line 0 before the first
	begun  bool  // a line of content was seen
	ended  bool  // "..." was seen
	marked bool  // "---" was seen
	whole  bool  // the manifest is in braces, as JSON is
	root   int   // indentation of the top's keys
	items  int   // indentation of services' dashes; -1 outside them
	header bool  // the last line was services:
	start  int   // of the piece in hand
	end    int   // of its last line of content
}

// split cuts the text of a manifest into pieces, and hands them on one by one.
func split(src string, each func(piece) *Error) *Error {
	s := &splitter{src: src, each: each, items: -1}
	number := 0
	for start := 0; start < len(src); {
		end := len(src)
		if i := strings.IndexByte(src[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		number++
		text := strings.TrimRight(src[start:end], "\n")
		body := strings.TrimLeft(text, " ")
		if trimmed := strings.TrimLeft(body, "\t "); trimmed != "" && trimmed[0] != '#' {
			l := line{text: strings.TrimRight(body, " \t"), number: number, indent: len(text) - len(body), start: start, end: end}
			if err := s.take(l); err != nil {
				return err
			}
		}
		start = end
	}
	return s.close()
}

// take looks at one line.
func (s *splitter) take(l line) *Error {
	if err := s.mark(l); err != nil || s.ended || !s.begun && s.onlyMarker(l) {
		return err
	}
	if err := s.lineProblem(l); err != nil {
		return err
	}
	switch {
	case !s.begun:
		if l.entry() || l.text[0] == '[' {
			return at(l, "the manifest is a list: keys such as apiVersion and services are expected")
		}
		s.root, s.whole = l.indent, l.text[0] == '{'
		err := s.begin(l, false)
		s.begun = true
		return err
	case s.whole:
	case l.indent < s.root:
		return at(l, "this line stands further left than the first key")
	case s.header:
		s.header = false
		if l.entry() {
			s.piece.header = true
			s.items = l.indent
			return s.begin(l, true)
		}
		if l.indent == s.root {
			return s.begin(l, false)
		}
	case s.items == l.indent && l.entry():
		return s.begin(l, true)
	case l.indent == s.root && !l.entry() && !strings.ContainsRune("]},", rune(l.text[0])):
		return s.begin(l, false)
	}
	s.end = l.end
	return nil
}

// begin hands on the piece in hand and starts another with this line.
func (s *splitter) begin(l line, item bool) *Error {
	if err := s.close(); err != nil {
		return err
	}
	s.piece = piece{line: l.number, item: item}
	s.start, s.end = l.start, l.end
	if !item {
		s.items = -1
		s.header = !s.whole && servicesHeader().MatchString(l.text)
	}
	return nil
}

// close hands on the piece in hand: its text goes up to its last line of content.
func (s *splitter) close() *Error {
	if !s.begun {
		return nil
	}
	if s.piece.text = s.src[s.start:s.end]; len(s.piece.text) > maxPiece {
		return &Error{Line: s.piece.line, Column: 1, Problem: "one entry of more than 64 KiB",
			Hint: "give services as a list with one item below the other, each starting with '- '"}
	}
	return s.each(s.piece)
}

// mark sees to the signs between documents: a manifest is one document.
func (s *splitter) mark(l line) *Error {
	more := at(l, "a second YAML document: a manifest is one")
	if s.ended {
		return more
	}
	if is, alone := l.marker("---"); is {
		switch {
		case s.begun || s.marked:
			return more
		case !alone:
			return at(l, "the manifest must begin on the line after ---")
		}
		s.marked = true
	}
	if is, alone := l.marker("..."); is {
		if !alone {
			return more
		}
		s.ended = true
	}
	if !s.begun && l.indent == 0 && l.text[0] == '%' {
		return at(l, "a YAML directive: a manifest needs none")
	}
	return nil
}

// onlyMarker tells whether the line was the sign of the document's beginning.
func (s *splitter) onlyMarker(l line) bool {
	is, _ := l.marker("---")
	return is
}

// lineProblem refuses what a manifest has no use for and the YAML library takes
// very long over.
func (s *splitter) lineProblem(l line) *Error {
	switch {
	case l.text[0] == '\t' && !s.whole:
		return at(l, "a tab in the indentation: YAML takes spaces only")
	case strings.Count(l.text, "\t") > maxTabs:
		return at(l, fmt.Sprintf("more than %d tabs in one line", maxTabs))
	case strings.ContainsAny(l.text, "|>") && blockText().MatchString(" "+l.text):
		return at(l, "a text over several lines (| or >): everything in a manifest fits one line")
	}
	return nil
}

// at is an error at the beginning of a line.
func at(l line, problem string) *Error {
	return &Error{Line: l.number, Column: l.indent + 1, Problem: problem}
}
