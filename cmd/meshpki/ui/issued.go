package ui

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// IssuedService is what came of one order.
type IssuedService struct {
	Service     string        `json:"service"`
	Namespace   string        `json:"namespace"`
	State       string        `json:"state"` // issued, fresh, planned, failed
	Reason      string        `json:"reason,omitempty"`
	SPIFFEID    string        `json:"spiffeId,omitempty"`
	NotSVID     string        `json:"notSvid,omitempty"` // why it is no X509-SVID
	DNS         []string      `json:"dnsNames,omitempty"`
	IPs         []string      `json:"ipAddresses,omitempty"`
	Emails      []string      `json:"emailAddresses,omitempty"`
	URIs        []string      `json:"uris,omitempty"`
	Subject     string        `json:"subject,omitempty"`
	Profile     string        `json:"profile,omitempty"`
	Purposes    []string      `json:"-"` // "server auth", …
	KeyType     string        `json:"keyType,omitempty"`
	Issuer      string        `json:"issuer,omitempty"`
	IssuerName  string        `json:"-"`
	Serial      string        `json:"serial,omitempty"`
	Fingerprint string        `json:"fingerprint,omitempty"`
	NotBefore   time.Time     `json:"notBefore,omitzero"`
	NotAfter    time.Time     `json:"notAfter,omitzero"`
	Due         time.Time     `json:"due,omitzero"`
	Places      []IssuedPlace `json:"places,omitempty"`
	Parts       []IssuedPart  `json:"parts,omitempty"` // of a planned one
}

// IssuedPart is one part of a certificate that would be made, and why it is so.
type IssuedPart struct {
	Part     string `json:"part"`
	Value    string `json:"value"`
	Why      string `json:"why"`
	Citation string `json:"citation,omitempty"`
}

// IssuedPlace is a place and the files in it.
type IssuedPlace struct {
	To    string   `json:"to"`
	Files []string `json:"files"`
}

// Label is the service's name for people.
func (s IssuedService) Label() string { return s.Service + "." + s.Namespace }

// Issued is the answer of issue for one service.
type Issued struct {
	Done IssuedService
	Now  time.Time
}

// Schema names the document.
func (Issued) Schema() string { return "issue" }

// Data is a list, though there is one.
func (d Issued) Data() any { return []IssuedService{d.Done} }

// Text says what was issued.
func (d Issued) Text(p *Page) {
	s := d.Done
	const column = len("subject")
	if s.SPIFFEID == "" {
		p.Line("%s%s", p.Sign(Good), p.Bold(Clean(s.Label())))
	} else {
		p.heading(Good, fmt.Sprintf("%-*s", 16, Clean(s.Label())), Clean(s.SPIFFEID))
	}
	switch s.State {
	case "fresh":
		p.Para(p.Indent(), fmt.Sprintf("nothing to do: %s; it is due %s", s.Reason, Relative(s.Due, d.Now)))
	case "issued":
		if s.Reason != "" {
			p.Para(p.Indent(), "issued again, for "+Clean(s.Reason))
		}
	case "planned":
		p.Para(p.Indent(), "this is what would be made; nothing was signed or written")
	}
	p.Field(column, "names", strings.Join(cleanAll(append(append(append([]string{}, s.DNS...), s.IPs...), s.Emails...)), ", "))
	if s.SPIFFEID == "" || len(s.URIs) > 1 {
		p.Field(column, "URIs", strings.Join(cleanAll(s.URIs), ", "))
	}
	if s.State == "planned" {
		p.Field(column, "subject", Clean(orNothing(s.Subject)))
	}
	p.Field(column, "use", useOf(s))
	if s.NotAfter.IsZero() { // planned, and not ours to say
		p.Field(column, "until", "its authority decides, and so when it is due for renewal")
	} else {
		p.Field(column, "until", fmt.Sprintf("%s (%s); due for renewal %s", Date(s.NotAfter), Span(s.NotAfter.Sub(d.Now)), Relative(s.Due, d.Now)))
	}
	if s.Serial != "" {
		p.Field(column, "serial", fmt.Sprintf("%s, signed by %s", ShortHex(s.Serial), Clean(s.IssuerName)))
	} else {
		p.Field(column, "signed", "by "+Clean(s.IssuerName))
	}
	for _, place := range s.Places {
		p.Field(column, "files", strings.Join(place.Files, ", ")+" in "+Clean(place.To))
	}
	if len(s.Parts) > 0 {
		p.Blank()
		p.Para(p.Indent(), "why each part is so:")
		for i := 0; i < len(s.Parts); i++ {
			part := s.Parts[i]
			text := Clean(part.Value)
			for ; i+1 < len(s.Parts) && s.Parts[i+1].Part == part.Part && s.Parts[i+1].Why == part.Why; i++ {
				text += ", " + Clean(s.Parts[i+1].Value)
			}
			text += ": " + Clean(part.Why)
			if part.Citation != "" {
				text += " (" + part.Citation + ")"
			}
			p.Field(len("IP address"), part.Part, text)
		}
	}
	if s.NotSVID != "" {
		p.Blank()
		p.Say(Look, "not an X509-SVID: "+s.NotSVID)
	}
}

func orNothing(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func cleanAll(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, Clean(s))
	}
	return out
}

// useOf says what a certificate is for, in words.
func useOf(s IssuedService) string {
	var words []string
	for _, purpose := range s.Purposes {
		words = append(words, strings.TrimSuffix(purpose, " auth"))
	}
	use := strings.Join(words, ", ")
	switch use {
	case "server, client", "client, server":
		use = "server and client, mutual TLS"
	case "server", "client":
		use += " only"
	}
	switch s.Profile {
	case "workload", "peer", "server", "client":
		return use
	}
	return fmt.Sprintf("%s (profile %s)", use, Clean(s.Profile))
}

// IssuedMany is the answer of issue --file, as text.
type IssuedMany struct {
	List []IssuedService
	// Count says how many services are of each state: there may be more than in the list.
	Count map[string]int
	Now   time.Time
}

// Schema names the document: the same as for one.
func (IssuedMany) Schema() string { return "issue" }

// Data is the list.
func (d IssuedMany) Data() any {
	if d.List == nil {
		return []IssuedService{}
	}
	return d.List
}

// IssuedStream is the same answer as JSON, written while it comes about.
type IssuedStream struct {
	w     *bufio.Writer
	begun bool
	err   error
}

// NewIssuedStream begins an answer; nothing is written before its first service.
func NewIssuedStream(w io.Writer) *IssuedStream { return &IssuedStream{w: bufio.NewWriter(w)} }

// Add writes a service.
func (s *IssuedStream) Add(d IssuedService) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("    ", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(d)
	text := ",\n    "
	if !s.begun {
		text, s.begun = "{\n  \"schema\": \"meshpki/issue/v1\",\n  \"data\": [\n    ", true
	}
	_, writeErr := s.w.WriteString(text + string(bytes.TrimRight(escapeJSON(b.Bytes()), "\n")))
	s.err = cmp.Or(s.err, err, writeErr)
}

// End finishes the answer.
func (s *IssuedStream) End() error {
	text := "\n  ]\n}\n"
	if !s.begun {
		text = "{\n  \"schema\": \"meshpki/issue/v1\",\n  \"data\": []\n}\n"
	}
	_, err := s.w.WriteString(text)
	if s.err = cmp.Or(s.err, err, s.w.Flush()); s.err != nil {
		return fmt.Errorf("write to standard output: %w", s.err)
	}
	return nil
}

// besideName is how many columns stand beside a name in the table of issue --file:
// "  planned  until 2026-12-21 12:00 UTC".
const besideName = 2 + len("planned") + 2 + len("until 2026-12-21 12:00 UTC")

// mostPlanned is how many planned ones are shown whole.
const mostPlanned = 10

// planned shows of each certificate that would be made what it is, and why; where there
// are many, it says how that is seen.
func (d IssuedMany) planned(p *Page) {
	if n := d.Count["planned"]; n > mostPlanned {
		p.Blank()
		p.Para(p.Indent(), "--json shows of each what it would be, and why each part of it is so")
		return
	}
	for _, s := range d.List {
		if s.State == "planned" {
			p.Blank()
			Issued{Done: s, Now: d.Now}.Text(p)
		}
	}
}

// Text is a table, the failed first.
func (d IssuedMany) Text(p *Page) {
	count := d.Count
	var failed, rows []Row
	for _, s := range d.List {
		name := p.shorten(Clean(s.Label()), p.width-p.Indent()-besideName)
		cells := []string{name, s.State}
		switch s.State {
		case "failed":
			failed = append(failed, Row{Bad, []string{name, Clean(s.Reason)}})
			continue
		case "fresh":
			cells = append(cells, "due "+Relative(s.Due, d.Now))
		default:
			until := "until " + Date(s.NotAfter)
			if s.NotAfter.IsZero() {
				until = "until its authority decides"
			}
			cells = append(cells, until)
		}
		rows = append(rows, Row{Good, cells})
	}
	var parts []string
	listed := 0
	for _, state := range []string{"issued", "delivered", "planned", "fresh", "failed"} {
		listed += count[state]
		if count[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[state], state))
		}
	}
	if len(parts) == 0 {
		parts = []string{"the manifest has no services"}
	}
	p.Para(p.Indent(), strings.Join(parts, ", "))
	if len(failed) > 0 {
		p.Blank()
		for _, r := range failed {
			p.Say(r.Sign, r.Cells[0]+": "+r.Cells[1])
		}
	}
	if len(rows) > 0 {
		p.Blank()
		p.Table(rows)
	}
	d.planned(p)
	if listed > len(d.List) {
		p.Blank()
		p.Para(p.Indent(), "too many for a list: --json has all of them")
	}
}
