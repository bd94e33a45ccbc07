package command

import (
	"errors"
	"testing"
)

// That an authority is lost is told when it begins, and when it is another loss; not
// at each look.
func TestLossIsToldOnce(t *testing.T) {
	d := &daemon{lost: map[string]string{}}
	gone, spoilt := errors.New("is missing"), errors.New("is damaged")
	for i, c := range []struct {
		ref  string
		err  error
		news bool
	}{
		{"local", nil, false}, {"local", gone, true}, {"local", gone, false}, {"local:other", gone, true}, {"local", spoilt, true},
		{"local", nil, false}, {"local", nil, false}, {"local", spoilt, true}, {"local:other", gone, false},
	} {
		if got := d.loses(c.ref, c.err); got != c.news {
			t.Errorf("%d: %s, %v: %t", i, c.ref, c.err, got)
		}
	}
}
