package inspect_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

func describe(t *testing.T, c *x509.Certificate, now time.Time) *inspect.CertificateFacts {
	t.Helper()
	r := inspect.Describe("test", inspect.Object{Kind: inspect.KindCertificate, Index: 1, Certificate: c}, now)
	if r.Certificate == nil {
		t.Fatalf("no facts: %+v", r)
	}
	return r.Certificate
}

// TestState walks over both ends of a validity, which belong to it.
func TestState(t *testing.T) {
	c := newRoot(t, "Root").leaf(t)
	for _, s := range []struct {
		now  time.Time
		want string
		left int64
	}{
		{c.NotBefore.Add(-time.Second), inspect.StateNotYetValid, 30*86400 + 1},
		{c.NotBefore, inspect.StateValid, 30 * 86400},
		{c.NotAfter, inspect.StateValid, 0},
		{c.NotAfter.Add(time.Second), inspect.StateExpired, -1},
	} {
		f := describe(t, c, s.now)
		if f.State != s.want || f.RemainingSeconds != s.left {
			t.Errorf("%v: %s, %d s left; want %s, %d", s.now, f.State, f.RemainingSeconds, s.want, s.left)
		}
	}
}

func TestFarAway(t *testing.T) {
	c := newRoot(t, "Root").leaf(t, func(c *x509.Certificate) {
		c.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	})
	if f := describe(t, c, at); f.RemainingSeconds != c.NotAfter.Unix()-at.Unix() {
		t.Errorf("%d seconds", f.RemainingSeconds)
	}
}

func TestFacts(t *testing.T) {
	root := newRoot(t, "Root", func(c *x509.Certificate) {
		c.MaxPathLen = 2
		c.PermittedDNSDomainsCritical = true
		c.PermittedDNSDomains = []string{"prod"}
		c.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}}
		c.ExcludedEmailAddresses = []string{""}
		c.PermittedURIDomains = []string{"cluster.local"}
	})
	f := describe(t, root.Certificate, at)
	if !f.IsCA || !f.SelfSigned || f.MaxPathLen == nil || *f.MaxPathLen != 2 || f.SVID || f.SPIFFEID != "" {
		t.Errorf("root: %+v", f)
	}
	n := f.Constraints
	if n == nil || !n.Critical || !slices.Equal(n.Permitted.DNSNames, []string{"prod"}) || !slices.Equal(n.Permitted.URIs, []string{"cluster.local"}) ||
		!slices.Equal(n.Excluded.IPAddresses, []string{"0.0.0.0/0"}) || !slices.Equal(n.Excluded.EmailAddresses, []string{""}) {
		t.Errorf("constraints: %+v", n)
	}
	leaf := root.leaf(t, func(c *x509.Certificate) {
		c.SerialNumber = big.NewInt(0xabc)
		c.IPAddresses = []net.IP{net.ParseIP("10.0.0.5"), net.ParseIP("fe80::1")}
		c.EmailAddresses = []string{"a@example.com"}
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3, 4}}
		c.CRLDistributionPoints = []string{"http://crl.example/a"}
		c.OCSPServer = []string{"http://ocsp.example"}
		c.IssuingCertificateURL = []string{"http://ca.example"}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 5}, Critical: true, Value: []byte{5, 0}}}
	})
	f = describe(t, leaf, at)
	for what, pair := range map[string][2]any{
		"serial":   {f.Serial, "0abc"},
		"names":    {strings.Join(f.DNSNames, " "), "payment.prod payment.prod.svc"},
		"ip":       {strings.Join(f.IPAddresses, " "), "10.0.0.5 fe80::1"},
		"email":    {strings.Join(f.EmailAddresses, " "), "a@example.com"},
		"spiffe":   {f.SPIFFEID, "spiffe://cluster.local/ns/prod/sa/payment"},
		"svid":     {f.SVID, true},
		"use":      {strings.Join(f.ExtKeyUsage, " "), "serverAuth clientAuth 1.2.3.4"},
		"key use":  {strings.Join(f.KeyUsage, " "), "digitalSignature"},
		"key":      {f.PublicKey.Type, "ec-p256"},
		"signed":   {f.SignatureAlgorithm, "ECDSA-SHA256"},
		"crl":      {strings.Join(f.CRLDistributionPoints, " "), "http://crl.example/a"},
		"ocsp":     {strings.Join(f.OCSPServers, " "), "http://ocsp.example"},
		"made by":  {strings.Join(f.IssuingURLs, " "), "http://ca.example"},
		"critical": {strings.Join(f.CriticalUnknown, " "), "1.2.3.5"},
		"CA":       {f.IsCA || f.SelfSigned || f.MaxPathLen != nil, false},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
}

// TestSPIFFEID reads the URI as it was written: a parsed one has lost what makes
// it no SPIFFE ID.
func TestSPIFFEID(t *testing.T) {
	root := newRoot(t, "Root")
	for text, want := range map[string]string{
		"spiffe://td.example/a":   "spiffe://td.example/a",
		"spiffe://td.example/a/":  "",
		"spiffe://td.example/a#":  "",
		"spiffe://td.example/a?":  "",
		"spiffe://TD.example/a":   "",
		"SPIFFE://td.example/a":   "",
		"spiffe://td.example/%61": "",
		"https://td.example/a":    "",
	} {
		value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		c := root.leaf(t, func(c *x509.Certificate) {
			c.URIs = nil
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
		})
		f := describe(t, c, at)
		if f.SPIFFEID != want || f.SVID != (want != "") || !slices.Equal(f.URIs, []string{text}) {
			t.Errorf("%s: %q, SVID %v, %q", text, f.SPIFFEID, f.SVID, f.URIs)
		}
	}
	two := root.leaf(t, func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://td/a"), uri("kuma://x")} })
	if f := describe(t, two, at); f.SPIFFEID != "" || f.SVID {
		t.Errorf("two URIs: %q, SVID %v", f.SPIFFEID, f.SVID)
	}
}

func TestDistinguishedNames(t *testing.T) {
	root := newRoot(t, "Root")
	value := func(tag int, s string) asn1.RawValue { return asn1.RawValue{Tag: tag, Bytes: []byte(s)} }
	for _, c := range []struct {
		want string
		name pkix.RDNSequence
	}{
		{"", nil},
		{`CN=a\,b\+c\"\\\<\>\;,O=\#x\ `, pkix.RDNSequence{
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: value(12, "#x ")}},
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: value(12, `a,b+c"\<>;`)}},
		}},
		{`CN=a+UID=b`, pkix.RDNSequence{{
			{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: value(12, "a")},
			{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: value(12, "b")},
		}}},
		{`CN=\1b[0m\e2\80\aeZoë`, pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: value(12, "\x1b[0m\u202eZoë")}}}},
		{`CN=Zoë`, pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: value(30, "\x00Z\x00o\x00\xeb")}}}},
		{`CN=Zo\c2\9b`, pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: value(20, "Zo\x9b")}}}},
		{`1.2.3.4=#0c0161`, pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: value(12, "a")}}}},
	} {
		raw, err := asn1.Marshal(c.name)
		if err != nil {
			t.Fatal(err)
		}
		leaf := root.leaf(t, func(l *x509.Certificate) { l.RawSubject = raw })
		if got := describe(t, leaf, at).Subject; got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// TestTogether finds who signed whom, and whose key is whose.
func TestTogether(t *testing.T) {
	root := newRoot(t, "Root")
	issuing := root.intermediate(t, "Issuing")
	key := newKey(t)
	leaf := issuing.leafFor(t, key.Public())
	stranger := newRoot(t, "Issuing") // a namesake that signed nothing
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Join([][]byte{
		pemOf(stranger.Certificate, leaf, issuing.Certificate, root.Certificate),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		requestPEM(t, key), crlPEM(t, issuing), fixture(t, "good-key.pem"),
	}, nil)
	r := inspect.DescribeAll("all", parse(t, data), at)
	if a, b, c, d := r[0].Certificate.IssuedByIndex, r[1].Certificate.IssuedByIndex, r[2].Certificate.IssuedByIndex, r[3].Certificate.IssuedByIndex; a != 0 || b != 3 || c != 4 || d != 0 {
		t.Errorf("issued by %d %d %d %d", a, b, c, d)
	}
	if got := r[4].PrivateKey.CertificateIndexes; !slices.Equal(got, []int{2, 6}) {
		t.Errorf("the key belongs to %v", got)
	}
	if r[1].Certificate.PrivateKeyIndex != 5 || r[5].Request.PrivateKeyIndex != 5 || r[2].Certificate.PrivateKeyIndex != 0 {
		t.Errorf("private keys: %d, %d, %d", r[1].Certificate.PrivateKeyIndex, r[5].Request.PrivateKeyIndex, r[2].Certificate.PrivateKeyIndex)
	}
	if r[6].CRL.IssuedByIndex != 3 {
		t.Errorf("the CRL is issued by %d", r[6].CRL.IssuedByIndex)
	}
	if len(r[7].PrivateKey.CertificateIndexes) != 0 {
		t.Errorf("a stranger's key belongs to %v", r[7].PrivateKey.CertificateIndexes)
	}
}

func TestCRLFacts(t *testing.T) {
	root := newRoot(t, "Root")
	f := inspect.Describe("crl", parse(t, crlPEM(t, root, big.NewInt(5), big.NewInt(0xff)))[0], at).CRL
	if f.Issuer != "CN=Root" || f.Number != "7" || f.Entries != 2 || *f.RemainingSeconds != 6*86400 {
		t.Errorf("%+v", f)
	}
	if f.Revoked[0].Serial != "05" || f.Revoked[0].Reason != "keyCompromise" || f.Revoked[1].Serial != "ff" || f.Revoked[1].Reason != "cACompromise" {
		t.Errorf("%+v", f.Revoked)
	}
}

// TestSelfIssuedImpostor has the name of its issuer and another's signature.
func TestSelfIssuedImpostor(t *testing.T) {
	root := newRoot(t, "Root")
	impostor := root.intermediate(t, "Root", func(c *x509.Certificate) { c.SubjectKeyId = root.SubjectKeyId })
	if describe(t, impostor.Certificate, at).SelfSigned {
		t.Error("a certificate that another key signed passes for self-signed")
	}
}

func pemOf(list ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range list {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
