package issue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/meshpki/meshpki/ca"
)

// Parts of a certificate that an answer can differ in.
const (
	PartKey      = "key"
	PartURI      = "uri"
	PartDNS      = "dns"
	PartIP       = "ip"
	PartEmail    = "email"
	PartNames    = "names" // of types that nobody asked for
	PartSubject  = "subject"
	PartUsage    = "usage"
	PartEKU      = "eku"
	PartEnd      = "notAfter"
	PartBegin    = "notBefore"
	PartShape    = "shape"
	PartChain    = "chain"
	PartUsageBad = "caUsage" // it could sign certificates
)

// mayPass are the parts that a profile may tolerate a difference in: never the key,
// the names, or what makes it a CA or leads to another root.
func mayPass(part string) bool {
	switch part {
	case PartSubject, PartUsage, PartEKU, PartEnd, PartBegin:
		return true
	}
	return false
}

// Difference is one part of a certificate that is not as ordered.
type Difference struct {
	Part     string // one of the Part constants
	What     string // in words
	Asked    string
	Given    string
	Citation string
	// Cause and Remedy are what the authority says of it: the setting that does it,
	// and the command that mends it. They may be empty.
	Cause, Remedy string
}

func (d *Difference) String() string {
	s := d.What
	if d.Asked != "" || d.Given != "" {
		s += fmt.Sprintf(": asked for %s, given %s", orNone(d.Asked), orNone(d.Given))
	}
	if d.Citation != "" {
		s += " (" + d.Citation + ")"
	}
	if d.Cause != "" {
		s += "; " + d.Cause
	}
	return s
}

// Mismatch says in what an authority's answer is not what was ordered: the first
// difference, and all of them.
type Mismatch struct {
	Difference
	All []Difference // two at least, or none
}

func (m *Mismatch) Error() string {
	const head = "the certificate that came back is not what was ordered: "
	if len(m.All) == 0 {
		return head + m.Difference.String()
	}
	said := make([]string, len(m.All))
	for i := range m.All {
		said[i] = m.All[i].String()
	}
	return head + strings.Join(said, "; ")
}

// Remedy is what would mend it, one command a line; "" where that is not known.
func (m *Mismatch) Remedy() string {
	var out []string
	for _, d := range m.differences() {
		if d.Remedy != "" {
			out = append(out, d.Remedy)
		}
	}
	return strings.Join(out, "\n")
}

func (m *Mismatch) differences() []*Difference {
	if len(m.All) == 0 {
		return []*Difference{&m.Difference}
	}
	var out []*Difference
	for i := range m.All {
		out = append(out, &m.All[i])
	}
	return out
}

// mismatch is the error for differences; nil for none.
func mismatch(found []Difference) error {
	switch len(found) {
	case 0:
		return nil
	case 1:
		return &Mismatch{Difference: found[0]}
	}
	return &Mismatch{found[0], found}
}

// explain asks the authority about each difference, that of an error or those
// tolerated in a credential.
func explain(ctx context.Context, authority ca.Authority, err error, c *Credential) {
	e, ok := authority.(ca.Explainer)
	if !ok {
		return
	}
	if m, ok := errors.AsType[*Mismatch](err); ok {
		for _, d := range m.differences() {
			d.Cause, d.Remedy = e.Explain(ctx, d.Part)
		}
		if len(m.All) > 0 {
			m.Difference = m.All[0]
		}
	}
	if c == nil {
		return
	}
	for i := range c.Tolerated {
		c.Tolerated[i].Cause, c.Tolerated[i].Remedy = e.Explain(ctx, c.Tolerated[i].Part)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
