package ca

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func long(c string, n int) string { return strings.Repeat(c, n) }

// host is a DNS name of n bytes, in labels of 63 at most.
func host(n int) string {
	s := strings.TrimSuffix(strings.Repeat(long("h", 63)+".", n/64+1), ".")[:n]
	if strings.HasSuffix(s, ".") {
		s = s[:n-1] + "h"
	}
	return s
}

var goodNames = map[NameType][]string{
	DNS: {"payment", "payment.prod", "payment.prod.svc.cluster.local", "Payment.Example.COM", "*.example.com", "*.a.b", "a_b.c", "_x.y", "xn--mnchen-3ya.de",
		"1.2.3", "a", "9", "1.2.3.4.5", "a--b.c", long("l", 63), long("l", 63) + ".c", host(253), "10-0-0-5.pod", "_"},
	IP: {"10.0.0.5", "0.0.0.0", "255.255.255.255", "::", "::1", "fd00::5", "FD00::5", "2001:db8:0:0:0:0:0:1", "::ffff:10.0.0.5"},
	Email: {"ops@example.com", "a@b", "Ops+x.y@Example.COM", "o'neil@example.com", "a/b=c@example.com", long("l", 64) + "@example.com",
		"x@" + host(252-2), "!#$%&'*+-/=?^_`{|}~@example.com"},
	URI: {"spiffe://cluster.local/ns/prod/sa/payment", "spiffe://10.0.0.5/a", "spiffe://a_b/c", "https://example.com/", "https://example.com",
		"https://example.com:8443/a?b=c#d", "https://10.0.0.5/", "https://[fd00::5]:8443/", "kuma://kuma.io/service/payment", "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
		"mailto:ops@example.com", "did:example:123#key-1", "https://EXAMPLE.com/A%20B", "x:/y", "https://example.com/" + long("p", 2028)},
	CommonName: {"payment", "Payment Service", "Zahlung für alle", "日本語", long("ü", 64), "a", "10.0.0.5", "*.example.com", "x, O=y"},
}

var wrongNames = map[NameType][]string{
	DNS: {"", ".", "..", "a..b", ".a", "a.", "a.b.", "*", "*.", "*.com", "*.*.com", "a.*.com", "a*.example.com", "*a.example.com", "**.example.com", "*.", ".*.a.b",
		"a b", " a", "a ", "a\n", "a\x00.b", "a\tb", "\x1b[31m", "a\x7f", "münchen.de", "a\u202eb", "ａ.com", "a\xff", "-a", "a-", "a.-b", "a-.b", "a/b", "../../etc", "a:443",
		"http://a", "a@b", "a,b", "a;b", `a\b`, "a'b", `a"b`, "a(b", "a%2eb", "10.0.0.5", "::1", "[::1]", "fe80::1%eth0", "255.255.255.255",
		long("l", 64), long("l", 64) + ".c", host(254), host(300), long("a.", 150)},
	IP: {"", "10.0.0", "10.0.0.5.6", "10.0.0.256", "010.0.0.5", "0x0a.0.0.5", "10.0.0.5/8", "10.0.0.5:80", " 10.0.0.5", "10.0.0.5\n", "fe80::1%eth0", "fe80::1%", "::ffff:10.0.0.5%1",
		"[::1]", ":::", "1::2::3", "12345::", "localhost", "167772165", "10.0.0.5\x00", "１0.0.0.5", long("1", 300)},
	Email: {"", "a", "a@", "@a", "a@b@c", "a b@c", "a@b c", "A <a@b.c>", "<a@b.c>", "a@b.c (x)", " a@b.c", "a@b.c\n", "a\x00@b", "a@b\x00", "ü@b.c", "a@ü.c", "a..b@c", ".a@b", "a.@b",
		`"a b"@c`, `"a"@c`, "a@[10.0.0.5]", "a@[::1]", "a@10.0.0.5", "a@-b", "a@b-", "a@b..c", "a@b.", "a@.b", "a@*.b", "a@b,c@d", "a@b/c", long("l", 65) + "@b", "a@" + long("l", 64),
		"x@" + host(253), long("a", 300) + "@b.c"},
	URI: {"", "x", "/x", "//x/y", "x:", "https:", "https://", "https:///", "https:///x", "file:///etc/passwd", "://x", "1x://y", "https://:8443/", "https://@example.com/",
		"https://user@example.com/", "https://user:secret@example.com/", "https://a b/", "https://a/b c", " https://a", "https://a\n", "https://a\x00", "https://a/\x7f", "https://ü/", "https://a/ü",
		"https://%E4%BD%A0.com/", "https://a%20b/", "https://a..b/", "https://.a/", "https://a./", "https://-a-/", "https://a*b/", "https://*.a.b/", "https://[fe80::1%25eth0]/", "https://[::1/", "https://[x]/",
		"https://a:b/", "https://a:99999999/", "HTTPS://a/", "https://a/%", "https://a/%zz", "https://a/%2", "https://a/|", `https://a/"`, `https://a\b`, "https://" + long("l", 64) + "/", "https://" + host(254) + "/",
		"https://example.com/" + long("p", 2029),
		"spiffe:", "spiffe:/", "spiffe://cluster.local", "spiffe://", "spiffe:///x", "spiffe:x", "SPIFFE://cluster.local/x", "Spiffe://a/b", "spiffe://A/b", "spiffe://a:80/b", "spiffe://u@a/b", "spiffe://a/b/", "spiffe://a//b",
		"spiffe://a/../b", "spiffe://a/b?c", "spiffe://a/b#c", "spiffe://a/%62", "spiffe://a/b c", "spiffe://a..b/c", "spiffe://.a/c", "spiffe://a./c", "spiffe://" + long("t", 256) + "/a",
		"spiffe://a/" + long("p", 2048)},
	CommonName: {"", long("ü", 65), "a\nb", "a\x00b", "a\x1b[31m", "a\u202eb", "a\u200bb", "a\u2028b", "a\xff", "\xff", "\t", "a\u00a0b", "a\ufeff"},
}

func namesOf(kind NameType, s string) Names {
	switch kind {
	case DNS:
		return Names{DNS: []string{"fine", s}}
	case IP:
		return Names{IP: []string{s}}
	case Email:
		return Names{Email: []string{s}}
	case URI:
		return Names{URI: []string{s}}
	}
	return Names{Subject: CommonNameOnly(s)}
}

// TestGoodNames: each is accepted, and goes into a certificate that crypto/x509
// reads back as the same name.
func TestGoodNames(t *testing.T) {
	issuer := newIssuer(t)
	for kind, all := range goodNames {
		for _, s := range all {
			id, err := NewIdentity(namesOf(kind, s))
			if err != nil {
				t.Errorf("%s %.80q: %v", kind, s, err)
				continue
			}
			if got := id.Names()[len(id.Names())-1]; got.Type != kind || kind != IP && got.Value != s {
				t.Errorf("%s %.80q became %v", kind, s, got)
			}
			req := workload(t)
			req.Identity = id
			chain, err := issuer.Issue(t.Context(), req)
			if err != nil {
				t.Errorf("%s %.80q is accepted and not certified: %v", kind, s, err)
				continue
			}
			if err := verify(chain, issuer.Above[0]); err != nil {
				t.Errorf("%s %.80q: %v", kind, s, err)
			}
			if kind == DNS || kind == IP {
				if err := chain.Leaf().VerifyHostname(strings.Replace(s, "*", "x", 1)); err != nil {
					t.Errorf("%s %.80q: %v", kind, s, err)
				}
			}
		}
	}
}

func TestWrongNames(t *testing.T) {
	for kind, all := range wrongNames {
		for _, s := range all {
			id, err := NewIdentity(namesOf(kind, s))
			e, ok := errors.AsType[*NameError](err)
			if !ok || e.Name != (Name{kind, s}) {
				t.Errorf("%s %.80q: %v; want a *NameError of it", kind, s, err)
				continue
			}
			if len(id.Names()) > 0 || id.Subject() != nil {
				t.Errorf("%s %.80q leaves an identity behind", kind, s)
			}
			readsWell(t, err)
			if text := err.Error(); len(text) > 500 || !isASCII(strings.ReplaceAll(text, "…", "")) {
				t.Errorf("%s %.80q: an error of %d bytes, or not in ASCII: %.300s", kind, s, len(text), text)
			}
		}
	}
}

// TestAddresses: a mapped IPv4 address is one, and twice the same is once.
func TestAddresses(t *testing.T) {
	id, err := NewIdentity(Names{IP: []string{"::ffff:10.0.0.5", "10.0.0.5", "fd00:0::5", "FD00::5"}})
	if err != nil || len(id.IPs()) != 2 || len(id.IPs()[0]) != 4 || id.IPs()[0].String() != "10.0.0.5" || id.IPs()[1].String() != "fd00::5" {
		t.Errorf("%v, %v", id.IPs(), err)
	}
}

func TestTwiceAndTooMany(t *testing.T) {
	id, err := NewIdentity(Names{DNS: []string{"b", "a", "b", "a"}, Email: []string{"a@b", "a@b"}, URI: []string{"x:y", "spiffe://a/b", "x:y"}})
	if err != nil || !slices.Equal(id.DNS(), []string{"b", "a"}) || len(id.Emails()) != 1 || len(id.URIs()) != 2 {
		t.Errorf("%v, %v", id.Names(), err)
	}
	var many []string
	for n := range 1001 {
		many = append(many, fmt.Sprintf("n%d", n))
	}
	if _, err := NewIdentity(Names{DNS: many[:1000]}); err != nil {
		t.Error(err)
	}
	_, err = NewIdentity(Names{DNS: many})
	if err == nil {
		t.Error("1001 names are accepted")
	}
	readsWell(t, err)
	if _, err := NewIdentity(Names{DNS: many[:500], IP: []string{"10.0.0.1"}, URI: many[:500]}); err == nil {
		t.Error("1001 names of several types are accepted")
	}
}

func TestSPIFFEID(t *testing.T) {
	for _, c := range []struct {
		uris []string
		want string
	}{
		{nil, ""},
		{[]string{"spiffe://cluster.local/payment"}, "spiffe://cluster.local/payment"},
		{[]string{"https://cluster.local/payment"}, ""},
		{[]string{"spiffe://cluster.local/payment", "kuma://kuma.io/service/payment"}, ""},
		{[]string{"spiffe://cluster.local/payment", "spiffe://cluster.local/payment"}, "spiffe://cluster.local/payment"},
		{[]string{"spiffe://cluster.local/payment", "spiffe://cluster.local/other"}, ""},
	} {
		id, err := NewIdentity(Names{URI: c.uris})
		if err != nil || id.SPIFFEID().String() != c.want {
			t.Errorf("%v: %q, %v; want %q", c.uris, id.SPIFFEID(), err, c.want)
		}
	}
}

// TestIdentityNeverChanges: neither through what it was made of nor through what
// it gives out.
func TestIdentityNeverChanges(t *testing.T) {
	names := payment()
	names.IP, names.Email = []string{"10.0.0.5"}, []string{"a@b.c"}
	id, err := NewIdentity(names)
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(id.Names(), id.Subject(), id.SPIFFEID())
	names.Subject[0][0].Value = "evil"
	names.DNS[0], names.IP[0], names.Email[0], names.URI[0] = "evil", "6.6.6.6", "evil@b.c", "spiffe://evil/x"
	id.Subject()[0][0].Value = "evil"
	id.DNS()[0], id.Emails()[0] = "evil", "evil"
	id.URIs()[0].Host, id.URIs()[0].Path = "evil", "/evil"
	id.IPs()[0][0] = 66
	id.Names()[0].Value = "evil"
	if got := fmt.Sprint(id.Names(), id.Subject(), id.SPIFFEID()); got != said {
		t.Errorf("it was\n%s and became\n%s", said, got)
	}
	issuer := newIssuer(t)
	req := workload(t)
	req.Identity = id
	chain, err := issuer.Issue(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	chain.Leaf().URIs[0].Host, chain.Leaf().DNSNames[0] = "evil", "evil"
	if got := fmt.Sprint(id.Names(), id.Subject(), id.SPIFFEID()); got != said {
		t.Errorf("the certificate is tied to it: it was\n%s and became\n%s", said, got)
	}
}

// attribute is a subject of one attribute beside a common name.
func attribute(oid asn1.ObjectIdentifier, value any) pkix.RDNSequence {
	return append(CommonNameOnly("payment"), pkix.RelativeDistinguishedNameSET{{Type: oid, Value: value}})
}

var (
	oidCountry      = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidOrganization = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidEmail        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
)

func TestSubjects(t *testing.T) {
	cn := CommonNameOnly("payment")[0]
	for name, c := range map[string]struct {
		subject pkix.RDNSequence
		good    bool
	}{
		"none":               {nil, true},
		"common name":        {CommonNameOnly("payment"), true},
		"no common name":     {attribute(oidOrganization, "Example")[1:], true},
		"organization":       {attribute(oidOrganization, "Müller & Söhne"), true},
		"64 characters":      {attribute(oidOrganization, long("ü", 64)), true},
		"country":            {attribute(oidCountry, "DE"), true},
		"one RDN of two":     {pkix.RDNSequence{{cn[0], {Type: oidOrganization, Value: "Example"}}}, true},
		"two organizations":  {append(attribute(oidOrganization, "A"), attribute(oidOrganization, "B")[1]), true},
		"65 characters":      {attribute(oidOrganization, long("ü", 65)), false},
		"long country":       {attribute(oidCountry, "Germany"), false},
		"odd country":        {attribute(oidCountry, "D1"), false},
		"empty RDN":          {pkix.RDNSequence{cn, {}}, false},
		"two common names":   {pkix.RDNSequence{cn, cn}, false},
		"another behind":     {append(CommonNameOnly("payment"), CommonNameOnly("evil.example.com")...), false},
		"two in one RDN":     {pkix.RDNSequence{{cn[0], {Type: oidCommonName, Value: "evil.example.com"}}}, false},
		"email address":      {attribute(oidEmail, "evil@example.com"), false},
		"no text":            {attribute(oidOrganization, 7), false},
		"nothing":            {attribute(oidOrganization, nil), false},
		"bytes":              {attribute(oidOrganization, []byte("Example")), false},
		"empty value":        {attribute(oidOrganization, ""), false},
		"control characters": {attribute(oidOrganization, "a\nb"), false},
		"bidi override":      {attribute(oidOrganization, "a\u202eb"), false},
		"not UTF-8":          {attribute(oidOrganization, "a\xff"), false},
		"257 bytes":          {attribute(asn1.ObjectIdentifier{2, 5, 4, 12}, long("a", 257)), false},
		"no type":            {attribute(nil, "x"), false},
		"short type":         {attribute(asn1.ObjectIdentifier{2}, "x"), false},
		"impossible type":    {attribute(asn1.ObjectIdentifier{3, 50, 1}, "x"), false},
	} {
		id, err := NewIdentity(Names{Subject: c.subject, DNS: []string{"payment.prod"}})
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		readsWell(t, err)
		if err != nil {
			if _, ok := errors.AsType[*NameError](err); !ok {
				t.Errorf("%s: %v; want a *NameError", name, err)
			}
			continue
		}
		issuer := newIssuer(t)
		req := workload(t)
		req.Identity = id
		chain, err := issuer.Issue(t.Context(), req)
		if err != nil {
			t.Errorf("%s is accepted and not certified: %v", name, err)
			continue
		}
		var back pkix.RDNSequence
		if _, err := asn1.Unmarshal(chain.Leaf().RawSubject, &back); err != nil || back.String() != c.subject.String() {
			t.Errorf("%s: %s came back as %s, %v", name, c.subject, back, err)
		}
	}
}

// FuzzNewIdentity: whatever is accepted can be certified and read back.
func FuzzNewIdentity(f *testing.F) {
	for kind, all := range goodNames {
		for _, s := range all {
			f.Add(string(kind), s)
		}
	}
	for kind, all := range wrongNames {
		for _, s := range all {
			f.Add(string(kind), s)
		}
	}
	issuer := here(f, ECP256)
	csr := csrOf(f, must(NewKey(ECP256)))
	f.Fuzz(func(t *testing.T, kind, s string) {
		id, err := NewIdentity(namesOf(NameType(kind), s))
		if err != nil {
			if text := err.Error(); len(text) > 800 || strings.ContainsAny(text, "\n\x1b\x00") {
				t.Fatalf("an error of %d bytes: %q", len(text), text)
			}
			return
		}
		again, err := NewIdentity(Names{Subject: id.Subject(), DNS: id.DNS(), Email: id.Emails()})
		if err != nil || !slices.Equal(again.DNS(), id.DNS()) {
			t.Fatalf("it does not take its own names: %v", err)
		}
		chain, err := issuer.Issue(t.Context(), Request{CSR: csr, Identity: id, Profile: must(ProfileByName("")), Validity: Validity{NotAfter: now.Add(day)}})
		if err != nil {
			t.Fatalf("accepted and not certified: %v", err)
		}
		if err := verify(chain, issuer.Above[0]); err != nil {
			t.Fatal(err)
		}
	})
}
