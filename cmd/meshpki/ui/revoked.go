package ui

import (
	"fmt"
	"slices"
	"strings"
)

// Revoked is what became of one certificate that was to be revoked.
type Revoked struct {
	Serial    string `json:"serial"`
	State     string `json:"state"` // revoked, already-revoked, reason-changed, unknown
	Service   string `json:"service,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	Reason    string `json:"reason"`
	Before    string `json:"reasonBefore,omitempty"`
	Backend   string `json:"backend,omitempty"` // the authority elsewhere that revoked it
	Authority string `json:"-"`                 // whose CRL will list it; empty for the default one
}

// RevokedMany is the answer of revoke.
type RevokedMany struct {
	List []Revoked
	Dir  string
}

// Schema names the document.
func (RevokedMany) Schema() string { return "revoke" }

// Data is the list.
func (d RevokedMany) Data() any {
	if d.List == nil {
		return []Revoked{}
	}
	return d.List
}

// Text says what happened, and what is still to be done.
func (d RevokedMany) Text(p *Page) {
	services := false
	var lists []string
	for _, r := range d.List {
		r.text(p)
		isNew := r.State == "revoked" || r.State == "reason-changed"
		if isNew && r.Backend == "" && !slices.Contains(lists, r.Authority) {
			lists = append(lists, r.Authority)
		}
		services = services || isNew && r.Service != ""
	}
	if services {
		p.Para(p.Indent(), "It stays in use until meshpki renew replaces it: what is revoked is due.")
	}
	for _, name := range lists {
		p.Next(strings.TrimRight("meshpki crl "+name, " ") + DirFlag(d.Dir))
	}
}

func (r Revoked) text(p *Page) {
	whose := ""
	if r.Service != "" {
		whose = " of " + Clean(r.Service+"."+r.Namespace)
	}
	serial := ShortHex(r.Serial) + whose
	switch r.State {
	case "unknown":
		p.Say(Bad, "no certificate with serial "+r.Serial+" was ever signed here; nothing was revoked")
	case "already-revoked":
		p.Say(Good, fmt.Sprintf("serial %s was revoked before (%s); nothing has changed", serial, r.Reason))
	case "reason-changed":
		p.Say(Good, fmt.Sprintf("serial %s was revoked before (%s); the reason is %s now", serial, r.Before, r.Reason))
	default:
		p.Say(Good, fmt.Sprintf("serial %s is revoked (%s)", serial, r.Reason))
	}
}
