package ca

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestNothingIsReleasedUnrecorded: where the record fails, the certificate that
// was signed goes nowhere.
func TestNothingIsReleasedUnrecorded(t *testing.T) {
	full := errors.New("disk full")
	root := newRoot(t, rootSpec())
	issuer := below(t, root, issuingSpec())
	ledger := issuer.Ledger.(*memory)
	ledger.record = func(context.Context, Entry) error { return full }
	chain, err := issuer.Issue(t.Context(), workload(t))
	if chain != nil || !errors.Is(err, full) || err.Error() != "record the certificate: disk full" {
		t.Errorf("a leaf: %v beside %v", chain, err)
	}
	chain, err = root.IssueCA(t.Context(), issuingSpec(), key(t, ECP384).Public())
	if chain != nil || !errors.Is(err, full) || err.Error() != "record the intermediate: disk full" {
		t.Errorf("an intermediate: %v beside %v", chain, err)
	}
	if err := issuer.Revoke(t.Context(), issuer.Certificate.SerialNumber, Superseded); err == nil {
		t.Error("a revocation")
	}
}

// TestRecord: what is recorded is what is given out, before it is given out, in
// the caller's context.
func TestRecord(t *testing.T) {
	type tag struct{}
	ctx := context.WithValue(t.Context(), tag{}, "caller")
	issuer := newIssuer(t)
	issuer.Now = func() time.Time { return now.Add(123456789).In(time.FixedZone("far east", 14*3600)) }
	ledger := issuer.Ledger.(*memory)
	var seen []Entry
	ledger.record = func(got context.Context, e Entry) error {
		if got.Value(tag{}) != "caller" {
			t.Error("it is recorded in another context")
		}
		if signed(issuer) != len(seen)+1 {
			t.Errorf("%d signatures before record %d", signed(issuer), len(seen)+1)
		}
		seen = append(seen, e)
		return nil
	}
	req := workload(t)
	req.Token = [32]byte{0xab, 31: 0xcd}
	chain, err := issuer.Issue(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	leaf := chain.Leaf()
	want := Entry{Kind: KindLeaf, At: now, Serial: FormatSerial(leaf.SerialNumber), Issuer: "CN=Test issuing CA", IssuerKey: hex.EncodeToString(issuer.Certificate.SubjectKeyId),
		Key: KeyFingerprint(leaf.RawSubjectPublicKeyInfo), Service: "payment", Namespace: "prod", Certificate: leaf.Raw, Token: "ab" + long("0", 60) + "cd"}
	if len(seen) != 1 || !reflect.DeepEqual(seen[0], want) || seen[0].At.Location() != time.UTC {
		t.Errorf("recorded\n%+v; want\n%+v", seen, want)
	}
	req.Token = [32]byte{}
	if _, err = issuer.Issue(ctx, req); err != nil || seen[1].Token != "" {
		t.Errorf("no token is recorded as %q, %v", seen[1].Token, err)
	}
}

// TestUnreadableRevocations: who cannot tell what is revoked signs nothing.
func TestUnreadableRevocations(t *testing.T) {
	gone := errors.New("the ledger is gone")
	root := newRoot(t, rootSpec())
	issuer := below(t, root, issuingSpec())
	issuer.Ledger.(*memory).revoked = gone
	before := signed(root)
	if chain, err := issuer.Issue(t.Context(), workload(t)); chain != nil || !errors.Is(err, gone) || signed(issuer) > 0 {
		t.Errorf("a leaf: %v", err)
	}
	if chain, err := root.IssueCA(t.Context(), issuingSpec(), key(t, ECP384).Public()); chain != nil || !errors.Is(err, gone) || signed(root) > before {
		t.Errorf("an intermediate: %v", err)
	}
	if err := issuer.Revoke(t.Context(), issuer.Certificate.SerialNumber, Superseded); !errors.Is(err, gone) {
		t.Errorf("a revocation: %v", err)
	}
	issuer.Ledger.(*memory).revoked, issuer.Ledger.(*memory).listed = nil, gone
	if err := issuer.Revoke(t.Context(), issuer.Certificate.SerialNumber, Superseded); !errors.Is(err, gone) {
		t.Errorf("a revocation out of a broken list: %v", err)
	}
}

// TestInterrupted: who has been told to stop signs nothing any more.
func TestInterrupted(t *testing.T) {
	root := newRoot(t, rootSpec())
	issuer := below(t, root, issuingSpec())
	before := signed(root)
	stopped := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if chain, err := issuer.Issue(ctx, workload(t)); chain != nil || !errors.Is(err, stopped) || signed(issuer) > 0 {
		t.Errorf("a leaf: %v", err)
	}
	if shown, err := issuer.Preview(ctx, workload(t)); shown != nil || !errors.Is(err, stopped) {
		t.Errorf("a preview: %v", err)
	}
	if chain, err := root.IssueCA(ctx, issuingSpec(), key(t, ECP384).Public()); chain != nil || !errors.Is(err, stopped) || signed(root) > before {
		t.Errorf("an intermediate: %v", err)
	}
}

// TestRevokedCAs: neither a revoked CA signs, nor one below a revoked CA.
func TestRevokedCAs(t *testing.T) {
	for name, pick := range map[string]func(root, middle, issuer *Issuer) (by *Issuer, what *x509.Certificate){
		"the issuer":          func(_, middle, issuer *Issuer) (*Issuer, *x509.Certificate) { return middle, issuer.Certificate },
		"the CA above":        func(root, middle, _ *Issuer) (*Issuer, *x509.Certificate) { return root, middle.Certificate },
		"the root, by itself": func(root, _, _ *Issuer) (*Issuer, *x509.Certificate) { return root, root.Certificate },
	} {
		spec := rootSpec()
		spec.MaxPathLen = 2
		root := newRoot(t, spec)
		between := issuingSpec()
		between.CommonName, between.MaxPathLen = "Test middle CA", 1
		middle := below(t, root, between)
		issuer := below(t, middle, issuingSpec())
		req := workload(t)
		if _, err := issuer.Issue(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		by, what := pick(root, middle, issuer)
		if err := by.Revoke(t.Context(), what.SerialNumber, Superseded); err != nil {
			t.Fatal(err)
		}
		before := signed(issuer)
		_, err := issuer.Issue(t.Context(), req)
		r := refusal(t, name, err)
		if want := caName(what) + " was revoked on 2026-11-21 (superseded)"; r.Why != want || signed(issuer) != before {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
		before = signed(middle)
		_, err = middle.IssueCA(t.Context(), issuingSpec(), key(t, ECP384).Public())
		if expect := name != "the issuer"; (err != nil) != expect || (signed(middle) > before) == expect {
			t.Errorf("%s: an intermediate below the middle: %v", name, err)
		}
	}
}

// TestCompromisedKeys: such a key is never certified again, by no CA of the
// ledger; a key whose certificate was revoked for another reason may be.
func TestCompromisedKeys(t *testing.T) {
	for _, name := range ReasonNames() {
		reason := must(ParseReason(name))
		root := newRoot(t, rootSpec())
		issuer := below(t, root, issuingSpec())
		k := must(NewKey(ECP256))
		req := request(t, k)
		chain := must(issuer.Issue(t.Context(), req))
		if err := issuer.Revoke(t.Context(), chain.Leaf().SerialNumber, reason); err != nil {
			t.Fatal(err)
		}
		compromised := reason == KeyCompromise || reason == CACompromise
		before := signed(issuer)
		_, err := issuer.Issue(t.Context(), req)
		if (err != nil) != compromised || (signed(issuer) > before) == compromised {
			t.Errorf("%s: a leaf of the same key: %v", name, err)
		}
		_, below := root.IssueCA(t.Context(), issuingSpec(), k.Public())
		if (below != nil) != compromised {
			t.Errorf("%s: an intermediate of the same key: %v", name, below)
		}
		if compromised {
			refusal(t, name, below)
			if r := refusal(t, name, err); r.What != "this key" || !strings.Contains(r.Why, "compromised on 2026-11-21") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestRevoke(t *testing.T) {
	issuer, stranger := newIssuer(t), newIssuer(t)
	ledger := issuer.Ledger.(*memory)
	leaf := must(issuer.Issue(t.Context(), workload(t))).Leaf()
	other := must(stranger.Issue(t.Context(), workload(t))).Leaf()
	ledger.entries = append(ledger.entries, stranger.Ledger.(*memory).entries...)
	ledger.entries = append(ledger.entries, Entry{Kind: KindIntent, Serial: "77", IssuerKey: hex.EncodeToString(issuer.Certificate.SubjectKeyId)})
	recorded := len(ledger.entries)
	for name, serial := range map[string]*big.Int{"unknown": big.NewInt(1), "another CA's": other.SerialNumber, "the root's": issuer.Above[0].SerialNumber,
		"its own": issuer.Certificate.SerialNumber, "intended": big.NewInt(0x77), "negative": new(big.Int).Neg(leaf.SerialNumber), "zero": new(big.Int)} {
		if err := issuer.Revoke(t.Context(), serial, Superseded); !errors.Is(err, ErrUnknownSerial) || len(ledger.entries) != recorded {
			t.Errorf("%s serial number: %v; want ErrUnknownSerial", name, err)
		}
	}
	for _, reason := range []Reason{7, -1, 11, 1000} {
		err := issuer.Revoke(t.Context(), leaf.SerialNumber, reason)
		if err == nil || len(ledger.entries) != recorded {
			t.Errorf("reason %d is taken", int(reason))
		}
		readsWell(t, err)
	}
	if err := issuer.Revoke(t.Context(), leaf.SerialNumber, AffiliationChanged); err != nil {
		t.Fatal(err)
	}
	want := Entry{Kind: KindRevocation, At: now, Serial: FormatSerial(leaf.SerialNumber), Issuer: "CN=Test issuing CA", IssuerKey: hex.EncodeToString(issuer.Certificate.SubjectKeyId),
		Key: KeyFingerprint(leaf.RawSubjectPublicKeyInfo), Service: "payment", Namespace: "prod", Reason: "affiliationChanged", NotAfter: leaf.NotAfter}
	if got := ledger.entries[recorded]; !reflect.DeepEqual(got, want) {
		t.Errorf("recorded\n%+v; want\n%+v", got, want)
	}
	if err := issuer.Revoke(t.Context(), leaf.SerialNumber, Superseded); !errors.Is(err, ErrRevoked) || len(ledger.entries) != recorded+1 {
		t.Errorf("twice: %v; want ErrRevoked", err)
	}
	revoked := must(ledger.Revoked(t.Context()))
	if e, ok := revoked.Certificate(leaf); !ok || e.Reason != "affiliationChanged" || revoked.Len() != 1 {
		t.Errorf("found %v %+v of %d", ok, e, revoked.Len())
	}
	// That the key was stolen may come out later; that it was not does not.
	issuer.Now = func() time.Time { return now.Add(time.Hour) }
	if err := issuer.Revoke(t.Context(), leaf.SerialNumber, KeyCompromise); err != nil || len(ledger.entries) != recorded+2 {
		t.Errorf("a graver reason: %v", err)
	}
	for _, reason := range []Reason{KeyCompromise, CACompromise, Unspecified} {
		if err := issuer.Revoke(t.Context(), leaf.SerialNumber, reason); !errors.Is(err, ErrRevoked) {
			t.Errorf("%s after a compromise: %v; want ErrRevoked", reason, err)
		}
	}
	revoked = must(ledger.Revoked(t.Context()))
	if e, ok := revoked.Certificate(leaf); !ok || e.Reason != "keyCompromise" || !e.At.Equal(now) || revoked.Len() != 1 {
		t.Errorf("found %v %+v of %d", ok, e, revoked.Len())
	}
	if _, ok := revoked.Key(KeyFingerprint(leaf.RawSubjectPublicKeyInfo)); !ok {
		t.Error("the key is not called compromised")
	}
	if _, ok := revoked.Certificate(other); ok {
		t.Error("a certificate that nobody revoked is revoked")
	}
}

func TestRevokedSet(t *testing.T) {
	var r Revoked
	leaf := must(newIssuer(t).Issue(t.Context(), workload(t))).Leaf()
	if _, ok := r.Certificate(leaf); ok || r.Len() != 0 {
		t.Error("the zero set holds something")
	}
	if _, ok := r.Key(""); ok {
		t.Error("the zero set holds a key")
	}
	for _, kind := range []Kind{KindLeaf, KindCA, KindIntent, "", "future"} {
		r.Add(Entry{Kind: kind, IssuerKey: "aa", Serial: "01", Key: "k", Reason: "keyCompromise"})
	}
	if r.Len() != 0 {
		t.Errorf("%d entries that revoke nothing are in the set", r.Len())
	}
	r.Add(Entry{Kind: KindRevocation, IssuerKey: "aa", Serial: "01", Reason: "keyCompromise"})
	if _, ok := r.Key(""); ok {
		t.Error("a revocation without a key makes the key without a name compromised")
	}
	r.Add(Entry{Kind: KindRevocation, IssuerKey: "aa", Serial: "01", Reason: "superseded", Key: "k"})
	r.Add(Entry{Kind: KindRevocation, IssuerKey: "aa", Serial: "02", Reason: "superseded", Key: "k"})
	r.Add(Entry{Kind: KindRevocation, IssuerKey: "aa", Serial: "02", Reason: "unspecified", Key: "k"})
	if e, _ := r.Of(Entry{IssuerKey: "aa", Serial: "02"}); e.Reason != "superseded" {
		t.Errorf("the reason has become %s", e.Reason)
	}
	if _, ok := r.Key("k"); ok || r.Len() != 2 {
		t.Errorf("%d in the set, key compromised: %v", r.Len(), ok)
	}
	if e, ok := r.Of(Entry{Kind: KindLeaf, IssuerKey: "aa", Serial: "01"}); !ok || e.Reason != "keyCompromise" {
		t.Errorf("the first revocation counts, and it is %s", e.Reason)
	}
	if _, ok := r.Of(Entry{Kind: KindLeaf, IssuerKey: "bb", Serial: "01"}); ok {
		t.Error("a serial number of another CA is revoked")
	}
	r.Add(Entry{Kind: KindRevocation, IssuerKey: "bb", Serial: "01", Reason: "keyCompromise", Key: "k"})
	if e, ok := r.Key("k"); !ok || e.IssuerKey != "bb" || r.Len() != 3 {
		t.Errorf("the compromise: %v %+v", ok, e)
	}
}
