package inspect

import (
	"encoding/asn1"
	"slices"
	"strings"
)

// The policies of a path are followed as RFC 5280, Sections 6.1.2 to 6.1.5 say,
// with the graph of RFC 9618 in place of the tree: the same answers, in time that
// does not grow with the number of ways through the mappings.

// PolicyOptions are the inputs of RFC 5280, Section 6.1.1 (c) to (g).
type PolicyOptions struct {
	Initial        []string // acceptable policies, dotted; none means any
	Explicit       bool     // the path must be valid for one of them
	InhibitMapping bool
	InhibitAny     bool
}

// policyGraph has the valid policies of one depth.
type policyGraph map[string]*policyVertex

// policyVertex is one valid policy. Its parents stand one certificate nearer to
// the root.
type policyVertex struct {
	policy   string
	expected []string
	parents  []*policyVertex
	children int
	gone     bool
}

// policyState is where the walk down a path stands (RFC 5280, Section 6.1.2).
type policyState struct {
	levels                         []policyGraph
	null                           bool // no policy is valid any more
	explicit, mapping, anyInhibits int
}

// policyFault says why a path does not have the policies that it demands, and
// which certificate decides; -1 for none.
func policyFault(chain []*node, o PolicyOptions) (at int, why string) {
	below := chain[:len(chain)-1] // the root is not part of what is walked (Section 6.1)
	if len(below) == 0 {
		return -1, ""
	}
	st := newPolicyState(len(below), o)
	for i := len(below) - 1; i >= 0; i-- {
		c := below[i]
		st.take(c, i == 0)
		if st.explicit <= 0 && st.null {
			return i, "none is valid for the path down to it, and the path demands one"
		}
		if i == 0 {
			break
		}
		if c.policies.anyMapped {
			return i, "it maps a policy to or from anyPolicy, which nothing may"
		}
		st.prepare(c)
	}
	st.wrapUp(below[0], o)
	if st.explicit <= 0 && st.null {
		return 0, "the path has none of those that it demands"
	}
	return -1, ""
}

func newPolicyState(n int, o PolicyOptions) *policyState {
	start := func(now bool) int {
		if now {
			return 0
		}
		return n + 1
	}
	root := &policyVertex{policy: anyPolicy, expected: []string{anyPolicy}}
	return &policyState{
		levels:   []policyGraph{{anyPolicy: root}},
		explicit: start(o.Explicit), mapping: start(o.InhibitMapping), anyInhibits: start(o.InhibitAny),
	}
}

func (st *policyState) last() policyGraph { return st.levels[len(st.levels)-1] }

func (st *policyState) add(level policyGraph, policy string, expected []string, parents ...*policyVertex) {
	v := &policyVertex{policy: policy, expected: expected, parents: parents}
	for _, p := range parents {
		p.children++
	}
	level[policy] = v
}

// take processes the policies of one certificate (Section 6.1.3, (d) and (e)).
func (st *policyState) take(c *node, final bool) {
	if !c.policies.has || st.null {
		st.null = true
		return
	}
	above := st.last()
	expecting := map[string][]*policyVertex{}
	for _, key := range sortedPolicies(above) {
		for _, e := range above[key].expected {
			expecting[e] = append(expecting[e], above[key])
		}
	}
	level := policyGraph{}
	for _, p := range c.policies.list {
		if parents := expecting[p]; len(parents) > 0 {
			st.add(level, p, []string{p}, parents...)
		} else if anyAbove := expecting[anyPolicy]; len(anyAbove) > 0 {
			st.add(level, p, []string{p}, anyAbove...)
		}
	}
	if c.policies.any && (st.anyInhibits > 0 || !final && c.selfIssued) {
		for p, parents := range expecting {
			if level[p] == nil {
				st.add(level, p, []string{p}, parents...)
			}
		}
	}
	st.levels = append(st.levels, level)
	st.prune()
}

func sortedPolicies(level policyGraph) []string {
	keys := make([]string, 0, len(level))
	for k := range level {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// prune removes, from the last level but one up, what leads nowhere.
func (st *policyState) prune() {
	for i := len(st.levels) - 2; i >= 0; i-- {
		for p, v := range st.levels[i] {
			if v.children == 0 {
				st.drop(st.levels[i], p)
			}
		}
	}
	st.null = len(st.last()) == 0
}

func (st *policyState) drop(level policyGraph, policy string) {
	v := level[policy]
	v.gone = true
	for _, p := range v.parents {
		p.children--
	}
	delete(level, policy)
}

// prepare makes ready for the next certificate (Section 6.1.4, (b) and (h) to (j)).
func (st *policyState) prepare(c *node) {
	if !st.null {
		st.mapPolicies(c.policies.mappings)
	}
	if !c.selfIssued {
		for _, n := range []*int{&st.explicit, &st.mapping, &st.anyInhibits} {
			*n = max(*n-1, 0)
		}
	}
	lower := func(n *int, to int) {
		if to >= 0 {
			*n = min(*n, to)
		}
	}
	lower(&st.explicit, c.policies.explicit)
	lower(&st.mapping, c.policies.inhibitMap)
	lower(&st.anyInhibits, c.policies.inhibitAnyFor)
}

func (st *policyState) mapPolicies(mappings []policyMapping) {
	if len(mappings) == 0 {
		return
	}
	level := st.last()
	to := map[string][]string{}
	for _, m := range mappings {
		to[m.issuer] = append(to[m.issuer], m.subject)
	}
	for from, subjects := range to {
		v := level[from]
		switch {
		case st.mapping == 0:
			if v != nil {
				st.drop(level, from)
			}
		case v != nil:
			v.expected = subjects
		case level[anyPolicy] != nil:
			st.add(level, from, subjects, level[anyPolicy].parents...)
		}
	}
	st.prune()
}

// wrapUp ends the walk (Section 6.1.5).
func (st *policyState) wrapUp(leaf *node, o PolicyOptions) {
	st.explicit = max(st.explicit-1, 0)
	if leaf.policies.explicit == 0 {
		st.explicit = 0
	}
	if st.null || len(o.Initial) == 0 {
		return
	}
	wanted := map[string]bool{}
	for _, p := range o.Initial {
		wanted[policyDER(p)] = true
	}
	if wanted[anyPolicy] {
		return
	}
	// A policy of the user's domain is one whose parent is anyPolicy: that of the
	// authority that was first to name it.
	stays := false
	if leaf := st.last()[anyPolicy]; leaf != nil {
		return // stands for every policy that is wanted
	}
	reached := map[*policyVertex]bool{}
	for _, v := range st.last() {
		reached[v] = true
	}
	for i := len(st.levels) - 1; i > 0; i-- {
		for _, v := range st.levels[i] {
			if !reached[v] {
				continue
			}
			for _, p := range v.parents {
				if p.policy != anyPolicy {
					reached[p] = true
				} else if wanted[v.policy] {
					stays = true
				}
			}
		}
	}
	st.null = !stays
}

// policyDER is the content of an OID in DER; what is no OID equals no policy.
func policyDER(dotted string) string {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(dotted, ".") {
		n := 0
		for _, c := range part {
			if c < '0' || c > '9' || n > 1<<28 {
				return ""
			}
			n = n*10 + int(c-'0')
		}
		oid = append(oid, n)
	}
	der, err := asn1.Marshal(oid)
	if err != nil || len(der) < 3 {
		return ""
	}
	return string(der[2:])
}

func checkPolicies(p *path) (Finding, bool) {
	for _, c := range p.chain {
		p.v.policies += len(c.policies.list) + len(c.policies.mappings)
	}
	if p.v.policies > maxPolicies {
		return searchLimitOf(p.chain[0], "there are so many certificate policies and mappings above it that they are not followed"), false
	}
	at, why := policyFault(p.chain, p.o.Policies)
	if at < 0 {
		return Finding{}, true
	}
	name := p.chain[at].name()
	return rulePolicy.broken(name, "the certificate policies fail at "+quoted(name)+": "+why,
		"have it, and the CAs above it, issued with a policy in common that is acceptable, or do not demand one"), false
}
