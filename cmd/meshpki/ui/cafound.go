package ui

import (
	"fmt"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// CAFound is the answer of ca import --from.
type CAFound struct {
	Consumer    string            `json:"consumer"`
	Title       string            `json:"-"`
	Scheme      string            `json:"scheme"`
	Loads       bool              `json:"loads"`
	Authority   string            `json:"authority,omitempty"`
	Adopted     bool              `json:"adopted"`
	Subject     string            `json:"subject"`
	CommonName  string            `json:"-"`
	Issuer      string            `json:"issuer"`
	KeyType     string            `json:"keyType"`
	Key         string            `json:"key"`
	Serial      string            `json:"serial"`
	Fingerprint string            `json:"fingerprint"`
	NotBefore   time.Time         `json:"notBefore"`
	NotAfter    time.Time         `json:"notAfter"`
	Above       int               `json:"above"`
	Roots       []string          `json:"roots"`
	CRLs        int               `json:"crls"`
	Findings    []inspect.Finding `json:"findings"`
	Now         time.Time         `json:"-"`
}

// Schema names the document.
func (CAFound) Schema() string { return "ca-found" }

// Data is what the material is; no key is in it.
func (d CAFound) Data() any { return d }

// Text says what the material is, and what its consumer would say.
func (d CAFound) Text(p *Page) {
	switch {
	case d.Adopted:
		p.Say(Good, fmt.Sprintf("%s is taken in as %s", Clean(d.CommonName), d.Authority))
	case d.Loads:
		p.Say(Good, fmt.Sprintf("%s would load %s", d.Title, Clean(d.CommonName)))
	default:
		p.Say(Bad, fmt.Sprintf("%s would not load %s", d.Title, Clean(d.CommonName)))
	}
	p.Field(column, "scheme", d.Scheme)
	p.Field(column, "subject", Clean(d.Subject))
	p.Field(column, "issuer", Clean(d.Issuer))
	p.Field(column, "until", fmt.Sprintf("%s (%s)", Date(d.NotAfter), Relative(d.NotAfter, d.Now)))
	p.Field(column, "key", d.KeyType+", "+map[string]string{"matches": "its private key is there", "missing": "its private key is missing", "differs": "the private key is another's"}[d.Key])
	p.Field(column, "sha256", d.Fingerprint)
	p.Field(column, "with", fmt.Sprintf("%d above it, %d roots, %d CRLs", d.Above, len(d.Roots), d.CRLs))
	if !d.Adopted && d.Authority != "" {
		p.Field(column, "is", "the authority "+d.Authority+" of this directory")
	}
	for _, f := range d.Findings {
		sign := Look
		if f.Severity == inspect.SeverityError {
			sign = Bad
		}
		p.Say(sign, fmt.Sprintf("%s: %s (%s)", f.Rule, Clean(f.Message), f.Citation))
	}
}
