package memory_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/spiffeid"
	"github.com/meshpki/meshpki/issue"
)

var start = time.Date(2026, 11, 21, 21, 40, 0, 0, time.UTC)

func clock() time.Time { return start }

func TestStore(t *testing.T) {
	backendtest.TestStore(t, func(*testing.T) issue.Store { return memory.NewStore("memory") }, backendtest.StoreOptions{})
}

func TestLedger(t *testing.T) {
	backendtest.TestLedger(t, func(*testing.T) ca.Ledger { return &memory.Ledger{} }, backendtest.LedgerOptions{})
}

func newAuthority(t *testing.T, o memory.AuthorityOptions) *ca.Issuer {
	t.Helper()
	o.Now = clock
	a, err := memory.NewAuthority(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAuthority(t *testing.T) {
	backendtest.TestAuthority(t, func(t *testing.T) ca.Authority {
		return newAuthority(t, memory.AuthorityOptions{Validity: 30 * 24 * time.Hour})
	}, backendtest.AuthorityOptions{Now: clock, Longest: start.Add(30 * 24 * time.Hour)})
}

func TestConstrainedAuthority(t *testing.T) {
	td, err := spiffeid.ParseTrustDomain("cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	backendtest.TestAuthority(t, func(t *testing.T) ca.Authority {
		return newAuthority(t, memory.AuthorityOptions{KeyType: ca.Ed25519,
			Constraints: ca.Constraints{DNS: []string{"prod"}, URI: []spiffeid.TrustDomain{td}}})
	}, backendtest.AuthorityOptions{
		Now:      clock,
		KeyTypes: []ca.KeyType{ca.Ed25519},
		Names:    ca.Names{DNS: []string{"payment.prod"}, URI: []string{"spiffe://cluster.local/ns/prod/sa/payment"}},
		Refused:  ca.Names{DNS: []string{"payment.prod", "payment.dev"}},
	})
}

func TestRemote(t *testing.T) {
	backendtest.TestAuthority(t, func(t *testing.T) ca.Authority {
		return &memory.Remote{Issuer: newAuthority(t, memory.AuthorityOptions{})}
	}, backendtest.AuthorityOptions{Now: clock, KeyTypes: []ca.KeyType{ca.ECP256}, Idempotent: true, Resumes: true,
		Longest: start.Add(365 * 24 * time.Hour)})
}

// A caller that gives up while the service works finds its order again.
func TestRemoteWait(t *testing.T) {
	r := &memory.Remote{Issuer: newAuthority(t, memory.AuthorityOptions{})}
	ctx, cancel := context.WithCancel(t.Context())
	r.Wait = func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	}
	profile, err := ca.ProfileByName("")
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.NewIdentity(ca.Names{DNS: []string{"payment.prod"}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := issue.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	var resume []byte
	order := issue.Order{Identity: id, Profile: profile, Key: key, Validity: ca.Validity{NotAfter: start.Add(time.Hour)},
		Pending: func(r []byte) error { resume = r; return nil }}
	if _, err := issue.Obtain(ctx, r, order, start); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
	r.Wait, order.Resume = nil, resume
	if _, err := issue.Obtain(t.Context(), r, order, start); err != nil {
		t.Fatal(err)
	}
	leaves := 0
	for e, err := range r.Issuer.Ledger.Entries(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == ca.KindLeaf {
			leaves++
		}
	}
	if leaves != 1 {
		t.Errorf("%d certificates were signed for one order", leaves)
	}
}

func TestNewAuthorityRefuses(t *testing.T) {
	if _, err := memory.NewAuthority(t.Context(), memory.AuthorityOptions{Now: clock, KeyType: "dsa-512"}); err == nil {
		t.Error("a key type that is not known was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := memory.NewAuthority(ctx, memory.AuthorityOptions{Now: clock}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
