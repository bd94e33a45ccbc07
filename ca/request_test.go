package ca

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// A request states all that its Spec says, and what comes of it passes as that and
// as nothing else.
func TestRequestAndAnswer(t *testing.T) {
	open := rootSpec()
	open.MaxPathLen = -1
	root := newRoot(t, open)
	spec := issuingSpec()
	spec.MaxPathLen, spec.URI = 1, trustDomain("cluster.local")
	spec.Constraints = Constraints{DNS: []string{"example.com", ".example.org"}, URI: []spiffeid.TrustDomain{trustDomain("cluster.local")},
		IP: prefixes("10.0.0.0/8", "fd00::/8"), Email: []string{"example.com"}}
	key := key(t, ECP384)
	csr := must(ParseCSR(must(RequestCA(spec, key))))
	wish := must(Wish(csr))
	if !wish.IsCA || wish.MaxPathLen != 1 || wish.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("the request asks for CA %t, path length %d, usage %b", wish.IsCA, wish.MaxPathLen, wish.KeyUsage)
	}
	if name, err := CommonNameOf(csr); err != nil || name != spec.CommonName {
		t.Errorf("the common name is %q, error %v", name, err)
	}
	chain, err := root.IssueCA(t.Context(), spec, csr.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if !sameConstraints(wish, chain.Leaf()) || !sameNames(wish, chain.Leaf()) {
		t.Error("the certificate is not what the request asks for")
	}
	if err := CheckCA(chain.Leaf(), spec, key.Public()); err != nil {
		t.Errorf("what was asked for: %v", err)
	}
	for what, change := range map[string]func(*Spec){
		"subject":                   func(s *Spec) { s.CommonName = "Other" },
		"path length":               func(s *Spec) { s.MaxPathLen = 0 },
		"subject alternative names": func(s *Spec) { s.URI = spiffeid.TrustDomain{} },
		"name constraints":          func(s *Spec) { s.Constraints.Open, s.Constraints.IP = true, nil },
	} {
		other := spec
		change(&other)
		err := CheckCA(chain.Leaf(), other, key.Public())
		if r := refusal(t, what, err); !strings.HasSuffix(r.Why, "in its "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refusal(t, "another key", CheckCA(chain.Leaf(), spec, must(NewKey(ECP384)).Public()))
	leaf := must(newIssuer(t).Issue(t.Context(), workload(t))).Leaf()
	refusal(t, "a leaf", CheckCA(leaf, spec, leaf.PublicKey))
}

// A wish is read from whatever a request states, or refused; it never stands for
// what is signed.
func TestWishOfOthers(t *testing.T) {
	wish := must(Wish(must(ParseCSR(csrPEM(csrWish)))))
	if !wish.IsCA || len(wish.DNSNames) != 1 || len(wish.UnhandledCriticalExtensions) != 1 {
		t.Errorf("the wish is CA %t, names %v, critical %v", wish.IsCA, wish.DNSNames, wish.UnhandledCriticalExtensions)
	}
	_, err := CommonNameOf(must(ParseCSR(csrPEM(csrWish))))
	refusal(t, "a subject of two attributes", err)
	csr := must(ParseCSR(csrPEM(csrWish)))
	csr.Extensions = append(csr.Extensions, csr.Extensions[0])
	_, err = Wish(csr)
	refusal(t, "an extension that is there twice", err)
}

// A preview shows what would be signed, and touches neither key nor ledger.
func TestPreviewCA(t *testing.T) {
	root := newRoot(t, rootSpec())
	before := signed(root)
	pub := must(NewKey(ECP256)).Public()
	shown, err := root.PreviewCA(t.Context(), issuingSpec(), pub)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckCA(shown, issuingSpec(), pub); err != nil {
		t.Error(err)
	}
	if signed(root) != before {
		t.Error("the preview reached the key")
	}
	wide := issuingSpec()
	wide.NotAfter = root.Certificate.NotAfter.Add(time.Hour)
	_, err = root.PreviewCA(t.Context(), wide, pub)
	asValidity(t, "a preview that outlives its issuer", err)
}

// The chain of an answer is found among what came with it, and ends at the root
// that was named or nowhere.
func TestAnchor(t *testing.T) {
	open := rootSpec()
	open.MaxPathLen = -1
	root := newRoot(t, open)
	spec := issuingSpec()
	spec.MaxPathLen, spec.CommonName = 1, "Middle"
	middle := below(t, root, spec)
	issuing := below(t, middle, issuingSpec())
	came := []*x509.Certificate{root.Certificate, issuing.Certificate, middle.Certificate}
	above, err := Anchor(issuing.Certificate, came, root.Certificate, now)
	if err != nil || len(above) != 2 || !above[0].Equal(middle.Certificate) || !above[1].Equal(root.Certificate) {
		t.Fatalf("above it are %d, error %v", len(above), err)
	}
	stranger := newRoot(t, rootSpec())
	wrong := map[string]func() ([]*x509.Certificate, error){
		"a stranger's root": func() ([]*x509.Certificate, error) {
			return Anchor(issuing.Certificate, came, stranger.Certificate, now)
		},
		"no root":         func() ([]*x509.Certificate, error) { return Anchor(issuing.Certificate, came, middle.Certificate, now) },
		"a gap":           func() ([]*x509.Certificate, error) { return Anchor(issuing.Certificate, nil, root.Certificate, now) },
		"the root itself": func() ([]*x509.Certificate, error) { return Anchor(root.Certificate, nil, root.Certificate, now) },
		"after its end": func() ([]*x509.Certificate, error) {
			return Anchor(issuing.Certificate, came, root.Certificate, issuing.Certificate.NotAfter.Add(time.Second))
		},
		"before its beginning": func() ([]*x509.Certificate, error) {
			return Anchor(issuing.Certificate, came, root.Certificate, issuing.Certificate.NotBefore.Add(-time.Second))
		},
	}
	for what, anchor := range wrong {
		_, err := anchor()
		refusal(t, what, err)
	}
}

// A CA is not made to permit what those above it do not: names of every type.
func TestConstraintsWithinThoseAbove(t *testing.T) {
	spec := rootSpec()
	spec.Constraints = Constraints{DNS: []string{"example.com", ".example.org"}, URI: []spiffeid.TrustDomain{trustDomain("cluster.local")},
		IP: prefixes("10.0.0.0/8"), Email: []string{"example.com", ".example.org"}}
	root := newRoot(t, spec)
	for _, c := range []struct {
		con Constraints
		ok  bool
	}{
		{Constraints{}, true},
		{spec.Constraints, true},
		{Constraints{DNS: []string{"a.example.com", ".example.com", "b.example.org"}}, true},
		{Constraints{DNS: []string{"com"}}, false},
		{Constraints{DNS: []string{"example.org"}}, false},
		{Constraints{URI: []spiffeid.TrustDomain{trustDomain("other.example")}}, false},
		{Constraints{IP: prefixes("10.1.0.0/16", "10.255.255.255/32")}, true},
		{Constraints{IP: prefixes("8.0.0.0/6")}, false},
		{Constraints{IP: prefixes("0.0.0.0/0")}, false},
		{Constraints{IP: prefixes("fd00::/8")}, false},
		{Constraints{Email: []string{"me@example.com", "a.example.org"}}, true},
		{Constraints{Email: []string{"me@example.net"}}, false},
		{Constraints{Email: []string{"example.org"}}, false},
	} {
		spec := issuingSpec()
		spec.Constraints = c.con
		_, err := root.PreviewCA(t.Context(), spec, must(NewKey(ECP256)).Public())
		if c.ok && err != nil {
			t.Errorf("%v: %v", c.con, err)
		} else if !c.ok {
			refusal(t, strings.Join(c.con.DNS, " "), err)
		}
	}
}
