package ca

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

// aged makes an issuer of a root and an intermediate with those ends, signed
// past every check: a CA of ours may have come to outlive its root.
func aged(t *testing.T, rootFrom, rootTo, from, to time.Time) *Issuer {
	t.Helper()
	root := newRoot(t, Spec{CommonName: "Old Root CA", MaxPathLen: 1, NotBefore: rootFrom, NotAfter: rootTo})
	k := must(NewKey(ECP256))
	spec := Spec{CommonName: "Old issuing CA", NotBefore: from, NotAfter: to}
	template := must(spec.caTemplate(must(x509.MarshalPKIXPublicKey(k.Public()))))
	template.AuthorityKeyId = root.Certificate.SubjectKeyId
	cert := must(sign(template, root.Certificate, k.Public(), root.Signer))
	return &Issuer{Certificate: cert, Above: root.chain(), Signer: &counter{Signer: k}, Ledger: &memory{}, Now: clock}
}

// usual is an issuer whose own end comes first.
func usual(t *testing.T) *Issuer {
	t.Helper()
	return aged(t, now.Add(-time.Hour), now.Add(1000*day), now.Add(-time.Hour), now.Add(100*day))
}

// outlived is an issuer whose root ends before it does.
func outlived(t *testing.T) *Issuer {
	t.Helper()
	return aged(t, now.Add(-time.Hour), now.Add(50*day), now.Add(-time.Hour), now.Add(100*day))
}

// TestEnds: no leaf ever passes the end of its issuer or of any CA above.
func TestEnds(t *testing.T) {
	limits := map[string]struct {
		issuer *Issuer
		limit  time.Time
		whose  string
	}{
		"own end first":    {usual(t), now.Add(100 * day), "Old issuing CA"},
		"root's end first": {outlived(t), now.Add(50 * day), "Old Root CA"},
	}
	for name, l := range limits {
		if at, whose := l.issuer.Limit(); !at.Equal(l.limit) || caName(whose) != l.whose {
			t.Errorf("%s: the limit is %s of %s", name, at, caName(whose))
		}
		for _, asked := range []time.Time{now.Add(time.Second), now.Add(day), l.limit.Add(-time.Second), l.limit,
			l.limit.Add(time.Second), l.limit.Add(60 * day), now.Add(2000 * day), time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			for _, upTo := range []bool{true, false} {
				req := workload(t)
				req.Validity = Validity{NotAfter: asked, UpTo: upTo}
				chain, err := l.issuer.Issue(t.Context(), req)
				if !upTo && asked.After(l.limit) {
					v := asValidity(t, name, err)
					if chain != nil || !v.Limit.Equal(l.limit) || v.Issuer != l.whose || !v.NotAfter.Equal(asked) {
						t.Errorf("%s, until %s: %+v", name, asked, v)
					}
					continue
				}
				want := asked
				if asked.After(l.limit) {
					want = l.limit
				}
				if err != nil || !chain.Leaf().NotAfter.Equal(want) {
					t.Errorf("%s, until %s (up to: %v): %v", name, asked, upTo, err)
				}
			}
		}
	}
}

// TestFractions: the end is cut to the second, never beyond what was asked.
func TestFractions(t *testing.T) {
	issuer := usual(t)
	req := workload(t)
	req.Validity = Validity{NotAfter: now.Add(day + 999*time.Millisecond)}
	if chain, err := issuer.Issue(t.Context(), req); err != nil || !chain.Leaf().NotAfter.Equal(now.Add(day)) {
		t.Errorf("a fraction of a second: %v", err)
	}
	zone := time.FixedZone("far east", 14*3600)
	req.Validity = Validity{NotAfter: now.Add(day).In(zone), NotBefore: now.Add(-time.Minute).In(zone)}
	if chain, err := issuer.Issue(t.Context(), req); err != nil || !chain.Leaf().NotAfter.Equal(now.Add(day)) || !chain.Leaf().NotBefore.Equal(now.Add(-time.Minute)) {
		t.Errorf("another time zone: %v", err)
	}
}

func TestBeginnings(t *testing.T) {
	young := aged(t, now.Add(-time.Hour), now.Add(100*day), now.Add(-time.Minute), now.Add(100*day))
	for name, c := range map[string]struct {
		issuer      *Issuer
		asked, want time.Time
	}{
		"not asked":                {usual(t), time.Time{}, now.Add(-Backdate)},
		"asked":                    {usual(t), now.Add(-time.Minute), now.Add(-time.Minute)},
		"in the future":            {usual(t), now.Add(time.Hour), now.Add(time.Hour)},
		"before the issuer's":      {usual(t), now.Add(-day), now.Add(-time.Hour)},
		"backdating a young one's": {young, time.Time{}, now.Add(-time.Minute)},
	} {
		req := workload(t)
		req.Validity.NotBefore = c.asked
		chain, err := c.issuer.Issue(t.Context(), req)
		if err != nil || !chain.Leaf().NotBefore.Equal(c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoTime: what has no time to be valid in is refused before the key is used.
func TestNoTime(t *testing.T) {
	for name, v := range map[string]Validity{
		"no end":                     {},
		"no end, up to it":           {UpTo: true},
		"in the past":                {NotAfter: now.Add(-time.Second)},
		"in the past, up to it":      {NotAfter: now.Add(-time.Second), UpTo: true},
		"now":                        {NotAfter: now},
		"less than a second":         {NotAfter: now.Add(time.Hour + 500*time.Millisecond), NotBefore: now.Add(time.Hour)},
		"ends at its start":          {NotAfter: now.Add(time.Hour), NotBefore: now.Add(time.Hour)},
		"ends before its start":      {NotAfter: now.Add(time.Hour), NotBefore: now.Add(2 * time.Hour)},
		"begins after the issuer":    {NotAfter: now.Add(200 * day), NotBefore: now.Add(150 * day), UpTo: true},
		"begins at the issuer's end": {NotAfter: now.Add(200 * day), NotBefore: now.Add(100 * day), UpTo: true},
	} {
		issuer := usual(t)
		req := workload(t)
		req.Validity = v
		chain, err := issuer.Issue(t.Context(), req)
		if e := asValidity(t, name, err); chain != nil || e.Problem == "" || signed(issuer) > 0 {
			t.Errorf("%s: %v, signed %d times", name, err, signed(issuer))
		}
	}
}

// TestClocks: an issuer that has ended refuses; one that has not begun points at
// the clock.
func TestClocks(t *testing.T) {
	for name, c := range map[string]struct {
		issuer *Issuer
		whose  string
	}{
		"expired":             {aged(t, now.Add(-9*day), now.Add(day), now.Add(-9*day), now.Add(-time.Second)), "Old issuing CA"},
		"expired this second": {aged(t, now.Add(-9*day), now.Add(day), now.Add(-9*day), now), "Old issuing CA"},
		"expired root":        {aged(t, now.Add(-9*day), now.Add(-day), now.Add(-9*day), now.Add(day)), "Old Root CA"},
	} {
		for _, upTo := range []bool{true, false} {
			req := workload(t)
			req.Validity = Validity{NotAfter: now.Add(time.Hour), UpTo: upTo}
			_, err := c.issuer.Issue(t.Context(), req)
			if r := refusal(t, name, err); !strings.Contains(r.Why, c.whose+" expired on 2026-11-") || signed(c.issuer) > 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := c.issuer.IssueCA(t.Context(), issuingSpec(), key(t, ECP256).Public()); err == nil {
			t.Errorf("%s: it signs an intermediate", name)
		}
	}
	for name, c := range map[string]struct {
		issuer *Issuer
		whose  string
	}{
		"future issuer": {aged(t, now.Add(-day), now.Add(99*day), now.Add(time.Second), now.Add(98*day)), "Old issuing CA"},
		"future root":   {aged(t, now.Add(day), now.Add(99*day), now.Add(-time.Second), now.Add(98*day)), "Old Root CA"},
	} {
		_, err := c.issuer.Issue(t.Context(), workload(t))
		if v := asValidity(t, name, err); !strings.Contains(v.Problem, c.whose+" is valid only from 2026-11-2") || !strings.Contains(v.Problem, "clock") || signed(c.issuer) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMessages holds the most read errors to the letter.
func TestMessages(t *testing.T) {
	ask := func(issuer *Issuer, v Validity) error {
		req := workload(t)
		req.Validity = v
		_, err := issuer.Issue(t.Context(), req)
		return err
	}
	ended := aged(t, now.Add(-9*day), now.Add(9*day), now.Add(-9*day), now.Add(-day))
	unborn := aged(t, now.Add(-day), now.Add(99*day), now.Add(time.Hour), now.Add(98*day))
	for want, err := range map[string]error{
		"a certificate until 2027-03-01T22:00:00Z would outlive its issuer: Old Root CA ends 2027-01-10T22:00:00Z": ask(outlived(t), Validity{NotAfter: now.Add(100 * day)}),
		"signing with Old issuing CA is refused: Old issuing CA expired on 2026-11-20 (RFC 5280, Section 4.1.2.5)": ask(ended, Validity{NotAfter: now.Add(day)}),
		"Old issuing CA is valid only from 2026-11-21T23:00:00Z on; is the clock right?":                           ask(unborn, Validity{NotAfter: now.Add(day)}),
		"a certificate must end in the future": ask(usual(t), Validity{NotAfter: now}),
		"an RSA key of 1024 bits is refused: at least 2048 are needed (NIST SP 800-57 Part 1, Section 5.6.1)": ignoring(ParseCSR(csrPEM(csrRSA1024))),
		`profile "x" is none of workload, server, client, peer`:                                               ignoring(ProfileByName("x")),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("it reads\n%v; want\n%s", err, want)
		}
		readsWell(t, err)
	}
}

func ignoring[T any](_ T, err error) error { return err }
