package renew

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// wholes is a place that remembers how many replaced sets were to stay whole.
type wholes struct {
	*memory.Store
	asked []int
}

func (p *wholes) Save(ctx context.Context, s issue.Set, was issue.Version) (issue.Version, error) {
	p.asked = append(p.asked, max(1, s.Whole))
	return p.Store.Save(ctx, s, was)
}

// What was replaced stays whole until the next renewal or, if that comes sooner, for
// an hour after its successor was served.
func TestReplacedSetsStayWhole(t *testing.T) {
	w := newWorld(t)
	place := &wholes{Store: memory.NewStore("place")}
	target := w.target("payment", place)
	for _, later := range []time.Duration{0, time.Minute, 2 * time.Hour} {
		w.now = w.now.Add(later)
		want(t, w.run(Options{Force: true}, target)[target.Name], StandsRenewed)
	}
	if !slices.Equal(place.asked, []int{1, 2, 1}) {
		t.Errorf("whole sets: %v, want one more only where the last was served a minute ago", place.asked)
	}
}

// An order that has changed is not kept waiting by what is on its way for the old one.
func TestChangedOrderSupersedes(t *testing.T) {
	w := newWorld(t)
	good, bad := memory.NewStore("good"), &broken{memory.NewStore("bad"), errors.New("it is away")}
	target := w.target("payment", good, bad)
	want(t, w.one(target), StandsPending)
	target.Record.DNS = []string{"payment.example.com"}
	want(t, w.one(target), StandsPending)
	leaf, _ := pairIn(t, good)
	if !slices.Contains(leaf.DNSNames, "payment.example.com") {
		t.Errorf("it has %v", leaf.DNSNames)
	}
	want(t, w.one(target), StandsPending) // the same one again
	bad.err = nil
	want(t, w.one(target), StandsRenewed)
	if got, _ := pairIn(t, bad); !got.Equal(leaf) || w.leaves() != 2 {
		t.Errorf("%d certificates were signed", w.leaves())
	}
}

// Who is interrupted between the signing and the places loses nothing.
func TestInterruptedFinishesTheSwap(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancelCause(t.Context())
	w.opened = stopping{w.issuer, stop}
	place := memory.NewStore("place")
	target := w.target("payment", place)
	err := w.Pass(ctx, of([]*Target{target}), Options{})
	if !errors.Is(err, errStopped) {
		t.Errorf("error %v", err)
	}
	w.opened = w.issuer
	r := w.one(target)
	if w.leaves() != 1 || !r.Standing.Good() {
		t.Errorf("%d certificates were signed; it stands %s: %v", w.leaves(), r.Standing, r.Err)
	}
}

var errStopped = errors.New("told to stop")

// stopping is an authority that is no sooner done than the process is told to stop.
type stopping struct {
	*ca.Issuer
	stop context.CancelCauseFunc
}

func (s stopping) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	chain, err := s.Issuer.Issue(ctx, req)
	s.stop(errStopped)
	return chain, err
}

// A certificate in which a byte of the signature was changed can still be read, and
// has its key: that it is not what was signed is seen all the same.
func TestChangedSignatureIsSeen(t *testing.T) {
	w := newWorld(t)
	a, b := memory.NewStore("a"), memory.NewStore("b")
	target := w.target("payment", a, b)
	want(t, w.one(target), StandsRenewed)
	good, _ := pairIn(t, a)
	spoil(t, a)
	r := w.one(target)
	want(t, r, StandsAgain) // the other place has it whole
	if leaf, _ := pairIn(t, a); !leaf.Equal(good) || w.leaves() != 1 {
		t.Errorf("it was not given what the other place has: %s", r.Reason)
	}
	spoil(t, a)
	spoil(t, b)
	if r := w.one(target); r.Standing != StandsRenewed || r.Decision.Check != "mismatch" {
		t.Errorf("with both changed it stands %s: %s, %v", r.Standing, r.Reason, r.Err)
	}
	want(t, w.one(target), StandsFresh)
}

// spoil changes the last byte of the leaf that a place keeps.
func spoil(t *testing.T, s *memory.Store) {
	t.Helper()
	set, version, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(set.Files["tls.crt"].Data)
	block.Bytes[len(block.Bytes)-1] ^= 1
	set.Files["tls.crt"] = issue.File{Data: append(pem.EncodeToMemory(block), rest...)}
	if _, err := s.Save(t.Context(), set, version); err != nil {
		t.Fatal(err)
	}
}

// silent is a place that does not answer when it is asked what is there.
type silent struct {
	*memory.Store
	err error
}

func (p *silent) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	if p.err != nil {
		return issue.Set{}, "", p.err
	}
	return p.Store.Load(ctx)
}

// What cannot be seen now because a place does not answer is no reason to have another
// certificate made: what is in use may be whole.
func TestSilentPlaceCostsNoCertificate(t *testing.T) {
	w := newWorld(t)
	place := &silent{Store: memory.NewStore("place")}
	target := w.target("payment", place)
	want(t, w.one(target), StandsRenewed)
	place.err = fmt.Errorf("it does not answer: %w", ca.ErrAway)
	res := w.one(target)
	want(t, res, StandsFailed)
	if w.leaves() != 1 || !errors.Is(res.Err, ca.ErrAway) {
		t.Errorf("%d certificates were signed; %v", w.leaves(), res.Err)
	}
	place.err = nil
	want(t, w.one(target), StandsFresh)
}
