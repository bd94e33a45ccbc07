package config

import "strings"

// Nearest is the known word that a mistyped one was most likely meant to be, ""
// if none is near.
func Nearest(word string, known []string) string {
	if len(word) > 40 {
		return ""
	}
	w := fold(word)
	best, least := "", 1+max(len(w)/3, 1)
	for _, k := range known {
		f := fold(k)
		d := distance(w, f)
		if len(w) > 3 && (strings.HasPrefix(f, w) || strings.HasPrefix(w, f) && len(f) > 3) {
			d = min(d, 1)
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// fold drops what people disagree about: case, and how words are joined.
func fold(s string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, remove, change or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
