package ca

import (
	"crypto/x509"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// twoRoots are a root of ours that signs, and the one that is to be cross-signed,
// with an intermediate and a leaf below it.
func twoRoots(t testing.TB, signer, other Spec) (by, root *Issuer, leaf Chain) {
	t.Helper()
	by, root = newRoot(t, signer), newRoot(t, other)
	root.Ledger = by.Ledger
	issuing := below(t, root, Spec{CommonName: "Issuing of another", NotBefore: now.Add(-Backdate), NotAfter: now.AddDate(1, 0, 0)})
	chain, err := issuing.Issue(t.Context(), workload(t))
	if err != nil {
		t.Fatal(err)
	}
	return by, root, append(chain, root.Certificate)
}

func otherSpec() Spec {
	return Spec{CommonName: "Other Root CA", MaxPathLen: -1, NotBefore: now.Add(-Backdate), NotAfter: now.AddDate(5, 0, 0)}
}

func TestCrossSignMakesAPath(t *testing.T) {
	open := rootSpec()
	open.MaxPathLen = -1
	by, root, chain := twoRoots(t, open, otherSpec())
	cross, err := by.CrossSign(t.Context(), Cross{Certificate: root.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(append(chain[:2:2], cross), by.Certificate, x509.ExtKeyUsageServerAuth); err != nil {
		t.Errorf("by the cross-signature: %v", err)
	}
	if err := verify(chain[:2:2], root.Certificate, x509.ExtKeyUsageServerAuth); err != nil {
		t.Errorf("by its own root: %v", err)
	}
	if string(cross.RawSubject) != string(root.Certificate.RawSubject) || string(cross.SubjectKeyId) != string(root.Certificate.SubjectKeyId) {
		t.Error("subject or key identifier differ")
	}
	if cross.NotAfter.After(root.Certificate.NotAfter) || cross.SerialNumber.Cmp(root.Certificate.SerialNumber) == 0 {
		t.Errorf("until %s, serial %x", cross.NotAfter, cross.SerialNumber)
	}
	entries := by.Ledger.(*memory).entries
	if last := entries[len(entries)-1]; last.Kind != KindCA || last.Note != "cross-signature" || string(last.Certificate) != string(cross.Raw) {
		t.Errorf("recorded %+v", last)
	}
}

func TestCrossSignIsNeverWider(t *testing.T) {
	short := rootSpec()
	short.NotAfter = now.AddDate(1, 0, 0)
	by, root, _ := twoRoots(t, short, otherSpec())
	cross := must(by.CrossSign(t.Context(), Cross{Certificate: root.Certificate}))
	if cross.MaxPathLen != 0 || !cross.MaxPathLenZero {
		t.Errorf("path length %d below one of 1", cross.MaxPathLen)
	}
	if !cross.NotAfter.Equal(by.Certificate.NotAfter) {
		t.Errorf("until %s, the signer until %s", cross.NotAfter, by.Certificate.NotAfter)
	}
	_, err := by.CrossSign(t.Context(), Cross{Certificate: root.Certificate, NotAfter: now.AddDate(2, 0, 0)})
	asValidity(t, "longer than the signer", err)
	_, err = by.CrossSign(t.Context(), Cross{Certificate: root.Certificate, NotAfter: now.AddDate(6, 0, 0)})
	asValidity(t, "longer than itself", err)
	if cross := must(by.CrossSign(t.Context(), Cross{Certificate: root.Certificate, NotAfter: now.AddDate(0, 1, 0)})); !cross.NotAfter.Equal(now.AddDate(0, 1, 0)) {
		t.Errorf("until %s, asked for a month", cross.NotAfter)
	}

	narrow := otherSpec()
	narrow.MaxPathLen, narrow.Constraints = 0, Constraints{DNS: []string{"a.example", "b.example"}, IP: prefixes("10.0.0.0/8")}
	signer := rootSpec()
	signer.Constraints = Constraints{DNS: []string{"a.example", "c.example"}, IP: prefixes("10.1.0.0/16"), Open: true}
	by, root = newRoot(t, signer), newRoot(t, narrow)
	cross = must(by.CrossSign(t.Context(), Cross{Certificate: root.Certificate}))
	if !slices.Equal(cross.PermittedDNSDomains, []string{"a.example"}) || len(cross.PermittedIPRanges) != 1 || cross.PermittedIPRanges[0].String() != "10.1.0.0/16" ||
		!slices.Equal(cross.PermittedURIDomains, []string{nobody}) || cross.MaxPathLen != 0 {
		t.Errorf("constraints are\n%s", describe(cross))
	}
	for _, wide := range []Constraints{{DNS: []string{"b.example"}}, {DNS: []string{"example"}}, {DNS: []string{"a.example"}, IP: prefixes("10.0.0.0/8")}, {Email: []string{"a.example"}}} {
		_, err := by.CrossSign(t.Context(), Cross{Certificate: root.Certificate, Constraints: wide})
		refusal(t, "permitting more than one of the two does", err)
	}
	cross = must(by.CrossSign(t.Context(), Cross{Certificate: root.Certificate, Constraints: Constraints{DNS: []string{"x.a.example"}}}))
	if !slices.Equal(cross.PermittedDNSDomains, []string{"x.a.example"}) || len(cross.ExcludedIPRanges) != 2 {
		t.Errorf("constraints are\n%s", describe(cross))
	}
}

func TestCrossSignIsRefused(t *testing.T) {
	by, root, chain := twoRoots(t, rootSpec(), otherSpec())
	issuing := below(t, by, issuingSpec())
	change := func(f func(*x509.Certificate)) *x509.Certificate {
		c := *root.Certificate
		f(&c)
		return &c
	}
	for name, test := range map[string]struct {
		by *Issuer
		o  Cross
	}{
		"a leaf":                         {by, Cross{Certificate: chain[0]}},
		"another's without constraints":  {by, Cross{Certificate: root.Certificate, Foreign: true}},
		"itself":                         {by, Cross{Certificate: by.Certificate}},
		"what stands above":              {issuing, Cross{Certificate: by.Certificate}},
		"below path length 0":            {issuing, Cross{Certificate: root.Certificate}},
		"an expired one":                 {by, Cross{Certificate: change(func(c *x509.Certificate) { c.NotAfter = now })}},
		"one that signs no certificates": {by, Cross{Certificate: change(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })}},
		"one without a key identifier":   {by, Cross{Certificate: change(func(c *x509.Certificate) { c.SubjectKeyId = nil })}},
		"one without a subject":          {by, Cross{Certificate: change(func(c *x509.Certificate) { c.RawSubject = []byte{0x30, 0} })}},
		"an unknown critical extension": {by, Cross{Certificate: change(func(c *x509.Certificate) {
			c.UnhandledCriticalExtensions = append(c.UnhandledCriticalExtensions, oidKeyUsage)
		})}},
		"an unknown use": {by, Cross{Certificate: change(func(c *x509.Certificate) { c.UnknownExtKeyUsage = append(c.UnknownExtKeyUsage, oidKeyUsage) })}},
	} {
		before := signed(test.by)
		_, err := test.by.CrossSign(t.Context(), test.o)
		refusal(t, name, err)
		if signed(test.by) != before {
			t.Errorf("%s: something was signed", name)
		}
	}
	// What is revoked is not signed again under another number.
	if err := by.Ledger.Record(t.Context(), Entry{Kind: KindRevocation, At: now, Serial: FormatSerial(root.Certificate.SerialNumber),
		IssuerKey: EntryOf(KindCA, root.Certificate, now).IssuerKey, Reason: "superseded"}); err != nil {
		t.Fatal(err)
	}
	_, err := by.CrossSign(t.Context(), Cross{Certificate: root.Certificate})
	refusal(t, "a revoked one", err)
}

func TestCrossSignKeepsUsages(t *testing.T) {
	by, root := newRoot(t, rootSpec()), newRoot(t, otherSpec())
	only := *root.Certificate
	only.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	only.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	cross := must(by.CrossSign(t.Context(), Cross{Certificate: &only}))
	if !slices.Equal(cross.ExtKeyUsage, only.ExtKeyUsage) || cross.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("uses %v, %b", cross.ExtKeyUsage, cross.KeyUsage)
	}
	limited := *by.Certificate
	limited.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	by.Certificate = &limited
	for _, c := range []*x509.Certificate{&only, root.Certificate} {
		_, err := by.CrossSign(t.Context(), Cross{Certificate: c})
		refusal(t, "uses that the signer has not", err)
	}
}

func TestReissueKeepsWhatItIs(t *testing.T) {
	root := newRoot(t, rootSpec())
	spec := issuingSpec()
	spec.Constraints = Constraints{DNS: []string{"a.example"}}
	spec.URI = trustDomain("cluster.local")
	spec.Constraints.URI = append(spec.Constraints.URI, spec.URI)
	old := below(t, root, spec)
	root.Now = func() time.Time { return now.AddDate(2, 0, 0) }
	again, err := root.ReissueCA(t.Context(), old.Certificate, Validity{NotAfter: now.AddDate(5, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	a, b := again, old.Certificate
	if string(a.RawSubject) != string(b.RawSubject) || string(a.SubjectKeyId) != string(b.SubjectKeyId) || a.MaxPathLen != b.MaxPathLen || a.KeyUsage != b.KeyUsage ||
		!sameNames(a, b) || !sameConstraints(a, b) || a.SerialNumber.Cmp(b.SerialNumber) == 0 || !a.NotAfter.Equal(now.AddDate(5, 0, 0)) {
		t.Errorf("%s\n%s", describe(a), describe(b))
	}
	_, err = root.ReissueCA(t.Context(), old.Certificate, Validity{NotAfter: now.AddDate(50, 0, 0)})
	asValidity(t, "beyond its parent", err)
	_, err = newRoot(t, rootSpec()).ReissueCA(t.Context(), old.Certificate, Validity{NotAfter: now.AddDate(5, 0, 0)})
	refusal(t, "another's", err)
	if err := root.Revoke(t.Context(), again.SerialNumber, Superseded); err != nil {
		t.Fatal(err)
	}
	_, err = root.ReissueCA(t.Context(), again, Validity{NotAfter: now.AddDate(5, 0, 0)})
	refusal(t, "a revoked one", err)
}

// TestNarrowIsTheMeet: what two constraints make together permits what both permit,
// and nothing else.
func TestNarrowIsTheMeet(t *testing.T) {
	both, one, seeds := 0, 0, uint64(3000)
	for seed := range seeds {
		d := dice{rand.New(rand.NewPCG(seed, 2))}
		a, b := &x509.Certificate{}, &x509.Certificate{}
		d.constrain(a)
		d.constrain(b)
		meet := &x509.Certificate{}
		narrow(meet, a)
		narrow(meet, b)
		for range 20 {
			id, err := NewIdentity(d.name([]*x509.Certificate{a, b}[d.IntN(2)]))
			if err != nil {
				continue
			}
			n := id.Names()[0]
			if n.Type == IP && slices.ContainsFunc(slices.Concat(a.PermittedIPRanges, b.PermittedIPRanges), mapped) {
				continue // of what cannot be judged beside it, one may be narrowed away
			}
			each := judge(a, n) == nil && judge(b, n) == nil
			switch got := judge(meet, n) == nil; {
			case got && !each:
				t.Errorf("seed %d: %s is permitted, and not by both\n%s\n%s\n%s", seed, n, describe(a), describe(b), describe(meet))
			case got:
				both++
			case each:
				one++
				if n.Type == DNS || n.Type == URI {
					t.Errorf("seed %d: %s is permitted by both, and not by what they make\n%s\n%s\n%s", seed, n, describe(a), describe(b), describe(meet))
				}
			}
		}
	}
	if both < 100 {
		t.Errorf("only %d names were permitted", both)
	}
	if one > both/20 {
		t.Errorf("%d names lost, %d kept", one, both)
	}
}
