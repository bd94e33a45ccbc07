package renew

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// FuzzJournal: whatever has become of the journal of a service, a pass leaves a
// matching pair in its place, and a journal that cannot be read as it is.
func FuzzJournal(f *testing.F) {
	for _, seed := range []string{"", "null", "{}", `{"schema":"meshpki/renewal/v1","target":"payment.default"}`,
		`{"schema":"meshpki/renewal/v1","target":"payment.default","chain":["AAAA"],"key":"AAAA"}`,
		`{"schema":"meshpki/renewal/v1","target":"payment.default","csr":"AAAA","resume":"AAAA","notAfter":"2026-12-21T12:00:00Z"}`,
		`{"schema":"meshpki/renewal/v1","target":"payment.default","failures":-1,"next":"0001-01-01T00:00:00Z"}`} {
		f.Add(uint16(0), []byte(seed))
	}
	for at := uint16(60); at < 2400; at += 180 {
		f.Add(at, []byte("A"))
		f.Add(at, []byte(`","again":true,"problem":"`))
	}
	f.Fuzz(func(t *testing.T, at uint16, data []byte) {
		w := newWorld(t)
		place := memory.NewStore("place")
		target := w.target("payment", place)
		want(t, w.one(target), StandsRenewed)
		leaf, key := pairIn(t, place)
		m := &memo{Schema: memoSchema, Target: target.Name, Reason: "it is due", Begun: begin}
		if err := m.hold(&issue.Credential{Chain: []*x509.Certificate{leaf, w.issuer.Certificate}, Roots: w.roots, Key: key}, true); err != nil {
			t.Fatal(err)
		}
		journal, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		switch n := int(at); {
		case n == 0:
			journal = data
		case n < len(journal): // written over
			journal = slices.Concat(journal[:n], data, journal[min(len(journal), n+len(data)):])
		}
		w.notes.kept[target.key()] = journal
		w.now = begin.Add(time.Hour)
		r := w.one(target)
		if errors.Is(r.Err, ErrJournal) && string(w.notes.kept[target.key()]) != string(journal) {
			t.Errorf("the journal was changed, and it is said: %v", r.Err)
		}
		if leaf, key := pairIn(t, place); !pemfile.SamePublicKey(leaf.PublicKey, key.Public()) {
			t.Errorf("the key in place is not the certificate's: %s, %v", r.Standing, r.Err)
		}
	})
}

// FuzzReport: the record of a pass is read as it was written, or named.
func FuzzReport(f *testing.F) {
	for _, seed := range []string{"", "null", "{}", `{"ended":"2026-11-21T12:00:00Z"}`, `{"ended":"2026-11-21T12:00:00Z"}{}`,
		`{"began":"x"}`, `{"ended":"2026-11-21T12:00:00Z","listed":-1,"targets":1e9,"standings":{"?":-1},"failing":[""]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := &notes{kept: map[string][]byte{reportName: data}}
		r, err := LastReport(t.Context(), n)
		if err != nil {
			return
		}
		if r.Ended.IsZero() || !json.Valid(data) {
			t.Fatalf("%q was read as %+v", data, r)
		}
		_ = Troubles(r, 1, time.Hour, begin)
		if err := r.Save(t.Context(), n); err != nil {
			return // a year that JSON cannot say
		}
		if _, err := LastReport(t.Context(), n); err != nil {
			t.Fatalf("it was saved, and is not read again: %v", err)
		}
	})
}
