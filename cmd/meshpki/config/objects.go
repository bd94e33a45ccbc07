package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Objects of a cluster are read document by document, and the items of a List one by
// one, so that many need no more memory at a time than one.

var (
	// rootKind is the line by which objects of a cluster are told from a manifest.
	rootKind = lazy(`(?m)^(kind|"kind"|'kind')[ \t]*:`)
	// itemsHeader is the key of a List with nothing behind it but a comment.
	itemsHeader = lazy(`^(items|"items"|'items')[ \t]*:[ \t]*([ \t]#.*)?$`)
)

// objects reads Certificates as services, and notes what else there is.
func (r *reader) objects(src string) *Error {
	r.tree.loose = true
	r.m.Certificates = true
	var doc []line
	flush := func() *Error {
		defer func() { doc = nil }()
		return r.document(src, doc)
	}
	number := 0
	for start := 0; start < len(src); {
		end := len(src)
		if i := strings.IndexByte(src[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		number++
		text := strings.TrimRight(src[start:end], "\n")
		body := strings.TrimLeft(text, " ")
		l := line{text: strings.TrimRight(body, " \t"), number: number, indent: len(text) - len(body), start: start, end: end}
		start = end
		if strings.Count(text, "\t") > maxTabs {
			return at(l, fmt.Sprintf("more than %d tabs in one line", maxTabs))
		}
		begins, alone := l.marker("---")
		ends, _ := l.marker("...")
		switch {
		case begins && !alone:
			return at(l, "a document must begin on the line after ---")
		case begins || ends:
			if err := flush(); err != nil {
				return err
			}
		case l.text != "" && l.text[0] != '#' || len(doc) > 0:
			doc = append(doc, l)
		}
	}
	if err := flush(); err != nil {
		return err
	}
	r.m.APIVersion = Version
	return r.finish()
}

// document reads one document, or the items of a List in it.
func (r *reader) document(src string, lines []line) *Error {
	if len(lines) == 0 {
		return nil
	}
	items, end := listItems(lines)
	if len(items) == 0 {
		return r.piece(piece{line: lines[0].number, text: src[lines[0].start:lines[len(lines)-1].end]})
	}
	for i, from := range items {
		to := end
		if i+1 < len(items) {
			to = items[i+1]
		}
		if err := r.piece(piece{line: lines[from].number, text: src[lines[from].start:lines[to-1].end], item: true}); err != nil {
			return err
		}
	}
	return nil
}

// listItems finds where the items of a List begin, and where the last one ends; none
// where the document is no List.
func listItems(lines []line) (items []int, end int) {
	header, indent := -1, 0
	for i, l := range lines {
		content := l.text != "" && l.text[0] != '#'
		switch {
		case header < 0:
			if l.indent == 0 && itemsHeader().MatchString(l.text) {
				header = i
			}
		case !content:
		case len(items) == 0:
			if !l.entry() {
				return nil, 0
			}
			indent = l.indent
			items = append(items, i)
		case l.indent == indent && l.entry():
			items = append(items, i)
		case l.indent <= indent:
			return items, i
		}
	}
	return items, len(lines)
}

// piece reads one object.
func (r *reader) piece(p piece) *Error {
	if len(p.text) > maxPiece {
		return &Error{Line: p.line, Column: 1, Problem: "one object of more than 64 KiB"}
	}
	clear(r.tree.anchors) // each document has its own
	n, err := r.tree.read(p)
	if err != nil {
		return err
	}
	if p.item {
		if n.kind != kindList || len(n.items) != 1 {
			return r.wrong(Place{p.line, 1}, "not YAML: one item of a list is expected here")
		}
		n = n.items[0]
	}
	if n.kind != kindKeys {
		return r.wrong(n.Place, "%s where the keys of an object are expected", n.kind)
	}
	version, kind := n.textOf("apiVersion"), n.textOf("kind")
	group, _, _ := strings.Cut(version, "/")
	if kind != "Certificate" || group != "cert-manager.io" {
		r.other(n, kind)
		return nil
	}
	var doc certificateDoc
	if err := r.value(n, reflect.ValueOf(&doc).Elem(), &field{}); err != nil {
		return err
	}
	r.m.Services = append(r.m.Services, doc.service())
	return nil
}

// mostSkipped bounds the names of what is not read.
const mostSkipped = 20

// other notes an object that is no Certificate: of an issuer, which ACME server it has.
func (r *reader) other(n *node, kind string) {
	name := n.textOf("metadata", "name")
	if server := n.textOf("spec", "acme", "server"); server != "" && (kind == "Issuer" || kind == "ClusterIssuer") {
		if r.m.ACMEServers == nil {
			r.m.ACMEServers = map[string]string{}
		}
		r.m.ACMEServers[kind+"/"+name] = server
	}
	if len(r.m.Skipped) < mostSkipped {
		r.m.Skipped = append(r.m.Skipped, strings.TrimSpace(printable(kind)+" "+printable(name)))
	}
}

// textOf is the text that a path of keys leads to; "" where there is none.
func (n *node) textOf(path ...string) string {
	for _, key := range path {
		e, ok := n.find(key)
		if !ok {
			return ""
		}
		n = e.value
	}
	return n.text
}

// Adopt gives a manifest of Certificates what another says of everything but services.
// other may be nil.
func (m *Manifest) Adopt(other *Manifest) {
	if other == nil {
		return
	}
	m.TrustDomain, m.ClusterDomain, m.Backend, m.Backends = other.TrustDomain, other.ClusterDomain, other.Backend, other.Backends
	m.Profiles, m.made, m.Issuers = other.Profiles, other.made, other.Issuers
	m.Defaults.Layout, m.Defaults.Backend = other.Defaults.Layout, other.Defaults.Backend
	m.Defaults.KeystorePasswordFile = other.KeystoreOf(nil) // beside the other file, if it is relative
}

func checkIssuerName(s string) string {
	kind, name, both := strings.Cut(s, "/")
	if !both {
		kind, name = "Issuer", s
	}
	if strings.Trim(kind, letters) == "" && kind != "" && checkDNS(name) == "" {
		return ""
	}
	return quote(s) + " is no issuer: its name, or its kind and name such as ClusterIssuer/mesh, is expected"
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
