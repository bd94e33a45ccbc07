package ui

import (
	"fmt"
	"slices"

	"github.com/meshpki/meshpki/inspect"
)

// ocsp says an OCSP response.
func (d Inspection) ocsp(p *Page, r inspect.Report) {
	o := r.OCSP
	said := o.Status
	if o.Status == "successful" {
		said = Count(len(o.Answers), "certificate")
	}
	p.Say(worst(r.Findings), "OCSP response, "+said)
	p.Field(column, "from", Clean(o.Responder))
	if o.ProducedAt != nil {
		p.Field(column, "made", fmt.Sprintf("%s (%s)", Date(*o.ProducedAt), away(*o.ProducedAt, d.Now)))
	}
	p.Field(column, "signed", Clean(o.SignatureAlgorithm))
	for i, a := range o.Answers {
		if i == revokedShown {
			p.Field(column, "", fmt.Sprintf("and %d more", len(o.Answers)-revokedShown))
			break
		}
		text := a.Serial + " is " + a.Status
		if a.RevokedAt != nil {
			text += " since " + Date(*a.RevokedAt) + ", " + a.Reason
		}
		text += ", as of " + Date(a.ThisUpdate)
		if a.NextUpdate != nil {
			text += ", until " + Date(*a.NextUpdate)
		}
		p.Field(column, []string{"says", ""}[min(i, 1)], text)
	}
}

// endpointText says what a server shows beside its chain.
func endpointText(p *Page, r inspect.Report) {
	e := r.Endpoint
	first := "server, " + e.Protocol
	if e.Protocol == "" {
		first = "server, which ended the handshake"
	}
	p.Say(worst(r.Findings), first)
	p.Field(column, "cipher", e.CipherSuite)
	p.Field(column, "sends", Count(e.Sent, "certificate"))
	clients := "not asked for a certificate"
	if e.AsksClient {
		clients = "asked for a certificate"
		if len(e.ClientCAs) > 0 {
			clients += " from: " + cleanList(e.ClientCAs, 8)
		}
	}
	p.Field(column, "clients", clients)
	if e.Refused != "" {
		p.Field(column, "without", "one it ends the handshake: "+Clean(e.Refused))
	}
}

// setText says what the files of a directory are together.
func setText(p *Page, r inspect.Report) {
	if len(r.Consumers) == 0 {
		p.Say(worst(r.Findings), "a service's certificate, its key and what it trusts")
		return
	}
	sign := worst(r.Findings)
	if !slices.ContainsFunc(r.Consumers, func(v inspect.ConsumerVerdict) bool { return v.Loads }) {
		sign = Bad
	}
	p.Say(sign, "the CA of a mesh, as files")
}
