package ca

import (
	"reflect"
	"slices"
	"testing"
)

func TestURLsStandInWhatIsSigned(t *testing.T) {
	root := newRoot(t, rootSpec())
	urls := URLs{CRL: []string{"http://pki.example.com/{authority}.crl", "ldap://ldap.example.com/cn={authority}?certificateRevocationList;binary"},
		OCSP: []string{"http://ocsp.example.com/{authority}"}, CAIssuers: []string{"http://pki.example.com/{authority}.crt"}}
	if err := urls.Validate(); err != nil {
		t.Fatal(err)
	}
	root.URLs = urls.For("root")
	issuer := below(t, root, issuingSpec())
	issuer.URLs = urls.For("issuing")
	leaf := must(issuer.Issue(t.Context(), workload(t))).Leaf()
	for name, c := range map[string]URLs{
		"root":    {issuer.Certificate.CRLDistributionPoints, issuer.Certificate.OCSPServer, issuer.Certificate.IssuingCertificateURL},
		"issuing": {leaf.CRLDistributionPoints, leaf.OCSPServer, leaf.IssuingCertificateURL},
	} {
		want := URLs{[]string{"http://pki.example.com/" + name + ".crl", "ldap://ldap.example.com/cn=" + name + "?certificateRevocationList;binary"},
			[]string{"http://ocsp.example.com/" + name}, []string{"http://pki.example.com/" + name + ".crt"}}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("signed by %s: %+v; want %+v", name, c, want)
		}
	}
	for oid, critical := range extensions(t, leaf) {
		if critical && slices.Contains([]string{"2.5.29.31", "1.3.6.1.5.5.7.1.1"}, oid) {
			t.Errorf("%s is critical (RFC 5280, Sections 4.2.1.13 and 4.2.2.1)", oid)
		}
	}
	if len(root.Certificate.CRLDistributionPoints) > 0 {
		t.Error("a root points to a list of itself")
	}
	for _, wrong := range []URLs{{CRL: []string{"https://a/b"}}, {OCSP: []string{"x"}}, {CAIssuers: []string{"ldap://a"}}} {
		if err := wrong.Validate(); err == nil {
			t.Errorf("%+v is taken", wrong)
		} else {
			readsWell(t, err)
		}
	}
}

// FuzzLocation: what passes comes out of a certificate as it went in.
func FuzzLocation(f *testing.F) {
	for _, s := range []string{"http://pki.example.com/{authority}.crl", "ldap://a/b?c", "https://a", "http://[::1]:80/", "http://a b"} {
		f.Add(s)
	}
	root := newRoot(f, rootSpec())
	f.Fuzz(func(t *testing.T, s string) {
		urls := URLs{CRL: []string{s}, CAIssuers: []string{s}}
		if urls.Validate() != nil {
			return
		}
		root.URLs = urls.For("root")
		c := below(t, root, issuingSpec()).Certificate
		if !slices.Equal(c.CRLDistributionPoints, root.URLs.CRL) || !slices.Equal(c.IssuingCertificateURL, root.URLs.CAIssuers) {
			t.Errorf("%q came out as %q", s, c.CRLDistributionPoints)
		}
	})
}
