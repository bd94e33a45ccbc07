package renew

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"slices"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// mostGlances is how many targets wait for their turn with the look at them, unless a
// Renewer says otherwise.
const mostGlances = 20_000

// glance is the first look at a target until its lock is held: it is used again where
// every place is as it was then.
type glance struct {
	view  *View    // without what parts has, where that is given
	parts *glimpse // nil where nothing lies between the looks
}

// glimpse is the part of a view that a new certificate with a new key needs, in few
// bytes: no key is kept of thousands that wait.
type glimpse struct {
	leaf      []byte // DER
	serial    string
	delivered string
	places    []glimpsed
}

type glimpsed struct {
	version issue.Version
	err     error
	other   string
	facts   map[string]string // of a place that has the order alone
}

// steady tells whether every place can tell that it is as it was, and nothing is wrong
// with any that may have been put right since.
func (v *View) steady(t *Target) bool {
	for i, s := range v.seen {
		if _, can := t.Places[i].Store.(issue.Comparer); !can || s.err != nil && !errors.Is(s.err, fs.ErrNotExist) || s.problem != "" || s.mismatch != "" {
			return false
		}
	}
	return true
}

// shrink keeps of a view what is needed for a new certificate with a new key.
func (v *View) shrink(t *Target) *glance {
	g := &glance{view: v, parts: &glimpse{places: make([]glimpsed, len(v.seen))}}
	for i, s := range v.seen {
		g.parts.places[i] = glimpsed{version: s.version, err: s.err, other: s.other}
		if !t.Places[i].keeps() {
			g.parts.places[i].facts = s.set.Facts
		}
	}
	if v.lead >= 0 {
		g.parts.delivered = v.seen[v.lead].set.Facts[issue.FactDelivered]
	}
	if v.Leaf != nil {
		g.parts.leaf, g.parts.serial = slices.Clone(v.Leaf.Raw), v.serial() // else the whole file would be kept
	}
	v.seen, v.wanted, v.Leaf = nil, nil, nil
	return g
}

// keep has the first look at a target that is to be worked kept, if it may be of use. Of
// one that waits for its turn little is.
func (p *pass) keep(t *Target, v *View, d Decision) {
	if p.memos[t.key()] || !v.steady(t) {
		return
	}
	if p.o.AtOnce {
		t.glance = &glance{view: v}
		return
	}
	if d.Outcome == Renew && !t.ReuseKey {
		t.glance = v.shrink(t)
	}
}

// again gives the first look at a target whose lock is held, decided anew; nil where
// there is none, or a place is not, or may not be, as it was.
func (p *pass) again(ctx context.Context, t *Target) (*View, Decision) {
	g := t.glance
	t.glance = nil
	if g == nil {
		return nil, Decision{}
	}
	for i, place := range t.Places {
		was := g.view.versionAt(i, g.parts)
		c, can := place.Store.(issue.Comparer)
		if !can {
			return nil, Decision{}
		}
		if same, err := c.Unchanged(ctx, was); err != nil || !same {
			return nil, Decision{}
		}
	}
	v := g.view
	if g.parts != nil {
		v.grow(g.parts)
	}
	d := p.decide(t, v)
	if (g.parts != nil || v.unseen) && d.Outcome != Renew {
		return nil, Decision{}
	}
	return v, d
}

func (v *View) versionAt(i int, parts *glimpse) issue.Version {
	if parts != nil {
		return parts.places[i].version
	}
	return v.seen[i].version
}

// grow undoes shrink, as far as that goes.
func (v *View) grow(parts *glimpse) {
	v.parts = parts
	v.seen = make([]seen, len(parts.places))
	for i, s := range parts.places {
		v.seen[i] = seen{version: s.version, err: s.err, other: s.other, set: issue.Set{Facts: s.facts}}
	}
	if v.lead >= 0 {
		v.seen[v.lead].set.Facts = map[string]string{issue.FactDelivered: parts.delivered}
	}
}

// leaf is Leaf, also where it has to be parsed again for that.
func (v *View) leaf() *x509.Certificate {
	if v.Leaf == nil && v.parts != nil && v.parts.leaf != nil {
		v.Leaf, _ = x509.ParseCertificate(v.parts.leaf) // as it could be before
	}
	return v.Leaf
}

// serial is the serial number of the certificate in use, lower-case hex; "" where there
// is none.
func (v *View) serial() string {
	switch {
	case v.Leaf != nil:
		return ca.FormatSerial(v.Leaf.SerialNumber)
	case v.parts != nil:
		return v.parts.serial
	}
	return ""
}
