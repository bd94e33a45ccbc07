package inspect_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// TestConstraints has for each type of name a name that a constraint allows and one
// that it does not.
func TestConstraints(t *testing.T) {
	network := func(s string) []*net.IPNet {
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		return []*net.IPNet{n}
	}
	dns := func(names ...string) change { return func(c *x509.Certificate) { c.DNSNames, c.URIs = names, nil } }
	uris := func(s string) change {
		return func(c *x509.Certificate) { c.DNSNames, c.URIs = nil, []*url.URL{uri(s)} }
	}
	mail := func(s string) change {
		return func(c *x509.Certificate) { c.DNSNames, c.URIs, c.EmailAddresses = nil, nil, []string{s} }
	}
	ip := func(s string) change {
		return func(c *x509.Certificate) { c.DNSNames, c.URIs, c.IPAddresses = nil, nil, []net.IP{net.ParseIP(s)} }
	}
	for name, c := range map[string]struct {
		ca        change
		good, bad []change
	}{
		"DNS permitted": {func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} },
			[]change{dns("example.com"), dns("a.b.EXAMPLE.com"), dns("*.example.com")},
			[]change{dns("badexample.com"), dns("example.com", "example.org"), dns("com"), dns("*.com")}},
		"DNS excluded": {func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"a.example.com"} },
			[]change{dns("example.com"), dns("b.example.com"), dns("*.b.example.com")},
			[]change{dns("a.example.com"), dns("x.a.example.com"), dns("*.example.com")}},
		"URI permitted": {func(c *x509.Certificate) { c.PermittedURIDomains = []string{"example.com"} },
			[]change{uris("spiffe://example.com/a"), uris("https://u@EXAMPLE.com:8443/a")},
			[]change{uris("spiffe://a.example.com/b"), uris("https://192.0.2.1/"), uris("urn:a:b")}},
		"URI subdomains": {func(c *x509.Certificate) { c.PermittedURIDomains = []string{".example.com"} },
			[]change{uris("https://a.example.com/")}, []change{uris("https://example.com/")}},
		"email host": {func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"example.com"} },
			[]change{mail("a@EXAMPLE.com")}, []change{mail("a@b.example.com"), mail("a@example.org")}},
		"email mailbox": {func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"a@example.com"} },
			[]change{mail("a@Example.com")}, []change{mail("A@example.com"), mail("b@example.com")}},
		"IP permitted": {func(c *x509.Certificate) { c.PermittedIPRanges = network("10.1.0.0/16") },
			[]change{ip("10.1.2.3")}, []change{ip("10.2.0.1"), ip("::1")}},
		"IPv6 excluded": {func(c *x509.Certificate) { c.ExcludedIPRanges = network("2001:db8::/32") },
			[]change{ip("2001:db9::1"), ip("10.1.2.3")}, []change{ip("2001:db8::1")}},
		"directory excluded": {func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true, Value: directoryTree(t, "CN=Pay  MENT")}}
		}, []change{func(c *x509.Certificate) { c.Subject.CommonName = "payments" }},
			[]change{func(c *x509.Certificate) { c.Subject.CommonName = "pay ment" }}},
	} {
		for i, leaf := range append(c.good, c.bad...) {
			target, o := hierarchy(t, nil, c.ca, leaf)
			r := inspect.Verify(name, target, o)
			if want := i < len(c.good); r.Trusted != want {
				t.Errorf("%s, name %d: trusted %v: %+v", name, i, r.Trusted, r.Findings)
			}
			if !r.Trusted && r.Findings[0].Rule != "name-constraint" {
				t.Errorf("%s, name %d: %+v", name, i, r.Findings[0])
			}
		}
	}
}

// policies is an extension that lists them; constraints one that demands a policy.
func policies(list ...asn1.ObjectIdentifier) change {
	return func(c *x509.Certificate) {
		type info struct{ ID asn1.ObjectIdentifier }
		var infos []info
		for _, id := range list {
			infos = append(infos, info{id})
		}
		der, _ := asn1.Marshal(infos)
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: der})
	}
}

// TestPolicies follows policies down a path (RFC 5280, Section 6.1).
func TestPolicies(t *testing.T) {
	gold, silver, anyPolicy := asn1.ObjectIdentifier{1, 2, 3}, asn1.ObjectIdentifier{1, 2, 4}, asn1.ObjectIdentifier{2, 5, 29, 32, 0}
	mapping := func(from, to asn1.ObjectIdentifier) change {
		return func(c *x509.Certificate) {
			der, _ := asn1.Marshal([]struct{ From, To asn1.ObjectIdentifier }{{from, to}})
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 33}, Critical: true, Value: der})
		}
	}
	both := func(list ...change) change {
		return func(c *x509.Certificate) {
			for _, f := range list {
				f(c)
			}
		}
	}
	explicit := inspect.PolicyOptions{Explicit: true}
	for name, c := range map[string]struct {
		ca, leaf change
		ask      inspect.PolicyOptions
		want     bool
	}{
		"none demanded":              {nil, nil, inspect.PolicyOptions{}, true},
		"none there":                 {nil, nil, explicit, false},
		"the same":                   {policies(gold), policies(gold), explicit, true},
		"another":                    {policies(gold), policies(silver), explicit, false},
		"anyPolicy above":            {policies(anyPolicy), policies(silver), explicit, true},
		"anyPolicy above, inhibited": {policies(anyPolicy), policies(silver), inspect.PolicyOptions{Explicit: true, InhibitAny: true}, false},
		"mapped":                     {both(policies(gold), mapping(gold, silver)), policies(silver), explicit, true},
		"mapped, inhibited":          {both(policies(gold), mapping(gold, silver)), policies(silver), inspect.PolicyOptions{Explicit: true, InhibitMapping: true}, false},
		"mapped from anyPolicy":      {both(policies(anyPolicy), mapping(anyPolicy, silver)), policies(silver), inspect.PolicyOptions{}, false},
		"acceptable":                 {policies(gold), policies(gold), inspect.PolicyOptions{Explicit: true, Initial: []string{"1.2.3"}}, true},
		"acceptable by mapping":      {both(policies(gold), mapping(gold, silver)), policies(silver), inspect.PolicyOptions{Explicit: true, Initial: []string{"1.2.3"}}, true},
		"not acceptable":             {policies(gold), policies(gold), inspect.PolicyOptions{Explicit: true, Initial: []string{"1.2.4"}}, false},
	} {
		target, o := hierarchy(t, nil, c.ca, c.leaf)
		o.Policies = c.ask
		r := inspect.Verify(name, target, o)
		if r.Trusted != c.want {
			t.Errorf("%s: trusted %v: %+v", name, r.Trusted, r.Findings)
		}
		if !r.Trusted && (r.Findings[0].Rule != "policy-invalid" || !strings.Contains(r.Findings[0].Message, "certificate policies")) {
			t.Errorf("%s: %+v", name, r.Findings[0])
		}
	}
}
