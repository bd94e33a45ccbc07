package inspect

import (
	"crypto/x509"
	"fmt"
	"slices"
)

// What CRLs say is followed as RFC 5280, Section 6.3.3 says: for every distribution
// point of a certificate, and for the one that every certificate has, its
// issuer's name, each list given is asked whether it is in scope, current, whole
// and signed by whom it may, until all reasons are covered. What is left open is
// no.

var (
	ruleCRLMissing   = Rule{"crl-missing", SeverityError, "RFC 5280, Section 6.3.3", "a CRL that covers the certificate is among those given"}
	ruleCRLReasons   = Rule{"crl-reasons-uncovered", SeverityError, "RFC 5280, Section 6.3.3", "the CRLs together cover every reason"}
	ruleCRLSignature = Rule{"crl-signature-invalid", SeverityError, "RFC 5280, Section 6.3.3", "the CRL's signature was made by its issuer"}
	ruleCRLSigner    = Rule{"crl-signer-not-allowed", SeverityError, "RFC 5280, Section 4.2.1.3", "whoever signed the CRL may: its key usage says cRLSign, and a path leads to it"}
	ruleCRLCritical  = Rule{"crl-extension-unknown", SeverityError, "RFC 5280, Section 5.2", "every critical extension of the CRL is understood"}
)

var crlRules = []Rule{ruleCRLMissing, ruleCRLReasons, ruleCRLSignature, ruleCRLSigner, ruleCRLCritical}

// The scopes of Options.CRLCheck.
const (
	CRLCheckLeaf  = "leaf"  // the target alone
	CRLCheckChain = "chain" // every certificate but the root
)

// checkCRLs asks the lists given about the target, or about every certificate of
// the path but the root, the one nearest to it first.
func checkCRLs(p *path) (Finding, bool) {
	if len(p.o.CRLs) == 0 {
		return Finding{}, true
	}
	from := 0
	if p.o.CRLCheck == CRLCheckChain {
		from = len(p.chain) - 2
	}
	for i := min(from, len(p.chain)-2); i >= 0; i-- {
		if f, ok := p.askCRLs(i); !ok {
			return f, false
		}
	}
	return Finding{}, true
}

// askCRLs determines the status of the i-th certificate.
func (p *path) askCRLs(i int) (Finding, bool) {
	c := p.chain[i]
	points := pointsOf(c)
	var covered reasonSet
	trouble, depth := Finding{}, 0
	for _, point := range points {
		for _, l := range p.o.CRLs {
			if l.base != nil || !l.covers(c, point) {
				continue
			}
			reasons := point.reasons
			if l.scope != nil {
				reasons &= l.scope.reasons
			}
			f, how, ok := p.usable(l, i)
			if !ok {
				if how > depth {
					trouble, depth = f, how
				}
				continue
			}
			if p.superseded(l, i) {
				continue
			}
			// Also where all reasons are covered: what any list says against it counts.
			if e, revoked := p.look(l, i); revoked {
				return revokedFinding(c, reasonName(e.reason)), false
			}
			covered |= reasons
		}
	}
	switch {
	case covered == allReasons:
		return Finding{}, true
	case trouble.Rule != "":
		return trouble, false
	case covered != 0:
		return ruleCRLReasons.broken(c.name(), "the CRLs given about "+quoted(c.name())+" cover only some reasons to revoke it",
			"give the CRLs for the other reasons too"), false
	}
	return ruleCRLMissing.broken(c.name(), fmt.Sprintf("no CRL given covers %s: one of %s is needed", quoted(c.name()), issuerText(c.Certificate)),
		"give the current CRL of "+issuerText(c.Certificate)+" with --crl"), false
}

// pointsOf are the distribution points of a certificate, and its issuer's name as
// another. Where every one names another issuer for the list, that one publishes
// what is revoked, and the issuer's own list proves nothing.
func pointsOf(c *node) []distributionPoint {
	elsewhere := len(c.points) > 0
	for _, p := range c.points {
		elsewhere = elsewhere && len(p.issuers) > 0
	}
	if elsewhere {
		return c.points
	}
	return append(slices.Clone(c.points), distributionPoint{
		names: []generalName{{kind: tagDirectory, rdns: issuerRDNs(c), der: c.RawIssuer}}, reasons: allReasons,
	})
}

func issuerRDNs(c *node) []string {
	rdns, _ := canonicalRDNs(c.RawIssuer)
	return rdns
}

// covers tells whether a list is about a certificate and for a distribution point
// (RFC 5280, Section 6.3.3 (b)).
func (l *RevocationList) covers(c *node, point distributionPoint) bool {
	if len(point.issuers) > 0 {
		own := slices.ContainsFunc(point.issuers, func(n generalName) bool { return n.kind == tagDirectory && canonicalName(n.der) == l.issuer })
		if !own || l.scope == nil || !l.scope.indirect {
			return false
		}
	} else if l.issuer != c.issuer {
		return false
	}
	s := l.scope
	if s == nil {
		return true
	}
	if len(s.names) > 0 {
		names := point.names
		if len(names) == 0 {
			names = point.issuers
		}
		if !shareName(s.names, names) {
			return false
		}
	}
	// A certificate of version 1 does not say whether it is a CA's.
	return !s.onlyAttrs && !(s.onlyUsers && (c.isCA() || c.Version < 3)) && !(s.onlyCAs && !c.isCA())
}

// usable tells whether a list may be gone by for the i-th certificate; how far it
// came says how much it was meant.
func (p *path) usable(l *RevocationList, i int) (f Finding, how int, ok bool) {
	issuer := quoted(crlIssuerText(l))
	switch {
	case l.unknown != "":
		return ruleCRLCritical.broken(p.chain[i].name(), "the CRL of "+issuer+" has a critical extension that is not understood ("+l.unknown+")",
			"have the CRL issued without it"), 2, false
	case l.thisUpdate.After(p.o.At):
		return ruleCRLNotYet.broken(p.chain[i].name(), "the CRL of "+issuer+" is from the future: it was issued at "+moment(l.thisUpdate),
			"check the clocks of this machine and of the CA"), 2, false
	case !l.nextUpdate.IsZero() && p.o.At.After(l.nextUpdate):
		return ruleCRLStale.broken(p.chain[i].name(), fmt.Sprintf("the CRL of %s is out of date: the next was due %s ago, at %s", issuer, span(seconds(l.nextUpdate, p.o.At)), moment(l.nextUpdate)),
			"fetch the CA's current CRL"), 3, false
	}
	return p.signedByIssuer(l, i)
}

func crlIssuerText(l *RevocationList) string {
	for _, a := range subjectTexts(l.rawIssuer) {
		if a.kind == "CN" {
			return a.text
		}
	}
	return nameOr(l.rawIssuer)
}

// signedByIssuer finds a certificate of the list's issuer that signed it and may,
// and a path to it from the same root (Section 6.3.3 (f) and (g)).
func (p *path) signedByIssuer(l *RevocationList, i int) (f Finding, how int, ok bool) {
	name, issuer := p.chain[i].name(), quoted(crlIssuerText(l))
	f = ruleCRLSignature.broken(name, "the CRL of "+issuer+" was not signed by any certificate of that name that was given",
		"fetch the CRL again from the CA; if its key was replaced, give the certificate of the key that signed")
	how = 4
	for _, s := range p.crlSigners(l, i) {
		if !p.v.signedList(l, s) {
			continue
		}
		switch {
		case s.KeyUsage != 0 && s.KeyUsage&x509.KeyUsageCRLSign == 0:
			f, how = ruleCRLSigner.broken(s.name(), quoted(s.name())+" signed the CRL and may not: its key usage does not say cRLSign",
				"replace the CA certificate by one with cRLSign"), 5
		case !p.leadsTo(s, i):
			f, how = ruleCRLSigner.broken(s.name(), quoted(s.name())+" signed the CRL, and no path leads to it from the same root",
				"give the certificates between it and the root"), 5
		default:
			return Finding{}, 0, true
		}
	}
	return f, how, false
}

// crlSigners are the certificates of the issuer's name, those of the path first.
func (p *path) crlSigners(l *RevocationList, i int) []*node {
	var list []*node
	for _, c := range append(slices.Clone(p.chain[i+1:]), p.above[l.issuer]...) {
		if c.subject == l.issuer && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// signedList checks the signature on a list by a key, once.
func (v *Verifier) signedList(l *RevocationList, by *node) bool {
	k := signedCRL{l, string(by.RawSubjectPublicKeyInfo)}
	s := v.lists[k]
	if s == linkUnknown {
		s = linkBroken
		v.work += checkCost(by.PublicKey)
		if v.work <= maxLinkWork && checkSignatureAt(l.algorithm, l.tbs, l.signature, by.Certificate, v.o.At, sha1End(v.o.Strict)) == nil {
			s = linkSound
		}
		v.lists[k] = s
	}
	return s == linkSound
}

// leadsTo tells whether there is a path to whoever signed a list: the one at hand,
// or another that ends at the same root, judged as any path is. One who is being
// asked about already may vouch for itself.
func (p *path) leadsTo(signer *node, i int) bool {
	if slices.Contains(p.chain[i+1:], signer) || p.v.asked[signer] {
		return true
	}
	root := p.chain[len(p.chain)-1]
	if signer.anchor {
		return signer.subject == root.subject
	}
	const most = 8
	if p.v.depth >= most {
		return false
	}
	sub := p.v.forSigners()
	p.v.asked[signer] = true
	defer delete(p.v.asked, signer)
	s := sub.search(signer, p.above)
	p.v.work = sub.work
	return slices.ContainsFunc(s.found, func(q *path) bool { return q.chain[len(q.chain)-1].subject == root.subject })
}

// forSigners asks only for trust, and shares what is known already.
func (v *Verifier) forSigners() *Verifier {
	sub := *v
	sub.o.EKU, sub.o.Policies, sub.o.LimitDepth, sub.o.OCSP = EKUAny, PolicyOptions{}, false, nil
	sub.fit, sub.pools, sub.depth = map[*node]bool{}, opinionPools{}, v.depth+1
	return &sub
}

// look gives what a list and the newest delta CRL for it say of the i-th
// certificate (Section 6.3.3 (h) to (j)).
func (p *path) look(l *RevocationList, i int) (crlEntry, bool) {
	c := p.chain[i]
	e, revoked := l.find(c.SerialNumber, c.issuer)
	var newest *RevocationList
	for _, d := range p.o.CRLs {
		if !d.updates(l) || newest != nil && d.number.Cmp(newest.number) <= 0 {
			continue
		}
		if _, _, ok := p.usable(d, i); ok {
			newest = d
		}
	}
	if newest != nil {
		if changed, listed := newest.find(c.SerialNumber, c.issuer); listed {
			const removeFromCRL = 8
			return changed, changed.reason != removeFromCRL
		}
	}
	return e, revoked
}

// superseded tells whether a newer list for the same is among those given.
func (p *path) superseded(l *RevocationList, i int) bool {
	return slices.ContainsFunc(p.o.CRLs, func(newer *RevocationList) bool {
		if newer.base != nil || !newer.thisUpdate.After(l.thisUpdate) || !newer.likeness(l) {
			return false
		}
		_, _, ok := p.usable(newer, i)
		return ok
	})
}

// likeness tells whether two lists are of the same issuer, key and scope.
func (l *RevocationList) likeness(other *RevocationList) bool {
	scope := func(l *RevocationList) string {
		if l.scope == nil {
			return ""
		}
		return string(l.scope.der)
	}
	return l.issuer == other.issuer && scope(l) == scope(other) && string(l.keyID) == string(other.keyID)
}

// updates tells whether a list is a delta CRL for a complete one (Section 6.3.3 (c)).
func (l *RevocationList) updates(complete *RevocationList) bool {
	return l.base != nil && l.number != nil && complete.number != nil && l.likeness(complete) &&
		l.base.Cmp(complete.number) <= 0 && l.number.Cmp(complete.number) > 0
}
