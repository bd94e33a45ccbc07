package inspect

import (
	"cmp"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
)

// Why a target is not trusted is found out by walking up from it by hand, through
// whatever was given, past every fault. Only then is it known what else is wrong
// on the way, and which way comes nearest to a root. The walk never says yes; the
// bounds below keep it short however hostile the certificates are.
const (
	maxTried    = 16 // paths
	maxDepth    = 20 // certificates in one
	maxParents  = 16 // candidates for one issuer
	maxLinkCost = 4000
)

// explain fills the result with what is wrong; err is why findPaths found no path.
func (r *Result) explain(target *x509.Certificate, o Options, err error) {
	if len(o.Roots) == 0 {
		r.Findings = append(r.Findings, ruleNoRoots.broken("", "no root was given, so nothing can be trusted", "give the roots that you trust"))
		if f, ok := checkTime(target, placeOf(target), o.At); !ok {
			r.Findings = append(r.Findings, f)
		}
		return
	}
	w := newWalk(o)
	w.up([]*x509.Certificate{target}, nil)
	for i := range w.attempts {
		w.attempts[i].judge(o)
	}
	slices.SortStableFunc(w.attempts, nearer)
	for i, a := range w.attempts {
		findings := a.findings()
		if i == 0 && len(findings) == 0 {
			findings = append(findings, inWords(target, err))
		}
		r.Tried = append(r.Tried, pathOf(a.chain, findings))
	}
	if len(r.Tried) > 0 {
		r.Findings = append(r.Findings, r.Tried[0].Findings...)
	} else {
		r.Findings = append(r.Findings, inWords(target, err))
	}
}

// attempt is one way up from the target, as far as it goes.
type attempt struct {
	chain  []*x509.Certificate
	rooted bool
	faults []fault
}

// fault is a finding with its place in line: the lower comes first.
type fault struct {
	order int
	Finding
}

// What decides first on a path: nothing that could be added helps a leaf out of
// date; then where the path breaks off, whom it leads through, and, from the root
// down, when; then what depends on the path as a whole.
const (
	orderLeafTimeAlone = iota
	orderEnd
	orderLink
	orderIssuer
	orderRootTime
	orderIntermediateTime
	orderLeafTime
	orderPathLength
	orderWhole
	orderUsage
)

func (a *attempt) add(order int, f Finding) { a.faults = append(a.faults, fault{order, f}) }

func (a *attempt) findings() []Finding {
	list := make([]Finding, len(a.faults))
	for i, f := range a.faults {
		list[i] = f.Finding
	}
	return list
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

// judge adds what is wrong with the certificates of the attempt, in order.
func (a *attempt) judge(o Options) {
	for i, c := range a.chain {
		if f, ok := checkTime(c, a.placeOf(i), o.At); !ok {
			a.add(a.timeOrder(i), f)
		}
		if f, ok := checkCritical(c); !ok {
			a.add(orderIssuer, f)
		}
		if i == 0 {
			continue
		}
		for _, f := range checkIssuer(c, i-1) {
			order := orderIssuer
			if f.Rule == rulePathLength.ID {
				order = orderPathLength
			}
			a.add(order, f)
		}
	}
	if a.rooted {
		if f, ok := checkConstraints(a.chain); !ok {
			a.add(orderWhole, f)
		}
		if f, ok := checkUsage(a.chain, o.EKU); !ok {
			a.add(orderUsage, f)
		}
	}
	slices.SortStableFunc(a.faults, func(x, y fault) int { return cmp.Compare(x.order, y.order) })
}

func (a *attempt) placeOf(i int) place {
	switch {
	case i == 0:
		return placeOf(a.chain[0])
	case a.rooted && i == len(a.chain)-1:
		return placeRoot
	}
	return placeIntermediate
}

func (a *attempt) timeOrder(i int) int {
	switch {
	case i == 0 && !a.rooted:
		return orderLeafTimeAlone
	case a.placeOf(i) == placeRoot:
		return orderRootTime
	case i > 0:
		return orderIntermediateTime
	}
	return orderLeafTime
}

// walk goes up from a target through the certificates given.
type walk struct {
	roots    map[string]bool                // by DER
	parents  map[string][]*x509.Certificate // by subject, roots first
	attempts []attempt
	budget   int // of signature checks, in units of checkCost
}

func newWalk(o Options) *walk {
	w := &walk{roots: map[string]bool{}, parents: map[string][]*x509.Certificate{}, budget: maxLinkCost}
	for i, list := range [][]*x509.Certificate{o.Roots, o.Intermediates} {
		for _, c := range list {
			if c == nil {
				continue
			}
			if i == 0 {
				w.roots[string(c.Raw)] = true
			}
			w.parents[string(c.RawSubject)] = append(w.parents[string(c.RawSubject)], c)
		}
	}
	return w
}

// up follows a chain to every certificate that may have issued its last.
func (w *walk) up(chain []*x509.Certificate, faults []fault) {
	if len(w.attempts) >= maxTried {
		return
	}
	c := chain[len(chain)-1]
	if w.roots[string(c.Raw)] {
		w.attempts = append(w.attempts, attempt{chain: chain, rooted: true, faults: faults})
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
		end = checkEnd(c, namesakes)
	}
	if end.Rule != "" {
		w.attempts = append(w.attempts, attempt{chain: chain, faults: append(slices.Clip(faults), fault{orderEnd, end})})
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
	parent  *x509.Certificate
	finding Finding
	ok      bool
}

// links sorts the certificates of the issuer's name: those whose key signed, those
// that seem to be meant though the signature does not hold, and mere namesakes.
func (w *walk) links(chain []*x509.Certificate) (sound, doubtful []link, namesakes []*x509.Certificate) {
	c := chain[len(chain)-1]
	candidates := slices.Clone(w.parents[string(c.RawIssuer)])
	slices.SortStableFunc(candidates, func(a, b *x509.Certificate) int { return cmp.Compare(keyRank(c, a), keyRank(c, b)) })
	for _, p := range candidates[:min(maxParents, len(candidates))] {
		if slices.ContainsFunc(chain, func(x *x509.Certificate) bool { return sameSubjectKey(x, p) }) {
			continue
		}
		if w.budget -= checkCost(p.PublicKey); w.budget < 0 {
			break
		}
		f, ok, ours := checkLink(c, p)
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

// keyRank puts a parent whose key identifier fits before others.
func keyRank(child, parent *x509.Certificate) int {
	if sameKeyID(child, parent) {
		return 0
	}
	return 1
}

// invalidReason takes an error of crypto/x509 apart; kind is -1 for any other.
func invalidReason(err error) (detail string, kind x509.InvalidReason) {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok {
		return "", -1
	}
	return strings.TrimPrefix(invalid.Detail, "x509: "), invalid.Reason
}

// inWords is the finding for an error of path validation that the walk did not
// explain.
func inWords(target *x509.Certificate, err error) Finding {
	if f, ok := constraintFinding([]*x509.Certificate{target}, err); !ok {
		return f
	}
	if strings.Contains(err.Error(), "signature check attempts limit") {
		return searchLimit(target)
	}
	return ruleNotVerified.broken(shortName(target), "the path does not hold: "+strings.TrimPrefix(err.Error(), "x509: "), "have the certificate issued again")
}

func searchLimit(c *x509.Certificate) Finding {
	name := shortName(c)
	return ruleSearchLimit.broken(name, "the search for a path was given up at "+quoted(name)+": the path is too long, or there are too many of the same name",
		"give only the intermediates that belong to "+quoted(name))
}
