package inspect_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// gapCase is a path that holds by the standard and that crypto/x509 refuses; bad are
// leaves below the same CAs that must not pass with it.
type gapCase struct {
	leaf          *x509.Certificate
	root          *x509.Certificate
	intermediates []*x509.Certificate
	at            time.Time
	bad           map[string]*x509.Certificate // by the rule that refuses them
}

func gapCases(t *testing.T) map[string]gapCase {
	root := newRoot(t, "Mesh  Root")
	relaxed := *root.Certificate
	relaxed.RawSubject = newRoot(t, "MESH root").RawSubject
	renamed := &authority{&relaxed, root.key}
	narrow := newRoot(t, "Narrow", func(c *x509.Certificate) { c.MaxPathLenZero, c.MaxPathLen = true, 1 })
	again := narrow.intermediate(t, "Narrow")
	below := again.intermediate(t, "Below")
	tooLong := below.intermediate(t, "Too long")
	bare := newRoot(t, "Bare", func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false })
	hosts := newRoot(t, "Hosts", func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"local"} })
	directories := newRoot(t, "Directories", func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true, Value: directoryTree(t, "CN=nobody")}}
	})
	named := newRoot(t, "Named", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"prod", "svc"} })
	rolled := named.intermediate(t, "Named", func(c *x509.Certificate) { c.DNSNames = []string{"ca.example"} })
	old := newRoot(t, "Old", func(c *x509.Certificate) { c.NotBefore = at.AddDate(-30, 0, 0) })
	long := func(c *x509.Certificate) { c.NotBefore = at.AddDate(-30, 0, 0) }
	sha1 := func(c *x509.Certificate) { long(c); c.SignatureAlgorithm = x509.ECDSAWithSHA1 }
	others := func(c *x509.Certificate) { c.DNSNames = []string{"payment.example"} }
	mailbox := func(c *x509.Certificate) { c.EmailAddresses = []string{"no mailbox"} }
	crowd, members := crowdOf(t, 17)
	points := newRoot(t, "Points")
	return map[string]gapCase{
		"name-normalisation": {renamed.leaf(t), root.Certificate, nil, at, map[string]*x509.Certificate{
			"leaf-expired": renamed.leaf(t, expired), "issuer-missing": newRoot(t, "Mesh-Root").leaf(t)}},
		"self-issued-path-length": {below.leaf(t), narrow.Certificate, certs(again.Certificate, below.Certificate, tooLong.Certificate), at,
			map[string]*x509.Certificate{"path-length": tooLong.leaf(t)}},
		"self-issued-names": {rolled.leaf(t), named.Certificate, certs(rolled.Certificate), at,
			map[string]*x509.Certificate{"name-constraint": rolled.leaf(t, others)}},
		"constraint-types": {directories.leaf(t), directories.Certificate, nil, at, map[string]*x509.Certificate{
			"name-constraint": directories.leaf(t, func(c *x509.Certificate) { c.Subject.CommonName = "nobody" })}},
		"constrained-names-unparsed": {named.leaf(t, mailbox), named.Certificate, nil, at,
			map[string]*x509.Certificate{"name-constraint": named.leaf(t, mailbox, others)}},
		"excluded-hosts": {hosts.leaf(t), hosts.Certificate, nil, at, map[string]*x509.Certificate{
			"name-constraint": hosts.leaf(t, func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://local/a")} })}},
		"anchor-basic-constraints": {bare.leaf(t), bare.Certificate, nil, at, map[string]*x509.Certificate{"leaf-expired": bare.leaf(t, expired)}},
		"old-signatures": {old.leaf(t, sha1), old.Certificate, nil, time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC),
			map[string]*x509.Certificate{"leaf-not-yet-valid": old.leaf(t, sha1, func(c *x509.Certificate) { c.NotBefore = at })}},
		"signature-limit": {crowd.leaf(t), members[0], members[1:], at, map[string]*x509.Certificate{"leaf-expired": crowd.leaf(t, expired)}},
		"distribution-points": {relative(t, points, nil), points.Certificate, nil, at,
			map[string]*x509.Certificate{"leaf-expired": relative(t, points, expired)}},
	}
}

// crowdOf is a line of CAs of one name without key identifiers, each certified by the
// one before, the root first.
func crowdOf(t *testing.T, n int) (last *authority, all []*x509.Certificate) {
	t.Helper()
	silent := func(c *x509.Certificate) { c.SubjectKeyId = []byte{} }
	for i := range n {
		key := newKey(t)
		template := caTemplate("Crowd", key.Public())
		silent(template)
		template.AuthorityKeyId = nil
		issuer := last
		if i == 0 {
			issuer = &authority{template, key}
		} else {
			unsaid := *issuer.Certificate
			unsaid.SubjectKeyId = nil
			issuer = &authority{&unsaid, issuer.key}
		}
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: []byte{4, 0}}}
		last = &authority{sign(t, template, key.Public(), issuer), key}
		all = append(all, last.Certificate)
	}
	return last, all
}

// relative is a leaf whose distribution point is named relative to the CRL's issuer.
func relative(t *testing.T, a *authority, f change) *x509.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "payment"}, NotBefore: at.Add(-day), NotAfter: at.Add(day), DNSNames: []string{"payment.prod"}}
	// DistributionPoint, [0] of it, [1] of that: CN=1.
	template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 31},
		Value: []byte{0x30, 16, 0x30, 14, 0xa0, 12, 0xa1, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1, '1'}}}
	if f != nil {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := inspect.ReadCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGaps: paths that hold by the standard and that crypto/x509 refuses, one for each
// gap on the list. Where one of them is refused no more, the gap can go. Whatever else
// is wrong with a path in a gap ends it all the same.
func TestGaps(t *testing.T) {
	cases := gapCases(t)
	for _, gap := range inspect.Gaps() {
		if _, tested := cases[gap.ID]; !tested {
			t.Errorf("%s is on the list and has no test", gap.ID)
		}
	}
	for id, c := range cases {
		i := slices.IndexFunc(inspect.Gaps(), func(g inspect.Gap) bool { return g.ID == id })
		if i < 0 {
			t.Errorf("%s is not on the list", id)
			continue
		}
		gap := inspect.Gaps()[i]
		o := inspect.Options{Roots: certs(c.root), Intermediates: c.intermediates, At: c.at}
		r := inspect.Verify("gap", c.leaf, o)
		told := slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool {
			return f.Rule == "second-opinion-gap" && strings.Contains(f.Message, gap.Title) && f.Citation == gap.Citation
		})
		if !r.Trusted || !told {
			t.Errorf("%s: trusted %v: %+v", id, r.Trusted, r.Findings)
		}
		if err := askGo(c.leaf, o); err == nil {
			t.Errorf("%s: crypto/x509 accepts it", id)
		}
		for rule, bad := range c.bad {
			if r := inspect.Verify("bad", bad, o); r.Trusted || r.Findings[0].Rule != rule {
				t.Errorf("%s, and %s: trusted %v: %+v", id, rule, r.Trusted, r.Findings)
			}
		}
	}
}

// askGo is the answer of crypto/x509, parsed by it too, to what is asked of ours.
func askGo(target *x509.Certificate, o inspect.Options) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range o.Roots {
		roots.AddCert(c)
	}
	for _, c := range o.Intermediates {
		if len(c.Signature) > 0 {
			between.AddCert(c)
		}
	}
	own, err := x509.ParseCertificate(target.Raw)
	if err != nil {
		return fmt.Errorf("not even read: %w", err)
	}
	_, err = own.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: o.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}
