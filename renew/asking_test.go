package renew

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// slowly takes a second for each order, and counts how many it has at once.
type slowly struct {
	ca.Authority

	mu        sync.Mutex
	now, most int
}

var errSlow = errors.New("not today")

func (s *slowly) Issue(context.Context, ca.Request) (ca.Chain, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(time.Second)
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	return nil, errSlow
}

// However many are worked at once, an authority elsewhere has no more orders than it
// may; who waits for a turn stops waiting when the pass ends.
func TestAskingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := &slowly{}
		r := &Renewer{Asking: make(chan struct{}, 3)}
		began := time.Now()
		identity, err := ca.NewIdentity(ca.Names{DNS: []string{"payment.prod"}})
		if err != nil {
			t.Fatal(err)
		}
		profile, _ := ca.ProfileByName("server")
		order := issue.Order{Service: "payment", Identity: identity, Profile: profile, KeyType: ca.ECP256, Validity: ca.Validity{NotAfter: began.Add(time.Hour)}}
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if _, err := (&Errand{r: r, now: began}).obtain(t.Context(), authority, order); !errors.Is(err, errSlow) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); authority.most != 3 || took != 4*time.Second {
			t.Errorf("%d at once, in %s", authority.most, took)
		}
		for range 3 {
			r.Asking <- struct{}{}
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, err := (&Errand{r: r, now: began}).obtain(ctx, authority, order); !errors.Is(err, context.Canceled) {
			t.Errorf("nobody waits any more: %v", err)
		}
	})
}
