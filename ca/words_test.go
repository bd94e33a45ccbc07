package ca

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

func TestProfiles(t *testing.T) {
	for _, name := range ProfileNames() {
		p, err := ProfileByName(name)
		want, known := usages[name]
		if err != nil || p.Name() != name || !known {
			t.Errorf("%s: %q, %v", name, p.Name(), err)
		}
		if p.Validity() != 30*day {
			t.Errorf("%s lives %s", name, p.Validity())
		}
		for _, kt := range []KeyType{ECP256, ECP384, Ed25519, "ec-p521"} {
			if p.KeyUsage(kt) != want.ec {
				t.Errorf("%s of %s: key usage %b", name, kt, p.KeyUsage(kt))
			}
		}
		for _, kt := range []KeyType{RSA2048, RSA3072, RSA4096, "rsa-8192"} {
			if p.KeyUsage(kt) != want.rsa {
				t.Errorf("%s of %s: key usage %b", name, kt, p.KeyUsage(kt))
			}
		}
		both := slices.Contains(want.extended, x509.ExtKeyUsageServerAuth) && slices.Contains(want.extended, x509.ExtKeyUsageClientAuth)
		if p.MutualTLS() != both {
			t.Errorf("%s: mutual TLS %v", name, p.MutualTLS())
		}
		p.ExtKeyUsage()[0] = x509.ExtKeyUsageAny
		if again := must(ProfileByName(name)); !slices.Equal(again.ExtKeyUsage(), want.extended) {
			t.Errorf("%s can be changed from outside", name)
		}
	}
	if p, err := ProfileByName(""); err != nil || p.Name() != "workload" || ProfileNames()[0] != "workload" {
		t.Errorf("the default is %q, %v", p.Name(), err)
	}
	for _, name := range []string{"Workload", " server", "ca", "x\n", long("x", 1<<16)} {
		_, err := ProfileByName(name)
		if err == nil {
			t.Errorf("profile %.20q exists", name)
		}
		readsWell(t, err)
	}
}

func TestReasons(t *testing.T) {
	codes := map[string]Reason{"unspecified": 0, "keyCompromise": 1, "cACompromise": 2, "affiliationChanged": 3, "superseded": 4,
		"cessationOfOperation": 5, "privilegeWithdrawn": 9, "aACompromise": 10}
	if names := ReasonNames(); len(names) != len(codes) || names[0] != "unspecified" || names[len(names)-1] != "aACompromise" {
		t.Errorf("the names are %v", names)
	}
	for name, want := range codes {
		for _, s := range []string{name, strings.ToUpper(name), strings.ToLower(name), strings.ReplaceAll(name, "C", "-C"), strings.ReplaceAll(name, "O", "_o")} {
			if got, err := ParseReason(s); err != nil || got != want {
				t.Errorf("ParseReason(%q) = %v, %v", s, got, err)
			}
		}
		if want.String() != name || !want.Known() || !slices.Contains(ReasonNames(), name) {
			t.Errorf("%s: %q, known %v", name, want, want.Known())
		}
	}
	if got, err := ParseReason(""); err != nil || got != Unspecified {
		t.Errorf("no reason is %v, %v", got, err)
	}
	for _, s := range []string{"certificateHold", "certificate-hold", "removeFromCRL", "7", "1", "key compromise", "x\n", long("x", 1<<16)} {
		got, err := ParseReason(s)
		if err == nil || got != 0 {
			t.Errorf("ParseReason(%.20q) = %v", s, got)
		}
		readsWell(t, err)
	}
	if Reason(7).Known() || Reason(8).Known() || Reason(-1).Known() || Reason(7).String() != "reason 7" || !CertificateHold.Known() {
		t.Error("reasons that the standard does not have, or one that it has")
	}
}

func TestShapes(t *testing.T) {
	td := trustDomain("cluster.local")
	for _, consumer := range Consumers() {
		taken := 0
		for _, kt := range KeyTypes() {
			s, err := ShapeFor(consumer, td, kt)
			readsWell(t, err)
			if err != nil {
				continue
			}
			taken++
			if s.MaxPathLen < 0 || s.Citation == "" || len(s.KeyTypes) > 0 && !slices.Contains(s.KeyTypes, kt) {
				t.Errorf("%s: %+v", consumer, s)
			}
			if len(s.KeyTypes) > 0 {
				s.KeyTypes[0] = "changed"
				if again := must(ShapeFor(consumer, td, kt)); slices.Contains(again.KeyTypes, "changed") {
					t.Fatalf("%s can be changed from outside", consumer)
				}
			}
		}
		if taken == 0 {
			t.Errorf("%s takes no key at all", consumer)
		}
	}
	for consumer, length := range map[string]int{"istio": 0, "linkerd": 0, "spire": 1, "nginx-service-mesh": 1, "consul": 0} {
		if s := must(ShapeFor(consumer, td, ECP256)); s.MaxPathLen != length || s.URI != (consumer == "consul") {
			t.Errorf("%s: %+v", consumer, s)
		}
	}
	if s := must(ShapeFor("linkerd", td, ECP256)); s.CommonName != "identity.linkerd.cluster.local" || s.RootName != "root.linkerd.cluster.local" {
		t.Errorf("linkerd: %+v", s)
	}
	for _, c := range []struct {
		consumer string
		kt       KeyType
	}{{"linkerd", ECP384}, {"linkerd", RSA2048}, {"istio", Ed25519}, {"spire", Ed25519}, {"consul", Ed25519}, {"", ECP256}, {"Istio", ECP256}, {"x\n", ECP256}} {
		_, err := ShapeFor(c.consumer, td, c.kt)
		if err == nil {
			t.Errorf("%q takes %s", c.consumer, c.kt)
		}
		readsWell(t, err)
	}
}

func TestQuoteShort(t *testing.T) {
	for in, want := range map[string]string{"a": `"a"`, "a\nb": `"a\nb"`, "ü\u202e": `"\u00fc\u202e"`, "\xff": `"\xff"`, `"`: `"\""`, long("x", 120): `"` + long("x", 120) + `"`,
		long("x", 121): `"` + long("x", 120) + `…"`, long("ü", 100): `"` + long(`\u00fc`, 60) + `…"`, `\u2026`: `"\\u2026"`} {
		if got := quoteShort(in); got != want {
			t.Errorf("quoteShort(%.20q) = %s; want %s", in, got, want)
		}
	}
}

// TestNameMessages holds what people read most often to the letter.
func TestNameMessages(t *testing.T) {
	names := func(kind NameType, s string) error { return ignoring(NewIdentity(namesOf(kind, s))) }
	constrained := func(c Constraints, n Name) error {
		spec := rootSpec()
		spec.Constraints = c
		return newRoot(t, spec).Judge(n)
	}
	for want, err := range map[string]error{
		`DNS name "" is empty`:                                                                                           names(DNS, ""),
		`DNS name "10.0.0.5" is an address; ask for it as one`:                                                           names(DNS, "10.0.0.5"),
		`DNS name "a." must not end with a dot (RFC 5280, Section 4.2.1.6)`:                                              names(DNS, "a."),
		`DNS name "*.com" has a wildcard over a whole top-level domain (RFC 9525, Section 6.3)`:                          names(DNS, "*.com"),
		`DNS name "\u00e4" must be ASCII; an international name is written in its xn-- form (RFC 5890, Section 2.3.2.1)`: names(DNS, "ä"),
		`DNS name "a\x1bb" is no host name: labels of 1 to 63 letters, digits and '-' are (RFC 1123, Section 2.1)`:       names(DNS, "a\x1bb"),
		`IP address "10.0.0" is no address: 10.0.0.5 or fd00::5 would be`:                                                names(IP, "10.0.0"),
		`URI "https://a b" must be ASCII without blanks (RFC 5280, Section 4.2.1.6)`:                                     names(URI, "https://a b"),
		`URI "SPIFFE://a/b" is no SPIFFE ID: must start with "spiffe://" (SPIFFE-ID, Section 2)`:                         names(URI, "SPIFFE://a/b"),
		`URI "spiffe://a" names a trust domain and no workload: it needs a path (X509-SVID, Section 2)`:                  names(URI, "spiffe://a"),
		`URI "https://u:p@a/" must not carry a user's name or password: certificates are public`:                         names(URI, "https://u:p@a/"),
		`URI "HTTPS://a/" would be written as "https://a/"; ask for that`:                                                names(URI, "HTTPS://a/"),
		`email address "a@b@c" is no address: name@example.com would be (RFC 5280, Section 4.2.1.6)`:                     names(Email, "a@b@c"),
		`common name "" must have 1 to 64 characters (RFC 5280, Appendix A.1)`:                                           names(CommonName, ""),
		`subject "C=DEU": C is a country of two letters (RFC 5280, Appendix A.1)`:                                        ignoring(ParseDN("C=DEU")),
		`subject "CN=": the value of CN is empty or badly escaped (RFC 4514, Section 2.4)`:                               ignoring(ParseDN("CN=")),
		`subject "X=y": "X" is no attribute: CN=…, O=…, OU=…, C=…, ST=…, L=… are`:                                        ignoring(ParseDN("X=y")),
		`DNS name "a" is refused: names of this type are excluded by the constraints of Test Root CA (RFC 5280, Section 4.2.1.10)`: constrained(
			Constraints{Email: []string{"b"}}, Name{DNS, "a"}),
		`IP address "10.0.0.5" is refused: names of this type are excluded by the constraints of Test Root CA (RFC 5280, Section 4.2.1.10)`: constrained(
			Constraints{Email: []string{"b"}}, Name{IP, "10.0.0.5"}),
		`URI "spiffe://a/b" is refused: names of this type are excluded by the constraints of Test Root CA (RFC 5280, Section 4.2.1.10)`: constrained(
			Constraints{Email: []string{"b"}}, Name{URI, "spiffe://a/b"}),
		`DNS name "a" is refused: only names within b, .c are permitted by the constraints of Test Root CA (RFC 5280, Section 4.2.1.10)`: constrained(
			Constraints{DNS: []string{"b", ".c"}}, Name{DNS, "a"}),
		`trust domain "10.0.0.5" is an IP address: no name constraint can permit it (RFC 5280, Section 4.2.1.10)`: Constraints{URI: []spiffeid.TrustDomain{trustDomain("10.0.0.5")}}.Validate(),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("it reads\n%v; want\n%s", err, want)
		}
		readsWell(t, err)
	}
}

var goodDNs = map[string]string{ // in, and as pkix writes it
	"CN=payment":                   "CN=payment",
	"cn=payment":                   "CN=payment",
	"CN=payment,O=Example":         "CN=payment,O=Example",
	"CN=payment, O=Example , C=DE": "CN=payment,O=Example,C=DE",
	"/C=DE/O=Example/CN=payment":   "CN=payment,O=Example,C=DE",
	"CN=payment+OU=a,O=b":          "CN=payment+OU=a,O=b",
	`O=Example\, Inc.`:             `O=Example\, Inc.`,
	`O=a\+b\=c\\d`:                 `O=a\+b=c\\d`,
	`O=\20a\20`:                    `O=\ a\ `,
	`O=M\c3\bcller`:                "O=Müller",
	"O=Müller & Söhne":             "O=Müller & Söhne",
	"OU=a,OU=b":                    "OU=a,OU=b",
	"SERIALNUMBER=1,STREET=a b,L=c,ST=d,POSTALCODE=e": "SERIALNUMBER=1,STREET=a b,L=c,ST=d,POSTALCODE=e",
	`/O=a\/b/CN=c`: "CN=c,O=a/b",
}

func TestParseDN(t *testing.T) {
	for in, want := range goodDNs {
		seq, err := ParseDN(in)
		if err != nil || seq.String() != want {
			t.Errorf("ParseDN(%q) = %s, %v; want %s", in, seq, err, want)
			continue
		}
		if _, err := NewIdentity(Names{Subject: seq}); err != nil {
			t.Errorf("%q is read and refused: %v", in, err)
		}
		seq[0][0].Type[0] = 9
		if again, err := ParseDN(in); err != nil || again.String() != want {
			t.Errorf("%q can be changed for all: %v, %v", in, again, err)
		}
	}
	for _, in := range []string{"", " ", ",", "/", "payment", "CN", "CN=", "=x", "CN= ", "X=y", "2.5.4.3=x", "CN=a,", ",CN=a", "CN=a,,O=b", "/CN=a/b", "//CN=a", "CN=a+", "CN=a,CN=b", "CN=a+CN=b",
		`CN=a\`, `CN=a\z`, `CN=a\4`, `CN=\ff`, `CN=\00`, `O=\0a`, "CN=a\nO=b", "C=DEU", "C=D", "C=D1", "O=" + long("x", 65), "CN=" + long("x", 65), "EMAILADDRESS=a@b.c", `O="a"`, "O=a;CN=b", "O=a<b",
		"O=#0c0161", "DC=ä", "SERIALNUMBER=a*b", long("x", 2049), "CN=" + long("x", 1<<16), "O=a\u202eb"} {
		seq, err := ParseDN(in)
		if err == nil || seq != nil {
			t.Errorf("ParseDN(%.40q) = %s, %v", in, seq, err)
		}
		readsWell(t, err)
	}
}

// TestDomainComponents: they alone are IA5Strings.
func TestDomainComponents(t *testing.T) {
	issuer := newIssuer(t)
	req := workload(t)
	req.Identity = must(NewIdentity(Names{Subject: must(ParseDN("CN=payment,DC=example,DC=com")), DNS: []string{"payment"}}))
	chain, err := issuer.Issue(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	raw := chain.Leaf().RawSubject
	if !bytes.Contains(raw, append([]byte{asn1.TagIA5String, 7}, "example"...)) || !bytes.Contains(raw, append([]byte{asn1.TagPrintableString, 7}, "payment"...)) {
		t.Errorf("subject %x", raw)
	}
	var back pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &back); err != nil || back.String() != req.Identity.Subject().String() {
		t.Errorf("%s came back as %s", req.Identity.Subject(), back)
	}
}

// TestEncodeSubject: what is encoded in the quick way is what encoding/asn1 makes of it.
func TestEncodeSubject(t *testing.T) {
	of := func(value any, oid ...int) pkix.RDNSequence { return pkix.RDNSequence{{{Type: oid, Value: value}}} }
	texts := []string{"", "payment", "a*b", "a&b", "a_b", "a@b", "ä", "日本", "a\x00b", "A' ()+,-./:=?9", strings.Repeat("x", 200), "\xff"}
	subjects := []pkix.RDNSequence{nil, {}, {{}}, of(7, 2, 5, 4, 3), of("x", 2, 5, 4), of("x", 2, 5, 4, 3, 1), of("x", 2, 5, 4, 128), of("x", 2, 5, 4, -1),
		of("x"), of("x", 3, 5, 4, 3), of("example", 0, 9, 2342, 19200300, 100, 1, 25), append(of("b", 2, 5, 4, 3), of("a", 2, 5, 4, 10)...),
		{{{Type: oidCommonName, Value: "b"}, {Type: oidCountryName, Value: "DE"}}}}
	for _, s := range texts {
		subjects = append(subjects, of(s, 2, 5, 4, 3), of(s, 2, 5, 4, 127))
	}
	quick := 0
	for _, subject := range subjects {
		got, err := encodeSubject(subject)
		want, wrong := encodeAny(subject)
		if (err == nil) != (wrong == nil) || !bytes.Equal(got, want) {
			t.Errorf("%v: %x, %v, and by encoding/asn1 %x, %v", subject, got, err, want, wrong)
		}
		if _, usual := encodeUsual(subject); usual {
			quick++
		}
	}
	if quick < 20 {
		t.Errorf("%d were encoded in the quick way", quick)
	}
}

func FuzzParseDN(f *testing.F) {
	for in := range goodDNs {
		f.Add(in)
	}
	f.Add(`CN=\`)
	f.Add("/")
	f.Add("CN=a+O=b/C=de")
	f.Fuzz(func(t *testing.T, in string) {
		seq, err := ParseDN(in)
		if err != nil {
			if text := err.Error(); len(text) > 1500 || strings.ContainsAny(text, "\n\x1b\x00") {
				t.Fatalf("an error of %d bytes: %q", len(text), text)
			}
			return
		}
		id, err := NewIdentity(Names{Subject: seq})
		if err != nil {
			t.Fatalf("%q is read and refused: %v", in, err)
		}
		der, err := encodeSubject(id.Subject())
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", in, err)
		}
		if general, err := encodeAny(id.Subject()); err != nil || !bytes.Equal(der, general) {
			t.Fatalf("%q is encoded as %x, and by encoding/asn1 as %x, %v", in, der, general, err)
		}
		var back pkix.RDNSequence
		if rest, err := asn1.Unmarshal(der, &back); err != nil || len(rest) > 0 || len(back) != len(seq) {
			t.Fatalf("%q comes back as %s, %v", in, back, err)
		}
		if said := seq.String(); !strings.Contains(said, "=#") && !strings.Contains(said, "+") {
			if again, err := ParseDN(said); err != nil || again.String() != said {
				t.Fatalf("%q is said as %q, and that reads as %s, %v", in, said, again, err)
			}
		}
	})
}
