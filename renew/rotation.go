package renew

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"iter"
	"slices"
	"time"

	"github.com/meshpki/meshpki/issue"
)

// stale holds every place against the roots and the chain that belong there now. A
// place may be as it was laid out, and still be behind the one whose credential
// counts: after a delivery that reached some places only, or a restored backup.
func (v *View) stale(t *Target) {
	if len(v.wanted.Roots) == 0 {
		v.Stale = "its authority could not be asked for the roots"
		return
	}
	v.Stale = cmp.Or(v.State.Issuer, v.State.Roots)
	digest := issue.RootsDigest(v.wanted.Roots)
	for i, s := range v.seen {
		if v.Stale != "" {
			return
		}
		place := t.Places[i].Store.String()
		switch same := func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }; {
		case !t.Places[i].keeps():
		case v.Places[i] != "":
			v.Stale = place + ": " + v.Places[i]
		case s.set.Facts[issue.FactRoots] != digest:
			v.Stale = place + ": it has other roots"
		case !slices.EqualFunc(s.chain, v.wanted.Chain, same):
			v.Stale = place + ": it has other CAs above its certificate"
		}
	}
}

// Behind tells why a target does not yet have what its authority has it trust and
// serve now, everywhere and told to everyone; "" where it has. It is asked of what a
// pass without deeds found.
func (r Result) Behind() string {
	switch {
	case r.Standing == StandsFailed, r.Standing == StandsPending:
		return cmp.Or(r.reason(), string(r.Standing))
	case r.Leaf == nil:
		return cmp.Or(r.Reason, "it has no certificate")
	}
	return r.Stale
}

func (r Result) reason() string {
	if r.Err == nil {
		return r.Reason
	}
	return r.Err.Error()
}

// Outstanding is a certificate that was signed, in the order of its signing.
type Outstanding struct {
	Serial   string
	Name     string // the target's that it was signed for; "" where that is not known
	Signed   time.Time
	NotAfter time.Time
	Good     bool // it has neither ended nor been revoked
}

// underway is how long a chain that was looked up may still be on its way out.
const underway = 5 * time.Minute

// Outlasting gives the certificates that keep an old CA needed: good, and signed
// before it was replaced in the chains. Not among them are those in use by targets
// (inUse, by serial number), whose chains are looked at there, and the last one that a
// target (by name) had got before: it was in use when the chains were replaced, and
// what was done about the target since has been served. They stand in order of their
// end, the last last.
func Outlasting(all iter.Seq2[Outstanding, error], replaced time.Time, inUse, targets map[string]bool) (out []Outstanding, err error) {
	last := map[string]string{}
	for o, err := range all {
		switch {
		case err != nil:
			return nil, err
		case o.Signed.After(replaced.Add(underway)):
			continue
		case targets[o.Name]:
			last[o.Name] = o.Serial
		}
		if o.Good && !inUse[o.Serial] {
			out = append(out, o)
		}
	}
	out = slices.DeleteFunc(out, func(o Outstanding) bool { return last[o.Name] == o.Serial })
	slices.SortFunc(out, func(a, b Outstanding) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Serial, b.Serial))
	})
	return out, nil
}
