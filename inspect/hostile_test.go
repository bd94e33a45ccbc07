//go:build integration && unix

package inspect_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// spent is the processor time of this process so far.
func spent() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// layers are CAs of which each of one layer certified each of the next, as they are
// changed; the lowest issue the leaf.
func layers(t *testing.T, deep, wide int, root *authority, ca func(layer int, c *x509.Certificate), leaf change) (*x509.Certificate, inspect.Options) {
	t.Helper()
	above := []*authority{root}
	var between []*x509.Certificate
	for l := range deep {
		var next []*authority
		for n := range wide {
			key := newKey(t)
			for _, a := range above {
				template := caTemplate(fmt.Sprintf("L%d", l), key.Public())
				template.SubjectKeyId = nil
				template.SerialNumber = big.NewInt(int64(1000*l + 10*n + 7))
				ca(l, template)
				c := sign(t, template, key.Public(), a)
				between = append(between, c)
				if len(next) <= n {
					next = append(next, &authority{c, key})
				}
			}
		}
		above = next
	}
	return above[0].leaf(t, leaf), inspect.Options{Roots: certs(root.Certificate), Intermediates: between, At: at}
}

func manyPolicies(n, from int) []byte {
	type info struct{ ID asn1.ObjectIdentifier }
	var list []info
	for i := range n {
		list = append(list, info{asn1.ObjectIdentifier{1, 2, 3, from + i}})
	}
	der, _ := asn1.Marshal(list)
	return der
}

func allMapped(n int) []byte {
	type pair struct{ From, To asn1.ObjectIdentifier }
	var list []pair
	for i := range n {
		for j := range n {
			list = append(list, pair{asn1.ObjectIdentifier{1, 2, 3, i}, asn1.ObjectIdentifier{1, 2, 3, j}})
		}
	}
	der, _ := asn1.Marshal(list)
	return der
}

// hostiles are questions that were made to take long.
func hostiles(t *testing.T) map[string]func() inspect.Result {
	root := newRoot(t, "Root")
	verify := func(leaf *x509.Certificate, o inspect.Options) func() inspect.Result {
		return func() inspect.Result { return inspect.Verify("hostile", leaf, o) }
	}
	explicit := inspect.PolicyOptions{Explicit: true}
	policyWorld := func(deep, wide, n int) func() inspect.Result {
		leaf, o := layers(t, deep, wide, root, func(_ int, c *x509.Certificate) {
			adding(false, manyPolicies(n, 0), 2, 5, 29, 32)(c)
			adding(false, allMapped(n), 2, 5, 29, 33)(c)
		}, adding(false, manyPolicies(1, 5000), 2, 5, 29, 32))
		o.Policies = explicit
		return verify(leaf, o)
	}
	manyNames := func(c *x509.Certificate) {
		c.DNSNames = nil
		for i := range 1000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("%d.a.very.long.name.of.a.host.in.the.mesh.example", i))
		}
		c.URIs = nil
	}
	constrained := func(_ int, c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		for i := range 1000 {
			c.PermittedDNSDomains = append(c.PermittedDNSDomains, fmt.Sprintf("x%d.very.long.name.of.a.host.in.the.mesh.example", i))
		}
		c.PermittedDNSDomains = append(c.PermittedDNSDomains, "example")
	}
	constrainedLeaf, constrainedOptions := layers(t, 4, 4, root, constrained, manyNames)
	uriLeaf, uriOptions := layers(t, 4, 4, root, func(_ int, c *x509.Certificate) {
		for i := range 900 {
			c.ExcludedURIDomains = append(c.ExcludedURIDomains, fmt.Sprintf("x%d.example", i))
		}
	}, func(c *x509.Certificate) {
		c.URIs = nil
		for i := range 900 {
			c.URIs = append(c.URIs, &url.URL{Scheme: "https", Host: fmt.Sprintf("y%d.example", i)})
		}
	})
	return map[string]func() inspect.Result{
		"policies 1x1x100": policyWorld(1, 1, 100), "policies 3x4x60": policyWorld(3, 4, 60), "policies 6x3x40": policyWorld(6, 3, 40),
		"policies 6x3x90": policyWorld(6, 3, 90), "DNS constraints": verify(constrainedLeaf, constrainedOptions), "URI constraints": verify(uriLeaf, uriOptions),
	}
}

// hostileCrowds are others: of lists, keys and names.
func hostileCrowds(t *testing.T) map[string]func() inspect.Result {
	root := newRoot(t, "Root")
	verify := func(leaf *x509.Certificate, o inspect.Options) func() inspect.Result {
		return func() inspect.Result { return inspect.Verify("hostile", leaf, o) }
	}
	revokedLeaf, listOptions := layers(t, 4, 5, root, func(int, *x509.Certificate) {}, func(*x509.Certificate) {})
	big1 := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: at.Add(-time.Hour), NextUpdate: at.Add(day)}
	for i := range 50000 {
		big1.RevokedCertificateEntries = append(big1.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(int64(i) + 1<<40), RevocationTime: at})
	}
	der, err := x509.CreateRevocationList(rand.Reader, big1, root.Certificate, root.key)
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		l, err := inspect.ReadCRL(der)
		if err != nil {
			t.Fatal(err)
		}
		listOptions.CRLs = append(listOptions.CRLs, l)
	}
	listOptions.CRLCheck = inspect.CRLCheckChain
	rsaNoise := inspect.Options{Roots: certs(root.Certificate), At: at}
	n := new(big.Int).Lsh(big.NewInt(1), 16000)
	for range 400 {
		template := caTemplate("Root", root.PublicKey)
		template.SubjectKeyId = nil
		rsaNoise.Roots = append(rsaNoise.Roots, sign(t, template, &rsa.PublicKey{N: n.Add(n, big.NewInt(2)).SetBit(n, 0, 1), E: 1<<31 - 1}, root))
	}
	rsaLeaf := newRoot(t, "Root", func(c *x509.Certificate) { c.SubjectKeyId = nil }).leaf(t)
	crowd := inspect.Options{Roots: certs(root.Certificate), At: at}
	for range 3000 {
		crowd.Intermediates = append(crowd.Intermediates, sign(t, caTemplate("Crowd", root.PublicKey), &newKey(t).PublicKey, root))
	}
	crowdKey := newRoot(t, "Crowd")
	longName := func(c *x509.Certificate) {
		var rdns pkix.RDNSequence
		for i := range 3000 {
			rdns = append(rdns, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: fmt.Sprintf("unit %d", i)}})
		}
		c.RawSubject, _ = asn1.Marshal(rdns)
	}
	selves := inspect.Options{Roots: certs(root.Certificate), At: at}
	self := newRoot(t, "x", longName, func(c *x509.Certificate) { c.SubjectKeyId = nil })
	for range 60 {
		key := newKey(t)
		template := caTemplate("x", key.Public())
		template.SubjectKeyId = nil
		longName(template)
		self = &authority{sign(t, template, key.Public(), self), key}
		selves.Intermediates = append(selves.Intermediates, self.Certificate)
	}
	longLeaf, longOptions := layers(t, 3, 4, root, func(_ int, c *x509.Certificate) { longName(c) }, longName)
	return map[string]func() inspect.Result{
		"forty lists": verify(revokedLeaf, listOptions), "RSA 16k": verify(rsaLeaf, rsaNoise), "3000 namesakes": verify(crowdKey.leaf(t), crowd),
		"long selves": verify(self.leaf(t, longName), selves), "long names": verify(longLeaf, longOptions),
	}
}

// TestHostile: no validation takes long, whatever it is given: the time of each, of the
// processor, is printed.
func TestHostile(t *testing.T) {
	const most = 10 * time.Second // far beyond what any of them needs
	all := hostiles(t)
	maps.Copy(all, hostileCrowds(t))
	for name, ask := range all {
		before := spent()
		r := ask()
		took := spent() - before
		t.Logf("%-20s %v", name, took)
		if took > most || r.Trusted != (name == "long names") || len(r.Findings) == 0 {
			t.Errorf("%s: trusted %v after %v: %v", name, r.Trusted, took, rulesOf(r.Findings))
		}
	}
}
