package inspect

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strconv"
	"strings"
)

// mendNames writes each issuer as the certificate above writes its own name.
func mendNames(chain []*x509.Certificate, p *path) bool {
	changed := false
	for i := range len(chain) - 1 {
		if !bytes.Equal(chain[i].RawIssuer, chain[i+1].RawSubject) && p.chain[i].issuer == p.chain[i+1].subject {
			chain[i].RawIssuer = chain[i+1].RawSubject
			changed = true
		}
	}
	return changed
}

// mendNamesakes gives every CA of the path a name of its own, so that nothing but the
// path can be tried. The signatures are checked over the bytes as they were.
func mendNamesakes(chain []*x509.Certificate, _ *path) bool {
	for i := range chain[1:] {
		own, err := asn1.Marshal(pkix.Name{CommonName: "CA " + strconv.Itoa(i)}.ToRDNSequence())
		if err != nil {
			return false
		}
		chain[i+1].RawSubject, chain[i].RawIssuer = own, own
	}
	return true
}

// mendLengths takes out path lengths where self-issued certificates stand below.
func mendLengths(chain []*x509.Certificate, p *path) bool {
	changed := false
	for i := 2; i < len(chain); i++ {
		if chain[i].MaxPathLen >= 0 && p.below(i) <= chain[i].MaxPathLen && i-1 > chain[i].MaxPathLen {
			chain[i].MaxPathLen, chain[i].MaxPathLenZero = -1, false
			changed = true
		}
	}
	return changed
}

// mendSelfIssued takes the names out of self-issued certificates above the target.
func mendSelfIssued(chain []*x509.Certificate, p *path) bool {
	changed := false
	for i := 1; i < len(chain); i++ {
		if p.chain[i].selfIssued && len(p.chain[i].names) > 0 {
			dropNames(chain[i])
			changed = true
		}
	}
	return changed
}

func dropNames(c *x509.Certificate) {
	c.Extensions = slices.Clone(c.Extensions)
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(oidSubjectAltName) {
			c.Extensions[i].Id = asn1.ObjectIdentifier{2, 5, 29, 127}
		}
	}
	c.DNSNames, c.EmailAddresses, c.IPAddresses, c.URIs = nil, nil, nil, nil
}

// mendConstraints takes critical name constraints off the list of what crypto/x509
// did not understand; those it did stay in force.
func mendConstraints(chain []*x509.Certificate, p *path) bool {
	changed := false
	for i, c := range chain {
		if p.chain[i].trees == nil {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), oidNameConstraints.Equal)
		changed = changed || len(left) < len(c.UnhandledCriticalExtensions)
		c.UnhandledCriticalExtensions = left
	}
	return changed
}

// mendUnparsed takes out names of a type that no CA above constrains.
func mendUnparsed(chain []*x509.Certificate, p *path) bool {
	constrained := map[int]bool{}
	for _, n := range p.chain[1:] {
		if n.trees == nil {
			continue
		}
		for _, trees := range []map[int][]generalName{n.trees.permitted, n.trees.excluded} {
			for kind := range trees {
				constrained[kind] = true
			}
		}
	}
	changed := false
	for _, c := range chain {
		if !constrained[tagURI] && len(c.URIs) > 0 {
			c.URIs, changed = nil, true
		}
		if !constrained[tagEmail] && len(c.EmailAddresses) > 0 {
			c.EmailAddresses, changed = nil, true
		}
	}
	return changed
}

// mendHosts takes out excluded hosts of email addresses and URIs; ours have judged
// them, and those with a leading dot stay.
func mendHosts(chain []*x509.Certificate, _ *path) bool {
	changed := false
	for _, c := range chain {
		for _, list := range []*[]string{&c.ExcludedEmailAddresses, &c.ExcludedURIDomains} {
			left := slices.DeleteFunc(slices.Clone(*list), func(s string) bool { return s != "" && s[0] != '.' && !strings.Contains(s, "@") })
			changed = changed || len(left) < len(*list)
			*list = left
		}
	}
	return changed
}

// mendAnchor gives the root the basic constraints that it does not have.
func mendAnchor(chain []*x509.Certificate, p *path) bool {
	last := len(chain) - 1
	if !p.chain[last].anchorUnsaid() {
		return false
	}
	chain[last].BasicConstraintsValid, chain[last].IsCA, chain[last].MaxPathLen = true, true, -1
	return true
}
