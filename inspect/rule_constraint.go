package inspect

import (
	"fmt"
	"net/netip"
	"strings"
)

// checkConstraints holds the names of every certificate of a path to the name
// constraints of every CA above it, the root's too, self-issued CAs left out
// (RFC 5280, Sections 4.2.1.10 and 6.1.3 (b) and (c)).
func checkConstraints(p *path) (Finding, bool) {
	for i := len(p.chain) - 1; i > 0; i-- {
		ca := p.chain[i]
		if ca.trees == nil {
			continue
		}
		for j := i - 1; j >= 0; j-- {
			c := p.chain[j]
			if j > 0 && c.selfIssued {
				continue
			}
			why, refused := p.v.refusedName(ca, c)
			if !refused {
				continue
			}
			if p.v.names >= tooManyNames {
				return ruleNameLimit.broken(ca.name(), quoted(ca.name())+" has so many name constraints, and there are so many names below it, that they are not compared",
					"have the certificate issued with fewer names, or by a CA with fewer constraints"), false
			}
			return ruleNameConstraint.broken(c.name(), fmt.Sprintf("%s above it may not certify its names: %s", quoted(ca.name()), why),
				"have it issued without that name, or by a CA whose constraints permit it"), false
		}
	}
	return Finding{}, true
}

// refusedName finds a name of c that the constraints of ca above it do not allow.
func (v *Verifier) refusedName(ca, c *node) (why string, refused bool) {
	names := v.constrained(c)
	if len(names)*ca.trees.count > maxNameTests {
		v.names = tooManyNames
		return "", true
	}
	for _, n := range names {
		permitted, excluded := ca.trees.permitted[n.kind], ca.trees.excluded[n.kind]
		if v.names += len(permitted) + len(excluded); v.names > 2*maxNameTests {
			v.names = tooManyNames
			return "", true
		}
		for _, base := range excluded {
			if within, sure := base.holds(n, true); within || !sure {
				return n.describe() + " is excluded by constraint " + quoted(base.constraint()), true
			}
		}
		if len(permitted) == 0 {
			continue
		}
		some := false
		for _, base := range permitted {
			within, sure := base.holds(n, false)
			if !sure {
				return n.describe() + " is such that no constraint can be held to it", true
			}
			if within {
				some = true
				break
			}
		}
		if !some {
			return n.describe() + " is not permitted by any constraint", true
		}
	}
	return "", false
}

// tooManyNames is where the count of comparisons stands once a bound was met.
const tooManyNames = 1 << 40

// constrained is constrainedNames, gathered once.
func (v *Verifier) constrained(c *node) []generalName {
	if c.constrained == nil {
		c.constrained = constrainedNames(c, v.o.Name == "")
	}
	return c.constrained
}

// describe is a name with its type.
func (n generalName) describe() string { return generalNameKinds[n.kind] + " " + quoted(n.String()) }

// constraint is the base of a subtree as a sentence has it.
func (n generalName) constraint() string {
	if n.kind == tagIP {
		return network(n.ip)
	}
	return n.String()
}

// constrainedNames are all names of a certificate that constraints apply to: the
// alternative names, the subject, and what is in the subject in the place of an
// alternative name: its email addresses, and, of a leaf that has no DNS name, common
// names that are a host's. Where a name is asked for, common names do not count at
// all (RFC 9525, Section 2); where none is, somebody may still go by them.
func constrainedNames(c *node, common bool) []generalName {
	names := c.names
	if len(c.rdns) == 0 {
		return names
	}
	names = append(names[:len(names):len(names)], generalName{kind: tagDirectory, rdns: c.rdns, der: c.RawSubject})
	hasDNS := false
	for _, n := range c.names {
		hasDNS = hasDNS || n.kind == tagDNS
	}
	for _, a := range subjectTexts(c.RawSubject) {
		switch {
		case a.kind == "emailAddress":
			names = append(names, generalName{kind: tagEmail, text: a.text, folded: foldName(tagEmail, a.text)})
		case common && a.kind == "CN" && !hasDNS && !c.isCA() && hostName(a.text):
			names = append(names, generalName{kind: tagDNS, text: a.text, folded: foldName(tagDNS, a.text)})
		}
	}
	return names
}

// hostName tells whether text is a host's name, of two labels or more, and no address.
func hostName(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && strings.Contains(s, ".") && soundDNSName(s)
}
