package ca

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// usages is what each profile must say: key usage with EC and Ed25519 keys, with
// RSA keys, and the extended key usage.
var usages = map[string]struct {
	ec, rsa  x509.KeyUsage
	extended []x509.ExtKeyUsage
}{
	"workload": {x509.KeyUsageDigitalSignature, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
	"server":   {x509.KeyUsageDigitalSignature, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
	"client":   {x509.KeyUsageDigitalSignature, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	"peer": {x509.KeyUsageDigitalSignature, x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
}

// checkLeaf holds a leaf against what every one of them must be.
func checkLeaf(t *testing.T, issuer *Issuer, chain Chain, req Request, pub crypto.PublicKey) {
	t.Helper()
	c := chain.Leaf()
	want := map[string]bool{extBasic: true, extKeyUsage: true, extEKU: false, extSKI: false, extAKI: false, extSAN: len(req.Identity.Subject()) == 0}
	if len(req.Identity.DNS())+len(req.Identity.URIs())+len(req.Identity.IPs())+len(req.Identity.Emails()) == 0 {
		delete(want, extSAN)
	}
	if got := extensions(t, c); !maps.Equal(got, want) {
		t.Errorf("extensions %v; want %v", got, want)
	}
	if got := extension(c, oidBasicConstraints); !bytes.Equal(got, []byte{0x30, 0}) {
		t.Errorf("basic constraints %x; want cA false and nothing else", got)
	}
	usage := usages[req.Profile.Name()]
	keyUsage := usage.ec
	if _, ok := pub.(*rsa.PublicKey); ok {
		keyUsage = usage.rsa
	}
	if c.KeyUsage != keyUsage || !slices.Equal(c.ExtKeyUsage, usage.extended) || len(c.UnknownExtKeyUsage) > 0 {
		t.Errorf("key usage %b, extended %v; want %b, %v", c.KeyUsage, c.ExtKeyUsage, keyUsage, usage.extended)
	}
	if want := identifierOf(t, pub); !bytes.Equal(c.SubjectKeyId, want) || !bytes.Equal(c.AuthorityKeyId, issuer.Certificate.SubjectKeyId) {
		t.Errorf("key identifiers %x and %x; want %x and %x", c.SubjectKeyId, c.AuthorityKeyId, want, issuer.Certificate.SubjectKeyId)
	}
	if !pemfile.SamePublicKey(c.PublicKey, pub) || c.Version != 3 || c.SerialNumber.Sign() <= 0 {
		t.Errorf("another key, or version %d, or serial number %d", c.Version, c.SerialNumber)
	}
	if got, want := must(asn1.Marshal(req.Identity.Subject())), c.RawSubject; !bytes.Equal(got, want) {
		t.Errorf("subject %s; want %s", c.Subject, req.Identity.Subject())
	}
	wantNames := &x509.Certificate{DNSNames: req.Identity.DNS(), IPAddresses: req.Identity.IPs(), EmailAddresses: req.Identity.Emails(), URIs: req.Identity.URIs()}
	if !sameNames(c, wantNames) {
		t.Errorf("names %v %v %v %v; want those asked for", c.DNSNames, c.IPAddresses, c.EmailAddresses, c.URIs)
	}
	root := issuer.chain()[len(issuer.chain())-1]
	if err := verify(chain, root, usage.extended...); err != nil {
		t.Error(err)
	}
}

// checkSVID holds a leaf against the X509-SVID standard's list.
func checkSVID(t *testing.T, c *x509.Certificate, id string) {
	t.Helper()
	switch {
	case len(c.URIs) != 1 || c.URIs[0].String() != id:
		t.Errorf("URIs %v; want %s alone", c.URIs, id)
	case c.IsCA || !c.BasicConstraintsValid:
		t.Error("basic constraints that are not cA false")
	case c.KeyUsage&x509.KeyUsageDigitalSignature == 0, c.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		t.Errorf("key usage %b", c.KeyUsage)
	}
}

// TestLeaves: every profile with every type of key, under CAs of every type of key.
func TestLeaves(t *testing.T) {
	for _, caType := range KeyTypes() {
		root := newRootOf(t, rootSpec(), key(t, caType))
		issuer := belowOf(t, root, issuingSpec(), key(t, caType))
		for _, kt := range KeyTypes() {
			csr := csrOf(t, key(t, kt))
			for _, profile := range ProfileNames() {
				t.Run(fmt.Sprintf("%s/%s/%s", string(caType), string(kt), profile), func(t *testing.T) {
					for _, subject := range []pkix.RDNSequence{nil, CommonNameOnly("payment")} {
						names := payment()
						names.Subject = subject
						req := Request{CSR: csr, Identity: must(NewIdentity(names)), Profile: must(ProfileByName(profile)), Validity: Validity{NotAfter: now.Add(day)}}
						chain, err := issuer.Issue(t.Context(), req)
						if err != nil {
							t.Fatal(err)
						}
						checkLeaf(t, issuer, chain, req, key(t, kt).Public())
						checkSVID(t, chain.Leaf(), names.URI[0])
						if len(chain) != 2 || !chain[1].Equal(issuer.Certificate) {
							t.Errorf("a chain of %d", len(chain))
						}
					}
				})
			}
		}
	}
}

// TestEveryKindOfName goes through the certificate and out again.
func TestEveryKindOfName(t *testing.T) {
	issuer := newIssuer(t)
	for name, n := range map[string]Names{
		"one DNS name": {DNS: []string{"payment.prod"}},
		"wildcard":     {DNS: []string{"*.prod.example"}},
		"addresses":    {IP: []string{"10.0.0.5", "fd00::5", "::ffff:10.0.0.6", "0.0.0.0", "::"}},
		"email":        {Email: []string{"Ops+x@Example.com"}},
		"URIs":         {URI: []string{"spiffe://cluster.local/payment", "kuma://kuma.io/service/payment", "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"}},
		"only subject": {Subject: CommonNameOnly("Zahlung ü")},
		"all":          {Subject: CommonNameOnly("x"), DNS: []string{"a.b", "c"}, IP: []string{"10.0.0.5"}, Email: []string{"a@b.c"}, URI: []string{"https://a.b:8443/c?d=e"}},
	} {
		req := workload(t)
		req.Identity = must(NewIdentity(n))
		csr := must(x509.ParseCertificateRequest(req.CSR))
		chain, err := issuer.Issue(t.Context(), req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkLeaf(t, issuer, chain, req, csr.PublicKey)
	}
	req := workload(t)
	req.Identity = must(NewIdentity(Names{}))
	before := signed(issuer)
	if chain, err := issuer.Issue(t.Context(), req); err == nil || chain != nil || signed(issuer) != before {
		t.Errorf("a certificate for nobody: %v", err)
	}
	req = workload(t)
	req.Profile = Profile{}
	if chain, err := issuer.Issue(t.Context(), req); chain != nil || signed(issuer) != before || err == nil || err.Error() != "the request has no profile" {
		t.Errorf("a certificate without a profile: %v", err)
	}
}

// TestChains: leaf first, then every CA up to the root, which is left out, also
// where a CA below it has the root's own name.
func TestChains(t *testing.T) {
	spec := rootSpec()
	spec.MaxPathLen = -1
	root := newRoot(t, spec)
	open := issuingSpec()
	open.MaxPathLen = -1
	middle := below(t, root, open)
	named := issuingSpec()
	named.CommonName = spec.CommonName
	for name, c := range map[string]struct {
		issuer *Issuer
		want   int
	}{
		"under the root":           {root, 1},
		"under an intermediate":    {middle, 2},
		"under two":                {below(t, middle, issuingSpec()), 3},
		"under the root's twin":    {below(t, root, named), 2},
		"under one's own twin":     {below(t, middle, open), 3},
		"under a twin's own twin ": {below(t, below(t, middle, open), open), 4},
	} {
		chain, err := c.issuer.Issue(t.Context(), workload(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(chain) != c.want {
			t.Errorf("%s: a chain of %d; want %d", name, len(chain), c.want)
		}
		for i := range len(chain) - 1 {
			if err := chain[i].CheckSignatureFrom(chain[i+1]); err != nil {
				t.Errorf("%s: %d is not signed by the next: %v", name, i, err)
			}
		}
		if err := verify(chain, root.Certificate); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		roots, err := c.issuer.Roots(t.Context())
		if err != nil || len(roots) != 1 || !roots[0].Equal(root.Certificate) {
			t.Errorf("%s: %d roots, %v", name, len(roots), err)
		}
	}
	both := newIssuer(t)
	both.Trusted = []*x509.Certificate{root.Certificate, both.Above[0]}
	if roots, err := both.Roots(t.Context()); err != nil || len(roots) != 2 {
		t.Errorf("during a rotation: %d roots, %v", len(roots), err)
	}
}

// TestIssuersOwnName: a leaf of its issuer's name would look self-signed.
func TestIssuersOwnName(t *testing.T) {
	issuer := newIssuer(t)
	req := workload(t)
	req.Identity = must(NewIdentity(Names{Subject: CommonNameOnly("Test issuing CA"), DNS: []string{"a.b"}}))
	_, err := issuer.Issue(t.Context(), req)
	refusal(t, "the issuer's own name", err)
	if signed(issuer) > 0 {
		t.Error("it was signed")
	}
}

// A key without a request is certified as one with it is, and held to the same.
func TestIssueKey(t *testing.T) {
	issuer, key := newIssuer(t), must(NewKey(ECP256))
	req := request(t, key)
	bare := req
	bare.CSR = nil
	chain := must(issuer.IssueKey(t.Context(), key.Public(), bare))
	checkLeaf(t, issuer, chain, req, key.Public())
	if err := chain.Leaf().CheckSignatureFrom(issuer.Certificate); err != nil {
		t.Error(err)
	}
	if n := signed(issuer); n != 1 {
		t.Errorf("%d were signed and recorded", n)
	}
	_, err := issuer.IssueKey(t.Context(), (&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}), bare)
	refusal(t, "RSA", err)
	if err := issuer.Revoke(t.Context(), chain.Leaf().SerialNumber, KeyCompromise); err != nil {
		t.Fatal(err)
	}
	_, err = issuer.IssueKey(t.Context(), key.Public(), bare)
	refusal(t, "revoked as compromised", err)
	for _, signer := range []crypto.Signer{must(NewKey(ECP256)), must(NewKey(ECP384)), must(NewKey(Ed25519))} {
		other := &Issuer{Certificate: issuer.Certificate, Above: issuer.Above, Signer: signer, Ledger: issuer.Ledger, Now: issuer.Now}
		if _, err := other.IssueKey(t.Context(), must(NewKey(ECP256)).Public(), bare); err == nil {
			t.Error("another key than the issuer's has signed")
		}
	}
}

// TestValidate tells every way of not being an issuer.
func TestValidate(t *testing.T) {
	good := newIssuer(t)
	leaf := must(good.Issue(t.Context(), workload(t))).Leaf()
	other := newIssuer(t)
	noSign, noCA, unknown := *good.Certificate, *good.Certificate, *good.Certificate
	noSign.KeyUsage = x509.KeyUsageCRLSign
	noCA.IsCA = false
	unknown.UnhandledCriticalExtensions = []asn1.ObjectIdentifier{{1, 2, 3}}
	for name, c := range map[string]struct {
		change func(*Issuer)
		want   string // part of the error; "" for none
	}{
		"as made":                  {func(*Issuer) {}, ""},
		"a leaf":                   {func(i *Issuer) { i.Certificate = leaf }, "is no CA certificate"},
		"cA false":                 {func(i *Issuer) { i.Certificate = &noCA }, "is no CA certificate"},
		"no keyCertSign":           {func(i *Issuer) { i.Certificate = &noSign }, "may not sign certificates"},
		"another key":              {func(i *Issuer) { i.Signer = other.Signer }, "the key does not belong"},
		"another root":             {func(i *Issuer) { i.Above = other.Above }, "is not signed by"},
		"wrong order":              {func(i *Issuer) { i.Above = []*x509.Certificate{i.Above[0], i.Certificate} }, "is not signed by"},
		"an unknown critical rule": {func(i *Issuer) { i.Certificate = &unknown }, "1.2.3"},
		"the same one above":       {func(i *Issuer) { i.Above = []*x509.Certificate{&unknown, i.Above[0]} }, ""},
	} {
		i := &Issuer{Certificate: good.Certificate, Above: good.Above, Signer: good.Signer}
		c.change(i)
		err := i.Validate()
		if name == "the same one above" {
			if err == nil {
				t.Errorf("%s is an issuer", name)
			}
			continue
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		readsWell(t, err)
	}
}

// TestTogether: sixteen at once from one issuer.
func TestTogether(t *testing.T) {
	issuer := newIssuer(t)
	const workers, each = 16, 8
	var all sync.WaitGroup
	var mu sync.Mutex
	serials := map[string]bool{}
	for w := range workers {
		req := workload(t)
		all.Go(func() {
			for n := range each {
				chain, err := issuer.Issue(t.Context(), req)
				if err != nil {
					t.Error(err)
					return
				}
				if err := verify(chain, issuer.Above[0]); err != nil {
					t.Error(err)
				}
				mu.Lock()
				serials[FormatSerial(chain.Leaf().SerialNumber)] = true
				mu.Unlock()
				if w == 0 {
					_ = issuer.Revoke(t.Context(), chain.Leaf().SerialNumber, Superseded)
				}
				if _, err := issuer.IssueCA(t.Context(), issuingSpec(), issuer.Signer.Public()); err == nil {
					t.Errorf("worker %d, turn %d: an intermediate below path length 0", w, n)
				}
			}
		})
	}
	all.Wait()
	recorded := 0
	for _, e := range issuer.Ledger.(*memory).entries {
		if e.Kind == KindLeaf && serials[e.Serial] {
			recorded++
		}
	}
	if len(serials) != workers*each || recorded != workers*each {
		t.Errorf("%d serial numbers and %d records for %d certificates", len(serials), recorded, workers*each)
	}
}
