package ca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

// revocationOf is the record of a certificate's end, of that serial number in hex.
func revocationOf(i *Issuer, serial string, reason Reason, at, notAfter time.Time) Entry {
	return Entry{Kind: KindRevocation, At: at, Serial: serial, IssuerKey: hex.EncodeToString(i.Certificate.SubjectKeyId), Reason: reason.String(), NotAfter: notAfter}
}

// mustCRL makes a list and reads it with crypto/x509.
func mustCRL(t testing.TB, i *Issuer) (*CRL, *x509.RevocationList) {
	t.Helper()
	crl, err := i.CRL(t.Context(), CRLOrder{NextUpdate: i.Now().Add(7 * day)})
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(crl.DER)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(i.Certificate); err != nil {
		t.Fatal(err)
	}
	if len(list.RevokedCertificateEntries) != crl.Entries || list.Number.Cmp(crl.Number) != 0 {
		t.Fatalf("%d entries, number %s; it is said to have %d and %s", len(list.RevokedCertificateEntries), list.Number, crl.Entries, crl.Number)
	}
	return crl, list
}

func TestCRLOfEachKeyType(t *testing.T) {
	for _, kt := range KeyTypes() {
		t.Run(string(kt), func(t *testing.T) {
			issuer := belowOf(t, newRoot(t, rootSpec()), issuingSpec(), key(t, kt))
			leaf := must(issuer.Issue(t.Context(), workload(t))).Leaf()
			other := must(issuer.Issue(t.Context(), workload(t))).Leaf()
			if _, list := mustCRL(t, issuer); list.RevokedCertificateEntries != nil {
				t.Error("a list of nothing has entries, and not none (RFC 5280, Section 5.1.2.6)")
			}
			for n, c := range []*x509.Certificate{leaf, other} {
				if err := issuer.Revoke(t.Context(), c.SerialNumber, []Reason{KeyCompromise, Unspecified}[n]); err != nil {
					t.Fatal(err)
				}
			}
			crl, list := mustCRL(t, issuer)
			if !bytes.Equal(list.RawIssuer, issuer.Certificate.RawSubject) || !bytes.Equal(list.AuthorityKeyId, issuer.Certificate.SubjectKeyId) {
				t.Error("it is not its issuer's")
			}
			if !list.ThisUpdate.Equal(now) || !list.NextUpdate.Equal(now.Add(7*day)) {
				t.Errorf("from %s until %s", list.ThisUpdate, list.NextUpdate)
			}
			first, second := list.RevokedCertificateEntries[0], list.RevokedCertificateEntries[1]
			if first.SerialNumber.Cmp(leaf.SerialNumber) != 0 || first.ReasonCode != 1 || !first.RevocationTime.Equal(now) || len(first.Extensions) != 1 {
				t.Errorf("the first entry is %+v", first)
			}
			if second.ReasonCode != 0 || len(second.Extensions) != 0 {
				t.Error("the reason unspecified is said (RFC 5280, Section 5.3.1)")
			}
			ledger := issuer.Ledger.(*memory)
			want := Entry{Kind: KindCRL, At: now, Issuer: "CN=Test issuing CA", IssuerKey: hex.EncodeToString(issuer.Certificate.SubjectKeyId),
				NotAfter: now.Add(7 * day), Number: crl.Number.String(), SHA256: crl.SHA256()}
			if got := ledger.entries[len(ledger.entries)-1]; got.Number != want.Number || got.SHA256 != want.SHA256 || got.IssuerKey != want.IssuerKey || got.Kind != KindCRL || !got.NotAfter.Equal(want.NotAfter) {
				t.Errorf("recorded %+v; want %+v", got, want)
			}
		})
	}
}

// TestCRLIsWhatX509Makes compares byte by byte: Ed25519 signs the same twice.
func TestCRLIsWhatX509Makes(t *testing.T) {
	serials := []string{"01", "7f", "80", "ff", "0100", "8000", "7fffffffffffffffffffffffffffffffffffffff", "80ffffffffffffffffffffffffffffffffffff", strings.Repeat("5a", 16)}
	moments := []time.Time{now, time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, count := range []int{0, 1, 2, 3, len(serials), judgeAtOnce, judgeAtOnce + 1} {
		issuer := belowOf(t, newRoot(t, rootSpec()), issuingSpec(), key(t, Ed25519))
		var want []x509.RevocationListEntry
		for n := range count {
			serial := FormatSerial(big.NewInt(int64(n) + 1<<40))
			if n < len(serials) {
				serial = serials[n]
			}
			reason := must(ParseReason(ReasonNames()[n%len(ReasonNames())]))
			at := moments[n%len(moments)]
			number, _ := new(big.Int).SetString(serial, 16)
			want = append(want, x509.RevocationListEntry{SerialNumber: number, RevocationTime: at, ReasonCode: int(reason)})
			if err := issuer.Ledger.Record(t.Context(), revocationOf(issuer, serial, reason, at, time.Time{})); err != nil {
				t.Fatal(err)
			}
		}
		crl, err := issuer.CRL(t.Context(), CRLOrder{NextUpdate: now.Add(day)})
		if err != nil {
			t.Fatalf("%d entries: %v", count, err)
		}
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: crl.Number, ThisUpdate: now, NextUpdate: now.Add(day),
			RevokedCertificateEntries: want}, issuer.Certificate, issuer.Signer)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(crl.DER, der) {
			t.Errorf("%d entries: it is not, octet by octet, what crypto/x509 makes", count)
		}
	}
}

func TestCRLNumbersNeverFall(t *testing.T) {
	issuer := newIssuer(t)
	at := now.Add(30 * day)
	issuer.Now = func() time.Time { return at }
	last := new(big.Int)
	for _, step := range []time.Duration{0, 0, 0, time.Millisecond, time.Hour, -day, -day, 3 * day} {
		at = at.Add(step)
		crl, _ := mustCRL(t, issuer)
		if crl.Number.Cmp(last) <= 0 {
			t.Errorf("after %s number %s follows %s", step, crl.Number, last)
		}
		last = crl.Number
	}
	// An older ledger, put back from a backup, knows none of these.
	issuer.Ledger = &memory{}
	at = at.Add(time.Second)
	if crl, _ := mustCRL(t, issuer); crl.Number.Cmp(last) <= 0 {
		t.Errorf("from an older ledger number %s follows %s", crl.Number, last)
	}
	// Another CA's numbers do not count.
	_ = issuer.Ledger.Record(t.Context(), Entry{Kind: KindCRL, IssuerKey: "ab", Number: "9" + last.String(), At: at})
	if crl, _ := mustCRL(t, issuer); crl.Number.Cmp(new(big.Int).Add(last, big.NewInt(10_000))) > 0 {
		t.Errorf("number %s was counted from another CA's", crl.Number)
	}
}

// TestCRLLeavesOutWhatIsOver: an entry goes only after a list that was issued
// beyond the certificate's end has had it (RFC 5280, Section 5).
func TestCRLLeavesOutWhatIsOver(t *testing.T) {
	issuer := newIssuer(t)
	at := now
	issuer.Now = func() time.Time { return at }
	end := now.Add(10 * day)
	for serial, e := range map[string]time.Time{"01": end, "02": {}, "03": end.Add(100 * day)} {
		_ = issuer.Ledger.Record(t.Context(), revocationOf(issuer, serial, Superseded, now, e))
	}
	for _, step := range []struct {
		at   time.Time
		want int
	}{
		{now, 3},
		{end.Add(-time.Second), 3},
		{end.Add(3 * day), 3}, // the first one beyond its end
		{end.Add(3*day + time.Second), 2},
		{end.Add(200 * day), 2},
		{end.Add(201 * day), 1},
	} {
		at = step.at
		if crl, _ := mustCRL(t, issuer); crl.Entries != step.want {
			t.Errorf("at %s: %d entries, want %d", at, crl.Entries, step.want)
		}
	}
	// One that is revoked after its end is named once, too.
	_ = issuer.Ledger.Record(t.Context(), revocationOf(issuer, "04", KeyCompromise, at.Add(time.Second), end))
	for want := 2; want > 0; want-- {
		at = at.Add(day)
		if crl, _ := mustCRL(t, issuer); crl.Entries != want {
			t.Errorf("%d entries, want %d", crl.Entries, want)
		}
	}
}

func TestCRLHasItsOwnAndTheGravestReason(t *testing.T) {
	issuer := newIssuer(t)
	for _, e := range []Entry{
		revocationOf(issuer, "01", Superseded, now, time.Time{}),
		revocationOf(issuer, "01", KeyCompromise, now.Add(time.Hour), time.Time{}),
		revocationOf(issuer, "01", Superseded, now.Add(2*time.Hour), time.Time{}),
		{Kind: KindRevocation, At: now, Serial: "02", IssuerKey: "ab"},
		{Kind: KindLeaf, At: now, Serial: "03", IssuerKey: hex.EncodeToString(issuer.Certificate.SubjectKeyId)},
	} {
		_ = issuer.Ledger.Record(t.Context(), e)
	}
	_, list := mustCRL(t, issuer)
	if len(list.RevokedCertificateEntries) != 1 {
		t.Fatalf("%d entries", len(list.RevokedCertificateEntries))
	}
	if e := list.RevokedCertificateEntries[0]; e.ReasonCode != 1 || !e.RevocationTime.Equal(now) {
		t.Errorf("the entry is %+v", e)
	}
}

func TestCRLIsRefused(t *testing.T) {
	unable := newIssuer(t)
	cert := *unable.Certificate
	cert.KeyUsage = x509.KeyUsageCertSign
	unable.Certificate = &cert
	expired := newIssuer(t)
	expired.Now = func() time.Time { return expired.Certificate.NotAfter }
	anonymous := newIssuer(t)
	nameless := *anonymous.Certificate
	nameless.SubjectKeyId = nil
	anonymous.Certificate = &nameless
	for citation, issuer := range map[string]*Issuer{"RFC 5280, Section 4.2.1.3": unable, "RFC 5280, Section 6.3.3": expired, "RFC 5280, Section 5.2.1": anonymous} {
		before := signed(issuer)
		_, err := issuer.CRL(t.Context(), CRLOrder{NextUpdate: issuer.Now().Add(day)})
		if r := refusal(t, "a CRL", err); r != nil && r.Citation != citation {
			t.Errorf("cites %s, want %s", r.Citation, citation)
		}
		if signed(issuer) != before {
			t.Error("something was signed")
		}
	}
	early := newIssuer(t)
	early.Now = func() time.Time { return early.Certificate.NotBefore.Add(-time.Second) }
	_, err := early.CRL(t.Context(), CRLOrder{NextUpdate: now.Add(day)})
	asValidity(t, "a CA that is not valid yet", err)
	_, err = newIssuer(t).CRL(t.Context(), CRLOrder{NextUpdate: now})
	asValidity(t, "a list without time", err)
}

func TestCRLTakesThePlaceOfItsOwn(t *testing.T) {
	issuer := newIssuer(t)
	first, _ := mustCRL(t, issuer)
	if _, err := issuer.CRL(t.Context(), CRLOrder{NextUpdate: now.Add(day), Replaces: first.SHA256()}); err != nil {
		t.Errorf("its own list: %v", err)
	}
	another := newIssuer(t)
	another.Ledger = issuer.Ledger
	before := signed(another)
	if _, err := another.CRL(t.Context(), CRLOrder{NextUpdate: now.Add(day), Replaces: first.SHA256()}); !errors.Is(err, ErrOtherCRL) || signed(another) != before {
		t.Errorf("another's list: %v; want ErrOtherCRL", err)
	}
}

func TestCRLTellsOfRevokedCAs(t *testing.T) {
	root := newRoot(t, rootSpec())
	issuer := below(t, root, issuingSpec())
	if crl, _ := mustCRL(t, issuer); len(crl.Above) != 0 {
		t.Errorf("nobody is revoked, and it tells of %+v", crl.Above)
	}
	if err := root.Revoke(t.Context(), issuer.Certificate.SerialNumber, CACompromise); err != nil {
		t.Fatal(err)
	}
	crl, _ := mustCRL(t, issuer)
	if len(crl.Above) != 1 || crl.Above[0].Reason != "cACompromise" || crl.Entries != 0 {
		t.Errorf("%d entries, above %+v", crl.Entries, crl.Above)
	}
}

func TestCRLIsRecordedFirst(t *testing.T) {
	full, broken := errors.New("the disk is full"), errors.New("a line was changed")
	for name, ledger := range map[string]*memory{
		"record": {record: func(context.Context, Entry) error { return full }},
		"read":   {listed: broken},
	} {
		issuer := newIssuer(t)
		issuer.Ledger = ledger
		crl, err := issuer.CRL(t.Context(), CRLOrder{NextUpdate: now.Add(day)})
		if crl != nil || !errors.Is(err, full) && !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		readsWell(t, err)
	}
	for _, e := range []Entry{
		{Kind: KindCRL, Number: "x"}, {Kind: KindCRL, Number: "-1"}, {Kind: KindCRL, Number: strings.Repeat("9", 60)},
		{Kind: KindRevocation, Serial: "zz"}, {Kind: KindRevocation}, {Kind: KindRevocation, Serial: strings.Repeat("01", 21)},
	} {
		issuer := newIssuer(t)
		e.IssuerKey = hex.EncodeToString(issuer.Certificate.SubjectKeyId)
		_ = issuer.Ledger.Record(t.Context(), e)
		before := signed(issuer)
		if _, err := issuer.CRL(t.Context(), CRLOrder{NextUpdate: now.Add(day)}); err == nil || signed(issuer) != before {
			t.Errorf("%+v: %v", e, err)
		} else {
			readsWell(t, err)
		}
	}
}

// TestCRLIsJudged: an encoder that errs is noticed before anything is signed.
func TestCRLIsJudged(t *testing.T) {
	issuer := newIssuer(t)
	frame, err := issuer.crlFrame(&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(day)})
	if err != nil {
		t.Fatal(err)
	}
	right := ending{reason: KeyCompromise, at: now.Unix()}
	right.serial[19] = 7
	if err := frame.judge(appendEntry(nil, right), []ending{right}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ending){
		"serial": func(e *ending) { e.serial[19]++ }, "time": func(e *ending) { e.at++ }, "reason": func(e *ending) { e.reason = Superseded },
	} {
		wrong := right
		change(&wrong)
		if err := frame.judge(appendEntry(nil, wrong), []ending{right}); err == nil {
			t.Errorf("a wrong %s is not noticed", name)
		}
	}
	for _, entries := range [][]byte{nil, {0x30}, appendEntry(appendEntry(nil, right), right)} {
		if err := frame.judge(entries, []ending{right}); err == nil {
			t.Errorf("%x is taken for one entry", entries)
		}
	}
}

// FuzzCRLEntry: whatever is encoded is read back as it was.
func FuzzCRLEntry(f *testing.F) {
	f.Add([]byte{1}, int64(0), 1)
	f.Add([]byte{0x80, 0}, int64(2524608000), 0)
	f.Add(bytes.Repeat([]byte{0xff}, 19), int64(-631152000), 10)
	issuer := newIssuer(f)
	frame, err := issuer.crlFrame(&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(day)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, serial []byte, at int64, reason int) {
		e := ending{reason: Reason(reason), at: at}
		if len(serial) > len(e.serial) || !e.reason.Known() || at < -62135596800 || at > 253402300799 {
			return
		}
		copy(e.serial[len(e.serial)-len(serial):], serial)
		if err := frame.judge(appendEntry(nil, e), []ending{e}); err != nil && e.serial != [20]byte{} {
			t.Fatal(err)
		}
	})
}
