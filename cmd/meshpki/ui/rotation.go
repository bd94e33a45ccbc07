package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rotation is how far the rotation of a root is: the answer of every command of ca
// rotate root.
type Rotation struct {
	Did   string    `json:"did,omitempty"` // started, advanced, refused, finished, aborted; nothing for status
	Phase string    `json:"phase"`         // none, overlap, switch, drop
	Since time.Time `json:"since,omitzero"`
	Old   string    `json:"old,omitempty"`
	New   string    `json:"new,omitempty"`
	// Ready says that the next phase can begin.
	Ready bool `json:"ready"`
	// Services is how many were looked at; Places are those that have not come along.
	Services int              `json:"services"`
	Places   []RotationPlace  `json:"places,omitempty"`
	Exports  []RotationExport `json:"exports,omitempty"`
	// Leaves still lead to the old root alone, where they are kept elsewhere.
	Leaves     []RotationLeaf `json:"leaves,omitempty"`
	PossibleAt time.Time      `json:"possibleAt,omitzero"`
	Dir        string         `json:"-"`
	Now        time.Time      `json:"-"`
}

// RotationPlace is a service that has not come along, and why.
type RotationPlace struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// RotationExport is what was handed out and is something else by now.
type RotationExport struct {
	Name      string    `json:"name"`
	Authority string    `json:"authority,omitempty"`
	At        time.Time `json:"at"`
	Seen      bool      `json:"seen"`
}

// RotationLeaf is a certificate that is still good and in no place under care.
type RotationLeaf struct {
	Serial    string    `json:"serial"`
	Service   string    `json:"service,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	NotAfter  time.Time `json:"notAfter"`
}

// Schema names the document.
func (Rotation) Schema() string { return "ca-rotate-root" }

// Data is all of it.
func (d Rotation) Data() any {
	return struct {
		Rotation
		Next string `json:"next"`
	}{d, d.next()}
}

// what each phase means for bundle and chains.
func phaseMeans(phase string) string {
	switch phase {
	case "overlap":
		return "the bundle has both roots, chains are as they were"
	case "switch":
		return "the bundle has both roots, chains lead to the new one and on to the old"
	case "drop":
		return "the bundle has the new root alone"
	}
	return ""
}

// mostLines bounds what a list shows of one kind.
const mostLines = 20

// Text says where it stands, what is missing, and what to do next.
func (d Rotation) Text(p *Page) {
	d.headline(p)
	if d.Phase == "none" {
		p.Next(d.next())
		return
	}
	p.Field(column, "phase", d.Phase+": "+phaseMeans(d.Phase))
	p.Field(column, "since", fmt.Sprintf("%s (%s)", Date(d.Since), Relative(d.Since, d.Now)))
	p.Field(column, "services", fmt.Sprintf("%d of %d have come along", d.Services-len(d.Places), d.Services))
	d.missing(p)
	d.elsewhere(p)
	p.Next(d.next())
}

func (d Rotation) headline(p *Page) {
	switch d.Did {
	case "started":
		p.Say(Good, fmt.Sprintf("%s is there beside %s, and both are to be trusted", d.New, d.Old))
	case "advanced":
		p.Say(Good, fmt.Sprintf("the rotation from %s to %s goes on: %s", d.Old, d.New, d.Phase))
	case "refused":
		p.Say(Bad, fmt.Sprintf("the rotation from %s to %s stays where it is: %s", d.Old, d.New, d.lacks()))
	case "finished":
		p.Say(Good, fmt.Sprintf("%s has taken the place of %s, which is retired", d.New, d.Old))
	case "aborted":
		p.Say(Good, fmt.Sprintf("the rotation is taken back: %s is the root, and %s is gone", d.Old, d.New))
	default:
		if d.Phase == "none" {
			p.Say(None, "no root is being rotated")
			return
		}
		sign, text := Good, "ready for the next phase"
		if !d.Ready {
			sign, text = Look, d.lacks()
		}
		p.Say(sign, fmt.Sprintf("%s takes the place of %s: %s", d.New, d.Old, text))
	}
}

// lacks says in one line what the next phase waits for.
func (d Rotation) lacks() string {
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, one)
		case n > 1:
			parts = append(parts, fmt.Sprintf(many, n))
		}
	}
	add(len(d.Places), "a service has not come along", "%d services have not come along")
	add(len(d.unseen()), "an export has not been seen to", "%d exports have not been seen to")
	if d.Phase == "switch" {
		add(len(d.Leaves), "a certificate elsewhere needs the old root", "%d certificates elsewhere need the old root")
	}
	return strings.Join(parts, ", ")
}

func (d Rotation) unseen() []string {
	var out []string
	for _, e := range d.Exports {
		if !e.Seen {
			out = append(out, e.Name)
		}
	}
	return out
}

// missing lists the services and exports that have not come along.
func (d Rotation) missing(p *Page) {
	var rows []Row
	for _, s := range d.Places {
		rows = append(rows, Row{Look, []string{Clean(s.Name), Clean(s.Reason)}})
	}
	for _, e := range d.Exports {
		what, sign := "handed out "+Relative(e.At, d.Now)+", something else by now", Look
		if e.Seen {
			what, sign = "seen to", Good
		}
		rows = append(rows, Row{sign, []string{Clean(e.Name), what}})
	}
	p.table(rows)
}

// elsewhere lists the certificates that still need the old root.
func (d Rotation) elsewhere(p *Page) {
	if len(d.Leaves) == 0 {
		return
	}
	var rows []Row
	sign := None
	if d.Phase == "switch" {
		sign = Look
	}
	for _, l := range d.Leaves {
		name := "no service"
		if l.Service != "" {
			name = l.Service + "." + l.Namespace
		}
		rows = append(rows, Row{sign, []string{Clean(name), "serial " + ShortHex(l.Serial), "until " + Date(l.NotAfter)}})
	}
	p.Blank()
	p.Para(p.Indent(), "Good, and in no place under care: before the old root is dropped these have to end, or be revoked.")
	p.table(rows)
	if !d.PossibleAt.IsZero() {
		p.Blank()
		p.Para(p.Indent(), fmt.Sprintf("That is on %s (%s).", Date(d.PossibleAt), Relative(d.PossibleAt, d.Now)))
	}
}

// table is a table of which not all may be shown.
func (p *Page) table(rows []Row) {
	if len(rows) == 0 {
		return
	}
	p.Blank()
	p.Table(rows[:min(len(rows), mostLines)])
	if more := len(rows) - mostLines; more > 0 {
		p.Para(p.Indent(), fmt.Sprintf("and %d more; --json lists all", more))
	}
}

// next is the command to be given next.
func (d Rotation) next() string {
	advance := "meshpki ca rotate root advance" + DirFlag(d.Dir)
	switch unseen := d.unseen(); {
	case d.Did == "aborted", d.Did == "finished", len(d.Places) > 0:
		return "meshpki renew" + DirFlag(d.Dir)
	case d.Phase == "none":
		return "meshpki ca rotate root start" + DirFlag(d.Dir)
	case len(unseen) > 0 && d.export(unseen[0]) == "":
		return fmt.Sprintf("meshpki ca bundle --record %s%s", unseen[0], DirFlag(d.Dir))
	case len(unseen) > 0:
		return advance + " --seen " + unseen[0]
	}
	return advance
}

// export is the authority that was handed out; "" where it was the bundle alone.
func (d Rotation) export(name string) string {
	i := slices.IndexFunc(d.Exports, func(e RotationExport) bool { return e.Name == name })
	return d.Exports[i].Authority
}

// IntermediateRotated is the answer of ca rotate intermediate.
type IntermediateRotated struct {
	Old      string    `json:"old"`
	New      Authority `json:"new"`
	LastLeaf time.Time `json:"lastLeaf,omitzero"` // when the last certificate of the old one ends
	Explicit []string  `json:"explicit,omitempty"`
	Dir      string    `json:"-"`
	Now      time.Time `json:"-"`
}

// Schema names the document.
func (IntermediateRotated) Schema() string { return "ca-rotate-intermediate" }

// Data is all of it.
func (d IntermediateRotated) Data() any { return d }

// Text says what there is now, and what becomes of the one before.
func (d IntermediateRotated) Text(p *Page) {
	p.Table([]Row{d.New.row(d.Now)})
	p.Para(p.Indent(), fmt.Sprintf("%s takes the place of %s.", d.New.Name, d.Old))
	if d.LastLeaf.IsZero() {
		p.Para(p.Indent(), d.Old+" has signed nothing that is still good.")
	} else {
		p.Para(p.Indent(), fmt.Sprintf("%s stays in the chains of what it has signed, until %s at most.", d.Old, Date(d.LastLeaf)))
	}
	if len(d.Explicit) > 0 {
		p.Blank()
		p.Say(Look, fmt.Sprintf("local:%s is named for %s: they stay with it until their order says something else.", d.Old, List(d.Explicit, 5)))
	}
	warnUnencrypted(p, []Authority{d.New}, d.Dir)
	if d.LastLeaf.IsZero() && len(d.Explicit) == 0 {
		p.Next("meshpki ca rotate intermediate --retire " + d.Old + DirFlag(d.Dir))
		return
	}
	p.Next("meshpki renew" + DirFlag(d.Dir))
}

// IntermediateRetired is the answer of ca rotate intermediate --retire.
type IntermediateRetired struct {
	Name      string   `json:"name"`
	Successor string   `json:"successor"`
	Key       KeyPlace `json:"key"` // where the key was
	Dir       string   `json:"-"`
}

// Schema names the document.
func (IntermediateRetired) Schema() string { return "ca-retire-intermediate" }

// Data is all of it.
func (d IntermediateRetired) Data() any { return d }

// Text says what is gone.
func (d IntermediateRetired) Text(p *Page) {
	p.Say(Good, fmt.Sprintf("%s is retired: %s has taken its place", d.Name, d.Successor))
	switch {
	case d.Key.URI != "":
		p.Para(p.Indent(), "Its key is still at "+Clean(d.Key.URI)+": take it away there.")
	case d.Key.Here:
		p.Para(p.Indent(), "Its key is gone; a copy of it elsewhere is for you to destroy.")
	default:
		p.Para(p.Indent(), "Its key is not in this directory: destroy it where it is.")
	}
}

// sayRotations says which authorities have been replaced, or are being.
func sayRotations(p *Page, list []Authority, now time.Time) {
	for _, a := range list {
		var text string
		switch a.Rotation {
		case "root-new":
			text = a.Name + " is taking the place of the root"
		case "root-old":
			text = a.Name + " is being replaced"
		case "root-retired":
			text = a.Name + " is retired: it is not trusted any more"
		case "retiring":
			text = fmt.Sprintf("%s is retiring: %s has taken its place, and the last certificate of it ends %s", a.Name, a.Successor, Relative(a.LastLeaf, now))
		case "spent":
			text = fmt.Sprintf("%s has been replaced by %s, and nothing that it signed is good any more", a.Name, a.Successor)
		case "retired":
			text = fmt.Sprintf("%s is retired: %s has taken its place", a.Name, a.Successor)
		default:
			continue
		}
		p.Blank()
		p.Para(p.Indent(), text)
		if a.Rotation == "spent" && a.Todo != "" {
			p.Next(a.Todo)
		}
		if a.Rotation == "root-new" {
			p.Next("meshpki ca rotate root status")
		}
	}
}
