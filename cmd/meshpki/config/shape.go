package config

import (
	"reflect"
	"strings"
)

// shape is what the reader goes by in a struct.
type shape struct {
	fields []*field
	byKey  map[string]*field
	known  []string // the keys, in order
	choose []string // those of them that do not stand beside others
}

// field is one key of a struct, as its tags say.
type field struct {
	index int
	key   string
	is    string
	of    []string
	need  bool
	side  bool
	like  string
	doc   string
	// refuse says why the key is not taken.
	refuse string
}

// example is a value that the field takes.
func (f *field) example() string {
	if f.like == "" && len(f.of) > 0 {
		return f.of[0]
	}
	return f.like
}

func newShape(t reflect.Type) *shape {
	s := &shape{byKey: map[string]*field{}}
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		f := &field{index: i, key: tag.Get("yaml"), is: tag.Get("is"), need: tag.Get("need") != "", side: tag.Get("beside") != "", like: tag.Get("like"), doc: tag.Get("doc"), refuse: tag.Get("refuse")}
		if f.key == "-" {
			continue
		}
		f.of = strings.Fields(tag.Get("of"))
		s.fields = append(s.fields, f)
		s.byKey[f.key] = f
		s.known = append(s.known, f.key)
		if !f.side {
			s.choose = append(s.choose, f.key)
		}
	}
	return s
}

// chosen counts the keys of a node that do not stand beside others.
func (s *shape) chosen(n *node) (count int) {
	for _, e := range n.entries {
		if f := s.byKey[e.key]; f != nil && !f.side {
			count++
		}
	}
	return count
}
