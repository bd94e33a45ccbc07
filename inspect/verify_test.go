package inspect_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// pathCase is a certificate that is not trusted, and what must be said of it.
type pathCase struct {
	target  *x509.Certificate
	options inspect.Options
	says    string // in the message of the first finding
	more    []string
}

// hierarchy is a root, an intermediate and a leaf, each as it is changed.
func hierarchy(t *testing.T, root, issuing, leaf change) (*x509.Certificate, inspect.Options) {
	keep := func(c change) change {
		if c == nil {
			return func(*x509.Certificate) {}
		}
		return c
	}
	r := newRoot(t, "Mesh Root CA", keep(root))
	i := r.intermediate(t, "Mesh issuing CA", keep(issuing))
	return i.leaf(t, keep(leaf)), inspect.Options{Roots: certs(r.Certificate), Intermediates: certs(i.Certificate), At: at}
}

// brokenPaths has for each rule on paths and identities, before the colon, a
// certificate that is refused for it.
func brokenPaths(t *testing.T) map[string]pathCase {
	cases := map[string]pathCase{}
	add := func(name, says string, target *x509.Certificate, o inspect.Options, more ...string) {
		cases[name] = pathCase{target, o, says, more}
	}
	asking := func(name, says string, ask func(*inspect.Options), leaf change, more ...string) {
		target, o := hierarchy(t, nil, nil, leaf)
		ask(&o)
		add(name, says, target, o, more...)
	}
	brokenTimes(t, add)
	brokenChains(t, add)
	brokenSignatures(t, add)
	brokenIdentities(asking)
	brokenLists(t, add)
	brokenAnswers(t, add)
	brokenConforming(t, add)
	brokenFederation(t, add)
	return cases
}

type addCase = func(name, says string, target *x509.Certificate, o inspect.Options, more ...string)

func brokenTimes(t *testing.T, add addCase) {
	target, o := hierarchy(t, nil, nil, expired)
	add("leaf-expired", `"payment" expired 3 days ago`, target, o)
	target, o = hierarchy(t, nil, nil, future)
	add("leaf-not-yet-valid", "it starts in 2 hours", target, o)
	target, o = hierarchy(t, nil, expired, nil)
	add("intermediate-expired", `"Mesh issuing CA" expired`, target, o)
	target, o = hierarchy(t, nil, future, nil)
	add("intermediate-not-yet-valid", `"Mesh issuing CA" is not valid yet`, target, o)
	target, o = hierarchy(t, expired, nil, nil)
	add("root-expired", `"Mesh Root CA" expired`, target, o)
	target, o = hierarchy(t, future, nil, nil)
	add("root-not-yet-valid", `"Mesh Root CA" is not valid yet`, target, o)
	target, o = hierarchy(t, nil, nil, expired)
	o.Name = "payment.dev"
	add("leaf-expired:and another name", "expired", target, o, "name-mismatch")
	target, o = hierarchy(t, expired, expired, expired)
	add("root-expired:and all below", "Mesh Root CA", target, o, "intermediate-expired", "leaf-expired")
	target, o = hierarchy(t, nil, nil, expired)
	o.Intermediates = nil
	add("leaf-expired:and no issuer", `"payment"`, target, o, "issuer-missing")
	root := newRoot(t, "Root")
	old := root.leaf(t, expired)
	add("leaf-expired:itself among the roots", "expired", old, inspect.Options{Roots: certs(old), At: at})
}

func brokenChains(t *testing.T, add addCase) {
	target, o := hierarchy(t, nil, nil, nil)
	add("roots-missing", "no root was given", target, inspect.Options{Intermediates: append(o.Roots, o.Intermediates...), At: at})
	add("roots-missing:only nil", "", target, inspect.Options{Roots: []*x509.Certificate{}, At: at})
	add("issuer-missing", `"Mesh issuing CA" (key id `, target, inspect.Options{Roots: o.Roots, At: at})
	stranger := newRoot(t, "Stranger")
	add("root-unknown", `its issuer "Mesh Root CA" (key id `, target, inspect.Options{Roots: certs(stranger.Certificate), Intermediates: o.Intermediates, At: at})
	add("root-unknown:root as intermediate", `the path ends at "Mesh Root CA"`, target,
		inspect.Options{Roots: certs(stranger.Certificate), Intermediates: append(o.Intermediates, o.Roots...), At: at})
	add("root-unknown:self-signed", `the path ends at "Stranger"`, stranger.Certificate, o)
	namesake := newRoot(t, "Mesh Root CA")
	add("issuer-key-differs", `the certificate of that name that was given has another key (key id `, target,
		inspect.Options{Roots: certs(namesake.Certificate), Intermediates: o.Intermediates, At: at})

	root := newRoot(t, "Root")
	key := newKey(t)
	notCA := &authority{root.leafFor(t, key.Public(), func(c *x509.Certificate) { c.Subject.CommonName = "no CA" }), key}
	add("issuer-not-ca", `"no CA" issued a certificate and is no CA`, notCA.leaf(t), inspect.Options{Roots: certs(root.Certificate), Intermediates: certs(notCA.Certificate), At: at})
	target, o = hierarchy(t, nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, nil)
	add("issuer-without-key-cert-sign", `"Mesh issuing CA" may not sign`, target, o)
	target, o = hierarchy(t, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, nil, nil)
	add("path-length", `"Mesh Root CA" allows 0 CAs below it, and there is 1`, target, o)
	unknown := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}
	target, o = hierarchy(t, nil, unknown, nil)
	add("critical-extension-unknown", `"Mesh issuing CA" has a critical extension that is not understood (1.2.3.4)`, target, o)
	target, o = hierarchy(t, nil, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"dev"} }, nil)
	add("name-constraint", `"Mesh issuing CA" above it may not certify its names: DNS name "payment.prod"`, target, o)
	target, o = hierarchy(t, nil, func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"cluster.local"} }, expired)
	add("leaf-expired:and a name constraint", "", target, o, "name-constraint")
	target, o = hierarchy(t, nil, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}}}
	}, nil)
	add("policy-invalid", "certificate policies", target, o)

	// A chain longer than anything that is followed.
	a := root
	var line []*x509.Certificate
	for i := range 25 {
		a = a.intermediate(t, fmt.Sprintf("CA %d", i))
		line = append(line, a.Certificate)
	}
	add("path-search-limit", "given up", a.leaf(t), inspect.Options{Roots: certs(stranger.Certificate), Intermediates: line, At: at})
}

func brokenSignatures(t *testing.T, add addCase) {
	root := newRoot(t, "Root")
	o := inspect.Options{Roots: certs(root.Certificate), At: at}
	leaf := root.leaf(t)
	forged := bytes.Replace(leaf.Raw, []byte("payment.prod"), []byte("payment.evil"), 1)
	add("signature-invalid", `the signature on "payment" was not made by "Root"`, reparse(t, forged), o)
	add("signature-weak", "ECDSA-SHA1", root.leaf(t, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }), o)
	// ecdsa-with-SHA256 becomes an algorithm that nobody knows.
	add("signature-unsupported", "not supported (1.2.840.10045.4.3.9",
		reparse(t, bytes.ReplaceAll(leaf.Raw, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 9})), o)
	for name, bits := range map[string]uint{"issuer-key-size": 17000, "issuer-key-size:short": 511} {
		n := new(big.Int).Lsh(big.NewInt(1), bits)
		template := caTemplate("Root", root.PublicKey)
		odd := sign(t, template, &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}, root)
		add(name, "RSA key of", leaf, inspect.Options{Roots: certs(odd), At: at})
	}
}

func brokenIdentities(asking func(string, string, func(*inspect.Options), change, ...string)) {
	name := func(s string) func(*inspect.Options) { return func(o *inspect.Options) { o.Name = s } }
	id := func(s string) func(*inspect.Options) { return func(o *inspect.Options) { o.SPIFFEID = s } }
	domain := func(s string) func(*inspect.Options) { return func(o *inspect.Options) { o.TrustDomain = s } }
	email := func(s string) func(*inspect.Options) { return func(o *inspect.Options) { o.Email = s } }
	asking("name-mismatch", "the certificate is for payment.prod, payment.prod.svc", name("payment.dev"), nil)
	asking("name-mismatch:address", "for no IP address at all, only for payment.prod", name("10.0.0.1"), nil)
	asking("name-mismatch:brackets", "for no IP address", name("[::1]"), nil)
	asking("name-mismatch:common name", "its common name does not count", name("payment"), func(c *x509.Certificate) { c.DNSNames = nil })
	asking("name-mismatch:no name at all", "payment.prod", name("\x00 \xff*"), nil)
	asking("name-mismatch:star", "*.prod", name("a.b.prod"), func(c *x509.Certificate) { c.DNSNames = []string{"*.prod"} })
	asking("name-mismatch:long", "payment.prod", name(strings.Repeat("a.", 5000)), nil)
	asking("spiffe-id-mismatch", "the certificate is for spiffe://cluster.local/ns/prod/sa/payment", id("spiffe://cluster.local/ns/prod/sa/account"), nil)
	asking("spiffe-id-asked-invalid", `no SPIFFE ID: must start with "spiffe://"`, id("payment"), nil)
	asking("svid-uri-count", "no URI", id("spiffe://a/b"), func(c *x509.Certificate) { c.URIs = nil }, "spiffe-id-mismatch")
	asking("trust-domain-mismatch", "it is in trust domain cluster.local, not in example.org", domain("example.org"), nil)
	asking("trust-domain-asked-invalid", "no trust domain", domain("Example.org"), nil)
	asking("svid-id-invalid", "no SPIFFE ID", domain("cluster.local"), func(c *x509.Certificate) { c.URIs = []*url.URL{uri("https://a/b")} }, "trust-domain-mismatch")
	asking("svid-leaf-signs", "sign", domain("cluster.local"), func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign })
	asking("svid-leaf-is-ca", "CA certificate", domain("cluster.local"), func(c *x509.Certificate) { c.IsCA, c.MaxPathLen = true, -1 })
	asking("email-mismatch", "no email address at all", email("a@example.com"), nil)
	asking("email-mismatch:other", "A@example.com", email("a@example.com"), func(c *x509.Certificate) { c.EmailAddresses = []string{"A@example.com"} })
	asking("usage-not-allowed", `"payment" is not for clientAuth, only for serverAuth`,
		func(o *inspect.Options) { o.EKU = inspect.EKUClientAuth }, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })
	asking("usage-not-allowed:unknown", `the use "everything" is not known`, func(o *inspect.Options) { o.EKU = "everything" }, nil)
	asking("remaining-too-short", `"payment" ends in 20 days`, func(o *inspect.Options) { o.MinRemaining = 21 * day }, nil)
}

// TestRefused asks for each case and reads the first reason.
func TestRefused(t *testing.T) {
	for name, c := range brokenPaths(t) {
		t.Run(name, func(t *testing.T) {
			want, _, _ := strings.Cut(name, ":")
			r := inspect.Verify("test", c.target, c.options)
			if r.Trusted {
				t.Fatal("it is trusted")
			}
			if got := rulesOf(r.Findings); !slices.Equal(got, append([]string{want}, c.more...)) {
				t.Fatalf("found %v: %+v", got, r.Findings)
			}
			f := r.Findings[0]
			if !strings.Contains(f.Message, c.says) || f.Fix == "" || f.Citation == "" {
				t.Errorf("%+v, want %q in the message", f, c.says)
			}
			for _, bad := range []string{"x509:", "asn1:", "%!"} {
				if strings.Contains(f.Message+f.Fix, bad) {
					t.Errorf("%q in %+v", bad, f)
				}
			}
		})
	}
}

// TestTrusted asks what must be answered with yes.
func TestTrusted(t *testing.T) {
	full := func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.ParseIP("10.0.0.5")}
		c.EmailAddresses = []string{"A@Example.com"}
		c.DNSNames = append(c.DNSNames, "*.star.example")
	}
	target, o := hierarchy(t, nil, nil, full)
	for name, ask := range map[string]func(*inspect.Options){
		"nothing more":  func(*inspect.Options) {},
		"name":          func(o *inspect.Options) { o.Name = "PAYMENT.prod." },
		"star":          func(o *inspect.Options) { o.Name = "a.star.example" },
		"address":       func(o *inspect.Options) { o.Name = "10.0.0.5" },
		"SPIFFE ID":     func(o *inspect.Options) { o.SPIFFEID = "spiffe://cluster.local/ns/prod/sa/payment" },
		"trust domain":  func(o *inspect.Options) { o.TrustDomain = "cluster.local" },
		"email":         func(o *inspect.Options) { o.Email = "A@eXample.COM" },
		"server":        func(o *inspect.Options) { o.EKU = inspect.EKUServerAuth },
		"client":        func(o *inspect.Options) { o.EKU = inspect.EKUClientAuth },
		"any":           func(o *inspect.Options) { o.EKU = inspect.EKUAny },
		"enough time":   func(o *inspect.Options) { o.MinRemaining = 20 * day },
		"first second":  func(o *inspect.Options) { o.At = target.NotBefore },
		"last second":   func(o *inspect.Options) { o.At = target.NotAfter },
		"itself a root": func(o *inspect.Options) { o.Roots, o.Intermediates = certs(target), nil },
		"nil among the roots": func(o *inspect.Options) {
			o.Roots, o.Intermediates = append(o.Roots, nil), append(o.Intermediates, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			ask(&o)
			r := inspect.Verify("test", target, o)
			if !r.Trusted || len(r.Findings) > 0 || len(r.Paths) != 1 || len(r.Tried) > 0 {
				t.Fatalf("%+v", r)
			}
			if !slices.Equal(r.Uses, []string{"serverAuth", "clientAuth"}) || r.TrustedUntil == nil || !r.TrustedUntil.Equal(target.NotAfter) {
				t.Errorf("uses %v until %v", r.Uses, r.TrustedUntil)
			}
		})
	}
}

// TestUntil ends trust with the certificate of the path that ends first, and of
// several paths with the last.
func TestUntil(t *testing.T) {
	soon := func(c *x509.Certificate) { c.NotAfter = at.Add(5 * day) }
	target, o := hierarchy(t, nil, soon, nil)
	o.MinRemaining = 6 * day
	r := inspect.Verify("test", target, o)
	if r.Trusted || !r.TrustedUntil.Equal(at.Add(5*day)) || !strings.Contains(r.Findings[0].Message, "Mesh issuing CA") {
		t.Errorf("%+v", r)
	}
	// The same intermediate again, for longer.
	root := newRoot(t, "Root")
	old := root.intermediate(t, "Issuing", soon)
	template := caTemplate("Issuing", old.key.Public())
	renewed := sign(t, template, old.key.Public(), root)
	r = inspect.Verify("test", old.leaf(t), inspect.Options{Roots: certs(root.Certificate), Intermediates: certs(old.Certificate, renewed), At: at, MinRemaining: 6 * day})
	if !r.Trusted || len(r.Paths) != 2 || !r.TrustedUntil.Equal(at.Add(20*day)) {
		t.Errorf("%+v", r)
	}
}

// TestTried lists each path that was tried, the one nearest to trust first.
func TestTried(t *testing.T) {
	root := newRoot(t, "Root")
	old := root.intermediate(t, "Issuing", expired)
	other := newRoot(t, "Other")
	template := caTemplate("Issuing", old.key.Public())
	crossed := sign(t, template, old.key.Public(), other)
	r := inspect.Verify("test", old.leaf(t), inspect.Options{Roots: certs(root.Certificate), Intermediates: certs(crossed, old.Certificate), At: at})
	if r.Trusted || len(r.Tried) != 2 {
		t.Fatalf("%+v", r)
	}
	if a, b := rulesOf(r.Tried[0].Findings), rulesOf(r.Tried[1].Findings); !slices.Equal(a, []string{"intermediate-expired"}) || !slices.Equal(b, []string{"root-unknown"}) {
		t.Errorf("%v, %v", a, b)
	}
	if got := len(r.Tried[0].Certificates); got != 3 {
		t.Errorf("the path to the root has %d certificates", got)
	}
}

// TestHostileSearch is not kept busy by a crowd of namesakes.
func TestHostileSearch(t *testing.T) {
	root := newRoot(t, "Mesh")
	o := inspect.Options{Roots: certs(root.Certificate), At: at}
	a := newRoot(t, "Mesh")
	for range 300 {
		a = a.intermediate(t, "Mesh", func(c *x509.Certificate) { c.SubjectKeyId = nil })
		o.Intermediates = append(o.Intermediates, a.Certificate)
	}
	start := time.Now()
	r := inspect.Verify("test", a.leaf(t), o)
	if took := time.Since(start); r.Trusted || len(r.Findings) == 0 || took > 10*time.Second {
		t.Errorf("%v after %v", rulesOf(r.Findings), took)
	}
}

func TestTargets(t *testing.T) {
	root := newRoot(t, "Root")
	issuing := root.intermediate(t, "Issuing")
	a, b := issuing.leaf(t), issuing.leaf(t)
	stranger := newRoot(t, "Issuing").Certificate // signed nothing here
	r, i := root.Certificate, issuing.Certificate
	for name, c := range map[string]struct{ given, targets, intermediates []*x509.Certificate }{
		"none":                   {nil, nil, nil},
		"one":                    {certs(a), certs(a), nil},
		"a root alone":           {certs(r), certs(r), nil},
		"a chain":                {certs(a, i, r), certs(a), certs(i, r)},
		"two leaves":             {certs(a, b, i), certs(a, b), certs(i)},
		"root first":             {certs(r, i, a), certs(r, a), certs(r, i)},
		"intermediate and root":  {certs(i, r), certs(i), certs(r)},
		"a leaf twice":           {certs(a, a, i), certs(a), certs(i)},
		"a namesake is a target": {certs(a, i, stranger), certs(a, stranger), certs(i)},
	} {
		targets, intermediates := inspect.Targets(c.given)
		if !slices.Equal(targets, c.targets) || !slices.Equal(intermediates, c.intermediates) {
			t.Errorf("%s: %d targets, %d intermediates", name, len(targets), len(intermediates))
		}
	}
}

// TestTargetsMany splits a file of a thousand leaves without asking each about each.
func TestTargetsMany(t *testing.T) {
	root := newRoot(t, "Root")
	var list []*x509.Certificate
	for range 300 {
		list = append(list, root.leaf(t))
	}
	for range 300 {
		list = append(list, newRoot(t, "Root").Certificate)
	}
	list = append(list, root.Certificate)
	start := time.Now()
	targets, intermediates := inspect.Targets(list)
	if took := time.Since(start); len(targets) != 600 || len(intermediates) != 1 || took > 10*time.Second {
		t.Errorf("%d targets, %d intermediates after %v", len(targets), len(intermediates), took)
	}
}

// TestRevoked: a certificate that is known to be revoked ends every path through
// it, and no other.
func TestRevoked(t *testing.T) {
	leaf, o := hierarchy(t, nil, nil, nil)
	chain := []*x509.Certificate{leaf, o.Intermediates[0], o.Roots[0]}
	for i, member := range chain {
		o.Revoked = func(c *x509.Certificate) (string, bool) { return "keyCompromise", c.Equal(member) }
		r := inspect.Verify("leaf.pem", leaf, o)
		if r.Trusted || len(r.Paths) != 0 || len(r.Tried) != 1 {
			t.Fatalf("member %d is revoked: trusted %v by %d paths, %d tried", i, r.Trusted, len(r.Paths), len(r.Tried))
		}
		f := r.Findings[0]
		if f.Rule != "revoked" || f.Certificate == "" || !strings.HasSuffix(f.Message, "is revoked (keyCompromise)") {
			t.Errorf("member %d: %+v", i, f)
		}
	}
	o.Revoked = func(*x509.Certificate) (string, bool) { return "", false }
	if r := inspect.Verify("leaf.pem", leaf, o); !r.Trusted || len(r.Paths) != 1 {
		t.Errorf("nothing is revoked: trusted %v by %d paths", r.Trusted, len(r.Paths))
	}
	o.Revoked = func(c *x509.Certificate) (string, bool) { return "", c.Equal(leaf) }
	if r := inspect.Verify("leaf.pem", leaf, o); r.Trusted || !strings.HasSuffix(r.Findings[0].Message, "is revoked") {
		t.Errorf("revoked without a reason: %+v", r.Findings)
	}
}
