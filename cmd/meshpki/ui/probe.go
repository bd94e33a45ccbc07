package ui

import (
	"strings"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// The attempts of a probe.
const (
	ProbeNone     = "none"
	ProbeStranger = "stranger"
	ProbeExpired  = "expired"
	ProbeOther    = "other"
	ProbeRight    = "right"
)

// Probe says what a server serves, and what it did with each client.
type Probe struct {
	Endpoint string
	Served   inspect.Report
	Chain    []inspect.Report
	Trust    *inspect.Result // by the roots that were named; nil without any
	Attempts []ProbeAttempt
	Now      time.Time
}

// ProbeAttempt is one client, and what came of it.
type ProbeAttempt struct {
	Attempt    string          `json:"attempt"`
	Identity   string          `json:"identity,omitempty"` // that of its certificate
	Minted     bool            `json:"minted"`             // it was made for this
	Outcome    inspect.Outcome `json:"outcome"`
	Asked      bool            `json:"asked"`           // the server asked for a certificate
	Sent       bool            `json:"sent"`            // the certificate went out
	Stage      string          `json:"stage,omitempty"` // how far it came
	Said       string          `json:"said,omitempty"`  // what the server did
	Protocol   string          `json:"protocol,omitempty"`
	HTTPStatus int             `json:"httpStatus,omitempty"`
}

// Tried takes down what the server did.
func (a *ProbeAttempt) Tried(t *inspect.Trial) {
	a.Sent, a.Stage, a.Said, a.Protocol, a.HTTPStatus, a.Asked = t.Sent, t.Stage, t.Said(), t.Protocol, t.Status, t.Asked
}

// probeData is the document for programs.
type probeData struct {
	Endpoint  string                `json:"endpoint"`
	Server    inspect.EndpointFacts `json:"server"`
	Chain     []inspect.Report      `json:"chain"`
	Trusted   *bool                 `json:"trusted,omitempty"` // by --roots
	Attempts  []ProbeAttempt        `json:"attempts"`
	MutualTLS string                `json:"mutualTLS"` // one of the constants
	// IdentityChecked tells whether the wrong identity was refused, where that can be told.
	IdentityChecked *bool             `json:"identityChecked,omitempty"`
	Findings        []inspect.Finding `json:"findings"`
}

// What a probe says of mutual TLS.
const (
	MutualEnforced = "enforced"
	MutualNot      = "not enforced"
	MutualUnknown  = "unknown"
)

// Schema names the document.
func (d Probe) Schema() string { return "probe" }

// Data is a list of one.
func (d Probe) Data() any {
	data := probeData{Endpoint: d.Endpoint, Chain: d.Chain, Attempts: d.Attempts,
		MutualTLS: d.mutual(), Findings: d.Served.Findings}
	if d.Served.Endpoint != nil {
		data.Server = *d.Served.Endpoint
	}
	if d.Trust != nil {
		data.Trusted = &d.Trust.Trusted
		data.Findings = append(data.Findings, d.Trust.Findings...)
	}
	switch checked := true; d.outcome(ProbeOther) {
	case inspect.Refused:
		data.IdentityChecked = &checked
	case inspect.Accepted:
		checked = false
		data.IdentityChecked = &checked
	}
	return []probeData{data}
}

func (d Probe) outcome(attempt string) inspect.Outcome {
	for _, a := range d.Attempts {
		if a.Attempt == attempt {
			return a.Outcome
		}
	}
	return inspect.NotTried
}

// mutual is the answer: enforced where nobody without a good certificate gets in.
func (d Probe) mutual() string {
	said := MutualEnforced
	for _, attempt := range []string{ProbeNone, ProbeStranger, ProbeExpired} {
		switch d.outcome(attempt) {
		case inspect.Accepted:
			return MutualNot
		case inspect.Untold:
			said = MutualUnknown
		}
	}
	return said
}

// Good tells whether all is as it should be: mutual TLS is enforced, the right one gets
// in, an identity that was named as wrong does not, and the chain is trusted.
func (d Probe) Good() bool {
	for _, a := range d.Attempts {
		switch {
		case a.Attempt == ProbeRight && (a.Outcome == inspect.Refused || a.Outcome == inspect.Untold):
			return false
		case a.Attempt == ProbeOther && !a.Minted && a.Outcome == inspect.Accepted:
			return false
		}
	}
	return d.mutual() == MutualEnforced && (d.Trust == nil || d.Trust.Trusted)
}

// probeLabels are the attempts as a person reads them.
var probeLabels = map[string]string{ProbeNone: "no certificate", ProbeStranger: "unknown authority", ProbeExpired: "expired certificate",
	ProbeOther: "wrong identity", ProbeRight: "right certificate"}

// Text says the chain, each attempt, and the answer.
func (d Probe) Text(p *Page) {
	names := make([]string, len(d.Chain))
	for i, r := range d.Chain {
		names[i] = Clean(r.Certificate.Name)
	}
	text := strings.Join(names, " ← ")
	if last := d.Chain[len(d.Chain)-1].Certificate; last.SelfSigned {
		text += " (root sent)"
	} else {
		text += " (root not sent)"
	}
	if protocol := d.Served.Endpoint.Protocol; protocol != "" {
		text += ", " + protocol
	}
	p.Field(column, "chain", text)
	if len(d.Served.Endpoint.ClientCAs) > 0 {
		p.Field(column, "asks for", "certificates of "+cleanList(d.Served.Endpoint.ClientCAs, 4))
	}
	for _, f := range d.Served.Findings {
		if f.Severity != inspect.SeverityInfo {
			p.finding(p.Indent(), f)
		}
	}
	if d.Trust != nil && !d.Trust.Trusted {
		for _, f := range d.Trust.Findings {
			p.finding(p.Indent(), f)
		}
	}
	var rows []Row
	for _, a := range d.Attempts {
		rows = append(rows, a.row())
	}
	p.Table(rows)
	p.Blank()
	p.Say(d.sign(), d.answer())
}

// row says one attempt.
func (a ProbeAttempt) row() Row {
	r := Row{None, []string{probeLabels[a.Attempt], string(a.Outcome), Clean(a.Said)}}
	wanted := inspect.Refused
	if a.Attempt == ProbeRight {
		wanted = inspect.Accepted
	}
	switch a.Outcome {
	case wanted:
		r.Sign = Good
	case inspect.NotTried:
		r.Cells = r.Cells[:2]
	case inspect.Untold:
		r.Sign = Look
	default:
		if r.Sign = Bad; a.Attempt == ProbeOther && a.Minted {
			r.Sign = Look
		}
		r.Cells[1] = strings.ToUpper(string(a.Outcome))
	}
	if a.Outcome != inspect.NotTried && a.Identity != "" && (a.Attempt == ProbeOther || a.Attempt == ProbeRight) {
		r.Cells = append(r.Cells, Clean(a.Identity))
	}
	return r
}

func (d Probe) sign() Sign {
	switch {
	case !d.Good() && d.mutual() == MutualUnknown:
		return Look
	case !d.Good():
		return Bad
	case d.outcome(ProbeOther) == inspect.Accepted:
		return Look
	}
	return Good
}

// answer is the last line.
func (d Probe) answer() string {
	if d.Trust != nil && !d.Trust.Trusted {
		return "the chain that is served is not trusted by the roots that were named"
	}
	switch d.outcome(ProbeRight) {
	case inspect.Refused:
		return "the right certificate is refused"
	case inspect.Untold:
		return "the right certificate is not answered: nothing can be told by it"
	}
	switch {
	case !d.asks():
		return "mutual TLS is off: no certificate is asked for"
	case d.outcome(ProbeNone) == inspect.Accepted:
		return "mutual TLS is not enforced: a client without a certificate gets in"
	case d.outcome(ProbeStranger) == inspect.Accepted:
		return "mutual TLS is not enforced: a certificate of any authority gets in"
	case d.outcome(ProbeExpired) == inspect.Accepted:
		return "mutual TLS is on, but an expired certificate gets in"
	case d.mutual() == MutualUnknown:
		return "it cannot be told whether mutual TLS is enforced: --cert and --key, or --mint, give the right certificate to compare with"
	case d.outcome(ProbeOther) == inspect.Accepted:
		return "mutual TLS is on, but any certificate of this CA gets in"
	}
	return "mutual TLS is enforced"
}

// asks tells whether the server asked any client for a certificate.
func (d Probe) asks() bool {
	for _, a := range d.Attempts {
		if a.Asked {
			return true
		}
	}
	return false
}
