package ui

import "fmt"

// LogProved is the answer of log prove, and of log verify --proof.
type LogProved struct {
	Serial  string    `json:"serial,omitempty"`
	Proved  bool      `json:"proved"`
	Problem string    `json:"problem,omitempty"`
	Number  int64     `json:"number"` // of the entry, from 0
	Size    int64     `json:"size"`   // of the log
	Origin  string    `json:"origin,omitempty"`
	Entry   *LogEntry `json:"entry,omitempty"`
	File    string    `json:"file,omitempty"`
	Proof   string    `json:"proof,omitempty"` // where it is not in a file
	Checked bool      `json:"-"`               // it was checked, not made
}

// Fill says what was proved: which entry of which log.
func (d *LogProved) Fill(number, size int64, origin string, e LogEntry) {
	d.Number, d.Size, d.Origin, d.Entry = number, size, origin, &e
}

// Schema names the document.
func (LogProved) Schema() string { return "log-proof" }

// Data is the answer itself.
func (d LogProved) Data() any {
	if d.File != "" {
		d.Proof = ""
	}
	return d
}

// Text answers first.
func (d LogProved) Text(p *Page) {
	switch {
	case d.Checked && !d.Proved:
		p.Say(Bad, Clean(d.File)+" proves nothing: "+Clean(d.Problem))
		return
	case !d.Proved:
		p.Say(Bad, "the certificate with serial "+d.Serial+" is not in the ledger")
		return
	}
	what := "serial " + ShortHex(d.Serial)
	if d.Serial == "" && d.Entry != nil {
		what = "what it shows"
	}
	p.Say(Good, fmt.Sprintf("%s is in the log %s: number %d of %d", what, Clean(d.Origin), d.Number, d.Size))
	if e := d.Entry; e != nil {
		who := Clean(e.Subject)
		if e.Service != "" {
			who = Clean(e.Service + "." + e.Namespace)
		}
		p.Field(column, "entry", fmt.Sprintf("%s of %s, recorded %s", Clean(e.Kind), who, Date(e.At)))
	}
	if !d.Checked {
		p.Field(column, "proof", Clean(d.File))
	}
}

// LogCheckpoint is the answer of log checkpoint.
type LogCheckpoint struct {
	Origin     string `json:"origin"`
	Size       int64  `json:"size"`
	Root       string `json:"root"` // in base64, as the checkpoint has it
	Key        string `json:"key"`
	Checkpoint string `json:"checkpoint"` // the signed note
	File       string `json:"file,omitempty"`
}

// Schema names the document.
func (LogCheckpoint) Schema() string { return "log-checkpoint" }

// Data is the answer itself.
func (d LogCheckpoint) Data() any { return d }

// Text says what was written where.
func (d LogCheckpoint) Text(p *Page) {
	p.Say(Good, fmt.Sprintf("the checkpoint of %d entries of %s is in %s", d.Size, Clean(d.Origin), Clean(d.File)))
	p.Para(p.Indent(), "Keep it where nobody can change it together with the directory. Later:")
	p.Command(p.Indent(), "meshpki log verify --since "+Clean(d.File))
}

// LogKey is the answer of log key.
type LogKey struct {
	Origin string `json:"origin"`
	Key    string `json:"key"`
	File   string `json:"file,omitempty"`
}

// Schema names the document.
func (LogKey) Schema() string { return "log-key" }

// Data is the answer itself.
func (d LogKey) Data() any { return d }

// Text says what was written where.
func (d LogKey) Text(p *Page) {
	p.Say(Good, fmt.Sprintf("the public key of %s is in %s", Clean(d.Origin), Clean(d.File)))
}
