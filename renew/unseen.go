package renew

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"slices"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// Written keeps what places remember of what was delivered to them, by target. All of it
// may be lost, or be of another time, without harm: then somebody looks. Safe for
// concurrent use.
type Written interface {
	// Recall gives what was kept under a name; nil where nothing was.
	Recall(name string) []byte
	// Keep replaces it; nil takes it away.
	Keep(name string, data []byte)
}

// written is what is kept of a delivery.
type written struct {
	Chain  [][]byte          `json:"chain"` // DER, leaf first
	Facts  map[string]string `json:"facts"` // those that a decision needs
	Places map[string]string `json:"places"`
}

// decidedBy are the facts of a place that a decision on what was delivered needs, besides
// its order.
var decidedBy = [...]string{issue.FactSerial, issue.FactDelivered}

// register is the place of a target that keeps its order alone; -1 where it has none, or
// no place that could be written over unseen.
func (t *Target) register() int {
	if !slices.ContainsFunc(t.Places, func(p Place) bool { return p.rememberer() != nil }) {
		return -1
	}
	return slices.IndexFunc(t.Places, func(p Place) bool { return !p.keeps() })
}

// rememberer is the store of a place that keeps files, where it can be written over
// unseen; else it is nil.
func (p Place) rememberer() issue.Rememberer {
	if s, ok := p.Store.(issue.Rememberer); ok && p.keeps() {
		return s
	}
	return nil
}

// unseen decides by what was delivered last, without a look at the places that remember
// it, where a new certificate is due by that; else it is nil. That they still have it
// shows when they are written: see issue.Rememberer. For everything else, and for what
// the key in use is needed for, somebody has to look.
func (p *pass) unseen(ctx context.Context, t *Target, out ca.Outlook) (*View, Decision) {
	r := t.register()
	if r < 0 || t.ReuseKey || t.Record.Foreign || p.r.Written == nil {
		return nil, Decision{}
	}
	known, chain := p.recall(t)
	if chain == nil {
		return nil, Decision{}
	}
	if t.Places[r].Known == nil {
		t.Places[r].Known = Ask(ctx, t.Places[r].Store)
	}
	v := newView(t)
	v.seen[r] = p.read(ctx, t, t.Places[r], out)
	if order := &v.seen[r]; order.err != nil || order.problem != "" || order.other != "" {
		return nil, Decision{}
	}
	for i, place := range t.Places {
		if i == r {
			continue
		}
		if at, ok := recalled(place, known); ok {
			v.seen[i] = seen{set: issue.Set{Facts: known.Facts}, version: at, record: v.seen[r].record, chain: chain, intact: true, unseen: true}
			v.unseen = true
			continue
		}
		v.seen[i] = p.read(ctx, t, place, out)
	}
	p.sum(ctx, t, out, v)
	if v.lead < 0 || !v.unseen || !v.steady(t) {
		return nil, Decision{}
	}
	if d := p.decide(t, v); d.Outcome == Renew && p.acts(t, d) {
		return v, d
	}
	return nil, Decision{}
}

// recall gives what is kept of the last delivery to a target, and its chain; nil where
// that is of no use.
func (p *pass) recall(t *Target) (*written, []*x509.Certificate) {
	data := p.r.Written.Recall(t.key())
	known := &written{}
	if data == nil || json.Unmarshal(data, known) != nil || len(known.Chain) == 0 {
		return nil, nil
	}
	chain := make([]*x509.Certificate, len(known.Chain))
	for i, der := range known.Chain {
		var err error
		if chain[i], err = p.parser.parse(der); err != nil {
			return nil, nil
		}
	}
	if ca.FormatSerial(chain[0].SerialNumber) != known.Facts[issue.FactSerial] {
		return nil, nil
	}
	return known, chain
}

// recalled has a place remember what is known of it, where it can.
func recalled(place Place, known *written) (issue.Version, bool) {
	s := place.rememberer()
	if s == nil {
		return "", false
	}
	return s.Recall(known.Places[place.Store.String()])
}

// remember notes what a place remembers of what it was given.
func (k *written) remember(p Place, at issue.Version) {
	s := p.rememberer()
	if s == nil {
		return
	}
	if text := s.Remember(at); text != "" {
		if k.Places == nil {
			k.Places = map[string]string{}
		}
		k.Places[p.Store.String()] = text
	}
}

// keep keeps what the places of a target remember, and no longer what they did before.
func (w *work) keep(k *written, c *issue.Credential, facts map[string]string) {
	if w.r.Written == nil || w.t.register() < 0 {
		return
	}
	var data []byte
	if len(k.Places) > 0 {
		k.Facts = map[string]string{issue.FactRoots: issue.RootsDigest(c.Roots)}
		for _, name := range decidedBy {
			if value := facts[name]; value != "" {
				k.Facts[name] = value
			}
		}
		for _, cert := range c.Chain {
			k.Chain = append(k.Chain, cert.Raw)
		}
		data, _ = json.Marshal(k)
	}
	w.r.Written.Keep(w.t.key(), data)
}
