package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/meshpki/meshpki/ca"
)

// reader turns nodes into the manifest's structs, by their tags, and checks
// forms on the way. It knows where in the manifest it is.
type reader struct {
	m      *Manifest
	tree   tree
	path   []step
	shapes map[reflect.Type]*shape
	lines  map[string]int // of the manifest's keys
	first  Place          // of the first of them
	later  []reference
	named  []reference // profiles
}

// step is one step down into the manifest: a key, or an item's number.
type step struct {
	key   string // "" for an item
	index int
}

// reference is a backend that was named before everything under backends was read.
type reference struct {
	Place
	field, name string
}

// What a struct can do besides having fields.
type (
	placed interface{ put(line, column int) }
	// short is a value that has a shorter way to be written.
	short interface{ expand(n *node) *node }
	// choice is a struct of which exactly one field is set, not counting those beside it.
	choice interface{ choice() }
	// wordless says what is wrong when one text stands where the value should.
	wordless interface{ wordless() string }
	// checked is a struct whose fields have to agree with each other.
	checked interface{ check(c cursor) *Error }
)

func newReader() *reader {
	return &reader{
		m:      &Manifest{},
		tree:   tree{anchors: map[string]*node{}, words: map[string]string{}},
		shapes: map[reflect.Type]*shape{},
		lines:  map[string]int{},
	}
}

// shapeOf reads a struct's tags, once.
func (r *reader) shapeOf(t reflect.Type) *shape {
	s := r.shapes[t]
	if s == nil {
		s = newShape(t)
		r.shapes[t] = s
	}
	return s
}

// take reads one piece of the manifest.
func (r *reader) take(p piece) *Error {
	n, err := r.tree.read(p)
	if err != nil {
		return err
	}
	if p.item {
		if n.kind != kindList || len(n.items) != 1 {
			return r.wrong(Place{p.line, 1}, "not YAML: one item of services is expected here")
		}
		return r.item(n.items[0])
	}
	if n.kind != kindKeys {
		return r.wrong(n.Place, "%s where keys such as apiVersion and services are expected", n.kind)
	}
	if r.first == (Place{}) {
		r.first = n.Place
	}
	v := reflect.ValueOf(r.m).Elem()
	for _, e := range n.entries {
		if line, twice := r.lines[e.key]; twice {
			return r.wrong(e.Place, "key %s stands twice: here and at line %d", quote(e.key), line)
		}
		r.lines[e.key] = e.Line
		if p.header && e.value.kind == kindNothing {
			continue // its items follow
		}
		if err := r.entry(e, v); err != nil {
			return err
		}
	}
	return nil
}

// item reads one item of services.
func (r *reader) item(n *node) *Error {
	s := &r.m.Services
	*s = append(*s, Service{})
	i := len(*s) - 1
	r.path = append(r.path, step{key: "services"}, step{index: i})
	err := r.value(n, reflect.ValueOf(&(*s)[i]).Elem(), &field{key: "services"})
	r.path = r.path[:0]
	return err
}

// wrong is an error at a place, in the field where the reader is.
func (r *reader) wrong(at Place, format string, args ...any) *Error {
	var b strings.Builder
	for _, s := range r.path {
		switch {
		case s.key == "":
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case !entryNameForm().MatchString(s.key):
			b.WriteString("[" + quote(s.key) + "]")
		case b.Len() > 0:
			b.WriteString("." + s.key)
		default:
			b.WriteString(s.key)
		}
	}
	return &Error{Line: at.Line, Column: at.Column, Field: b.String(), Problem: fmt.Sprintf(format, args...)}
}

// entry reads one key's value into its field of a struct.
func (r *reader) entry(e entry, v reflect.Value) *Error {
	s := r.shapeOf(v.Type())
	f := s.byKey[e.key]
	if _, ok := v.Addr().Interface().(interface{ open() }); ok && f == nil {
		return nil
	}
	if f == nil {
		err := r.wrong(e.Place, "unknown key %s", quote(e.key))
		err.Hint = "known here: " + strings.Join(s.known, ", ")
		if near := Nearest(e.key, s.known); near != "" {
			err.Hint = "did you mean " + near + "?"
		}
		return err
	}
	r.path = append(r.path, step{key: e.key})
	err := r.value(e.value, v.Field(f.index), f)
	r.path = r.path[:len(r.path)-1]
	return err
}

// value reads a node into a value of whatever type.
func (r *reader) value(n *node, v reflect.Value, f *field) *Error {
	if f.refuse != "" {
		return r.wrong(n.Place, "is not honoured: %s", f.refuse)
	}
	if isIgnored(v.Type()) {
		return nil
	}
	target := v.Addr().Interface()
	if s, ok := target.(short); ok {
		n = s.expand(n)
	}
	if n.kind == kindNothing {
		return r.wrong(n.Place, "no value: give it one, or leave the key out")
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return r.value(n, v.Elem(), f)
	case reflect.Struct:
		return r.fields(n, v, f)
	case reflect.Map:
		return r.table(n, v, f)
	case reflect.Slice:
		return r.list(n, v, f)
	case reflect.Int, reflect.Bool:
		return r.plain(n, v, f)
	}
	return r.text(n, v, f)
}

// expect refuses a node of another kind.
func (r *reader) expect(n *node, want kind, v reflect.Value, f *field) *Error {
	if n.kind == want {
		return nil
	}
	err := r.wrong(n.Place, "%s where %s is expected", n.kind, want)
	if want == kindKeys {
		err.Problem = fmt.Sprintf("%s where keys are expected", n.kind)
	}
	if w, ok := v.Addr().Interface().(wordless); ok && n.kind == kindText {
		err.Problem = w.wordless()
	}
	switch {
	case f.like != "" && want == kindList && f.like[0] != '[':
		err.Hint = fmt.Sprintf("for example: %s: [%s]", f.key, f.like)
	case f.like != "" && want != kindKeys || strings.HasPrefix(f.like, "{"):
		err.Hint = fmt.Sprintf("for example: %s: %s", f.key, f.like)
	case want == kindKeys:
		err.Hint = "known here: " + strings.Join(r.knownOf(v.Type()), ", ")
	}
	return err
}

func (r *reader) knownOf(t reflect.Type) []string {
	if t.Kind() != reflect.Struct {
		return []string{"names of your choice"}
	}
	return r.shapeOf(t).known
}

func (r *reader) fields(n *node, v reflect.Value, f *field) *Error {
	if err := r.expect(n, kindKeys, v, f); err != nil {
		return err
	}
	target := v.Addr().Interface()
	if p, ok := target.(placed); ok {
		p.put(n.Line, n.Column)
	}
	for _, e := range n.entries {
		if err := r.entry(e, v); err != nil {
			return err
		}
	}
	s := r.shapeOf(v.Type())
	if _, ok := target.(choice); ok {
		if chosen := s.chosen(n); chosen != 1 {
			return r.wrong(n.Place, "exactly one of %s is expected, not %d", list(s.choose), chosen)
		}
	}
	for _, f := range s.fields {
		if _, given := n.find(f.key); f.need && !given {
			err := r.wrong(n.Place, "%s is missing", f.key)
			err.Hint = fmt.Sprintf("for example: %s: %s", f.key, f.example())
			return err
		}
	}
	if c, ok := target.(checked); ok {
		return c.check(cursor{r, n})
	}
	return nil
}

func (r *reader) table(n *node, v reflect.Value, f *field) *Error {
	if err := r.expect(n, kindKeys, v, f); err != nil {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range n.entries {
		if problem := forms[f.is].check(e.key); problem != "" {
			return r.wrong(e.Place, "%s", problem)
		}
		item := reflect.New(v.Type().Elem()).Elem()
		r.path = append(r.path, step{key: e.key})
		if err := r.value(e.value, item, &field{key: e.key}); err != nil {
			return err
		}
		r.path = r.path[:len(r.path)-1]
		v.SetMapIndex(reflect.ValueOf(e.key), item)
	}
	return nil
}

func (r *reader) list(n *node, v reflect.Value, f *field) *Error {
	if err := r.expect(n, kindList, v, f); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		r.path = append(r.path, step{index: i})
		if err := r.value(item, v.Index(i), f); err != nil {
			return err
		}
		r.path = r.path[:len(r.path)-1]
	}
	return nil
}

// plain reads a number or a yes-or-no, which do not stand in quotes.
func (r *reader) plain(n *node, v reflect.Value, f *field) *Error {
	if v.Kind() == reflect.Bool {
		if n.kind != kindText || n.quoted || n.text != "true" && n.text != "false" {
			return r.wrong(n.Place, "true or false is expected")
		}
		v.SetBool(n.text == "true")
		return nil
	}
	number, err := strconv.ParseUint(n.text, 10, 31)
	if n.kind != kindText || n.quoted || err != nil || number == 0 {
		return r.wrong(n.Place, "a number is expected, such as %s", f.like)
	}
	v.SetInt(int64(number))
	return nil
}

// text reads a text as it stands in the file: 0640 and 1.10 and no are what they look like.
func (r *reader) text(n *node, v reflect.Value, f *field) *Error {
	if err := r.expect(n, kindText, v, f); err != nil {
		return err
	}
	if n.text == "" {
		return r.wrong(n.Place, "an empty text: give it a value, or leave the key out")
	}
	if i := strings.IndexFunc(n.text, func(c rune) bool { return c < ' ' || 0x7f <= c && c < 0xa0 }); i >= 0 {
		return r.wrong(n.Place, "%s has a control character in it", quote(n.text))
	}
	if len(f.of) > 0 && !slices.Contains(f.of, n.text) {
		err := r.wrong(n.Place, "%s is not %s", quote(n.text), list(f.of))
		if near := Nearest(n.text, f.of); near != "" && len(f.of) > 1 {
			err.Hint = "did you mean " + near + "?"
		}
		return err
	}
	if f.is != "" {
		if problem := forms[f.is].check(n.text); problem != "" {
			return r.wrong(n.Place, "%s", problem)
		}
	}
	if f.is == "backend" && n.text != "local" && !strings.Contains(n.text, ":") {
		r.later = append(r.later, reference{n.Place, r.wrong(n.Place, "").Field, n.text})
	}
	if f.is == "profile" && !slices.Contains(ca.ProfileNames(), n.text) {
		r.named = append(r.named, reference{n.Place, r.wrong(n.Place, "").Field, n.text})
	}
	v.SetString(n.text)
	return nil
}
