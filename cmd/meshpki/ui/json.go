package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON writes the document in its envelope, indented, with one line feed at the end.
func JSON(w io.Writer, d Document) error {
	out, err := element(struct {
		Schema string `json:"schema"`
		Data   any    `json:"data"`
	}{schemaOf(d), d.Data()}, 0)
	if err != nil {
		return err
	}
	_, err = w.Write(append(out, '\n'))
	return err
}

func schemaOf(d Document) string { return "meshpki/" + d.Schema() + "/v1" }

// inData is how deep the elements of an envelope's data stand.
const inData = 2

// Element is one element of a document's data, as JSON writes it in its place: JSONOf
// puts such together. Many of them may be made at once.
func Element(v any) ([]byte, error) { return element(v, inData) }

// JSONOf writes what JSON would of a document whose data are these elements.
func JSONOf(w io.Writer, d Document, elements [][]byte) error {
	if len(elements) == 0 {
		_, err := fmt.Fprintf(w, "{\n  \"schema\": %q,\n  \"data\": []\n}\n", schemaOf(d))
		return err
	}
	if _, err := fmt.Fprintf(w, "{\n  \"schema\": %q,\n  \"data\": [", schemaOf(d)); err != nil {
		return err
	}
	const many = 1 << 16
	lead := "\n    "
	var out []byte
	for _, e := range elements {
		out = append(append(out, lead...), e...)
		lead = ",\n    "
		if len(out) < many {
			continue
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
		out = out[:0]
	}
	_, err := w.Write(append(out, "\n  ]\n}\n"...))
	return err
}

// element writes a value at that depth.
func element(v any, depth int) ([]byte, error) {
	const usual = 2 << 10
	b := bytes.NewBuffer(make([]byte, 0, usual))
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return indented(bytes.TrimSuffix(b.Bytes(), []byte("\n")), depth), nil
}

// indented puts the parts of JSON that encoding/json wrote on lines of their own, two
// columns a level, as json.Indent does with any, and writes hidden characters as escapes.
func indented(data []byte, depth int) []byte {
	out := make([]byte, 0, 2*len(data)) // about what the documents need
	line := func() {
		out = append(out, '\n')
		for range depth {
			out = append(out, "  "...)
		}
	}
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '"':
			end, plain := stringEnd(data, i)
			if plain {
				out = append(out, data[i:end]...)
			} else {
				out = appendEscaped(out, data[i:end])
			}
			i = end - 1
		case '{', '[':
			out = append(out, c)
			if data[i+1] == '}' || data[i+1] == ']' {
				i++
				out = append(out, data[i])
				continue
			}
			depth++
			line()
		case '}', ']':
			depth--
			line()
			out = append(out, c)
		case ',':
			out = append(out, c)
			line()
		case ':':
			out = append(out, ": "...)
		default:
			out = append(out, c)
		}
	}
	return out
}

// stringEnd is where a string that starts at a place ends, and whether it is of
// ASCII that can be shown alone.
func stringEnd(data []byte, start int) (end int, plain bool) {
	plain = true
	for i := start + 1; ; i++ {
		switch c := data[i]; {
		case c == '"':
			return i + 1, plain
		case c == '\\':
			i++
		case c >= 0x7f:
			plain = false
		}
	}
}

// EscapeJSON is for JSON that others have made: it is as safe to show as ours.
func EscapeJSON(data []byte) []byte { return escapeJSON(data) }

// escapeJSON writes as escapes what encoding/json leaves as it is and a terminal
// must not get: control characters beyond ASCII's, DEL, and characters that turn
// the writing direction or are not seen. In JSON they can only stand within
// strings, where the escape means the same.
func escapeJSON(data []byte) []byte {
	if !bytes.ContainsFunc(data, hidden) {
		return data
	}
	return appendEscaped(nil, data)
}

func appendEscaped(out, data []byte) []byte {
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case !hidden(r):
			out = append(out, data[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		data = data[n:]
	}
	return out
}

// hidden tells whether a character of JSON text must be escaped.
func hidden(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
