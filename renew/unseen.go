package renew

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"slices"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// written is what is kept beside the order of a target about a delivery: see
// issue.FactWritten.
type written struct {
	Chain  [][]byte          `json:"chain"` // DER, leaf first
	Places map[string]string `json:"places"`
}

// register is the place of a target that keeps its order alone; -1 where it has none, or
// no place that could be written over unseen.
func (t *Target) register() int {
	remembers := func(p Place) bool { _, ok := p.Store.(issue.Rememberer); return ok && p.keeps() }
	if !slices.ContainsFunc(t.Places, remembers) {
		return -1
	}
	return slices.IndexFunc(t.Places, func(p Place) bool { return !p.keeps() })
}

// unseen decides by what was delivered last, without a look at the places that remember
// it, where a new certificate is due by that; else it is nil. That they still have it
// shows when they are written: see issue.Rememberer. For everything else, and for what
// the key in use is needed for, somebody has to look.
func (p *pass) unseen(ctx context.Context, t *Target, out ca.Outlook) (*View, Decision) {
	r := t.register()
	if r < 0 || t.ReuseKey || t.Record.Foreign {
		return nil, Decision{}
	}
	if t.Places[r].Known == nil {
		t.Places[r].Known = Ask(ctx, t.Places[r].Store)
	}
	v := newView(t)
	v.seen[r] = p.read(ctx, t, t.Places[r], out)
	if !p.recall(&v.seen[r], t, v) {
		return nil, Decision{}
	}
	for i, place := range t.Places {
		if i != r && !v.seen[i].unseen {
			v.seen[i] = p.read(ctx, t, place, out)
		}
	}
	p.sum(ctx, t, out, v)
	if v.lead < 0 || !v.steady(t) {
		return nil, Decision{}
	}
	if d := p.decide(t, v); d.Outcome == Renew && p.acts(t, d) {
		return v, d
	}
	return nil, Decision{}
}

// recall has the places of a target remember what the register knows of them, and tells
// whether any does.
func (p *pass) recall(register *seen, t *Target, v *View) bool {
	facts := register.set.Facts
	var known written
	if register.err != nil || register.problem != "" || register.other != "" || facts[issue.FactWritten] == "" ||
		json.Unmarshal([]byte(facts[issue.FactWritten]), &known) != nil {
		return false
	}
	chain := make([]*x509.Certificate, len(known.Chain))
	for i, der := range known.Chain {
		var err error
		if chain[i], err = p.parser.parse(der); err != nil {
			return false
		}
	}
	if len(chain) == 0 || ca.FormatSerial(chain[0].SerialNumber) != facts[issue.FactSerial] {
		return false
	}
	for i, place := range t.Places {
		s, remembers := place.Store.(issue.Rememberer)
		if !remembers || !place.keeps() {
			continue
		}
		if at, ok := s.Recall(known.Places[place.Store.String()]); ok {
			v.seen[i] = seen{set: issue.Set{Facts: facts}, version: at, record: register.record, chain: chain, intact: true, unseen: true}
			v.unseen = true
		}
	}
	return v.unseen
}

// remember notes what a place remembers of what it was given, for its register.
func (k *written) remember(p Place, at issue.Version) {
	s, remembers := p.Store.(issue.Rememberer)
	if !remembers || !p.keeps() {
		return
	}
	if text := s.Remember(at); text != "" {
		if k.Places == nil {
			k.Places = map[string]string{}
		}
		k.Places[p.Store.String()] = text
	}
}

// note adds it to the facts that a register keeps.
func (k *written) note(facts map[string]string, c *issue.Credential) error {
	if len(k.Places) == 0 {
		return nil
	}
	for _, cert := range c.Chain {
		k.Chain = append(k.Chain, cert.Raw)
	}
	text, err := json.Marshal(k)
	facts[issue.FactWritten] = string(text)
	return err
}
