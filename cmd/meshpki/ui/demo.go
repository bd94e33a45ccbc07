package ui

import (
	"fmt"
	"time"
)

// DemoCall is one call of the demonstration.
type DemoCall struct {
	What     string `json:"call"`
	Wanted   bool   `json:"wanted"` // whether it is to be accepted
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason"`
}

// Demo is what the demonstration showed.
type Demo struct {
	Authorities []Authority
	Services    []IssuedService
	Calls       []DemoCall
	Now         time.Time
}

// Schema names the document.
func (Demo) Schema() string { return "demo" }

// Data is everything that was made and tried.
func (d Demo) Data() any {
	return struct {
		Authorities []Authority     `json:"authorities"`
		Services    []IssuedService `json:"services"`
		Calls       []DemoCall      `json:"calls"`
	}{d.Authorities, d.Services, d.Calls}
}

// Text tells it in order.
func (d Demo) Text(p *Page) {
	p.Para(0, "1. an authority, in a temporary directory")
	var rows []Row
	for _, a := range d.Authorities {
		rows = append(rows, a.row(d.Now))
	}
	p.Table(rows)
	p.Blank()
	p.Para(0, "2. two services, each with a certificate and an HTTPS server")
	rows = nil
	for _, s := range d.Services {
		rows = append(rows, Row{Good, []string{Clean(s.Service), Clean(s.SPIFFEID), "30 days"}})
		rows[len(rows)-1].Cells[2] = Span(s.NotAfter.Sub(d.Now))
	}
	p.Table(rows)
	p.Blank()
	p.Para(0, "3. mutual TLS between them")
	d.calls(p, true)
	p.Blank()
	p.Para(0, "4. the calls that must fail")
	d.calls(p, false)
	p.Blank()
	p.Para(0, "Nothing of this is left. To make an authority of your own, in ./pki:")
	p.Blank()
	p.Command(2, "meshpki ca init")
	p.Command(2, "meshpki issue --service payment")
	p.Command(2, "meshpki verify pki/services/default/payment/tls.crt")
}

// calls says those calls that were to be accepted, or those that were not.
func (d Demo) calls(p *Page, wanted bool) {
	var rows []Row
	for _, c := range d.Calls {
		if c.Wanted != wanted {
			continue
		}
		sign, answer := Good, "refused"
		if c.Accepted {
			answer = "accepted"
		}
		if c.Accepted != c.Wanted {
			sign = Bad
		}
		rows = append(rows, Row{sign, []string{c.What, fmt.Sprintf("%-8s", answer), Clean(c.Reason)}})
	}
	p.Table(rows)
}
