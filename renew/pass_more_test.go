package renew

import (
	"context"
	"errors"
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
