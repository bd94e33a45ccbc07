package file

import (
	"encoding/json"
	"maps"
	"slices"
)

// manifest is what factsName holds.
type manifest struct {
	Schema string `json:"schema"`
	// Files are the names of all files; nil in a generation of an early version.
	Files  []string          `json:"files"`
	Secret []string          `json:"secret"`
	Facts  map[string]string `json:"facts"`
}

const setSchema = "meshpki/set/v1"

// encode gives the bytes that json.MarshalIndent would, several times as fast: one is
// written with each set.
func (m manifest) encode() ([]byte, error) {
	size := 200
	for k, v := range m.Facts {
		size += len(k) + len(v) + len(v)/4 + 20
	}
	e := encoder{out: make([]byte, 0, size)}
	e.text("{\n  \"schema\": ")
	e.quoted(m.Schema)
	e.text(",\n  \"files\": ")
	e.list(m.Files)
	e.text(",\n  \"secret\": ")
	e.list(m.Secret)
	e.text(",\n  \"facts\": ")
	e.object(m.Facts)
	e.text("\n}\n")
	return e.out, e.err
}

type encoder struct {
	out []byte
	err error
}

func (e *encoder) text(s string) { e.out = append(e.out, s...) }

// quoted writes a text; one that is not ASCII, or has what HTML would misread, as
// encoding/json does.
func (e *encoder) quoted(s string) {
	begin := len(e.out)
	e.out = append(e.out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			e.out = append(e.out, '\\', c)
		case c < ' ' || c > '~' || c == '<' || c == '>' || c == '&':
			data, err := json.Marshal(s)
			e.out = append(e.out[:begin], data...)
			if e.err == nil {
				e.err = err
			}
			return
		default:
			e.out = append(e.out, c)
		}
	}
	e.out = append(e.out, '"')
}

// between writes what stands before one of several.
func (e *encoder) between(i int) {
	if i > 0 {
		e.text(",")
	}
	e.text("\n    ")
}

func (e *encoder) list(all []string) {
	switch {
	case all == nil:
		e.text("null")
	case len(all) == 0:
		e.text("[]")
	default:
		e.text("[")
		for i, s := range all {
			e.between(i)
			e.quoted(s)
		}
		e.text("\n  ]")
	}
}

func (e *encoder) object(all map[string]string) {
	switch {
	case all == nil:
		e.text("null")
	case len(all) == 0:
		e.text("{}")
	default:
		e.text("{")
		for i, k := range slices.Sorted(maps.Keys(all)) {
			e.between(i)
			e.quoted(k)
			e.text(": ")
			e.quoted(all[k])
		}
		e.text("\n  }")
	}
}

// decodeManifest reads one: what encode writes of texts in ASCII by itself, and all else
// by encoding/json, with which it never disagrees.
func decodeManifest(data []byte) (m manifest, err error) {
	d := decoder{rest: string(data)}
	if m, ok := d.manifest(); ok {
		return m, nil
	}
	err = json.Unmarshal(data, &m)
	return m, err
}

// decoder reads texts, and lists and objects of texts. What it gives are parts of one string.
type decoder struct{ rest string }

// skip passes over a byte, and the blanks before it; false where another stands there.
func (d *decoder) skip(c byte) bool {
	d.blanks()
	if d.rest == "" || d.rest[0] != c {
		return false
	}
	d.rest = d.rest[1:]
	return true
}

func (d *decoder) blanks() {
	for d.rest != "" && (d.rest[0] == ' ' || d.rest[0] == '\n') {
		d.rest = d.rest[1:]
	}
}

// text reads a text of ASCII in which nothing but quotes and backslashes is escaped.
func (d *decoder) text() (string, bool) {
	if !d.skip('"') {
		return "", false
	}
	s, escaped := d.rest, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			d.rest = s[i+1:]
			if escaped == 0 {
				return s[:i], true
			}
			return unescaped(s[:i], escaped), true
		case c == '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
			escaped++
		case c < ' ' || c > '~':
			return "", false
		}
	}
	return "", false
}

// unescaped is a text without the backslash before each of so many bytes.
func unescaped(s string, escaped int) string {
	plain := make([]byte, 0, len(s)-escaped)
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		plain = append(plain, s[i])
	}
	return string(plain)
}

func (d *decoder) list() (all []string, ok bool) {
	if !d.skip('[') {
		return nil, false
	}
	all = make([]string, 0, 4)
	if d.skip(']') {
		return all, true
	}
	for {
		s, ok := d.text()
		if !ok {
			return nil, false
		}
		all = append(all, s)
		if !d.skip(',') {
			return all, d.skip(']')
		}
	}
}

func (d *decoder) object() (all map[string]string, ok bool) {
	if !d.skip('{') {
		return nil, false
	}
	all = make(map[string]string)
	if d.skip('}') {
		return all, true
	}
	for {
		k, ok := d.text()
		if !ok || !d.skip(':') {
			return nil, false
		}
		if all[k], ok = d.text(); !ok {
			return nil, false
		}
		if !d.skip(',') {
			return all, d.skip('}')
		}
	}
}

// manifest reads the members in the order in which they are written.
func (d *decoder) manifest() (m manifest, ok bool) {
	name := func(want string, before byte) bool {
		if !d.skip(before) {
			return false
		}
		s, ok := d.text()
		return ok && s == want && d.skip(':')
	}
	if !name("schema", '{') {
		return m, false
	}
	if m.Schema, ok = d.text(); !ok || !name("files", ',') {
		return manifest{}, false
	}
	if m.Files, ok = d.list(); !ok || !name("secret", ',') {
		return manifest{}, false
	}
	if m.Secret, ok = d.list(); !ok || !name("facts", ',') {
		return manifest{}, false
	}
	if m.Facts, ok = d.object(); !ok || !d.skip('}') {
		return manifest{}, false
	}
	d.blanks()
	return m, d.rest == ""
}
