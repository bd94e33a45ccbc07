package ui

import (
	"fmt"
	"time"
)

// CRL is the answer of crl, where the list itself is not.
type CRL struct {
	Authority  string    `json:"authority"`
	Issuer     string    `json:"issuer"`
	CommonName string    `json:"-"`
	Number     string    `json:"number"`
	ThisUpdate time.Time `json:"thisUpdate"`
	NextUpdate time.Time `json:"nextUpdate"`
	Entries    int       `json:"entries"`
	SHA256     string    `json:"sha256"`
	File       string    `json:"file,omitempty"`
	PEM        string    `json:"pem,omitempty"`
	Now        time.Time `json:"-"`
}

// Schema names the document.
func (CRL) Schema() string { return "crl" }

// Data is the list's facts.
func (d CRL) Data() any { return d }

// Text says what was written, and until when it serves.
func (d CRL) Text(p *Page) {
	what := "nothing revoked"
	if d.Entries > 0 {
		what = Count(d.Entries, "certificate") + " revoked"
	}
	p.Say(Good, fmt.Sprintf("CRL of %s: %s", Clean(d.CommonName), what))
	p.Field(column, "number", d.Number)
	p.Field(column, "until", fmt.Sprintf("%s (%s)", Date(d.NextUpdate), Relative(d.NextUpdate, d.Now)))
	p.Field(column, "sha256", d.SHA256)
	p.Field(column, "file", Clean(d.File))
}
