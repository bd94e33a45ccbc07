package vault

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// While Vault is away it is asked again after waits that grow, are never twice the same,
// and end with the patience there is; what it refuses is asked once, and a token that is
// refused is looked up once.
func TestPatience(t *testing.T) {
	ask := func(status int) (waits []time.Duration, f *fake, err error) {
		f = newFake(t, clock)
		a := f.open(t, backends.Vault{})
		a.client.sleep = func(_ context.Context, d time.Duration) error {
			waits = append(waits, d)
			return nil
		}
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/pki/sign/mesh" {
				return false
			}
			f.fail(w, status, "no")
			return true
		}
		_, err = issue.Obtain(t.Context(), a, order(t, time.Hour), start)
		return waits, f, err
	}
	first, f, err := ask(503)
	if !errors.Is(err, ca.ErrAway) || f.count("PUT pki/sign/mesh") != len(first)+1 || len(first) < 5 || len(first) > 20 {
		t.Errorf("%d calls with %d waits: %v", f.count("PUT pki/sign/mesh"), len(first), err)
	}
	sum := time.Duration(0)
	for i, d := range first {
		sum += d
		if longest := min(firstWait<<i, longestWait); d < longest/2 || d > longest {
			t.Errorf("wait %d is %s", i, d)
		}
	}
	if sum > patience {
		t.Errorf("it waited %s", sum)
	}
	if second, _, _ := ask(503); slices.Equal(first, second) {
		t.Errorf("twice the same waits: %v", first)
	}
	if waits, _, _ := ask(429); len(waits) == 0 || slices.Min(waits) < time.Second {
		t.Errorf("asked too often, it waits %v", waits)
	}
	for status, lookups := range map[int]int{400: 0, 403: 1, 404: 0, 405: 0} {
		waits, f, err := ask(status)
		if _, refused := ca.IsRefusal(err); !refused || len(waits) > 0 || f.count("PUT pki/sign/mesh") != 1 || f.count("GET auth/token/lookup-self") != lookups {
			t.Errorf("%d: %v after %v", status, err, f.calls)
		}
	}
}

// Who only looks does not wait long while Vault is away, and has nobody wait less who has
// something to be signed.
func TestGlance(t *testing.T) {
	f := newFake(t, clock)
	a := f.open(t, backends.Vault{})
	sum := time.Duration(0)
	a.client.sleep = func(_ context.Context, d time.Duration) error {
		sum += d
		return nil
	}
	f.before = func(w http.ResponseWriter, _ *http.Request) bool { f.fail(w, 503, "Vault is sealed"); return true }
	if _, err := a.Roots(t.Context()); !errors.Is(err, ca.ErrAway) || sum == 0 || sum > time.Second {
		t.Errorf("it waited %s: %v", sum, err)
	}
	sum = 0
	if _, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start); !errors.Is(err, ca.ErrAway) || sum < 10*time.Second {
		t.Errorf("with something to be signed it waited %s: %v", sum, err)
	}
}

// All who sign at one Vault share the limit that its environment sets, whatever token
// they have at the time.
func TestOneLimit(t *testing.T) {
	t.Setenv("VAULT_RATE_LIMIT", "5:7")
	f := newFake(t, clock)
	a := f.open(t, backends.Vault{})
	one, err := a.client.with("s.one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := a.client.with("s.two")
	if err != nil {
		t.Fatal(err)
	}
	if l := a.client.api.Limiter(); l == nil || l.Burst() != 7 || l.Limit() != 5 || one.Limiter() != l || two.Limiter() != l {
		t.Errorf("the limits are %v, %v and %v", l, one.Limiter(), two.Limiter())
	}
}

// A standby that does not pass requests on sends whoever asks to the active node: the
// request is the same there.
func TestSentOn(t *testing.T) {
	f := newFake(t, clock)
	a := f.open(t, backends.Vault{})
	sentOn := 0
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/pki/sign/mesh" || sentOn > 0 {
			return false
		}
		sentOn++
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	if _, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start); err != nil || sentOn != 1 {
		t.Errorf("sent on %d times: %v", sentOn, err)
	}
}

// A Vault that takes a request and does not answer, or stops in the middle of its answer,
// is away, once one try has taken as long as it may.
func TestStalled(t *testing.T) {
	for _, begun := range []bool{false, true} {
		f := newFake(t, clock)
		a := f.open(t, backends.Vault{})
		if _, err := a.Roots(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.client.timeout, a.client.patience = 50*time.Millisecond, 0
		end := make(chan struct{})
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/pki/sign/mesh" {
				return false
			}
			if begun {
				_, _ = w.Write([]byte(`{"data":{"certificate":`))
				_ = http.NewResponseController(w).Flush()
			}
			<-end
			return true
		}
		_, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start)
		close(end)
		if !errors.Is(err, ca.ErrAway) || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("begun %t: %v", begun, err)
		}
	}
}
