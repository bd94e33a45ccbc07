package ui

import (
	"fmt"
	"time"
)

// CrossSigned is the answer of ca cross-sign.
type CrossSigned struct {
	Authority   string    `json:"authority,omitempty"`
	Signer      string    `json:"signer"`
	Subject     string    `json:"subject"`
	CommonName  string    `json:"-"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
	MaxPathLen  *int      `json:"maxPathLen,omitempty"`
	File        string    `json:"file,omitempty"`
	PEM         string    `json:"pem"`
	Now         time.Time `json:"-"`
}

// Schema names the document.
func (CrossSigned) Schema() string { return "ca-cross-sign" }

// Data is the certificate and what it is.
func (d CrossSigned) Data() any { return d }

// Text says who certifies whom, until when, and where it is.
func (d CrossSigned) Text(p *Page) {
	p.Say(Good, fmt.Sprintf("%s is certified by %s too", Clean(d.CommonName), d.Signer))
	p.Field(column, "until", fmt.Sprintf("%s (%s)", Date(d.NotAfter), Relative(d.NotAfter, d.Now)))
	p.Field(column, "serial", d.Serial)
	p.Field(column, "sha256", d.Fingerprint)
	p.Field(column, "file", Clean(d.File))
	p.Blank()
	p.Para(p.Indent(), "Whoever trusts "+d.Signer+" needs this certificate in the chain, behind what "+Clean(d.CommonName)+" signed.")
}
