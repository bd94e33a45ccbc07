package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// draftFor makes a good template of a leaf, its issuer, and the key that it is for.
func draftFor(t *testing.T) (issuer *Issuer, template *x509.Certificate, pub crypto.PublicKey) {
	t.Helper()
	issuer = newIssuer(t)
	k := must(NewKey(ECP256))
	template, err := issuer.draft(t.Context(), must(ParseCSR(request(t, k).CSR)), request(t, k))
	if err != nil {
		t.Fatal(err)
	}
	return issuer, template, k.Public()
}

// proofOf is the proof of an issuer whose signer counts.
func proofOf(t testing.TB, issuer *Issuer) *proof {
	t.Helper()
	p := newProof(issuer.Signer.(*counter).Signer, issuer.Certificate)
	if p == nil {
		t.Fatal("there is no proof")
	}
	return p
}

func value(der ...byte) []byte { return der }

// TestNothingWrongReachesTheKey breaks templates in every way that crypto/x509
// lets through, and looks at whether the key was asked.
func TestNothingWrongReachesTheKey(t *testing.T) {
	leaf := func(change func(c *x509.Certificate)) func(*x509.Certificate) { return change }
	extra := func(critical bool, oid asn1.ObjectIdentifier, value []byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
		}
	}
	for want, changes := range map[string][]func(*x509.Certificate){
		"subject (": {leaf(func(c *x509.Certificate) { c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "other"} })},
		"validity (": {
			leaf(func(c *x509.Certificate) { c.NotAfter = c.NotBefore }),
			leaf(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(-time.Hour) }),
		},
		"basic constraints (": {
			leaf(func(c *x509.Certificate) { c.BasicConstraintsValid = false }),
			extra(false, oidBasicConstraints, value(0x30, 0)),
			extra(true, oidBasicConstraints, value(0x30, 3, 1, 1, 0xff)),
		},
		"key usage (": {
			leaf(func(c *x509.Certificate) { c.KeyUsage = 0 }),
			extra(false, oidKeyUsage, value(3, 2, 7, 0x80)),
			extra(true, oidKeyUsage, value(3, 2, 1, 0x86)),
		},
		"key usage of a CA (": {leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign })},
		"extended key usage (": {
			leaf(func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} }),
			extra(false, asn1.ObjectIdentifier{2, 5, 29, 37}, must(asn1.Marshal([]asn1.ObjectIdentifier{{2, 5, 29, 37, 0}}))),
		},
		"subject key identifier (":   {leaf(func(c *x509.Certificate) { c.SubjectKeyId = nil })},
		"authority key identifier (": {extra(false, asn1.ObjectIdentifier{2, 5, 29, 35}, value(0x30, 4, 0x80, 2, 1, 2))},
		"subject alternative names (": {
			extra(false, oidSubjectAltName, must(asn1.Marshal([]asn1.RawValue{{Class: 2, Tag: 2, Bytes: []byte("evil")}}))),
		},
		"name constraints (": {extra(true, asn1.ObjectIdentifier{2, 5, 29, 30}, value(0x30, 8, 0xa0, 6, 0x30, 4, 0x82, 2, 'a', 'b'))},
		"critical extensions (": {
			extra(true, asn1.ObjectIdentifier{1, 2, 3}, value(5, 0)),
		},
		"shape of an X509-SVID (": {
			leaf(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster.local"}} }),
			leaf(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "Cluster.Local", Path: "/x"}} }),
			leaf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
			leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }),
		},
		"": { // crypto/x509 itself refuses these
			leaf(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(-1) }),
			leaf(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0) }),
			leaf(func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 159) }),
			leaf(func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 200) }),
			leaf(func(c *x509.Certificate) { c.DNSNames = []string{"ä"} }),
			leaf(func(c *x509.Certificate) { c.NotAfter = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }),
			leaf(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "a..b"}} }),
			leaf(func(c *x509.Certificate) { c.IPAddresses = []net.IP{{1, 2, 3}} }),
		},
	} {
		for n, change := range changes {
			issuer, template, pub := draftFor(t)
			change(template)
			cert, err := sign(template, issuer.Certificate, pub, issuer.Signer)
			if err == nil || cert != nil || signed(issuer) > 0 {
				t.Errorf("%s… %d: %v, signed %d times", want, n, err, signed(issuer))
				continue
			}
			if plain(template, issuer.Certificate) {
				cert, here := signHere(template, pub, issuer.Signer, proofOf(t, issuer))
				if cert != nil || signed(issuer) > 0 || here == nil || want != "" && here.Error() != err.Error() {
					t.Errorf("%s… %d: %v where the key is, signed %d times", want, n, here, signed(issuer))
				}
			}
			if text := err.Error(); want != "" && !strings.HasPrefix(text, "sign certificate: the certificate would not be as ordered: "+want) {
				t.Errorf("%s… %d: %v", want, n, err)
			}
		}
	}
}

// TestNoSubjectNoNames: the names must be critical where there is no subject, and
// there must be some.
func TestNoSubjectNoNames(t *testing.T) {
	issuer, template, pub := draftFor(t)
	template.RawSubject = []byte{0x30, 0}
	for what, c := range map[string]struct {
		change func(*x509.Certificate)
		good   bool
	}{
		"critical": {func(*x509.Certificate) {}, true},
		"not critical": {func(c *x509.Certificate) {
			names := must(sign(template, issuer.Certificate, pub, issuer.Signer))
			c.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName, Value: extension(names, oidSubjectAltName)}}
		}, false},
		"none": {func(c *x509.Certificate) { c.DNSNames, c.URIs = nil, nil }, false},
	} {
		changed := *template
		c.change(&changed)
		before := signed(issuer)
		_, err := sign(&changed, issuer.Certificate, pub, issuer.Signer)
		if (err == nil) != c.good || (signed(issuer) > before) != c.good {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestAnotherKeyThanOrdered: the key in the bytes must be the one of the order,
// whatever the template was made from.
func TestAnotherKeyThanOrdered(t *testing.T) {
	issuer, template, pub := draftFor(t)
	other := must(NewKey(ECP256)).Public()
	seen := 0
	signer := &examiner{Signer: issuer.Signer, examine: func(c *x509.Certificate) error {
		seen++
		return lint(c, template, issuer.Certificate, pub)
	}}
	_, err := x509.CreateCertificate(rand.Reader, template, issuer.Certificate, other, signer)
	if err == nil || !strings.Contains(err.Error(), "public key (") || seen != 1 || signed(issuer) > 0 {
		t.Errorf("another key: %v", err)
	}
	if _, err := signer.SignMessage(rand.Reader, []byte("hello"), crypto.SHA256); err == nil || signed(issuer) > 0 {
		t.Errorf("what is no certificate is signed: %v", err)
	}
}

// TestLint changes what was to be signed, field by field, and expects lint to
// name the clause.
func TestLint(t *testing.T) {
	issuer, template, pub := draftFor(t)
	good := must(sign(template, issuer.Certificate, pub, issuer.Signer))
	if err := lint(good, template, issuer.Certificate, pub); err != nil {
		t.Fatal(err)
	}
	uncritical := func(oid asn1.ObjectIdentifier) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Extensions = slices.Clone(c.Extensions)
			for i := range c.Extensions {
				if c.Extensions[i].Id.Equal(oid) {
					c.Extensions[i].Critical = false
				}
			}
		}
	}
	for want, changes := range map[string][]func(*x509.Certificate){
		"RFC 5280, Section 4.1.2.1": {func(c *x509.Certificate) { c.Version = 1 }},
		"RFC 5280, Section 4.1.2.2": {func(c *x509.Certificate) { c.SerialNumber = big.NewInt(1) }, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0) },
			func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Neg(c.SerialNumber) }},
		"RFC 5280, Section 4.1.2.6": {func(c *x509.Certificate) { c.RawSubject = c.RawIssuer }},
		"RFC 5280, Section 4.1.2.4": {func(c *x509.Certificate) { c.RawIssuer = c.RawSubject }},
		"RFC 5280, Section 4.1.2.5": {func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(time.Second) },
			func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Second) }},
		"RFC 5280, Section 4.1.2.7": {func(c *x509.Certificate) { c.PublicKey = issuer.Certificate.PublicKey }, func(c *x509.Certificate) { c.PublicKey = nil }},
		"RFC 5280, Section 4.2.1.9": {func(c *x509.Certificate) { c.IsCA = true }, func(c *x509.Certificate) { c.BasicConstraintsValid = false }, uncritical(oidBasicConstraints)},
		"RFC 5280, Section 4.2.1.3": {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDataEncipherment }, func(c *x509.Certificate) { c.KeyUsage = 0 }, uncritical(oidKeyUsage)},
		"RFC 5280, Section 4.2.1.12": {func(c *x509.Certificate) { c.ExtKeyUsage = nil }, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} },
			func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} }},
		"RFC 5280, Section 4.2.1.2": {func(c *x509.Certificate) { c.SubjectKeyId = nil }, func(c *x509.Certificate) { c.SubjectKeyId = []byte{1} }},
		"RFC 5280, Section 4.2.1.1": {func(c *x509.Certificate) { c.AuthorityKeyId = nil }, func(c *x509.Certificate) { c.AuthorityKeyId = []byte{1} }},
		"RFC 5280, Section 4.2.1.6": {func(c *x509.Certificate) { c.DNSNames = []string{"evil"} }, func(c *x509.Certificate) { c.URIs = nil },
			func(c *x509.Certificate) { c.IPAddresses = []net.IP{{6, 6, 6, 6}} }, func(c *x509.Certificate) { c.EmailAddresses = []string{"evil@a"} }},
		"RFC 5280, Section 4.2.1.10": {func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"a"} }, func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"a"} },
			func(c *x509.Certificate) { c.PermittedURIDomains = []string{"a"} }, func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"a"} },
			func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"a"} }, func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{"a"} },
			func(c *x509.Certificate) { c.PermittedIPRanges = ipNets("10.0.0.0/8") }, func(c *x509.Certificate) { c.ExcludedIPRanges = ipNets("10.0.0.0/8") },
			func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = true }},
		"RFC 5280, Section 4.2": {func(c *x509.Certificate) { c.UnhandledCriticalExtensions = []asn1.ObjectIdentifier{{1, 2, 3}} }},
	} {
		for n, change := range changes {
			c := *good
			change(&c)
			if err := lint(&c, template, issuer.Certificate, pub); err == nil || !strings.HasSuffix(err.Error(), "("+want+")") {
				t.Errorf("%s, %d: %v", want, n, err)
			} else {
				readsWell(t, err)
			}
		}
	}
}

// TestLintOfCAs is what only CA certificates have.
func TestLintOfCAs(t *testing.T) {
	for _, length := range []int{-1, 0, 1} {
		spec := rootSpec()
		spec.MaxPathLen = length
		k := must(NewKey(ECP256))
		template := must(spec.caTemplate(must(x509.MarshalPKIXPublicKey(k.Public()))))
		template.AuthorityKeyId = template.SubjectKeyId
		good := must(sign(template, template, k.Public(), k))
		for name, change := range map[string]func(*x509.Certificate){
			"longer path":    func(c *x509.Certificate) { c.MaxPathLen++; c.MaxPathLenZero = c.MaxPathLen == 0 },
			"a leaf":         func(c *x509.Certificate) { c.IsCA = false },
			"no keyCertSign": func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign },
			"more usages":    func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature },
			"a path in its ID": func(c *x509.Certificate) {
				c.URIs = []*url.URL{{Scheme: "spiffe", Host: "a", Path: "/b"}}
			},
		} {
			c := *good
			change(&c)
			if err := lint(&c, template, template, k.Public()); err == nil {
				t.Errorf("path length %d: %s passes", length, name)
			}
		}
	}
	c := &x509.Certificate{IsCA: true, URIs: []*url.URL{{Scheme: "spiffe", Host: "a", Path: "/b"}}}
	if svidShape(c) {
		t.Error("a CA's ID with a path")
	}
	if c.URIs[0].Path = ""; !svidShape(c) {
		t.Error("a CA's ID without a path is right")
	}
}

// broken is a signer that gives something else than its signature.
type broken struct {
	crypto.Signer
	answer func([]byte) ([]byte, error)
}

func (b *broken) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := b.Signer.Sign(r, digest, opts)
	if err != nil {
		return nil, err
	}
	return b.answer(sig)
}

// TestWrongSignatures: what a key gives back is verified before it is recorded.
func TestWrongSignatures(t *testing.T) {
	lost := errors.New("the token was pulled out")
	for _, kt := range []KeyType{ECP256, Ed25519, RSA2048} {
		root := newRootOf(t, rootSpec(), key(t, kt))
		req := workload(t)
		for name, answer := range map[string]func([]byte) ([]byte, error){
			"flipped bit": func(sig []byte) ([]byte, error) { sig[len(sig)-1] ^= 1; return sig, nil },
			"cut":         func(sig []byte) ([]byte, error) { return sig[:len(sig)-1], nil },
			"nothing":     func([]byte) ([]byte, error) { return nil, nil },
			"text":        func([]byte) ([]byte, error) { return []byte("signature"), nil },
			"an error":    func([]byte) ([]byte, error) { return nil, lost },
		} {
			ledger := &memory{}
			issuer := &Issuer{Certificate: root.Certificate, Signer: &broken{key(t, kt), answer}, Ledger: ledger, Now: clock}
			chain, err := issuer.Issue(t.Context(), req)
			if chain != nil || err == nil || len(ledger.entries) > 0 || (name == "an error") != errors.Is(err, lost) {
				t.Errorf("%s, %s: %v beside %v, %d records", string(kt), name, chain, err, len(ledger.entries))
			}
			other := must(NewKey(Ed25519)).Public()
			if chain, err := issuer.IssueCA(t.Context(), issuingSpec(), other); chain != nil || err == nil || len(ledger.entries) > 0 {
				t.Errorf("%s, %s, an intermediate: %v", string(kt), name, err)
			}
			if cert, err := NewRoot(t.Context(), rootSpec(), issuer.Signer, ledger, now); cert != nil || err == nil || len(ledger.entries) > 0 {
				t.Errorf("%s, %s, a root: %v", string(kt), name, err)
			}
		}
		issuer := &Issuer{Certificate: root.Certificate, Signer: &broken{must(NewKey(ECP256)), func(sig []byte) ([]byte, error) { return sig, nil }}, Ledger: &memory{}, Now: clock}
		if chain, err := issuer.Issue(t.Context(), req); chain != nil || err == nil {
			t.Errorf("%s: somebody else's key signs", string(kt))
		}
	}
}

// messages is a signer that takes whole messages, as some hardware does.
type messages struct{ *counter }

func (m messages) SignMessage(r io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	return crypto.SignMessage(m.counter, r, msg, opts)
}

func TestMessageSigner(t *testing.T) {
	root := newRootOf(t, rootSpec(), key(t, ECP256))
	root.Signer = messages{&counter{Signer: key(t, ECP256)}}
	chain, err := root.Issue(t.Context(), workload(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(chain, root.Certificate); err != nil {
		t.Error(err)
	}
}

// TestPreview: it shows what would be certified, and asks neither key nor ledger.
func TestPreview(t *testing.T) {
	issuer := newIssuer(t)
	recorded := len(issuer.Ledger.(*memory).entries)
	for _, kt := range KeyTypes() {
		req := request(t, key(t, kt))
		shown, err := issuer.Preview(t.Context(), req)
		if err != nil || signed(issuer) > 0 || len(issuer.Ledger.(*memory).entries) != recorded {
			t.Fatalf("%s: %v, signed %d times", string(kt), err, signed(issuer))
		}
		if err := shown.CheckSignatureFrom(issuer.Certificate); err == nil {
			t.Error("what was only shown is signed")
		}
	}
	req := workload(t)
	shown := must(issuer.Preview(t.Context(), req))
	given := must(issuer.Issue(t.Context(), req)).Leaf()
	template := *given
	template.SerialNumber = shown.SerialNumber
	if err := lint(shown, &template, issuer.Certificate, given.PublicKey); err != nil {
		t.Errorf("what was shown is not what was given: %v", err)
	}
	for name, change := range map[string]func(*Request){
		"no request":   func(r *Request) { r.CSR = nil },
		"weak key":     func(r *Request) { r.CSR = csrPEM(csrRSA1024) },
		"no profile":   func(r *Request) { r.Profile = Profile{} },
		"no time":      func(r *Request) { r.Validity = Validity{} },
		"beyond limit": func(r *Request) { r.Validity = Validity{NotAfter: now.AddDate(50, 0, 0)} },
	} {
		req := workload(t)
		change(&req)
		shown, previewed := issuer.Preview(t.Context(), req)
		_, issued := issuer.Issue(t.Context(), req)
		if previewed == nil || shown != nil || issued == nil || previewed.Error() != issued.Error() {
			t.Errorf("%s: shown %v, issued %v", name, previewed, issued)
		}
	}
}
