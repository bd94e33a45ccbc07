package inspect

import (
	"cmp"
	"crypto/x509"
	"slices"
)

// The bounds of a search. They are far beyond what anybody needs, and keep every
// search short however hostile the certificates are; where one is met there is no
// path.
const (
	maxPaths     = 16      // that hold and are told
	maxPathLen   = 40      // certificates in one
	maxSteps     = 60000   // from a certificate to one that may have issued it
	maxJudged    = 400     // whole paths that do not hold
	maxLinkWork  = 8000    // signatures, in units of checkCost
	maxNameTests = 1 << 20 // comparisons of names with constraints
	maxPolicies  = 1 << 20 // policies and mappings followed
)

// search looks for the paths from one target to the roots, depth first. What was
// found to lead nowhere is remembered, so that layers of CAs that certified each
// other cost a look at each, not one at every way through them. Signatures are
// checked last: a way that no name and no key identifier allows needs none.
type search struct {
	v     *Verifier
	above map[string][]*node  // by subject: the roots and all that may stand between
	came  []*x509.Certificate // with the target
	chain []*node
	dead  map[*node]int // the least number of CAs below from which on it leads nowhere
	clash map[*node]bool
	found []*path

	refused       []refusal // whole paths that only the second opinion refuses
	broken        int       // the place in chain of a link that turned out to be none, -1
	steps, judged int
	over          bool // a bound was met
}

// refusal is a path that holds by our rules and not by those of crypto/x509.
type refusal struct {
	p *path
	f Finding
}

func (v *Verifier) search(target *node, above map[string][]*node) *search {
	s := &search{v: v, above: above, chain: []*node{target}, dead: map[*node]int{}, clash: map[*node]bool{}, broken: -1}
	if target.anchor {
		s.arrive()
		return s
	}
	s.climb(0)
	return s
}

// done tells whether to look no further.
func (s *search) done() bool {
	s.over = s.over || s.steps > maxSteps || s.judged > maxJudged || s.v.work > maxLinkWork
	return s.over || len(s.found) >= maxPaths
}

// climb follows the chain to every certificate that may have issued its last,
// below being the number of CAs passed that are not self-issued. sure is true
// where what was found, or not, does not depend on how the chain came here.
func (s *search) climb(below int) (sure bool) {
	c := s.chain[len(s.chain)-1]
	if n, ok := s.dead[c]; ok && below >= n {
		return true
	}
	if len(s.chain) >= maxPathLen {
		return false
	}
	before := len(s.found)
	sure = true
	for _, p := range s.parents(c) {
		if s.done() {
			return false
		}
		s.steps++
		ways, certain := s.try(c, p, below)
		if s.broken >= 0 {
			if s.broken < len(s.chain)-1 {
				return false
			}
			s.broken = -1 // the link from c to p is none, and known to be none
			continue
		}
		sure = sure && (certain || !ways)
	}
	if sure && len(s.found) == before {
		s.dead[c] = below
	}
	return sure
}

// try goes on by one parent. ways is false where it is none, whatever else there is.
func (s *search) try(c, p *node, below int) (ways, certain bool) {
	if s.onChain(p) || s.v.links[linkKey{c, p}] == linkBroken || !s.v.mayIssue(p) || s.excludes(p, s.chain[0]) {
		return false, true
	}
	if p.BasicConstraintsValid && p.MaxPathLen >= 0 && below > p.MaxPathLen {
		return false, true // and so it is with more below
	}
	for _, m := range s.chain[1:] {
		if !m.selfIssued && s.v.excludes(p, m) {
			return true, false // by another way, it may be allowed
		}
	}
	s.chain = append(s.chain, p)
	defer func() { s.chain = s.chain[:len(s.chain)-1] }()
	if p.anchor {
		return true, s.arrive()
	}
	if !p.selfIssued {
		below++
	}
	return true, s.climb(below)
}

func (s *search) onChain(p *node) bool {
	return slices.ContainsFunc(s.chain, func(c *node) bool { return c == p || sameSubjectKey(c, p) })
}

// excludes tells whether p may not certify the target's names, and remembers it.
func (s *search) excludes(p, target *node) bool {
	if p.trees == nil {
		return false
	}
	no, known := s.clash[p]
	if !known {
		no = s.v.excludes(p, target)
		s.clash[p] = no
	}
	return no
}

// parents are the certificates of the issuer's name, the likeliest first: those
// whose key identifier fits, roots, what holds longest.
func (s *search) parents(c *node) []*node {
	list := s.above[c.issuer]
	if len(list) < 2 {
		return list
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *node) int {
		if d := cmp.Compare(keyRank(c, a), keyRank(c, b)); d != 0 {
			return d
		}
		if a.anchor != b.anchor {
			if a.anchor {
				return -1
			}
			return 1
		}
		return b.NotAfter.Compare(a.NotAfter)
	})
	return list
}

// arrive judges a chain that reached a root. It gives true where no other chain
// with the same links can fare better: the chain holds.
func (s *search) arrive() bool {
	p := &path{chain: slices.Clone(s.chain), rooted: true, v: s.v, o: &s.v.o, above: s.above}
	// crypto/x509 proves the signatures of a short path by the way; in a long one it
	// may lose itself among namesakes.
	const short = 3
	if len(p.chain) > short {
		if s.broken = s.v.brokenLink(p.chain); s.broken >= 0 {
			return false
		}
	}
	s.judged++
	if faults := p.judge(); len(faults) > 0 {
		return false
	}
	err := p.secondOpinion()
	if err != nil {
		if s.broken = s.v.brokenLink(p.chain); s.broken >= 0 {
			s.judged--
			return false
		}
		var ok bool
		if p.gaps, ok = p.knownGaps(err); !ok {
			s.refused = append(s.refused, refusal{p, opinionFinding(p, err)})
			return false
		}
	}
	s.judged--
	p.gaps = append(p.gaps, p.unreadGaps()...)
	s.found = append(s.found, p)
	return true
}
