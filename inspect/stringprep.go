package inspect

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// foldText prepares text for comparison (RFC 4518, Section 2, with the folding of case
// of RFC 5280, Section 7.1): what has no width is dropped, case and compatible forms
// of a character are one, white space at the ends is dropped and within becomes one
// space. ok is false for text with characters that nothing can be compared by, such as
// those for private use: it equals nothing but itself.
func foldText(s string) (folded string, ok bool) {
	if !isASCII(s) {
		if strings.ContainsFunc(s, prohibited) {
			return "", false
		}
		s = norm.NFKC.String(foldCase(norm.NFKC.String(s)))
	}
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for _, r := range s {
		switch {
		case isSpace(r):
			gap = b.Len() > 0
			continue
		case isNothing(r):
			continue
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String(), true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isSpace tells what is mapped to a space (RFC 4518, Section 2.2).
func isSpace(r rune) bool {
	return r == ' ' || r >= '\t' && r <= '\r' || r == 0x85 || r > unicode.MaxASCII && unicode.In(r, unicode.Z)
}

// isNothing tells what is mapped to nothing (RFC 4518, Section 2.2): control and format
// characters, soft hyphens, selectors of variants.
func isNothing(r rune) bool {
	if r < unicode.MaxASCII {
		return r < ' '
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Variation_Selector) || r == 0x034f || r == 0xfffc
}

// prohibited tells what no text may have that is compared (RFC 4518, Section 2.4).
func prohibited(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Co) || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef
}

// foldCase writes one letter for all that differ in case alone, and the few that case
// makes two of as those (RFC 3454, Appendix B.2).
func foldCase(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch r {
		case 'ß', 'ẞ':
			b.WriteString("ss")
		case 'İ':
			b.WriteString("i\u0307")
		default:
			b.WriteRune(foldRune(r))
		}
	}
	return b.String()
}

// foldRune is the least of all that differ in case alone, in ASCII the lower case.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}
