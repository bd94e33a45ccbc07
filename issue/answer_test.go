package issue_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

func newAuthority(t testing.TB, o memory.AuthorityOptions) *ca.Issuer {
	t.Helper()
	o.Now = clock
	a, err := memory.NewAuthority(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// order is for a workload with a name of every type, for a day.
func order(t testing.TB) issue.Order {
	t.Helper()
	id, _, err := wish(t, func(w *issue.Wish) {
		w.DNS, w.IP, w.Email = []string{"payment.example.com"}, []string{"10.0.0.5", "fd00::5"}, []string{"ops@example.com"}
	}).Identity(nil)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := ca.ProfileByName("")
	if err != nil {
		t.Fatal(err)
	}
	return issue.Order{Service: "payment", Namespace: "prod", Identity: id, Profile: profile, KeyType: ca.ECP256,
		Validity: ca.Validity{NotAfter: start.Add(24 * time.Hour)}}
}

// liar is an authority that signs something else than it is asked for: what an
// honest one would sign, changed.
type liar struct {
	*ca.Issuer
	spoil func(l *lie)
	roots []*x509.Certificate
}

// lie is an answer in the making.
type lie struct {
	*x509.Certificate // the template
	key               crypto.PublicKey
	signer            crypto.Signer
	chain             func(leaf *x509.Certificate) ca.Chain
	roots             []*x509.Certificate
}

func (l *liar) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	honest, err := l.Issuer.Issue(ctx, req)
	if err != nil {
		return nil, err
	}
	h := honest.Leaf()
	answer := &lie{
		Certificate: &x509.Certificate{SerialNumber: h.SerialNumber, RawSubject: h.RawSubject, NotBefore: h.NotBefore, NotAfter: h.NotAfter,
			KeyUsage: h.KeyUsage, ExtKeyUsage: h.ExtKeyUsage, BasicConstraintsValid: true, SubjectKeyId: h.SubjectKeyId,
			DNSNames: h.DNSNames, IPAddresses: h.IPAddresses, EmailAddresses: h.EmailAddresses, URIs: h.URIs},
		key: h.PublicKey, signer: l.Signer,
		chain: func(leaf *x509.Certificate) ca.Chain { return append(ca.Chain{leaf}, honest[1:]...) },
		roots: l.Above,
	}
	l.spoil(answer)
	l.roots = answer.roots
	// The parent without its key: a signature by another one is not noticed here.
	parent := *l.Certificate
	parent.PublicKey = nil
	der, err := x509.CreateCertificate(rand.Reader, answer.Certificate, &parent, answer.key, answer.signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return answer.chain(leaf), nil
}

func (l *liar) Roots(context.Context) ([]*x509.Certificate, error) { return l.roots, nil }

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := issue.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// otherNames is a SAN extension with the given names and one more that crypto/x509
// does not show: a registered ID.
func otherNames(t testing.TB, c *x509.Certificate) pkix.Extension {
	t.Helper()
	var names []asn1.RawValue
	for _, u := range c.URIs {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u.String())})
	}
	for _, n := range c.DNSNames {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte(n)})
	}
	for _, n := range c.EmailAddresses {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, Bytes: []byte(n)})
	}
	for _, ip := range c.IPAddresses {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 7, Bytes: ip})
	}
	names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 8, Bytes: []byte{0x2a, 0x03}})
	value, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}
}

// lies are what an authority may answer, and what the mismatch must name; those
// that name nothing are within what is accepted.
func lies(t testing.TB) map[string]struct {
	spoil func(l *lie)
	names string
} {
	other := newAuthority(t, memory.AuthorityOptions{})
	type entry = struct {
		spoil func(l *lie)
		names string
	}
	return map[string]entry{
		"the truth":         {func(*lie) {}, ""},
		"names in disorder": {func(l *lie) { slices.Reverse(l.DNSNames) }, ""},
		"another key":       {func(l *lie) { l.key = newKey(t).Public() }, "another key"},
		"no URI":            {func(l *lie) { l.URIs = nil }, "URIs"},
		"another URI": {func(l *lie) {
			l.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/dev/sa/payment"}}
		}, "URIs"},
		"one URI more":       {func(l *lie) { l.URIs = append(l.URIs, &url.URL{Scheme: "urn", Opaque: "x"}) }, "URIs"},
		"a DNS name dropped": {func(l *lie) { l.DNSNames = l.DNSNames[1:] }, "DNS names"},
		"a DNS name added":   {func(l *lie) { l.DNSNames = append(l.DNSNames, "admin.example.com") }, "admin.example.com"},
		"a DNS name twice":   {func(l *lie) { l.DNSNames = append(l.DNSNames, l.DNSNames[0]) }, "DNS names"},
		"an address dropped": {func(l *lie) { l.IPAddresses = l.IPAddresses[1:] }, "IP addresses"},
		"another address":    {func(l *lie) { l.IPAddresses = []net.IP{{10, 0, 0, 6}, l.IPAddresses[1]} }, "10.0.0.6"},
		"an email dropped":   {func(l *lie) { l.EmailAddresses = nil }, "email addresses"},
		"an email added":     {func(l *lie) { l.EmailAddresses = append(l.EmailAddresses, "root@example.com") }, "root@example.com"},
		"a name of another type": {func(l *lie) { l.ExtraExtensions = []pkix.Extension{otherNames(t, l.Certificate)} },
			"names of types"},
		"another subject": {func(l *lie) { l.RawSubject = nil; l.Subject = pkix.Name{CommonName: "admin"} }, "subject"},
		"no subject":      {func(l *lie) { l.RawSubject = nil }, "subject"},
		"more in the subject": {func(l *lie) {
			l.RawSubject = nil
			l.Subject = pkix.Name{CommonName: "payment", Organization: []string{"system:masters"}}
		}, "system:masters"},
		"no signing with the key": {func(l *lie) { l.KeyUsage = x509.KeyUsageKeyAgreement }, "key usage lacks"},
		"a usage more":            {func(l *lie) { l.KeyUsage |= x509.KeyUsageKeyEncipherment }, ""},
		"signing certificates":    {func(l *lie) { l.KeyUsage |= x509.KeyUsageCertSign }, "sign certificates"},
		"signing CRLs":            {func(l *lie) { l.KeyUsage |= x509.KeyUsageCRLSign }, "CRLs"},
		"client only":             {func(l *lie) { l.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "extended key usage"},
		"code signing too":        {func(l *lie) { l.ExtKeyUsage = append(l.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) }, "extended key usage"},
		"any use":                 {func(l *lie) { l.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, "extended key usage"},
		"no uses":                 {func(l *lie) { l.ExtKeyUsage = nil }, "extended key usage"},
		"an unknown use": {func(l *lie) { l.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} },
			"extended key usage"},
		"a longer life":        {func(l *lie) { l.NotAfter = l.NotAfter.Add(time.Hour) }, "its end"},
		"a shorter life":       {func(l *lie) { l.NotAfter = l.NotAfter.Add(-time.Hour) }, "its end"},
		"a minute more":        {func(l *lie) { l.NotAfter = l.NotAfter.Add(time.Minute) }, ""},
		"a beginning to come":  {func(l *lie) { l.NotBefore = start.Add(time.Hour) }, "its beginning"},
		"a clock a little off": {func(l *lie) { l.NotBefore = start.Add(time.Minute) }, ""},
		"a CA":                 {func(l *lie) { l.IsCA = true }, "a CA certificate"},
		"no basic constraints": {func(l *lie) { l.BasicConstraintsValid = false }, "no basic constraints"},
		"nothing":              {func(l *lie) { l.chain = func(*x509.Certificate) ca.Chain { return nil } }, "no certificate"},
		"an empty chain":       {func(l *lie) { l.chain = func(*x509.Certificate) ca.Chain { return ca.Chain{} } }, "no certificate"},
		"a gap":                {func(l *lie) { l.chain = func(leaf *x509.Certificate) ca.Chain { return ca.Chain{leaf, nil} } }, "a gap"},
		"the leaf alone":       {func(l *lie) { l.chain = func(leaf *x509.Certificate) ca.Chain { return ca.Chain{leaf} } }, "roots"},
		"another intermediate": {func(l *lie) {
			l.chain = func(leaf *x509.Certificate) ca.Chain { return ca.Chain{leaf, other.Certificate} }
		}, "out of order"},
		"one certificate too many": {func(l *lie) {
			honest := l.chain
			l.chain = func(leaf *x509.Certificate) ca.Chain { return append(honest(leaf), other.Certificate) }
		}, "out of order"},
		"the leaf last": {func(l *lie) {
			honest := l.chain
			l.chain = func(leaf *x509.Certificate) ca.Chain { c := honest(leaf); slices.Reverse(c); return c }
		}, "another key"},
		"another's signature": {func(l *lie) { l.signer = other.Signer }, "roots"},
		"another root":        {func(l *lie) { l.roots = other.Above }, "roots"},
		"two roots":           {func(l *lie) { l.roots = append(slices.Clone(l.roots), other.Above...) }, ""},
		"no root":             {func(l *lie) { l.roots = nil }, "no roots"},
		"a root that is none": {func(l *lie) { l.roots = []*x509.Certificate{nil} }, "no roots"},
	}
}

func TestLies(t *testing.T) {
	authority := newAuthority(t, memory.AuthorityOptions{})
	o := order(t)
	for name, test := range lies(t) {
		t.Run(name, func(t *testing.T) {
			c, err := issue.Obtain(t.Context(), &liar{Issuer: authority, spoil: test.spoil}, o, start)
			if test.names == "" {
				if err != nil || len(c.Chain) != 2 || c.Key == nil {
					t.Errorf("credential %v, error %v", c, err)
				}
				return
			}
			m, ok := errors.AsType[*issue.Mismatch](err)
			if !ok || c != nil {
				t.Fatalf("credential %v, error %v; want a *issue.Mismatch", c, err)
			}
			if !strings.Contains(m.Error(), test.names) {
				t.Errorf("error %q does not name %s", m, test.names)
			}
		})
	}
}

// An order for as long as can be takes a shorter life, never a longer one, nor one
// that is over.
func TestLiesAboutALongLife(t *testing.T) {
	authority := newAuthority(t, memory.AuthorityOptions{})
	o := order(t)
	o.Validity.UpTo = true
	for name, test := range map[string]struct {
		end   time.Time
		names string
	}{
		"as asked": {o.Validity.NotAfter, ""},
		"shorter":  {start.Add(time.Minute), ""},
		"longer":   {o.Validity.NotAfter.Add(time.Hour), "its end"},
		"over":     {start.Add(-time.Minute), "roots"},
	} {
		_, err := issue.Obtain(t.Context(), &liar{Issuer: authority, spoil: func(l *lie) { l.NotAfter = test.end }}, o, start)
		_, mismatch := errors.AsType[*issue.Mismatch](err)
		if mismatch != (test.names != "") || mismatch && !strings.Contains(err.Error(), test.names) || !mismatch && err != nil {
			t.Errorf("%s: error %v, want one with %q", name, err, test.names)
		}
	}
	// Beyond the intermediate's own end, which the order allows and the chain does not.
	short := newAuthority(t, memory.AuthorityOptions{Validity: time.Hour})
	_, err := issue.Obtain(t.Context(), &liar{Issuer: short, spoil: func(l *lie) { l.NotAfter = start.Add(2 * time.Hour) }}, o, start)
	if m, ok := errors.AsType[*issue.Mismatch](err); !ok || !strings.Contains(m.What, "issuer") {
		t.Errorf("beyond its issuer's end: error %v", err)
	}
}

func TestMismatchWords(t *testing.T) {
	m := &issue.Mismatch{Difference: issue.Difference{Part: issue.PartURI, What: "URIs", Asked: "spiffe://a/b", Citation: "RFC 5280, Section 4.2.1.6"}}
	const want = "the certificate that came back is not what was ordered: URIs: asked for spiffe://a/b, given none (RFC 5280, Section 4.2.1.6)"
	if m.Error() != want {
		t.Errorf("said %q, want %q", m, want)
	}
}

// failing is an authority with an error for everything.
type failing struct {
	*ca.Issuer
	issue, roots error
}

func (f failing) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	if f.issue != nil {
		return nil, f.issue
	}
	return f.Issuer.Issue(ctx, req)
}

func (f failing) Roots(ctx context.Context) ([]*x509.Certificate, error) {
	if f.roots != nil {
		return nil, f.roots
	}
	return f.Issuer.Roots(ctx)
}

func TestObtainFails(t *testing.T) {
	honest := newAuthority(t, memory.AuthorityOptions{})
	broken := errors.New("the line is dead")
	for name, authority := range map[string]ca.Authority{"issue": failing{honest, broken, nil}, "roots": failing{honest, nil, broken}} {
		if _, err := issue.Obtain(t.Context(), authority, order(t), start); !errors.Is(err, broken) {
			t.Errorf("%s: error %v, want the authority's", name, err)
		}
	}
	o := order(t)
	o.KeyType = "dsa-512"
	if _, err := issue.Obtain(t.Context(), honest, o, start); err == nil || !strings.Contains(err.Error(), "dsa-512") {
		t.Errorf("error %v, want one that names the key type", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := issue.Obtain(ctx, honest, order(t), start); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// asked is an authority that keeps what it was asked.
type asked struct {
	*ca.Issuer
	request ca.Request
}

func (a *asked) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	a.request = req
	return a.Issuer.Issue(ctx, req)
}

func TestObtainAsksForAllOfTheOrder(t *testing.T) {
	a := &asked{Issuer: newAuthority(t, memory.AuthorityOptions{})}
	o := order(t)
	o.Key = newKey(t)
	o.Token, o.Resume = [32]byte{7}, []byte("ticket")
	pending := 0
	o.Pending = func([]byte) error { pending++; return nil }
	c, err := issue.Obtain(t.Context(), a, o, start)
	if err != nil {
		t.Fatal(err)
	}
	if c.Key != o.Key {
		t.Error("another key was used than that of the order")
	}
	r := a.request
	if r.Token != o.Token || string(r.Resume) != "ticket" || r.Service != "payment" || r.Namespace != "prod" || r.Validity != o.Validity ||
		r.Profile.Name() != "workload" || r.Pending == nil || r.Pending(nil) != nil || pending != 1 {
		t.Errorf("asked for %+v", r)
	}
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Error(err)
	}
	if csr.Subject.CommonName != "payment" || !slices.Equal(csr.DNSNames, o.Identity.DNS()) || len(csr.URIs) != 1 || len(csr.IPAddresses) != 2 ||
		!slices.Equal(csr.EmailAddresses, o.Identity.Emails()) || len(csr.Extensions) != 1 {
		t.Errorf("the CSR says %+v", csr)
	}
}

func TestObtainForAnothersKey(t *testing.T) {
	authority := newAuthority(t, memory.AuthorityOptions{})
	key := newKey(t)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "whatever"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	o := order(t)
	o.CSR = csr
	c, err := issue.Obtain(t.Context(), authority, o, start)
	if err != nil {
		t.Fatal(err)
	}
	if c.Key != nil || !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(c.Leaf().PublicKey) || c.Leaf().Subject.CommonName != "payment" {
		t.Errorf("key %v, subject %s", c.Key, c.Leaf().Subject)
	}
	o.Key = newKey(t)
	if _, err := issue.Obtain(t.Context(), authority, o, start); err == nil {
		t.Error("a key that the CSR is not of was taken")
	}
	o.Key, o.CSR = nil, bytes.Repeat([]byte{0x30}, 50)
	if _, err := issue.Obtain(t.Context(), authority, o, start); err == nil {
		t.Error("a CSR that is none was taken")
	}
	if err := issue.CheckAnswer(c, o.CSR, o, start); err == nil {
		t.Error("an answer was held against a CSR that is none")
	}
}

func TestTokenOf(t *testing.T) {
	seen := map[[32]byte]bool{}
	for _, csr := range []string{"", "a", "b", "ab"} {
		for _, end := range []time.Time{start, start.Add(time.Second), start.Add(24 * time.Hour)} {
			seen[issue.TokenOf([]byte(csr), end)] = true
			if issue.TokenOf([]byte(csr), end) != issue.TokenOf([]byte(csr), end.In(time.FixedZone("", 3600))) {
				t.Error("one time gives two tokens")
			}
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d tokens of 12 orders", len(seen))
	}
	csr := make([]byte, 3, 100)
	issue.TokenOf(csr, start)
	if csr = csr[:10]; csr[3] != 0 {
		t.Error("the CSR's memory was written to")
	}
}

func TestNewKey(t *testing.T) {
	for _, kt := range []ca.KeyType{ca.ECP256, ca.ECP384, ca.Ed25519, ca.RSA2048} {
		key, err := issue.NewKey(kt)
		if err != nil || ca.KeyTypeOf(key.Public()) != kt {
			t.Errorf("%s: made %v, %v", kt, key, err)
		}
	}
}
