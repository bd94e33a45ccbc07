package inspect

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Trust domains that know each other keep each other's bundles, each for its own names:
// the roots of one say nothing about who is who in another.

var (
	ruleBundleMissing = Rule{"trust-domain-bundle-missing", SeverityError, "X509-SVID, Section 5.1", "the bundle of the certificate's trust domain is among those given"}
	ruleBundleOther   = Rule{"trust-domain-bundle-other", SeverityError, "X509-SVID, Section 5.1", "the path ends in the bundle of the certificate's own trust domain"}
)

var federationRules = []Rule{ruleBundleMissing, ruleBundleOther}

// federated judges a target by the bundle of the trust domain that it calls itself of,
// as if no other roots were there. Who calls itself of none is judged by the roots that
// are nobody's. A name that claims to be a SPIFFE ID and is none has no bundle.
func (v *Verifier) federated(source string, target *x509.Certificate, between []*x509.Certificate) Result {
	names := NamesOf(target)
	if !names.claimsSPIFFE() {
		return v.verify(source, target, between)
	}
	domain := names.SPIFFEID().TrustDomain().String()
	r := v.peer(domain).verify(source, target, between)
	if len(r.Paths) > 0 || len(v.o.Bundles[domain]) == 0 {
		return r
	}
	if other := v.vouching(domain, target, between); other != "" {
		f := ruleBundleOther.broken(shortName(target),
			fmt.Sprintf("its path ends in the bundle of trust domain %s, and its SPIFFE ID is in %s: only the bundle of %s counts for that", other, domain, domain),
			"find out why a CA of "+other+" issued it; have it issued by a CA of "+domain)
		r.Findings = slices.Insert(r.Findings, 0, f)
		if len(r.Tried) > 0 { // what is said of the first is what decides
			r.Tried[0].Findings = slices.Insert(slices.Clone(r.Tried[0].Findings), 0, f)
		}
	}
	return r
}

// peer is the verifier for one trust domain, which knows no roots but its bundle.
func (v *Verifier) peer(domain string) *Verifier {
	p, known := v.peers[domain]
	if !known {
		o := v.o
		o.Roots, o.within = v.o.Bundles[domain], domain
		if domain == "" {
			o.Roots, o.within = nil, "\x00" // no trust domain is called that
		}
		p = NewVerifier(o)
		if v.peers == nil {
			v.peers = map[string]*Verifier{}
		}
		v.peers[domain] = p
	}
	return p
}

// vouching is another trust domain whose bundle the target's path ends in, "" for none.
func (v *Verifier) vouching(own string, target *x509.Certificate, between []*x509.Certificate) string {
	const most = 32 // that are asked; it is only for the words
	names := slices.Sorted(maps.Keys(v.o.Bundles))
	for _, domain := range names[:min(most, len(names))] {
		if domain == own {
			continue
		}
		p := v.peer(domain)
		p.work, p.names, p.policies = 0, 0, 0
		n, _ := p.node(target)
		if s := p.search(n, p.with(between)); len(s.found) > 0 {
			return domain
		}
	}
	return ""
}

// withoutRoots says that there is nothing to trust a target by.
func (v *Verifier) withoutRoots(target *node) Finding {
	given := listed(slices.Sorted(maps.Keys(v.o.Bundles)), 4)
	switch {
	case len(v.o.Bundles) == 0:
		return ruleNoRoots.broken("", "no root was given, so nothing can be trusted", "give the roots that you trust")
	case v.o.within == "":
		return ruleNoRoots.broken("", "it has no SPIFFE ID, and the only roots given are the bundles of trust domains ("+given+")",
			"give the roots by which what has no SPIFFE ID is trusted")
	case strings.HasPrefix(v.o.within, "\x00"):
		return ruleBundleMissing.broken(target.name(), "what it has for a SPIFFE ID is none, so no bundle counts for it", "have it issued again with one well-formed SPIFFE ID")
	}
	return ruleBundleMissing.broken(target.name(), fmt.Sprintf("no bundle of trust domain %s was given, only of %s", v.o.within, given),
		"give the bundle of "+v.o.within+" too, if you trust it: --spiffe-bundle "+v.o.within+"=FILE")
}
