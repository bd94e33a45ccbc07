package ui

// PublishedObject is an object of a cluster in which the roots are.
type PublishedObject struct {
	To      string `json:"to"` // configmap:prod/mesh-roots
	Changed bool   `json:"changed"`
}

// Published is the answer of ca bundle --publish.
type Published struct {
	List  []PublishedObject
	Roots []string // their fingerprints
}

// Schema names the document.
func (Published) Schema() string { return "published" }

// Data is the list of objects.
func (d Published) Data() any {
	if d.List == nil {
		return []PublishedObject{}
	}
	return d.List
}

// Text says which were changed.
func (d Published) Text(p *Page) {
	for _, o := range d.List {
		if o.Changed {
			p.Say(Good, Clean(o.To)+" has "+Count(len(d.Roots), "root")+" now")
		} else {
			p.Say(Good, Clean(o.To)+" has "+Count(len(d.Roots), "root")+" already; nothing was changed")
		}
	}
}
