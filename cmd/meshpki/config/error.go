package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Error is what is wrong with a manifest, and where.
type Error struct {
	File         string
	Line, Column int    // both from 1, columns in characters; 0 where the file as a whole is meant
	Field        string // such as services[0].dns[1]; "" for the manifest as a whole
	Problem      string // what is wrong, and what would be right
	Hint         string // what to write instead, for a person; may be empty
	Err          error  // why the file could not be read; nil for one that was read and is wrong
}

// Error gives file, line, column and field, then the problem:
// "meshpki.yaml:12:5: services[0].dns: …". The hint is not in it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
		if e.Column > 0 {
			b.WriteString(":" + strconv.Itoa(e.Column))
		}
	}
	b.WriteString(": ")
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

// Unwrap gives why the file could not be read, so that a caller can tell a file
// that is missing (fs.ErrNotExist) from one that is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Place is where something stands in its file: both from 1, columns in characters.
type Place struct{ Line, Column int }

// put is how the reader fills in a place that a struct carries.
func (p *Place) put(line, column int) { *p = Place{line, column} }

// quote makes text from the file safe and short enough for an error.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}

// list says words as "a, b or c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return fmt.Sprintf("%s or %s", strings.Join(words[:last], ", "), words[last])
}
