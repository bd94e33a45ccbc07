package inspect

import (
	"cmp"
	"crypto/x509"
	"slices"
	"strings"
)

// Why a target is not trusted is found out by walking up from it by hand, through
// whatever was given, past every fault. Only then is it known what else is wrong
// on the way, and which way comes nearest to a root. The walk never says yes; the
// bounds below keep it short however hostile the certificates are.
const (
	maxTried   = 16 // paths
	maxDepth   = 20 // certificates in one
	maxParents = 16 // candidates for one issuer
	maxWalk    = 400
)

// explain fills the result with what is wrong with the target, of which the search
// found no path that holds.
func (r *Result) explain(v *Verifier, s *search) {
	target := s.chain[0]
	if len(v.o.Roots) == 0 {
		r.Findings = append(r.Findings, v.withoutRoots(target))
		if f, ok := checkTime(target.Certificate, placeOf(target.Certificate), v.o.At); !ok {
			r.Findings = append(r.Findings, f)
		}
		return
	}
	attempts := v.attempts(s)
	for _, a := range attempts {
		r.Tried = append(r.Tried, a.told(a.findings()))
	}
	if len(r.Tried) > 0 {
		r.Findings = append(r.Findings, r.Tried[0].Findings...)
	} else {
		r.Findings = append(r.Findings, searchLimit(target))
	}
	if s.over && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Rule == ruleSearchLimit.ID }) {
		r.Findings = append(r.Findings, searchLimit(target))
	}
}

// attempts are the ways up from a target with what is wrong with each, the one
// nearest to trust first.
func (v *Verifier) attempts(s *search) []attempt {
	w := &walk{v: v, above: s.above, came: s.came, budget: maxWalk}
	w.up([]*node{s.chain[0]}, nil)
	for i := range w.attempts {
		w.attempts[i].complete(s)
	}
	slices.SortStableFunc(w.attempts, nearer)
	if len(w.attempts) > 0 && len(w.attempts[0].faults) == 0 {
		f := ruleNotVerified.broken(s.chain[0].name(), "the path does not hold, and no rule says why", "have the certificate issued again")
		w.attempts[0].faults = []fault{{orderOpinion, f}}
	}
	return w.attempts
}

// attempt is one way up from the target, as far as it goes.
type attempt struct {
	path
	faults []fault
}

func (a *attempt) findings() []Finding {
	list := make([]Finding, len(a.faults))
	for i, f := range a.faults {
		list[i] = f.Finding
	}
	return list
}

// complete judges the attempt by every rule.
func (a *attempt) complete(s *search) {
	a.v, a.o, a.above = s.v, &s.v.o, s.above
	a.faults = append(a.faults, a.judge()...)
	for _, r := range s.refused {
		if len(a.faults) == 0 && slices.Equal(r.p.chain, a.chain) {
			a.faults = append(a.faults, fault{orderOpinion, r.f})
		}
	}
	sortFaults(a.faults)
}

// nearer orders attempts: those that reach a root first, then by fewer faults,
// then by how late the first of them comes.
func nearer(a, b attempt) int {
	if a.rooted != b.rooted {
		if a.rooted {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(len(a.faults), len(b.faults)); c != 0 || len(a.faults) == 0 {
		return c
	}
	if c := cmp.Compare(b.faults[0].order, a.faults[0].order); c != 0 {
		return c
	}
	return cmp.Compare(len(b.chain), len(a.chain))
}

// walk goes up from a target through the certificates given.
type walk struct {
	v        *Verifier
	above    map[string][]*node
	came     []*x509.Certificate // with the target
	attempts []attempt
	budget   int // of signature checks, in units of checkCost
}

// up follows a chain to every certificate that may have issued its last.
func (w *walk) up(chain []*node, faults []fault) {
	if len(w.attempts) >= maxTried {
		return
	}
	c := chain[len(chain)-1]
	if c.anchor {
		w.attempts = append(w.attempts, attempt{path: path{chain: chain, rooted: true}, faults: faults})
		return
	}
	sound, doubtful, namesakes := w.links(chain)
	if len(sound) == 0 {
		sound = doubtful
	}
	var end Finding
	switch {
	case len(chain) >= maxDepth || w.budget < 0:
		end = searchLimit(c)
	case len(sound) == 0:
		end = w.checkEnd(c, namesakes)
	}
	if end.Rule != "" {
		w.attempts = append(w.attempts, attempt{path: path{chain: chain}, faults: append(slices.Clip(faults), fault{orderEnd, end})})
		return
	}
	for _, l := range sound {
		next := slices.Clip(faults)
		if !l.ok {
			next = append(next, fault{orderLink, l.finding})
		}
		w.up(append(slices.Clip(chain), l.parent), next)
	}
}

// link is one certificate that may have issued the last of a chain.
type link struct {
	parent  *node
	finding Finding
	ok      bool
}

// links sorts the certificates of the issuer's name: those whose key signed, those
// that seem to be meant though the signature does not hold, and mere namesakes.
func (w *walk) links(chain []*node) (sound, doubtful []link, namesakes []*node) {
	c := chain[len(chain)-1]
	candidates := slices.Clone(w.above[c.issuer])
	slices.SortStableFunc(candidates, func(a, b *node) int { return cmp.Compare(w.rank(c, a), w.rank(c, b)) })
	for _, p := range candidates[:min(maxParents, len(candidates))] {
		if slices.ContainsFunc(chain, func(x *node) bool { return sameSubjectKey(x, p) }) {
			continue
		}
		if w.v.links[linkKey{c, p}] == linkUnknown {
			if w.budget -= checkCost(p.PublicKey); w.budget < 0 {
				break
			}
		}
		f, ok, ours := w.v.checkLink(c, p)
		switch l := (link{p, f, ok}); {
		case ok:
			sound = append(sound, l)
		case ours:
			doubtful = append(doubtful, l)
		default:
			namesakes = append(namesakes, p)
		}
	}
	return sound, doubtful, namesakes
}

// rank puts parents that are known to have signed before all others, and those that are
// known not to have behind them: of many of one name only some are looked at.
func (w *walk) rank(child, parent *node) int {
	switch w.v.links[linkKey{child, parent}] {
	case linkSound:
		return -1
	case linkBroken:
		return 2 + keyRank(child, parent)
	}
	return keyRank(child, parent)
}

// keyRank puts a parent whose key identifier fits before others.
func keyRank(child, parent *node) int {
	if sameKeyID(child.Certificate, parent.Certificate) {
		return 0
	}
	return 1
}

// plainError is an error of crypto/x509 without its package's name.
func plainError(err error) string { return strings.TrimPrefix(err.Error(), "x509: ") }

func searchLimit(c *node) Finding {
	return searchLimitOf(c, "the path is too long, or there are too many of the same name")
}

func searchLimitOf(c *node, why string) Finding {
	return ruleSearchLimit.broken(c.name(), "the search for a path was given up at "+quoted(c.name())+": "+why,
		"give only the intermediates that belong to "+quoted(c.name()))
}
