package ui

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

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
	var out bytes.Buffer
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case !hidden(r):
			out.Write(data[:n])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		data = data[n:]
	}
	return out.Bytes()
}

// hidden tells whether a character of JSON text must be escaped.
func hidden(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
