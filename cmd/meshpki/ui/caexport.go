package ui

import "fmt"

// ExportFile is a file that a consumer loads.
type ExportFile struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Secret bool   `json:"secret"`
}

// ExportStep is a step towards mutual TLS that is mandatory.
type ExportStep struct {
	File string `json:"file"`
	Says string `json:"says"`
}

// CAExported is the answer of ca export.
type CAExported struct {
	Consumer    string       `json:"consumer"`
	Title       string       `json:"-"`
	Authority   string       `json:"authority,omitempty"`
	Scheme      string       `json:"scheme"`
	Fingerprint string       `json:"fingerprint,omitempty"`
	Roots       []string     `json:"roots"`
	Recorded    string       `json:"recorded,omitempty"`
	Change      string       `json:"change"`
	Files       []ExportFile `json:"files"`
	Restarts    []string     `json:"restarts"`
	Enforce     []ExportStep `json:"enforce,omitempty"`
	Dir         string       `json:"-"`
}

// Schema names the document.
func (CAExported) Schema() string { return "ca-export" }

// Data is what was handed out, and what has to follow; no key is in it.
func (d CAExported) Data() any { return d }

// changes say what is new, by its name.
var exportChanges = map[string]string{
	"first": "handed out for the first time", "none": "the same as before", "scheme": "the same as before, in another form", "issuer": "another CA under the same roots",
	"superset": "the old roots and new ones", "subset": "fewer of the old roots", "roots": "other roots than before",
}

// Text says what was handed out, and what has to follow.
func (d CAExported) Text(p *Page) {
	what := d.Authority
	if what == "" {
		what = "the upstream authority " + d.Scheme
	}
	words := exportChanges[d.Change]
	if d.Recorded == "" {
		words = "how to reach it, and nothing of this directory"
	}
	p.Say(Good, fmt.Sprintf("%s for %s: %s", Clean(what), d.Title, words))
	for _, f := range d.Files {
		text := Clean(f.Path)
		if f.Secret {
			text += " (secret)"
		}
		p.Field(column, "file", text)
	}
	p.Field(column, "sha256", d.Fingerprint)
	if d.Recorded != "" {
		p.Field(column, "recorded", "as "+Clean(d.Recorded)+"; a rotation of the root waits for it")
	}
	p.Blank()
	p.Para(p.Indent(), "To take hold:")
	for _, r := range d.Restarts {
		p.Para(p.Indent()+2, r)
	}
	for i, s := range d.Enforce {
		p.Blank()
		p.Para(p.Indent(), fmt.Sprintf("Mandatory, step %d, %s:", i+1, s.File))
		p.Para(p.Indent()+2, s.Says)
	}
}
