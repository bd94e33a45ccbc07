package ca

import (
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
)

// narrowAll gives a template the constraints that are asked for, and then those of
// the CA's own certificate and of all CAs above: what is permitted has to be
// permitted by each. What was asked for and one of them does not permit is refused.
func (i *Issuer) narrowAll(t *x509.Certificate, o Cross) error {
	all := append([]*x509.Certificate{o.Certificate}, i.chain()...)
	wish := &x509.Certificate{}
	o.Constraints.apply(wish)
	for _, c := range all {
		if err := checkPermits(wish, o.Constraints, c); err != nil {
			return err
		}
	}
	for _, c := range append(all, wish) {
		narrow(t, c)
	}
	t.PermittedDNSDomainsCritical = constrained(t)
	return nil
}

// checkPermits refuses a subtree that was asked for and that a CA does not permit.
func checkPermits(wish *x509.Certificate, asked Constraints, c *x509.Certificate) error {
	refuse := func(what, subtree string) error {
		return &Refusal{fmt.Sprintf("permitting %s within %s", what, subtree), caName(c) + " does not permit it by its own constraints", "RFC 5280, Section 4.2.1.10"}
	}
	for _, s := range asked.DNS {
		if !someHolds(c.PermittedDNSDomains, s, dnsWithin) || someHolds(c.ExcludedDNSDomains, s, dnsWithin) && len(c.ExcludedDNSDomains) > 0 {
			return refuse("DNS names", s)
		}
	}
	for _, td := range asked.URI {
		if s := td.String(); !someHolds(c.PermittedURIDomains, s, hostWithin) || len(c.ExcludedURIDomains) > 0 && someHolds(c.ExcludedURIDomains, s, dnsWithin) {
			return refuse("URIs", s)
		}
	}
	for _, s := range asked.Email {
		if !someHolds(c.PermittedEmailAddresses, s, mailWithin) || len(c.ExcludedEmailAddresses) > 0 && someHolds(c.ExcludedEmailAddresses, s, mailWithin) {
			return refuse("email addresses", s)
		}
	}
	for _, n := range wish.PermittedIPRanges {
		if !someHolds(c.PermittedIPRanges, n, netWithin) || len(c.ExcludedIPRanges) > 0 && someHolds(c.ExcludedIPRanges, n, netWithin) {
			return refuse("addresses", n.String())
		}
	}
	return nil
}

// someHolds tells whether a subtree lies within one of several; without any, all do.
func someHolds[T any](outer []T, inner T, within func(inner, outer T) bool) bool {
	return len(outer) == 0 || slices.ContainsFunc(outer, func(o T) bool { return within(inner, o) })
}

// narrow makes the constraints of a template no wider than those of a CA.
func narrow(t, c *x509.Certificate) {
	var none bool
	if t.PermittedDNSDomains, none = intersect(t.PermittedDNSDomains, c.PermittedDNSDomains, dnsWithin); none {
		t.ExcludedDNSDomains = union(t.ExcludedDNSDomains, []string{""}, sameText)
	}
	if t.PermittedURIDomains, none = intersect(t.PermittedURIDomains, c.PermittedURIDomains, hostWithin); none {
		t.PermittedURIDomains = []string{nobody}
	}
	if t.PermittedEmailAddresses, none = intersect(t.PermittedEmailAddresses, c.PermittedEmailAddresses, mailWithin); none {
		t.PermittedEmailAddresses = []string{nobody}
	}
	if t.PermittedIPRanges, none = intersect(t.PermittedIPRanges, c.PermittedIPRanges, netWithin); none {
		whole := &x509.Certificate{}
		Constraints{DNS: []string{"invalid"}}.apply(whole)
		t.ExcludedIPRanges = union(t.ExcludedIPRanges, whole.ExcludedIPRanges, sameNet)
	}
	t.ExcludedDNSDomains = union(t.ExcludedDNSDomains, c.ExcludedDNSDomains, sameText)
	t.ExcludedURIDomains = union(t.ExcludedURIDomains, c.ExcludedURIDomains, sameText)
	t.ExcludedEmailAddresses = union(t.ExcludedEmailAddresses, c.ExcludedEmailAddresses, sameText)
	t.ExcludedIPRanges = union(t.ExcludedIPRanges, c.ExcludedIPRanges, sameNet)
}

// intersect gives the subtrees that lie within one of each list; an empty list is
// no constraint. none says that nothing lies within both.
func intersect[T any](a, b []T, within func(inner, outer T) bool) (both []T, none bool) {
	if len(a) == 0 {
		return b, false
	}
	if len(b) == 0 {
		return a, false
	}
	for _, s := range a {
		if someHolds(b, s, within) {
			both = append(both, s)
		}
	}
	for _, s := range b {
		same := func(o T) bool { return within(s, o) && within(o, s) }
		if someHolds(a, s, within) && !slices.ContainsFunc(both, same) {
			both = append(both, s)
		}
	}
	return both, len(both) == 0
}

// union gives the subtrees of both lists, each once.
func union[T any](a, b []T, same func(T, T) bool) []T {
	out := slices.Clip(a)
	for _, s := range b {
		if !slices.ContainsFunc(out, func(o T) bool { return same(s, o) }) {
			out = append(out, s)
		}
	}
	return out
}

func sameText(a, b string) bool { return a == b }

// sameNet tells IPv4 from IPv4 written as IPv6.
func sameNet(a, b *net.IPNet) bool { return len(a.IP) == len(b.IP) && a.String() == b.String() }

// dnsWithin tells whether one DNS subtree lies within another.
func dnsWithin(inner, outer string) bool {
	if strings.HasPrefix(inner, ".") {
		return permitsDNS(outer, "x"+inner)
	}
	return permitsDNS(outer, inner)
}

// hostWithin is that for the hosts of URIs and email.
func hostWithin(inner, outer string) bool {
	if strings.HasPrefix(inner, ".") {
		return strings.HasPrefix(outer, ".") && strings.HasSuffix(strings.ToLower(inner), strings.ToLower(outer))
	}
	return permitsHost(outer, inner)
}

func mailWithin(inner, outer string) bool {
	if strings.Contains(inner, "@") {
		return permitsEmail(outer, inner)
	}
	return !strings.Contains(outer, "@") && hostWithin(inner, outer)
}

func netWithin(inner, outer *net.IPNet) bool {
	in, _ := inner.Mask.Size()
	out, _ := outer.Mask.Size()
	return len(inner.IP) == len(outer.IP) && in >= out && outer.Contains(inner.IP)
}
