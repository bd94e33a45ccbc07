package ui

import (
	"fmt"
	"time"
)

// NeedsRenewal is the answer of needs-renewal.
type NeedsRenewal struct {
	Source   string
	Subject  string
	Due      bool
	Reason   string
	At       time.Time
	NotAfter time.Time
	Now      time.Time
}

// Schema names the document.
func (NeedsRenewal) Schema() string { return "needs-renewal" }

// Data is a list of one.
func (d NeedsRenewal) Data() any {
	return []any{struct {
		Source   string    `json:"source"`
		Subject  string    `json:"subject"`
		Due      bool      `json:"due"`
		Reason   string    `json:"reason"`
		DueAt    time.Time `json:"dueAt"`
		NotAfter time.Time `json:"notAfter"`
	}{d.Source, d.Subject, d.Due, d.Reason, d.At.UTC(), d.NotAfter}}
}

// Text answers, and says why.
func (d NeedsRenewal) Text(p *Page) {
	if d.Due {
		p.Say(Look, Clean(d.Source)+" is due for renewal: "+d.Reason)
	} else {
		p.Say(Good, Clean(d.Source)+" is not due: "+d.Reason)
	}
	p.Field(column, "subject", Clean(d.Subject))
	if !d.Due || !d.At.After(d.Now) { // else something other than time has made it due
		p.Field(column, "due", fmt.Sprintf("%s (%s)", Date(d.At), Relative(d.At, d.Now)))
	}
	p.Field(column, "until", fmt.Sprintf("%s (%s)", Date(d.NotAfter), Relative(d.NotAfter, d.Now)))
}

// LogEntry is one entry of the ledger.
type LogEntry struct {
	Kind        string    `json:"kind"`
	At          time.Time `json:"at"`
	Serial      string    `json:"serial,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	Issuer      string    `json:"issuer,omitempty"`
	Service     string    `json:"service,omitempty"`
	Namespace   string    `json:"namespace,omitempty"`
	NotAfter    time.Time `json:"notAfter,omitzero"`
	State       string    `json:"state,omitempty"` // valid, expired, revoked
	Fingerprint string    `json:"fingerprint,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Number      string    `json:"number,omitempty"`
	SHA256      string    `json:"sha256,omitempty"`
	Note        string    `json:"note,omitempty"`
}

// Log is the answer of log show.
type Log struct {
	Entries []LogEntry
	Now     time.Time
}

// Schema names the document.
func (Log) Schema() string { return "log" }

// Data is the list of entries.
func (d Log) Data() any {
	if d.Entries == nil {
		return []LogEntry{}
	}
	return d.Entries
}

// Text is a table.
func (d Log) Text(p *Page) {
	if len(d.Entries) == 0 {
		p.Para(p.Indent(), "no entries")
		return
	}
	var rows []Row
	for _, e := range d.Entries {
		who := Clean(e.Subject)
		if e.Service != "" {
			who = Clean(e.Service + "." + e.Namespace)
		}
		sign, state := None, e.State
		if e.State == "revoked" || e.State == "expired" {
			sign = Look
		}
		what := ShortHex(e.Serial)
		switch e.Kind {
		case "revocation":
			state = e.Reason
		case "crl":
			what, who, state = ShortHex(e.SHA256), Clean(e.Issuer), "number "+Clean(e.Number)
		}
		rows = append(rows, Row{sign, []string{Date(e.At), e.Kind, what, who, state}})
	}
	p.Table(rows)
}

// LogVerified is the answer of log verify.
type LogVerified struct {
	Entries      int      `json:"entries"`
	Certificates int      `json:"certificates"`
	Since        int64    `json:"since,omitempty"` // entries that a checkpoint kept elsewhere covers
	Problems     []string `json:"problems"`
}

// Schema names the document.
func (LogVerified) Schema() string { return "log-verify" }

// Data is the answer itself.
func (d LogVerified) Data() any {
	if d.Problems == nil {
		d.Problems = []string{}
	}
	return d
}

// Text answers first.
func (d LogVerified) Text(p *Page) {
	if len(d.Problems) == 0 {
		p.Say(Good, fmt.Sprintf("the ledger is whole: %d entries; %s under care, all recorded", d.Entries, Count(d.Certificates, "certificate")))
		if d.Since > 0 {
			p.Para(p.Indent(), fmt.Sprintf("the first %d are those of the checkpoint kept elsewhere", d.Since))
		}
		return
	}
	p.Say(Bad, "the ledger is not what was written")
	for _, problem := range d.Problems {
		p.Para(p.Indent(), Clean(problem))
	}
}
