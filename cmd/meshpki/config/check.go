package config

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/renew"
)

// cursor is where the reader is while the fields of a struct are held against
// each other.
type cursor struct {
	r *reader
	n *node
}

// wrong is an error at the value of a key, or at the struct where the key is left out.
func (c cursor) wrong(key, format string, args ...any) *Error {
	place := c.n.Place
	if e, ok := c.n.find(key); ok {
		place = e.value.Place
		c.r.path = append(c.r.path, step{key: key})
		defer func() { c.r.path = c.r.path[:len(c.r.path)-1] }()
	}
	return c.r.wrong(place, format, args...)
}

// expand makes a list of a single layout.
func (*Layouts) expand(n *node) *node {
	if n.kind != kindText {
		return n
	}
	return &node{Place: n.Place, kind: kindList, items: []*node{n}}
}

// expand makes one step of the words of a command.
func (*Hook) expand(n *node) *node {
	if n.kind != kindList || len(n.items) == 0 || slices.ContainsFunc(n.items, func(i *node) bool { return i.kind != kindText }) {
		return n
	}
	return &node{Place: n.Place, kind: kindList, items: []*node{{
		Place: n.Place, kind: kindKeys, entries: []entry{{Place: n.Place, key: "exec", value: n}},
	}}}
}

// expand makes an endpoint of a URL.
func (*Confirm) expand(n *node) *node {
	if n.kind != kindText {
		return n
	}
	return &node{Place: n.Place, kind: kindKeys, entries: []entry{{Place: n.Place, key: "endpoint", value: n}}}
}

func (*Backend) choice() {}
func (*Auth) choice()    {}
func (*Step) choice()    {}

func (*HTTPChallenge) choice() {}

func (*Hook) wordless() string {
	return "one text where the words of a command are expected: no shell takes them apart"
}

func (*TokenAuth) wordless() string {
	return "a secret does not stand in a manifest: name the file that holds it"
}

func (p *Publication) check(c cursor) *Error {
	if p.Key != "" && strings.HasPrefix(p.To, "clustertrustbundle:") {
		return c.wrong("key", "a ClusterTrustBundle has no keys: it holds the roots and nothing else")
	}
	return nil
}

func (s *Service) check(c cursor) *Error {
	if s.Identity != "kuma" && s.Identity != "consul" {
		const allowed = "%s has a '_' in it, which only the identities kuma and consul allow"
		if strings.Contains(s.Name, "_") {
			return c.wrong("name", allowed, quote(s.Name))
		}
		if strings.Contains(s.Namespace, "_") {
			return c.wrong("namespace", allowed, quote(s.Namespace))
		}
	}
	switch {
	case s.Identity == "consul" && s.Datacenter == "":
		return c.wrong("identity", "consul names its services by datacenter: datacenter is missing")
	case s.Identity != "consul" && s.Datacenter != "":
		return c.wrong("datacenter", "belongs to the identity consul")
	}
	if hook, ok := c.n.find("hook"); ok && len(s.Hook) == 0 {
		return c.wrong("hook", "an empty hook: give it the words of a command, or leave %s out", hook.key)
	}
	return nil
}

func (o *Output) check(c cursor) *Error {
	if strings.HasPrefix(o.To, "k8s:") {
		for _, key := range []string{"owner", "group", "mode", "swap"} {
			if _, ok := c.n.find(key); ok {
				return c.wrong(key, "a Kubernetes Secret has no %s", key)
			}
		}
	}
	for _, key := range []string{"labels", "annotations"} {
		if _, ok := c.n.find(key); ok && !strings.HasPrefix(o.To, "k8s:") {
			return c.wrong(key, "%s has none: a Kubernetes Secret has, such as k8s://prod/payment-tls", quote(o.To))
		}
	}
	if problem := checkLabels(o.Labels); problem != "" {
		return c.wrong("labels", "%s", problem)
	}
	if o.Group != "" && strings.Contains(o.Owner, ":") {
		return c.wrong("group", "the owner %s names a group already", quote(o.Owner))
	}
	if _, ok := c.n.find("layout"); ok && len(o.Layout) == 0 {
		return c.wrong("layout", "an empty list: name a layout, or leave the key out")
	}
	return nil
}

// checkLabels says which label cannot have the value that it has.
func checkLabels(labels map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if !labelValueForm().MatchString(labels[key]) {
			return quote(labels[key]) + " is no value of the label " + key + ": up to 63 letters, digits, '-', '_' and '.' are expected"
		}
	}
	return ""
}

func (w *Window) check(c cursor) *Error {
	// The forms of all three have been checked; what is left is how long it may be.
	length, err := ParseDuration(w.For)
	if err == nil {
		w.Window, err = renew.ParseWindow(w.Cron, length, w.Zone)
	}
	if err != nil {
		return c.wrong("for", "%v", err)
	}
	return nil
}

func (v *Vault) check(c cursor) *Error {
	if v.Role == "" && v.Mode != "sign-verbatim" {
		return c.wrong("role", "role is missing: only mode sign-verbatim does without one")
	}
	return nil
}

func (d *DNSChallenge) check(c cursor) *Error {
	if len(d.Hook) == 0 {
		return c.wrong("hook", "a hook without a word: its program is expected first")
	}
	if program := d.Hook[0]; strings.Contains(program, "/") && !strings.HasPrefix(program, "/") {
		return c.wrong("hook", "%s is neither an absolute path nor a bare name", quote(program))
	}
	return nil
}

func (a *Auth) check(c cursor) *Error {
	if a.JWT != nil && a.JWT.TokenFile == "" {
		return c.wrong("jwt", "tokenFile is missing: the file that holds the token")
	}
	return nil
}

// finish checks what needs the whole manifest.
func (r *reader) finish() *Error {
	if r.m.APIVersion == "" {
		err := r.wrong(r.first, "apiVersion is missing")
		err.Hint = "for example: apiVersion: " + Version
		return err
	}
	for _, ref := range r.later {
		if _, ok := r.m.Backends[ref.name]; ok {
			continue
		}
		known := append(slices.Sorted(maps.Keys(r.m.Backends)), "local")
		err := r.wrong(ref.Place, "there is no backend %s: a name under backends, local, or a reference such as vault:<mount>/<role> is expected", quote(ref.name))
		err.Field = ref.field
		if near := Nearest(ref.name, known); near != "" {
			err.Hint = "did you mean " + near + "?"
		}
		return err
	}
	if err := r.profiles(); err != nil {
		return err
	}
	lines := map[string]int{}
	for i := range r.m.Services {
		s := &r.m.Services[i]
		name := r.m.NamespaceOf(s) + "/" + s.Name
		if line, twice := lines[name]; twice {
			return r.m.Wrong(s.Place, fmt.Sprintf("services[%d]", i), fmt.Sprintf("%s stands twice: here and at line %d", name, line))
		}
		lines[name] = s.Line
		if err := r.outputs(i, s); err != nil {
			return err
		}
		if err := r.afters(i, s); err != nil {
			return err
		}
	}
	return nil
}

// outputs refuses two outputs of a service that would write the same files.
func (r *reader) outputs(i int, s *Service) *Error {
	if len(s.Outputs) == 0 {
		return nil
	}
	lines := map[string]int{}
	for j := range s.Outputs {
		o := &s.Outputs[j]
		for _, layout := range r.m.LayoutsOf(o) {
			key := placeOf(o.To) + "\n" + layout
			if line, twice := lines[key]; twice {
				problem := fmt.Sprintf("layout %s goes to %s twice: here and at line %d", quote(layout), quote(o.To), line)
				return r.m.Wrong(o.Place, fmt.Sprintf("services[%d].outputs[%d]", i, j), problem)
			}
			lines[key] = o.Line
		}
	}
	return nil
}

// placeOf is a place in one spelling: file:/etc/tls/ and /etc/tls are the same.
func placeOf(to string) string {
	if strings.Contains(to, "://") {
		return strings.TrimRight(to, "/")
	}
	return path.Clean(strings.TrimPrefix(to, "file:"))
}
