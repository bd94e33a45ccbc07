package ui

// UnitFile is a file by which the renewal is run.
type UnitFile struct {
	Name      string `json:"name"`
	Text      string `json:"text"`
	Path      string `json:"path,omitempty"`
	Unchanged bool   `json:"unchanged,omitempty"`
}

// Units is the answer of units.
type Units struct {
	List []UnitFile
}

// Schema names the document.
func (Units) Schema() string { return "units" }

// Data is the list of files.
func (d Units) Data() any {
	if d.List == nil {
		return []UnitFile{}
	}
	return d.List
}

// Text says where the files are. One who wants the files themselves is given them as
// they are, and no page.
func (d Units) Text(p *Page) {
	for _, f := range d.List {
		switch {
		case f.Path == "":
			p.Say(None, Clean(f.Name))
		case f.Unchanged:
			p.Say(Good, Clean(f.Path)+" was there")
		default:
			p.Say(Good, Clean(f.Path))
		}
	}
	if n := len(d.List); n > 0 && d.List[0].Path != "" {
		last := d.List[n-1].Name
		if last == "meshpki" {
			return
		}
		p.Next("systemctl daemon-reload && systemctl enable --now " + last)
	}
}
