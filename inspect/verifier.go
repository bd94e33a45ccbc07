package inspect

import (
	"crypto/x509"
	"maps"
	"slices"
	"time"
)

// Verifier answers for many targets by the same options. It remembers what it has
// read and which signatures hold; use one for each goroutine.
type Verifier struct {
	o        Options
	nodes    map[string]*node   // by DER
	above    map[string][]*node // the options' roots and intermediates, by subject
	fit      map[*node]bool     // whether it may issue at all
	links    map[linkKey]linkState
	keys     map[signedBy]linkState // the same by the key that may have signed
	lists    map[signedCRL]linkState
	work     int // of signature checks for the target at hand, in units of checkCost
	names    int // comparisons of names with constraints for the target at hand
	policies int // policies and mappings followed for the target at hand
	pools    opinionPools
	depth    int // of the search for those who signed a CRL
	asked    map[*node]bool
	peers    map[string]*Verifier // of the options' bundles, by trust domain
}

type linkKey struct{ child, parent *node }

type signedBy struct {
	child *node
	key   string
}

type signedCRL struct {
	list *RevocationList
	key  string
}

type linkState int

const (
	linkUnknown linkState = iota
	linkSound
	linkBroken
)

// NewVerifier reads what the options name. A root that is nil is left out.
func NewVerifier(o Options) *Verifier {
	// A validity holds through its last second (RFC 5280, Section 4.1.2.5).
	o.At = o.At.Truncate(time.Second)
	v := &Verifier{
		o: o, nodes: map[string]*node{}, above: map[string][]*node{}, fit: map[*node]bool{},
		links: map[linkKey]linkState{}, keys: map[signedBy]linkState{}, asked: map[*node]bool{}, lists: map[signedCRL]linkState{},
	}
	for i, list := range [][]*x509.Certificate{o.Roots, o.Intermediates} {
		for _, c := range list {
			if c == nil {
				continue
			}
			n, seen := v.node(c)
			if n.anchor = n.anchor || i == 0; !seen {
				v.above[n.subject] = append(v.above[n.subject], n)
			}
		}
	}
	return v
}

// node reads a certificate once, however often it is given.
func (v *Verifier) node(c *x509.Certificate) (n *node, seen bool) {
	if n, seen = v.nodes[string(c.Raw)]; !seen {
		n = newNode(c)
		v.nodes[string(c.Raw)] = n
	}
	return n, seen
}

// with is what may stand above a target: that of the options, and more that came
// with the target itself.
func (v *Verifier) with(between []*x509.Certificate) map[string][]*node {
	if len(between) == 0 {
		return v.above
	}
	all := make(map[string][]*node, len(v.above)+len(between))
	maps.Copy(all, v.above)
	for _, c := range between {
		if c == nil {
			continue
		}
		n, _ := v.node(c)
		if list := all[n.subject]; !slices.Contains(list, n) {
			all[n.subject] = append(list[:len(list):len(list)], n)
		}
	}
	return all
}

// mayIssue tells whether a certificate keeps every rule for one that issues which
// asks for nothing but it.
func (v *Verifier) mayIssue(n *node) bool {
	ok, known := v.fit[n]
	if !known {
		at := placeIntermediate
		if n.anchor {
			at = placeRoot
		}
		_, inTime := checkTime(n.Certificate, at, v.o.At)
		permitted := usageAllows(n.Certificate, v.o.EKU)
		p := &path{chain: []*node{n, n}, v: v, o: &v.o}
		short, bits := shortOrHugeRSA(n.Certificate)
		ok = !short && bits <= maxRSABits && inTime && permitted && len(p.malformed()) == 0 && len(p.unknownCritical()) == 0 && len(p.notIssuers()) == 0
		v.fit[n] = ok
	}
	return ok
}

// excludes tells whether p's name constraints refuse a name of c.
func (v *Verifier) excludes(p, c *node) bool {
	if p.trees == nil {
		return false
	}
	_, refused := v.refusedName(p, c)
	return refused
}

// brokenLink checks the signatures of a chain and gives the place of the first
// certificate that the one above it did not sign, -1 for none.
func (v *Verifier) brokenLink(chain []*node) int {
	for i := range len(chain) - 1 {
		if v.link(chain[i], chain[i+1]) == linkBroken {
			return i
		}
	}
	return -1
}

// link checks the signature on child by parent's key, once for a key.
func (v *Verifier) link(child, parent *node) linkState {
	k := linkKey{child, parent}
	if s := v.links[k]; s != linkUnknown {
		return s
	}
	by := signedBy{child, string(parent.RawSubjectPublicKeyInfo)}
	s := v.keys[by]
	if s == linkUnknown {
		v.work += checkCost(parent.PublicKey)
		s = linkBroken
		if v.work <= maxLinkWork && v.signatureHolds(child.Certificate, parent.Certificate) == nil {
			s = linkSound
		}
		v.keys[by] = s
	}
	v.links[k] = s
	return s
}

// signatureHolds checks a signature as it counted at the moment that is asked about.
func (v *Verifier) signatureHolds(child, parent *x509.Certificate) error {
	return checkSignatureAt(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature, parent, v.o.At, sha1End(v.o.Strict))
}
