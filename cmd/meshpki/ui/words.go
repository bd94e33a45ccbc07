package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Clean makes text from a certificate, a file or a user safe for a terminal:
// control characters, characters that turn the writing direction or are not
// seen, and bytes that are no UTF-8 come out as escapes.
func Clean(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\\':
			b.WriteString(`\\`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// Safe is Clean for a sentence of ours in which such text stands quoted already:
// its backslashes are escapes, and are left alone.
func Safe(s string) string {
	return strings.ReplaceAll(Clean(s), `\\`, `\`)
}

// isPlain tells whether s can be shown as it is.
func isPlain(s string) bool {
	for _, r := range s {
		if r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// Span says how long a duration is in the two words that matter: "30 days",
// "4 hours", "10 years".
func Span(d time.Duration) string {
	d = d.Abs()
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return "less than a second"
	case d < time.Minute:
		return count(int(d/time.Second), "second")
	case d < time.Hour-time.Minute:
		return count(int((d+time.Second)/time.Minute), "minute")
	case d < 2*day:
		// A certificate made for 24 hours has a second less a second later.
		return count(int((d+time.Minute)/time.Hour), "hour")
	case d < 2*365*day:
		return count(int((d+day/2)/day), "day") // to the nearest: 29 days and 23 hours are 30
	}
	return count(int((d+day)/(365*day)), "year")
}

// Relative says where t lies from now: "in 30 days", "3 hours ago", "now".
func Relative(t, now time.Time) string {
	d := t.Sub(now)
	switch {
	case d.Abs() < time.Second:
		return "now"
	case d < 0:
		return Span(d) + " ago"
	}
	return "in " + Span(d)
}

// Date is a point in time to the minute, in UTC: "2026-12-21 21:40 UTC".
func Date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Day is the date alone: "2036-11-18".
func Day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// ShortHex keeps the ends of a long hexadecimal number: "5a17c0de…9e41".
func ShortHex(s string) string {
	if len(s) <= 16 {
		return s
	}
	return s[:8] + "…" + s[len(s)-4:]
}

// List joins the first names and counts the rest: "a, b (+3 more)".
func List(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s (+%d more)", strings.Join(names[:most], ", "), len(names)-most)
}

// Count says a number with its noun: "1 certificate", "3 certificates".
func Count(n int, noun string) string { return count(n, noun) }

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Progress is a line for a terminal that the next one writes over; at the end it
// takes itself away.
func Progress(done, total int, what string) string {
	const width = 70
	text := ""
	if done < total {
		text = fmt.Sprintf("  %d of %d  %s", done+1, total, Clean(what))
	}
	if n := utf8.RuneCountInString(text); n > width {
		text = string([]rune(text)[:width])
	}
	return "\r" + text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + "\r"
}
