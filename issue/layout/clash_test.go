package layout

import (
	"strings"
	"testing"
)

func TestClash(t *testing.T) {
	named := func(name, roots string, files ...string) Named { return Named{Name: name, Files: files, Roots: roots} }
	for _, test := range []struct {
		name    string
		layouts []Named
		fails   string
	}{
		{"nothing in common", []Named{named("a", "", "x"), named("b", "", "y")}, ""},
		{"the same roots", []Named{named("a", "ca.crt", "x", "ca.crt"), named("b", "ca.crt", "ca.crt", "y")}, ""},
		{"the same file", []Named{named("a", "ca.crt", "x", "ca.crt"), named("b", "", "y"), named("c", "ca.crt", "x", "ca.crt")}, "layouts a and c both make a file x"},
		{"one's roots are another's chain", []Named{named("a", "ca.crt", "x", "ca.crt"), named("b", "roots", "ca.crt", "roots")}, "layouts a and b both make a file ca.crt"},
	} {
		err := clash(test.layouts)
		if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.fails)
		}
	}
}
