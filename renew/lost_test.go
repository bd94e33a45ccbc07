package renew

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
)

// forgetful is an authority elsewhere that cannot tell what became of an order, as
// often as it is set to.
type forgetful struct {
	*memory.Remote
	lost int
	keys map[string]int // how often each key was brought
}

func (f *forgetful) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	csr, err := x509.ParseCertificateRequest(req.CSR)
	if err != nil {
		return nil, err
	}
	if err := req.Pending([]byte("placed")); err != nil {
		return nil, err
	}
	f.keys[ca.KeyFingerprint(csr.RawSubjectPublicKeyInfo)]++
	if f.lost > 0 {
		f.lost--
		return nil, fmt.Errorf("asked for long ago: %w", ca.ErrLost)
	}
	req.Resume = nil
	return f.Remote.Issue(ctx, req)
}

// An order of which it cannot be known what became is given up for another, for
// another key, in the same pass: once, and the intents of both are on record.
func TestLostOrderIsPlacedAnew(t *testing.T) {
	for lost, stands := range map[int]Standing{1: StandsRenewed, 2: StandsFailed} {
		w := newWorld(t)
		far := &forgetful{Remote: &memory.Remote{Issuer: w.issuer}, lost: lost, keys: map[string]int{}}
		w.opened, w.Ledger = far, w.ledger
		place := memory.NewStore("place")
		target := w.target("payment", place)
		r := w.one(target)
		want(t, r, stands)
		if (stands == StandsFailed) != errors.Is(r.Err, ca.ErrLost) {
			t.Errorf("lost %d times: error %v", lost, r.Err)
		}
		if len(far.keys) != 2 {
			t.Errorf("lost %d times: %d keys were brought", lost, len(far.keys))
		}
		for key, n := range far.keys {
			if n != 1 {
				t.Errorf("lost %d times: key %s was brought %d times", lost, key, n)
			}
		}
		intents := map[string]bool{}
		for e, err := range w.ledger.Entries(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == ca.KindIntent {
				intents[e.Key] = true
			}
		}
		if len(intents) != 2 {
			t.Errorf("lost %d times: intents for %d keys", lost, len(intents))
		}
		if stands == StandsRenewed {
			leaf, _ := pairIn(t, place)
			if far.keys[ca.KeyFingerprint(leaf.RawSubjectPublicKeyInfo)] != 1 {
				t.Error("what is in use is for another key than was asked for")
			}
			want(t, w.one(target), StandsFresh)
		}
	}
}

// A crash may bring the journal of an order back that was answered and delivered. Its
// key is in use then, and a renewal is for a new one.
func TestAnsweredOrderIsNotPlacedAgain(t *testing.T) {
	w := newWorld(t)
	far := &forgetful{Remote: &memory.Remote{Issuer: w.issuer}, keys: map[string]int{}}
	w.opened, w.Ledger = far, w.ledger
	written := &lastWritten{Memory: w.Memory}
	w.Memory = written
	target := w.target("payment", memory.NewStore("place"))
	want(t, w.one(target), StandsRenewed)
	if len(written.data) == 0 {
		t.Fatal("nothing was journaled")
	}
	for _, o := range []Options{{}, {Force: true}} {
		if err := written.Memory.Write(t.Context(), written.name, written.data); err != nil {
			t.Fatal(err)
		}
		stands, keys := StandsFresh, 1
		if o.Force {
			stands, keys = StandsRenewed, 2
		}
		want(t, w.run(o, target)[target.Name], stands)
		if len(far.keys) != keys {
			t.Errorf("force %t: %d keys were brought, want %d", o.Force, len(far.keys), keys)
		}
		for key, n := range far.keys {
			if n != 1 {
				t.Errorf("force %t: key %s was brought %d times", o.Force, key, n)
			}
		}
		if names, err := written.Names(t.Context()); err != nil || len(names) > 0 {
			t.Errorf("force %t: a journal is left: %q, %v", o.Force, names, err)
		}
	}
}

// lastWritten remembers what was written last.
type lastWritten struct {
	Memory
	name string
	data []byte
}

func (m *lastWritten) Write(ctx context.Context, name string, data []byte) error {
	m.name, m.data = name, data
	return m.Memory.Write(ctx, name, data)
}
