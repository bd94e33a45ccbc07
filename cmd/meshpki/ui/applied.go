package ui

// Applied is the answer of apply: that of a pass, and what was removed.
type Applied struct {
	Renewal
	Manifest bool // whether there is one
}

// Schema names the document.
func (Applied) Schema() string { return "apply" }

// Text says what was done.
func (d Applied) Text(p *Page) {
	d.Renewal.Text(p)
	for _, s := range d.List {
		if s.State == "removed" {
			p.Blank()
			p.Para(p.Indent(), "nothing was revoked: where a copy of a removed key may be in use, meshpki revoke ends that")
			break
		}
	}
	if !d.Manifest {
		p.Blank()
		p.Para(p.Indent(), "there is no manifest: only what has been issued was gone over")
	}
}
