package backendtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// AuthorityOptions say what an authority can do besides what every Authority
// must, and what it is ready to certify.
type AuthorityOptions struct {
	// Now is the authority's idea of the time; it must be set.
	Now func() time.Time
	// Names are such as it certifies; none is a workload of cluster.local with a
	// name of every type.
	Names ca.Names
	// Refused are names that it refuses; none: it refuses no names.
	Refused ca.Names
	// Profiles and KeyTypes are those that it certifies; none is all of them.
	Profiles []string
	KeyTypes []ca.KeyType
	// Validity is how long its certificates live in these tests; 0 is 24 hours.
	Validity time.Duration
	// Longest is the latest end that it gives; zero: it is not known.
	Longest time.Time
	// Idempotent says that one token always gives the same certificate.
	Idempotent bool
	// Resumes says that it calls Pending before it waits, and goes on by Resume.
	Resumes bool
	// RevokesNothing says that it is a ca.Revoker and refuses to revoke.
	RevokesNothing bool
}

// candidate is an authority under test, with what is asked of it.
type candidate struct {
	AuthorityOptions
	open     func(t *testing.T) ca.Authority
	identity ca.Identity
	key      crypto.Signer // the subject's, where any will do
}

// TestAuthority holds an authority against its contract. open gives an authority
// each time; it may be the same one.
func TestAuthority(t *testing.T, open func(t *testing.T) ca.Authority, o AuthorityOptions) {
	if o.Validity == 0 {
		o.Validity = 24 * time.Hour
	}
	if len(o.Profiles) == 0 {
		o.Profiles = ca.ProfileNames()
	}
	if len(o.KeyTypes) == 0 {
		o.KeyTypes = ca.KeyTypes()
	}
	if len(o.Names.DNS)+len(o.Names.URI)+len(o.Names.IP)+len(o.Names.Email) == 0 {
		o.Names = ca.Names{Subject: ca.CommonNameOnly("payment"), DNS: []string{"payment.prod", "*.payment.example.com"},
			IP: []string{"10.0.0.5", "fd00::5"}, Email: []string{"ops@example.com"},
			URI: []string{"spiffe://cluster.local/ns/prod/sa/payment"}}
	}
	identity, err := ca.NewIdentity(o.Names)
	if err != nil {
		t.Fatal(err)
	}
	c := candidate{o, open, identity, newKey(t, o.KeyTypes[0])}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, c candidate)
	}{
		{"roots are CA certificates", testRoots},
		{"every profile and key type is certified as asked", testAsked},
		{"what it shows beforehand is what it certifies", testPreview},
		{"serial numbers are large and never twice", testSerials},
		{"a CSR's own wishes are not certified", testWishes},
		{"a weak key is refused", testWeakKeys},
		{"a CSR that is not signed by its key is refused", testUnproven},
		{"names outside its rules are refused", testRefusedNames},
		{"a lifetime that cannot be is refused or cut", testValidity},
		{"a request without a profile is refused", testNoProfile},
		{"one token gives one certificate", testIdempotent},
		{"a slow order is asked once and resumed", testResumed},
		{"a certificate is revoked once", testRevoke},
		{"a context that has ended is honoured", testAuthorityCancelled},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c) })
	}
}

func newKey(t *testing.T, kt ca.KeyType) crypto.Signer {
	t.Helper()
	key, err := issue.NewKey(kt)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// order is for the names that the authority certifies, with a key at hand.
func (c candidate) order(t *testing.T, profile string) issue.Order {
	t.Helper()
	p, err := ca.ProfileByName(profile)
	if err != nil {
		t.Fatal(err)
	}
	return issue.Order{Service: "payment", Namespace: "prod", Identity: c.identity, Profile: p, Key: c.key,
		Validity: ca.Validity{NotAfter: c.Now().Add(c.Validity)}}
}

// obtain also holds the answer against the order: that is issue.Obtain's work.
func (c candidate) obtain(t *testing.T, a ca.Authority, o issue.Order) *issue.Credential {
	t.Helper()
	credential, err := issue.Obtain(t.Context(), a, o, c.Now())
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

// request is what goes to the authority when nothing is to stand between.
func (c candidate) request(t *testing.T, csr []byte) ca.Request {
	t.Helper()
	o := c.order(t, c.Profiles[0])
	return ca.Request{CSR: csr, Identity: o.Identity, Profile: o.Profile, Validity: o.Validity, Service: o.Service, Namespace: o.Namespace}
}

func testRoots(t *testing.T, c candidate) {
	roots, err := c.open(t).Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(roots) == 0 {
		t.Error("there is no root")
	}
	for _, r := range roots {
		if !r.IsCA || !r.BasicConstraintsValid {
			t.Errorf("root %q is no CA certificate", r.Subject)
		}
	}
}

func testAsked(t *testing.T, c candidate) {
	a := c.open(t)
	for _, kt := range c.KeyTypes {
		key := newKey(t, kt)
		for _, profile := range c.Profiles {
			t.Run(string(kt)+" "+profile, func(t *testing.T) {
				o := c.order(t, profile)
				o.Key = key
				credential := c.obtain(t, a, o)
				wantChain(t, credential)
				if leaf := credential.Leaf(); ca.KeyTypeOf(leaf.PublicKey) != kt {
					t.Errorf("a key of type %s was certified", ca.KeyTypeOf(leaf.PublicKey))
				}
			})
		}
	}
}

func testPreview(t *testing.T, c candidate) {
	a := c.open(t)
	p, ok := a.(ca.Previewer)
	if !ok {
		t.Skip("this authority shows nothing beforehand")
	}
	o := c.order(t, c.Profiles[0])
	shown, err := p.Preview(t.Context(), c.request(t, newCSR(t, c.key, c.identity)))
	if err != nil {
		t.Fatal(err)
	}
	told := foretold(t, c, a)
	made := c.obtain(t, a, o)
	if shown.CheckSignatureFrom(made.Chain[min(1, len(made.Chain)-1)]) == nil {
		t.Error("what was only to be shown is signed")
	}
	leaf := made.Leaf()
	if !bytes.Equal(shown.RawSubject, leaf.RawSubject) || !told[issue.PartChain] && !bytes.Equal(shown.RawIssuer, leaf.RawIssuer) || !slices.Equal(shown.DNSNames, leaf.DNSNames) ||
		len(shown.URIs) != len(leaf.URIs) || len(shown.IPAddresses) != len(leaf.IPAddresses) || !slices.Equal(shown.EmailAddresses, leaf.EmailAddresses) {
		t.Errorf("the names shown are %q and %q, certified %q and %q", shown.Subject, shown.DNSNames, leaf.Subject, leaf.DNSNames)
	}
	if !slices.Equal(shown.ExtKeyUsage, leaf.ExtKeyUsage) || shown.KeyUsage != leaf.KeyUsage || shown.IsCA || shown.NotAfter.Sub(leaf.NotAfter).Abs() > time.Minute {
		t.Errorf("shown until %s for %v, certified until %s for %v", shown.NotAfter, shown.ExtKeyUsage, leaf.NotAfter, leaf.ExtKeyUsage)
	}
	other := newKey(t, c.KeyTypes[0])
	if _, err := p.Preview(t.Context(), c.request(t, append(newCSR(t, other, c.identity), 0))); err == nil {
		t.Error("it shows what it would not certify")
	}
}

// foretold are the parts that an authority foretells to be other than it shows.
func foretold(t *testing.T, c candidate, a ca.Authority) map[string]bool {
	t.Helper()
	parts := map[string]bool{}
	f, ok := a.(ca.Foreteller)
	if !ok {
		return parts
	}
	told, err := f.Foretell(t.Context(), c.request(t, newCSR(t, c.key, c.identity)))
	if err != nil || len(told) == 0 {
		t.Fatalf("it foretells %v, %v", told, err)
	}
	for _, one := range told {
		if one.Part == "" || one.Why == "" {
			t.Errorf("it foretells %+v, and not what or why", one)
		}
		parts[one.Part] = parts[one.Part] || one.Value != ""
	}
	return parts
}

// wantChain looks at the order of a chain: leaf first, each signed by the next,
// the last signed by a root and none of them a root.
func wantChain(t *testing.T, c *issue.Credential) {
	t.Helper()
	for i, cert := range c.Chain {
		if slices.ContainsFunc(c.Roots, cert.Equal) || bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			t.Errorf("certificate %d of the chain, %q, is a root", i, cert.Subject)
		}
		above := c.Roots
		if i+1 < len(c.Chain) {
			above = c.Chain[i+1 : i+2]
		}
		signed := func(parent *x509.Certificate) bool { return cert.CheckSignatureFrom(parent) == nil }
		if !slices.ContainsFunc(above, signed) {
			t.Errorf("certificate %d of the chain, %q, is not signed by what follows it", i, cert.Subject)
		}
	}
}

func testSerials(t *testing.T, c candidate) {
	const clerks, each = 6, 4
	a := c.open(t)
	serials := make([][each]*big.Int, clerks)
	req := c.request(t, newCSR(t, c.key, c.identity))
	none(t, guard(clerks, func(i int) error {
		for n := range each {
			chain, err := a.Issue(t.Context(), req)
			if err != nil {
				return err
			}
			serials[i][n] = chain.Leaf().SerialNumber
		}
		return nil
	}))
	if t.Failed() {
		return
	}
	seen, bits := map[string]bool{}, 0
	for _, list := range serials {
		for _, serial := range list {
			s := ca.FormatSerial(serial)
			if seen[s] {
				t.Errorf("serial number %s was given twice", s)
			}
			if seen[s] = true; serial.Sign() <= 0 || serial.BitLen() > 159 {
				t.Errorf("serial number %s is not positive, or longer than 20 octets", s)
			}
			bits = max(bits, serial.BitLen())
		}
	}
	// Of 24 numbers with 63 random bits the largest has 50 bits but for one time in 10^90.
	if bits < 50 {
		t.Errorf("serial numbers have %d bits: at least 63 random ones are expected", bits)
	}
}

func testRefusedNames(t *testing.T, c candidate) {
	identity, err := ca.NewIdentity(c.Refused)
	if err != nil {
		t.Fatal(err)
	}
	if len(identity.Names()) == 0 {
		t.Skip("this authority refuses no names")
	}
	a := c.open(t)
	req := c.request(t, newCSR(t, c.key, identity))
	req.Identity = identity
	wantRefusal(t, a, req)
	judge, ok := a.(ca.Judge)
	if !ok {
		return
	}
	refused := 0
	for _, n := range identity.Names() {
		err := judge.Judge(n)
		if err == nil {
			continue
		}
		refused++
		if _, ok := ca.IsRefusal(err); !ok {
			t.Errorf("%s was judged with error %v, which is no refusal", n, err)
		}
	}
	if refused == 0 {
		t.Errorf("asked beforehand, it has nothing against %v", identity.Names())
	}
	for _, n := range c.identity.Names() {
		if err := judge.Judge(n); err != nil {
			t.Errorf("asked beforehand, it is against %s: %v", n, err)
		}
	}
}

func wantRefusal(t *testing.T, a ca.Authority, req ca.Request) {
	t.Helper()
	chain, err := a.Issue(t.Context(), req)
	if err == nil {
		t.Errorf("it was certified as %q", chain.Leaf().Subject)
	} else if _, ok := ca.IsRefusal(err); !ok {
		t.Errorf("error %v, which is no refusal", err)
	}
}

func testNoProfile(t *testing.T, c candidate) {
	req := c.request(t, newCSR(t, c.key, c.identity))
	req.Profile = ca.Profile{}
	if _, err := c.open(t).Issue(t.Context(), req); err == nil {
		t.Error("it was certified")
	}
}

func testValidity(t *testing.T, c candidate) {
	a := c.open(t)
	req := c.request(t, newCSR(t, c.key, c.identity))
	leaf := func(v ca.Validity) (*x509.Certificate, error) {
		req.Validity = v
		chain, err := a.Issue(t.Context(), req)
		if err != nil {
			return nil, err
		}
		return chain.Leaf(), nil
	}
	if l, err := leaf(req.Validity); err != nil {
		t.Error(err)
	} else if l.NotBefore.After(c.Now()) || l.NotBefore.Before(c.Now().Add(-2*time.Hour)) {
		t.Errorf("valid from %s on, at %s", l.NotBefore, c.Now())
	}
	for what, end := range map[string]time.Time{"no end": {}, "an end in the past": c.Now().Add(-time.Hour), "an end now": c.Now()} {
		if _, err := leaf(ca.Validity{NotAfter: end}); err == nil {
			t.Errorf("%s was certified", what)
		}
	}
	if c.Longest.IsZero() {
		return
	}
	beyond := ca.Validity{NotAfter: c.Longest.Add(time.Hour)}
	_, err := leaf(beyond)
	_, refused := ca.IsRefusal(err)
	if _, invalid := errors.AsType[*ca.ValidityError](err); !invalid && !refused {
		t.Errorf("an end beyond its limit: error %v, want a *ca.ValidityError or *ca.Refusal", err)
	}
	beyond.UpTo = true
	if l, err := leaf(beyond); err != nil {
		t.Errorf("up to an end beyond its limit: %v", err)
	} else if l.NotAfter.After(c.Longest) || l.NotAfter.Before(c.Longest.Add(-2*time.Minute)) {
		t.Errorf("asked for as long as can be, it gives %s where it can give %s", l.NotAfter, c.Longest)
	}
}

func testRevoke(t *testing.T, c candidate) {
	a := c.open(t)
	r, ok := a.(ca.Revoker)
	if shown, other := a.(ca.CertificateRevoker); !ok && other {
		testRevokeShown(t, c, a, shown)
		return
	}
	if !ok {
		t.Skip("this authority cannot revoke")
	}
	if c.RevokesNothing {
		if err := r.Revoke(t.Context(), big.NewInt(1), ca.Superseded); err == nil {
			t.Error("it revokes")
		} else if _, ok := ca.IsRefusal(err); !ok {
			t.Errorf("error %v, which is no refusal", err)
		}
		return
	}
	obtain := func() *big.Int { return c.obtain(t, a, c.order(t, c.Profiles[0])).Leaf().SerialNumber }
	first, second := obtain(), obtain()
	revoke := func(what string, serial *big.Int, want error) {
		t.Helper()
		if err := r.Revoke(t.Context(), serial, ca.Superseded); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
	revoke("the first time", first, nil)
	revoke("the second time", first, ca.ErrRevoked)
	revoke("another", second, nil)
	revoke("the third time", first, ca.ErrRevoked)
	revoke("a serial number that was never signed", big.NewInt(1), ca.ErrUnknownSerial)
	third := obtain() // it goes on
	wantCancelled(t, "revoke", r.Revoke(cancelled(t), third, ca.Superseded))
	revoke("one whose revocation was cancelled", third, nil)
}

// testRevokeShown is testRevoke for one that revokes what it is shown, and nothing by a
// serial number alone.
func testRevokeShown(t *testing.T, c candidate, a ca.Authority, r ca.CertificateRevoker) {
	t.Helper()
	obtain := func() *x509.Certificate { return c.obtain(t, a, c.order(t, c.Profiles[0])).Leaf() }
	first, second := obtain(), obtain()
	revoke := func(what string, leaf *x509.Certificate, want error) {
		t.Helper()
		if err := r.RevokeCertificate(t.Context(), leaf, ca.Superseded); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
	revoke("the first time", first, nil)
	revoke("the second time", first, ca.ErrRevoked)
	revoke("one that it never signed", stranger(t, c), ca.ErrUnknownSerial)
	wantCancelled(t, "revoke", r.RevokeCertificate(cancelled(t), second, ca.Superseded))
	revoke("one whose revocation was cancelled", second, nil)
	obtain() // it goes on
}

// stranger is a certificate of nobody's but its own.
func stranger(t *testing.T, c candidate) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"stranger.example.com"}, NotBefore: c.Now(), NotAfter: c.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func testAuthorityCancelled(t *testing.T, c candidate) {
	a := c.open(t)
	req := c.request(t, newCSR(t, c.key, c.identity))
	_, err := a.Issue(cancelled(t), req)
	wantCancelled(t, "issue", err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := a.Issue(ctx, req); err != nil {
		t.Errorf("after a context that had ended: %v", err)
	}
}
