package inspect_test

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/url"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// called is a leaf's SPIFFE ID; none without one.
func called(ids ...string) change {
	return func(c *x509.Certificate) {
		c.URIs = nil
		for _, id := range ids {
			c.URIs = append(c.URIs, uri(id))
		}
	}
}

func brokenFederation(t *testing.T, add addCase) {
	a, b := newRoot(t, "Root of a"), newRoot(t, "Root of b")
	both := inspect.Options{At: at, Bundles: map[string][]*x509.Certificate{"a.example": certs(a.Certificate), "b.example": certs(b.Certificate)}}
	add("trust-domain-bundle-other", "its path ends in the bundle of trust domain b.example, and its SPIFFE ID is in a.example", b.leaf(t, called("spiffe://a.example/x")), both, "issuer-missing")
	add("trust-domain-bundle-missing", "no bundle of trust domain c.example was given, only of a.example, b.example", a.leaf(t, called("spiffe://c.example/x")), both)
	add("trust-domain-bundle-missing:of no ID", "is none, so no bundle counts", a.leaf(t, called("spiffe://A.example/x")), both, "svid-id-invalid")
	add("roots-missing:but bundles", "it has no SPIFFE ID, and the only roots given are the bundles", a.leaf(t, called()), both)
}

// TestFederation: the roots of a trust domain count for its own names alone, whatever
// else is given.
func TestFederation(t *testing.T) {
	a, b, other := newRoot(t, "Root"), newRoot(t, "Root"), newRoot(t, "Root")
	issuing := a.intermediate(t, "Issuing")
	crossed := sign(t, caTemplate("Root", b.PublicKey), b.PublicKey, a)
	o := inspect.Options{At: at, Roots: certs(other.Certificate), Intermediates: certs(issuing.Certificate),
		Bundles: map[string][]*x509.Certificate{"a.example": certs(a.Certificate), "b.example": certs(b.Certificate)}}
	for name, c := range map[string]struct {
		by   *authority
		ids  []string
		want bool
	}{
		"a's own":                {a, []string{"spiffe://a.example/x"}, true},
		"a's, by way of another": {issuing, []string{"spiffe://a.example/x"}, true},
		"b's own":                {b, []string{"spiffe://b.example/x"}, true},
		"a's name by b":          {b, []string{"spiffe://a.example/x"}, false},
		"b's name by a":          {a, []string{"spiffe://b.example/x"}, false},
		"b's name by a's below":  {issuing, []string{"spiffe://b.example/x"}, false},
		"a's name by nobody's":   {other, []string{"spiffe://a.example/x"}, false},
		"an unknown domain":      {other, []string{"spiffe://c.example/x"}, false},
		"no ID by nobody's":      {other, nil, true},
		"no ID by a":             {a, nil, false},
		"both IDs":               {a, []string{"spiffe://a.example/x", "spiffe://b.example/x"}, false},
		"another URI beside":     {a, []string{"spiffe://a.example/x", "https://a.example/"}, false},
		"no well-formed ID":      {a, []string{"spiffe://a.example/x/"}, false},
		"upper case":             {other, []string{"SPIFFE://a.example/x"}, false},
	} {
		r := inspect.Verify(name, c.by.leaf(t, called(c.ids...)), o)
		if r.Trusted != c.want {
			t.Errorf("%s: trusted %v: %+v", name, r.Trusted, r.Findings)
		}
	}
	// That a certified b's root is a's choice, and makes none of b's names a's or a's b's.
	o.Intermediates = append(o.Intermediates, crossed)
	for id, want := range map[string]bool{"spiffe://a.example/x": true, "spiffe://b.example/x": true} {
		if r := inspect.Verify(id, b.leaf(t, called(id)), o); r.Trusted != want {
			t.Errorf("%s by b, which a certified: trusted %v: %+v", id, r.Trusted, r.Findings)
		}
	}
	o.Bundles["b.example"] = nil
	if r := inspect.Verify("without b's bundle", b.leaf(t, called("spiffe://b.example/x")), o); r.Trusted {
		t.Errorf("without b's bundle: %+v", r)
	}
	// A leaf that is no X509-SVID is none by a bundle, though its path holds.
	usage := func(c *x509.Certificate) {
		c.KeyUsage = x509.KeyUsageKeyAgreement
		c.URIs = []*url.URL{uri("spiffe://a.example/x")}
	}
	if r := inspect.Verify("no SVID", a.leaf(t, usage), o); r.Trusted || r.Findings[0].Rule != "svid-digital-signature-missing" {
		t.Errorf("no SVID: %+v", r.Findings)
	}
}

// TestBundleUses: of a bundle only the keys for X509-SVIDs are roots, one each.
func TestBundleUses(t *testing.T) {
	x5c := base64.StdEncoding.EncodeToString(newRoot(t, "Root").Raw)
	key := func(use string, list string) string {
		return fmt.Sprintf(`{"keys":[{"use":%q,"kty":"EC","x5c":[%s]}]}`, use, list)
	}
	one := fmt.Sprintf("%q", x5c)
	for data, roots := range map[string]int{
		key("x509-svid", one): 1,
		key("jwt-svid", one):  0,
		key("", one):          0,
		key("sig", one):       0,
	} {
		if list := inspect.Certificates(parse(t, []byte(data))); len(list) != roots {
			t.Errorf("%.60s: %d roots", data, len(list))
		}
	}
	if list := parse(t, []byte(key("x509-svid", one+","+one))); len(list) != 1 || list[0].Err == nil {
		t.Errorf("two certificates for one key: %+v", list)
	}
	for _, domain := range []string{"A.example", "a.example/x", "", "spiffe://a.example"} {
		list := parse(t, []byte(`{"trust_domains":{"`+domain+`":`+key("x509-svid", one)+`}}`))
		if len(list) != 1 || list[0].Err == nil {
			t.Errorf("trust domain %q: %+v", domain, list)
		}
	}
	list := parse(t, []byte(`{"trust_domains":{"a.example":`+key("x509-svid", one)+`,"b.example":`+key("x509-svid", one)+`}}`))
	if len(list) != 2 || list[0].TrustDomain != "a.example" || list[1].TrustDomain != "b.example" {
		t.Errorf("two trust domains: %+v", list)
	}
}
