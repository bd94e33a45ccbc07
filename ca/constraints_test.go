package ca

import (
	"crypto/x509"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

func ipNets(list ...string) (out []*net.IPNet) {
	for _, p := range prefixes(list...) {
		n := ipNet(p)
		out = append(out, n)
	}
	return out
}

// judgements is what a CA with certain constraints may sign, name by name.
var judgements = []struct {
	name   string
	issuer x509.Certificate
	yes    []Name
	no     []Name
}{
	{"nothing constrained", x509.Certificate{},
		[]Name{{DNS, "a.b"}, {DNS, "*.a.b"}, {IP, "10.0.0.5"}, {Email, "a@b"}, {URI, "urn:x"}, {URI, "spiffe://10.0.0.5/x"}, {CommonName, "x"}}, nil},
	{"permitted DNS", x509.Certificate{PermittedDNSDomains: []string{"Example.com"}},
		[]Name{{DNS, "example.com"}, {DNS, "a.example.com"}, {DNS, "A.EXAMPLE.COM"}, {DNS, "*.example.com"}, {DNS, "*.a.example.com"}, {IP, "10.0.0.5"}, {Email, "a@b"},
			{CommonName, "example.com"}, {CommonName, "a.example.com"}, {CommonName, "Payment Service"}, {URI, "spiffe://td/x"}},
		[]Name{{DNS, "example.org"}, {DNS, "badexample.com"}, {DNS, "com"}, {DNS, "*.com"}, {DNS, "example.com.evil"}, {CommonName, "payment"}, {CommonName, "evil.org"},
			{CommonName, "10.0.0.5"}, {CommonName, "*.evil.org"}, {URI, "urn:x"}, {URI, "spiffe://10.0.0.5/x"}}},
	{"permitted DNS below", x509.Certificate{PermittedDNSDomains: []string{".example.com"}},
		[]Name{{DNS, "a.example.com"}, {DNS, "a.b.example.com"}, {DNS, "*.example.com"}},
		[]Name{{DNS, "example.com"}, {DNS, "aexample.com"}, {DNS, "com"}}},
	{"permitted DNS, any", x509.Certificate{PermittedDNSDomains: []string{""}}, []Name{{DNS, "a"}, {DNS, "*.a.b"}}, nil},
	{"excluded DNS", x509.Certificate{ExcludedDNSDomains: []string{"bad.example.com"}},
		[]Name{{DNS, "example.com"}, {DNS, "a.example.com"}, {DNS, "notbad.example.com"}, {DNS, "*.a.example.com"}, {DNS, "*.org"}},
		[]Name{{DNS, "bad.example.com"}, {DNS, "BAD.example.COM"}, {DNS, "a.bad.example.com"}, {DNS, "*.bad.example.com"}, {DNS, "*.example.com"}, {CommonName, "bad.example.com"}}},
	{"excluded DNS below", x509.Certificate{ExcludedDNSDomains: []string{".example.com"}},
		[]Name{{DNS, "example.com"}, {DNS, "example.org"}},
		[]Name{{DNS, "a.example.com"}, {DNS, "*.example.com"}}},
	{"excluded DNS, all", x509.Certificate{ExcludedDNSDomains: []string{""}}, []Name{{IP, "10.0.0.5"}, {CommonName, "Payment Service"}},
		[]Name{{DNS, "a"}, {DNS, "*.a.b"}, {CommonName, "payment"}}},
	{"exclusion beats permission", x509.Certificate{PermittedDNSDomains: []string{"example.com"}, ExcludedDNSDomains: []string{"a.example.com"}},
		[]Name{{DNS, "b.example.com"}}, []Name{{DNS, "a.example.com"}, {DNS, "x.a.example.com"}, {DNS, "*.example.com"}, {DNS, "b.org"}}},
	{"permitted IP", x509.Certificate{PermittedIPRanges: ipNets("10.0.0.0/8", "fd00::/8")},
		[]Name{{IP, "10.255.0.1"}, {IP, "fd12::1"}, {IP, "::ffff:10.0.0.5"}, {DNS, "a.b"}},
		[]Name{{IP, "11.0.0.1"}, {IP, "fe80::1"}, {IP, "::ffff:11.0.0.1"}, {IP, "::10.0.0.5"}, {IP, "no"}, {IP, ""}}},
	{"permitted IPv4 alone", x509.Certificate{PermittedIPRanges: ipNets("0.0.0.0/0")}, []Name{{IP, "10.0.0.5"}}, []Name{{IP, "::1"}, {IP, "fd00::1"}}},
	{"mapped IPv4", x509.Certificate{PermittedIPRanges: []*net.IPNet{{IP: net.ParseIP("10.0.0.0"), Mask: net.CIDRMask(104, 128)}}}, nil, []Name{{IP, "10.0.0.5"}}},
	{"mapped IPv4 beside IPv6", x509.Certificate{PermittedIPRanges: append(ipNets("::/0", "0.0.0.0/0"), &net.IPNet{IP: net.ParseIP("10.0.0.0"), Mask: net.CIDRMask(104, 128)})},
		[]Name{{IP, "10.0.0.5"}}, []Name{{IP, "fd00::1"}}},
	{"excluded IP", x509.Certificate{ExcludedIPRanges: ipNets("10.0.0.0/8", "::/0")}, []Name{{IP, "11.0.0.1"}}, []Name{{IP, "10.0.0.1"}, {IP, "::1"}, {IP, "::ffff:10.0.0.1"}}},
	{"permitted email host", x509.Certificate{PermittedEmailAddresses: []string{"example.com"}},
		[]Name{{Email, "a@example.com"}, {Email, "a@EXAMPLE.com"}}, []Name{{Email, "a@b.example.com"}, {Email, "a@org"}, {Email, "example.com@org"}}},
	{"permitted email below", x509.Certificate{PermittedEmailAddresses: []string{".example.com"}},
		[]Name{{Email, "a@b.example.com"}}, []Name{{Email, "a@example.com"}, {Email, "a@bexample.com"}}},
	{"permitted mailbox", x509.Certificate{PermittedEmailAddresses: []string{"Ops@Example.com"}},
		[]Name{{Email, "Ops@example.COM"}}, []Name{{Email, "ops@example.com"}, {Email, "a@example.com"}, {Email, "Ops@a.example.com"}}},
	{"excluded email", x509.Certificate{ExcludedEmailAddresses: []string{"example.com", ".org", "x@example.net"}},
		[]Name{{Email, "a@example.net"}, {Email, "a@org"}},
		[]Name{{Email, "a@example.com"}, {Email, "a@b.example.com"}, {Email, "a@b.org"}, {Email, "x@EXAMPLE.net"}}},
	{"excluded email, all", x509.Certificate{ExcludedEmailAddresses: []string{""}}, []Name{{DNS, "a"}}, []Name{{Email, "a@b"}}},
	{"permitted URI", x509.Certificate{PermittedURIDomains: []string{"cluster.local"}},
		[]Name{{URI, "spiffe://cluster.local/x"}, {URI, "https://CLUSTER.local:8443/x"}, {DNS, "a"}},
		[]Name{{URI, "spiffe://a.cluster.local/x"}, {URI, "spiffe://cluster.localx/x"}, {URI, "spiffe://other/x"}, {URI, "urn:cluster.local"}, {URI, "mailto:a@cluster.local"},
			{URI, "https://10.0.0.5/"}, {URI, "https://[::1]/"}, {URI, "https://cluster.local@evil/"}, {URI, "https://evil/cluster.local"}, {URI, "x:///cluster.local"}, {URI, "::"}}},
	{"permitted URI below", x509.Certificate{PermittedURIDomains: []string{".local"}},
		[]Name{{URI, "spiffe://cluster.local/x"}}, []Name{{URI, "spiffe://local/x"}, {URI, "spiffe://xlocal/x"}}},
	{"excluded URI", x509.Certificate{ExcludedURIDomains: []string{"cluster.local"}},
		[]Name{{URI, "spiffe://local/x"}, {URI, "spiffe://other/x"}},
		[]Name{{URI, "spiffe://cluster.local/x"}, {URI, "https://CLUSTER.LOCAL/x"}, {URI, "spiffe://a.cluster.local/x"}, {URI, "urn:x"}, {URI, "https://10.0.0.5/"}}},
	{"another type excluded", x509.Certificate{ExcludedIPRanges: ipNets("10.0.0.0/8")},
		[]Name{{URI, "spiffe://a/x"}, {Email, "a@b"}, {DNS, "a"}, {CommonName, "a"}}, []Name{{URI, "urn:x"}, {URI, "spiffe://10.0.0.5/x"}}},
	{"nobody's", x509.Certificate{PermittedEmailAddresses: []string{nobody}, PermittedURIDomains: []string{nobody}}, []Name{{DNS, "a"}},
		[]Name{{Email, "a@b"}, {URI, "spiffe://a/x"}}},
}

func TestJudge(t *testing.T) {
	for _, j := range judgements {
		j.issuer.Subject.CommonName = "Test CA"
		for _, n := range j.yes {
			if err := judge(&j.issuer, n); err != nil {
				t.Errorf("%s: %v", j.name, err)
			}
		}
		for _, n := range j.no {
			err := judge(&j.issuer, n)
			if r := refusal(t, j.name+": "+n.String(), err); r.What != n.String() || !strings.HasSuffix(r.Why, " of Test CA") || r.Citation != "RFC 5280, Section 4.2.1.10" {
				t.Errorf("%s: %v", j.name, err)
			}
		}
	}
}

// TestEveryCAJudges: what one of the CAs above does not permit is refused, and
// nothing is signed or recorded.
func TestEveryCAJudges(t *testing.T) {
	constrained := func(s Spec, dns string) Spec {
		s.Constraints = Constraints{DNS: []string{dns}, Open: true}
		return s
	}
	for name, specs := range map[string][2]Spec{
		"root":         {constrained(rootSpec(), "example.com"), issuingSpec()},
		"intermediate": {rootSpec(), constrained(issuingSpec(), "example.com")},
		"both":         {constrained(rootSpec(), "example.com"), constrained(issuingSpec(), "a.example.com")},
	} {
		issuer := below(t, newRoot(t, specs[0]), specs[1])
		recorded := len(issuer.Ledger.(*memory).entries)
		req := workload(t)
		req.Identity = must(NewIdentity(Names{DNS: []string{"x.a.example.com", "x.example.org"}}))
		chain, err := issuer.Issue(t.Context(), req)
		if r := refusal(t, name, err); chain != nil || r.What != `DNS name "x.example.org"` || signed(issuer) > 0 || len(issuer.Ledger.(*memory).entries) != recorded {
			t.Errorf("%s: %v, signed %d times", name, err, signed(issuer))
		}
		req.Identity = must(NewIdentity(Names{DNS: []string{"x.a.example.com"}}))
		if chain, err = issuer.Issue(t.Context(), req); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := verify(chain, issuer.Above[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := issuer.Judge(Name{DNS, "x.a.example.com"}); err != nil {
			t.Errorf("%s: asked beforehand: %v", name, err)
		}
		refusal(t, name, issuer.Judge(Name{DNS, "x.example.org"}))
	}
}

// signLeaf signs a leaf for names without asking judge.
func signLeaf(t testing.TB, issuer *Issuer, id Identity) Chain {
	t.Helper()
	k := must(keyOf[ECP256]())
	req := Request{Identity: id, Profile: must(ProfileByName(""))}
	csr := &x509.CertificateRequest{PublicKey: k.Public(), RawSubjectPublicKeyInfo: must(x509.MarshalPKIXPublicKey(k.Public()))}
	template := must(leafTemplate(req, csr, now.Add(-time.Hour), now.Add(time.Hour)))
	template.AuthorityKeyId = issuer.Certificate.SubjectKeyId
	leaf, err := sign(template, issuer.Certificate, k.Public(), issuer.Signer)
	if err != nil {
		t.Fatalf("%v: %v", id.Names(), err)
	}
	return issuer.complete(leaf)
}

// TestConstraintsAsWritten makes a CA for every set of types that something is
// permitted of, and lets crypto/x509 say which leaves below it verify.
func TestConstraintsAsWritten(t *testing.T) {
	all := Constraints{DNS: []string{"example.com"}, URI: []spiffeid.TrustDomain{trustDomain("cluster.local")}, IP: prefixes("10.0.0.0/8", "fd00::/8"), Email: []string{"example.com"}}
	inside := []Names{{DNS: []string{"a.example.com"}}, {URI: []string{"spiffe://cluster.local/x"}}, {IP: []string{"10.0.0.5"}}, {Email: []string{"a@example.com"}}}
	outside := []Names{{DNS: []string{"a.example.org"}}, {URI: []string{"spiffe://other/x"}}, {IP: []string{"11.0.0.5"}}, {Email: []string{"a@example.org"}}}
	root := newRoot(t, rootSpec())
	for set := range 16 {
		for _, open := range []bool{false, true} {
			c := Constraints{Open: open}
			if set&1 != 0 {
				c.DNS = all.DNS
			}
			if set&2 != 0 {
				c.URI = all.URI
			}
			if set&4 != 0 {
				c.IP = all.IP
			}
			if set&8 != 0 {
				c.Email = all.Email
			}
			spec := issuingSpec()
			spec.Constraints = c
			issuer := below(t, root, spec)
			if critical, there := extensions(t, issuer.Certificate)[extConstraints]; there != (set != 0) || there && !critical {
				t.Errorf("set %04b: name constraints are there: %v, critical: %v", set, there, critical)
			}
			for kind := range 4 {
				named := set&(1<<kind) != 0
				for i, names := range []Names{inside[kind], outside[kind]} {
					id := must(NewIdentity(names))
					want := set == 0 || named && i == 0 || !named && open
					if err := verify(signLeaf(t, issuer, id), root.Certificate); (err == nil) != want {
						t.Errorf("set %04b, open %v: %v verifies: %v", set, open, id.Names(), err)
					}
					if err := judgeIdentity(issuer.chain(), id); (err == nil) != want {
						t.Errorf("set %04b, open %v: %v is judged: %v", set, open, id.Names(), err)
					}
				}
				if v6 := must(NewIdentity(Names{IP: []string{"2001:db8::1"}})); kind == 2 && (verify(signLeaf(t, issuer, v6), root.Certificate) == nil) != (set == 0 || !named && open) {
					t.Errorf("set %04b, open %v: an IPv6 address outside", set, open)
				}
			}
		}
	}
}

func TestConstraintsValidate(t *testing.T) {
	for name, c := range map[string]struct {
		constraints Constraints
		good        bool
	}{
		"none":              {Constraints{}, true},
		"all":               {Constraints{DNS: []string{"a.b", ".a", "a_b"}, URI: []spiffeid.TrustDomain{trustDomain("a_b")}, IP: prefixes("0.0.0.0/0", "::/0", "10.0.0.5/32"), Email: []string{"a@b.c", "b.c", ".b.c"}}, true},
		"bits behind":       {Constraints{IP: prefixes("10.0.0.5/8")}, true},
		"empty DNS":         {Constraints{DNS: []string{""}}, false},
		"a dot":             {Constraints{DNS: []string{"."}}, false},
		"two dots":          {Constraints{DNS: []string{"..a"}}, false},
		"dot behind":        {Constraints{DNS: []string{"a."}}, false},
		"wildcard":          {Constraints{DNS: []string{"*.a.b"}}, false},
		"wildcard, dotted":  {Constraints{DNS: []string{".*.a.b"}}, false},
		"DNS address":       {Constraints{DNS: []string{"10.0.0.5"}}, false},
		"DNS not ASCII":     {Constraints{DNS: []string{"ä"}}, false},
		"DNS control":       {Constraints{DNS: []string{"a\n"}}, false},
		"trust domain 0":    {Constraints{URI: make([]spiffeid.TrustDomain, 1)}, false},
		"address as domain": {Constraints{URI: []spiffeid.TrustDomain{trustDomain("10.0.0.5")}}, false},
		"dots as domain":    {Constraints{URI: []spiffeid.TrustDomain{trustDomain("..")}}, false},
		"no prefix":         {Constraints{IP: make([]netip.Prefix, 1)}, false},
		"mapped IPv4":       {Constraints{IP: prefixes("::ffff:10.0.0.0/104")}, false},
		"empty email":       {Constraints{Email: []string{""}}, false},
		"email with name":   {Constraints{Email: []string{"A <a@b.c>"}}, false},
		"email, blank":      {Constraints{Email: []string{" a@b.c"}}, false},
		"email not ASCII":   {Constraints{Email: []string{"ä@b.c"}}, false},
		"email wildcard":    {Constraints{Email: []string{"*.b.c"}}, false},
		"email @host":       {Constraints{Email: []string{"@b.c"}}, false},
		"email address":     {Constraints{Email: []string{"a@[10.0.0.5]"}}, false},
	} {
		err := c.constraints.Validate()
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		readsWell(t, err)
		spec := rootSpec()
		spec.Constraints = c.constraints
		signer := &counter{Signer: key(t, ECP256)}
		_, err = NewRoot(t.Context(), spec, signer, &memory{}, now)
		if (err == nil) != c.good || !c.good && signer.signed.Load() > 0 {
			t.Errorf("%s: a root of it: %v", name, err)
		}
	}
}

// TestIntermediateURI: a CA does not sign an intermediate that carries a trust
// domain outside its own constraints.
func TestIntermediateURI(t *testing.T) {
	spec := rootSpec()
	spec.Constraints = Constraints{URI: []spiffeid.TrustDomain{trustDomain("cluster.local")}}
	root := newRoot(t, spec)
	for td, good := range map[string]bool{"cluster.local": true, "other": false, "10.0.0.5": false} {
		sub := issuingSpec()
		sub.URI = trustDomain(td)
		before := signed(root)
		_, err := root.IssueCA(t.Context(), sub, key(t, ECP256).Public())
		if (err == nil) != good || (signed(root) > before) != good {
			t.Errorf("%s: %v", td, err)
		}
		if err != nil {
			refusal(t, td, err)
		}
	}
}
