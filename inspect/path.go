package inspect

import (
	"cmp"
	"slices"
	"time"
)

// path is a way up from a target, as far as it goes: to a root if it is rooted.
// What a path is judged by is listed here; each rule has a function of its own.
type path struct {
	chain  []*node // the target first
	rooted bool
	v      *Verifier
	o      *Options
	above  map[string][]*node // all that may stand above somebody, by subject
	gaps   []gap              // why crypto/x509 refuses it though it holds
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
	orderMalformed
	orderLink
	orderIssuer
	orderKey
	orderRootTime
	orderIntermediateTime
	orderLeafTime
	orderPathLength
	orderWhole
	orderPolicy
	orderUsage
	orderRevoked
	orderConforming
	orderOpinion
)

// A pathRule judges a path by one clause of RFC 5280, Section 6 or of what it
// builds on; ok is false where the path breaks it.
type pathRule struct {
	order  int
	whole  bool // only a path that reaches a root can be judged by it
	breaks func(p *path) []Finding
}

// pathRules are what a path is judged by, beside its signatures.
func pathJudges() []pathRule {
	one := func(check func(p *path) (Finding, bool)) func(p *path) []Finding {
		return func(p *path) []Finding {
			if f, ok := check(p); !ok {
				return []Finding{f}
			}
			return nil
		}
	}
	return []pathRule{
		{orderMalformed, false, (*path).malformed},
		{orderIssuer, false, (*path).unknownCritical},
		{orderIssuer, false, (*path).notIssuers},
		{orderKey, false, (*path).weakKeys},
		{orderPathLength, false, (*path).tooLong},
		{orderWhole, true, one(checkConstraints)},
		{orderPathLength, true, one(checkDepth)},
		{orderPolicy, true, one(checkPolicies)},
		{orderUsage, true, one(checkUsage)},
		{orderRevoked, true, one(checkRevoked)},
		{orderRevoked, true, one(checkCRLs)},
		{orderRevoked, true, one(checkOCSP)},
		{orderConforming, true, (*path).strictly},
	}
}

// judge gives all that is wrong with a path but its signatures, what decides first.
func (p *path) judge() []fault {
	var faults []fault
	for i := range p.chain {
		if f, ok := checkTime(p.chain[i].Certificate, p.placeOf(i), p.o.At); !ok {
			faults = append(faults, fault{p.timeOrder(i), f})
		}
	}
	for _, r := range pathJudges() {
		if r.whole && !p.rooted {
			continue
		}
		for _, f := range r.breaks(p) {
			faults = append(faults, fault{r.order, f})
		}
	}
	sortFaults(faults)
	return faults
}

func sortFaults(faults []fault) {
	slices.SortStableFunc(faults, func(x, y fault) int { return cmp.Compare(x.order, y.order) })
}

func (p *path) placeOf(i int) place {
	switch {
	case i == 0:
		return placeOf(p.chain[0].Certificate)
	case p.rooted && i == len(p.chain)-1:
		return placeRoot
	}
	return placeIntermediate
}

func (p *path) timeOrder(i int) int {
	switch {
	case i == 0 && !p.rooted:
		return orderLeafTimeAlone
	case p.placeOf(i) == placeRoot:
		return orderRootTime
	case i > 0:
		return orderIntermediateTime
	}
	return orderLeafTime
}

// below is the number of CA certificates that stand between the i-th and the
// target, self-issued ones left out (RFC 5280, Section 4.2.1.9).
func (p *path) below(i int) int {
	n := 0
	for _, c := range p.chain[1:max(i, 1)] {
		if !c.selfIssued {
			n++
		}
	}
	return n
}

// shortest is the certificate of a path that ends first.
func (p *path) shortest() *node {
	least := p.chain[0]
	for _, c := range p.chain[1:] {
		if c.NotAfter.Before(least.NotAfter) {
			least = c
		}
	}
	return least
}

// longest is the path that holds longest.
func longest(paths []*path) *path {
	best := paths[0]
	for _, p := range paths[1:] {
		if p.shortest().NotAfter.After(best.shortest().NotAfter) {
			best = p
		}
	}
	return best
}

// trustedUntil is when the last of the paths ends.
func trustedUntil(paths []*path) time.Time { return longest(paths).shortest().NotAfter }
