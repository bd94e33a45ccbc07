package ui

import (
	"fmt"
	"strings"

	"github.com/meshpki/meshpki/inspect"
)

// branches are the lines of a tree, for a reader with UTF-8 and without.
type branches struct{ on, last, down, gap string }

func (p *Page) branches() branches {
	if p.utf8 {
		return branches{"├─ ", "└─ ", "│  ", "   "}
	}
	return branches{"|- ", "`- ", "|  ", "   "}
}

// deepestBranch is how far a tree is drawn: below it, only the number is said.
const deepestBranch = 12

// family draws who signed whom.
func (d Inspection) family(p *Page) {
	if len(d.Family) == 0 {
		p.Say(None, "there is no certificate here that can be read, and so no tree to draw")
	}
	for _, k := range d.Family {
		p.Blank()
		if k.Above != "" {
			p.Para(p.Indent(), "signed by "+name(k.Above)+", which is not here:")
		}
		p.branch("", p.kinSign(d, k), d.kin(k), d.kinSource(k))
		d.below(p, k, strings.Repeat(" ", p.Indent()), 1)
	}
}

// below draws what a certificate signed.
func (d Inspection) below(p *Page, k *inspect.Kin, lead string, depth int) {
	b := p.branches()
	for i, child := range k.Below {
		on, down := b.on, b.down
		if i == len(k.Below)-1 {
			on, down = b.last, b.gap
		}
		if depth > deepestBranch {
			p.Line("%s%s%s more below", lead, b.last, Count(len(k.Below), "certificate"))
			return
		}
		p.branch(lead+on, p.kinSign(d, child), d.kin(child), d.kinSource(child))
		d.below(p, child, lead+down, depth+1)
	}
}

// kinSign is the sign for how a certificate stands to now.
func (p *Page) kinSign(d Inspection, k *inspect.Kin) string {
	if d.Now.After(k.Certificate.NotAfter) || d.Now.Before(k.Certificate.NotBefore) {
		return p.Sign(Bad)
	}
	return p.Sign(Good)
}

// kin says a certificate in a line.
func (d Inspection) kin(k *inspect.Kin) string {
	r := inspect.Describe("", inspect.Object{Kind: inspect.KindCertificate, Certificate: k.Certificate}, d.Now)
	text := Clean(r.Certificate.Name) + ", " + certificateRole(r.Certificate) + ", " + d.validity(r.Certificate.Validity)
	if len(k.KeySources) > 0 {
		text += ", with its key"
	}
	if k.CRLs > 0 {
		text += ", " + Count(k.CRLs, "CRL")
	}
	return text
}

// kinSource says where a certificate was found.
func (d Inspection) kinSource(k *inspect.Kin) string {
	more := ""
	if len(k.Sources) > 1 {
		more = fmt.Sprintf(" (+%d)", len(k.Sources)-1)
	}
	return "[" + Clean(k.Sources[0]) + more + "]"
}

// branch writes a line of the tree, with the source where there is room for it.
func (p *Page) branch(lead, sign, text, source string) {
	if p.widthOf(lead)+p.Indent()+p.widthOf(text+" "+source) <= p.width {
		text += " " + source
	}
	p.Line("%s%s%s", lead, sign, text)
}

// consumers says which meshes would load a CA certificate, and why others would not.
func (p *Page) consumers(list []inspect.ConsumerVerdict) {
	var good []string
	for _, v := range list {
		if v.Loads {
			good = append(good, consumerNames[v.Consumer])
		}
	}
	if len(good) > 0 {
		p.Field(column, "loaded", fmt.Sprintf("as %s by %s", consumerParts[list[0].As], strings.Join(good, ", ")))
	}
	for _, v := range list {
		for _, f := range v.Findings {
			p.Field(column, "not by", fmt.Sprintf("%s: %s (%s)", consumerNames[v.Consumer], Clean(f.Message), f.Rule))
		}
	}
}

var (
	consumerNames = map[string]string{"istio": "Istio", "linkerd": "Linkerd", "dapr": "Dapr", "kuma": "Kuma", "spire": "SPIRE"}
	consumerParts = map[string]string{inspect.AsIssuer: "an issuer", inspect.AsAnchor: "a trust anchor"}
)
