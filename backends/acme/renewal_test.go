package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// window answers renewal information: a window so long after the start, for an hour.
func window(from time.Duration, retry int) func(string) (int, string, string) {
	return func(string) (int, string, string) {
		at := start.Add(from)
		return 200, fmt.Sprint(retry), fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q},"explanationURL":"https://acme.example.com/why"}`,
			at.Format(time.RFC3339), at.Add(time.Hour).Format(time.RFC3339))
	}
}

// Renewal information is asked for as often as the server wants, over all runs, and
// what it said last counts where it does not answer.
func TestRenewal(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	now := start
	s.renewal = window(10*time.Hour, 3600)
	a := s.authority(t, nil)
	a.options.Now = func() time.Time { return now }
	leaf := want(t, a, order(t, "payment.example.com")).Leaf()
	outlook := func() func() ca.RenewalWindow {
		out, err := Outlook(t.Context(), a.directory, backends.Options{Dir: a.options.Dir, Now: a.options.Now, Settings: &a.settings})
		if err != nil || len(out.Roots) != 1 {
			t.Fatalf("%d roots, %v", len(out.Roots), err)
		}
		return func() ca.RenewalWindow { return out.Renewal(t.Context(), leaf) }
	}
	asked := s.count("GET renewal/")
	expect := func(what string, w ca.RenewalWindow, from time.Duration, more int) {
		t.Helper()
		asked += more
		if !w.Start.Equal(start.Add(from)) || w.End.Sub(w.Start) != time.Hour || w.Explanation != "https://acme.example.com/why" || s.count("GET renewal/") != asked {
			t.Errorf("%s: %v, asked %d times, want %d", what, w, s.count("GET renewal/"), asked)
		}
	}
	expect("the first time", outlook()(), 10*time.Hour, 1)
	now = now.Add(59 * time.Minute)
	expect("before it is to be asked again", outlook()(), 10*time.Hour, 0)
	now = now.Add(time.Minute)
	s.renewal = window(-time.Hour, 600)
	expect("then", outlook()(), -time.Hour, 1)
	now = now.Add(10 * time.Minute)
	s.renewal = func(string) (int, string, string) { return 503, "", "" }
	again := outlook()
	expect("away", again(), -time.Hour, 1)
	expect("away, the next target of that run", again(), -time.Hour, 0)
	now = now.Add(30 * time.Minute)
	expect("away, in the next run", outlook()(), -time.Hour, 0)

	a.forget(leaf)
	s.renewal = func(string) (int, string, string) { return 503, "7200", "" }
	now = now.Add(askedAgain)
	asked++
	for _, later := range []time.Duration{0, 119 * time.Minute} {
		now = now.Add(later)
		if w := outlook()(); !w.IsZero() || s.count("GET renewal/") != asked {
			t.Errorf("away for two hours, %s later: %v, asked %d times, want %d", later, w, s.count("GET renewal/"), asked)
		}
	}
	for name, answer := range map[string]string{
		"no JSON": "<html>", "no window": "{}", "ends before it begins": `{"suggestedWindow":{"start":"2026-11-21T12:00:00Z","end":"2026-11-21T11:00:00Z"}}`,
	} {
		now = now.Add(2 * askedAgain)
		s.renewal = func(string) (int, string, string) { return 200, "", answer }
		if w := outlook()(); !w.IsZero() {
			t.Errorf("%s: it suggests %v", name, w)
		}
	}
	s.renewal = func(string) (int, string, string) { return 404, "", "" }
	now = now.Add(2 * askedAgain)
	if w := outlook()(); !w.IsZero() {
		t.Errorf("of a certificate that it does not know it suggests %v", w)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"": askedUsually, "3600": time.Hour, "1": askedSoonest, "-5": askedSoonest, "999999": askedLatest, "99999999999999": askedUsually, "soon": askedUsually,
		start.Add(2 * time.Hour).Format("Mon, 02 Jan 2006 15:04:05 GMT"): 2 * time.Hour,
	} {
		if got := retryAfter(header, start, askedUsually).Sub(start); got != want {
			t.Errorf("%q: again after %s, want %s", header, got, want)
		}
	}
}

// A renewal says what it replaces, once: where that has been replaced already, the
// order is placed without it. Without renewal information nothing is said.
func TestReplaces(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(s *server)
		orders int
		said   bool
	}{
		"replaced":         {func(*server) {}, 2, true},
		"already replaced": {func(s *server) { s.alreadyTaken = true }, 2, false},
		"not known there":  {func(s *server) { s.renewal = nil }, 2, false},
	} {
		s := newServer(t)
		s.renewal = window(time.Hour, 3600)
		test.change(s)
		a := s.authority(t, nil)
		first := want(t, a, order(t, "payment.example.com")).Leaf()
		a.renewal(t.Context(), first)
		o := order(t, "payment.example.com")
		o.Replaces = first
		want(t, a, o)
		if len(s.orders) != test.orders || (s.orders[1].replaces != "") != test.said {
			t.Errorf("%s: %d orders, the second replaces %q", name, len(s.orders), s.orders[1].replaces)
		}
		left, err := os.ReadDir(a.options.Dir + "/cache/acme")
		if err != nil && !errors.Is(err, os.ErrNotExist) || len(left) != 0 {
			t.Errorf("%s: what was replaced is still remembered: %v, %v", name, left, err)
		}
	}
}

// A server that is slow with renewal information holds up no one whose time is over.
func TestRenewalInterrupted(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.renewal = window(time.Hour, 3600)
	a := s.authority(t, nil)
	leaf := want(t, a, order(t, "payment.example.com")).Leaf()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if w := a.renewal(ctx, leaf); !w.IsZero() {
		t.Errorf("it suggests %v", w)
	}
	if w := a.renewal(t.Context(), leaf); w.IsZero() {
		t.Error("an interrupted request is remembered as an answer")
	}
}

// A server that does not answer holds up a run once, for all of its certificates, and
// the next runs not at all; one that is slow, for no longer than a run may spend on it.
func TestRenewalFromABrokenServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ended := make(chan struct{})
	defer close(ended)
	s.renewal = window(time.Hour, 3600)
	a := s.authority(t, nil)
	var leaves []*x509.Certificate
	for range 3 {
		leaves = append(leaves, want(t, a, order(t, "payment.example.com")).Leaf())
	}
	hung := newServer(t)
	hung.renewal = window(time.Hour, 3600)
	hung.hangs = ended
	open := func(change func(*Authority)) *Authority {
		return hung.authority(t, func(b *Authority) {
			b.options.Dir, b.infoTime = a.options.Dir, 200*time.Millisecond
			if change != nil {
				change(b)
			}
		})
	}
	b := open(nil)
	want(t, b, order(t, "payment.example.com"))
	if n := hung.count("GET renewal/"); n != 0 {
		t.Errorf("an order had it asked %d times", n)
	}
	var all sync.WaitGroup
	for range 4 {
		for _, leaf := range leaves {
			all.Go(func() {
				if w := b.renewal(t.Context(), leaf); !w.IsZero() {
					t.Errorf("it suggests %v", w)
				}
			})
		}
	}
	all.Wait()
	open(nil).renewal(t.Context(), leaves[1])
	if n := hung.count("GET renewal/"); n != 1 {
		t.Errorf("one that does not answer was asked %d times", n)
	}
	// Slow: each answer takes six seconds of a run that has ten for it.
	clock := start.Add(2 * askedAgain)
	slow := s.authority(t, func(b *Authority) {
		b.options.Now = func() time.Time { clock = clock.Add(6 * time.Second); return clock }
	})
	before := s.count("GET renewal/")
	for _, leaf := range leaves {
		slow.renewal(t.Context(), leaf)
	}
	slow.renewal(t.Context(), want(t, a, order(t, "ledger.example.com")).Leaf())
	if n := s.count("GET renewal/") - before; n != 2 {
		t.Errorf("one that is slow was asked %d times", n)
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for profile, test := range map[string]struct {
		offered map[string]string
		want    string
	}{
		"short":  {map[string]string{"short": "6 days", "long": "90 days"}, ""},
		"medium": {map[string]string{"short": "6 days", "long\x1b": "90 days"}, `profile "medium" is refused: ` + s.url("directory") + ` has long\x1b, short`},
		"any":    {nil, "has no profiles: leave it out"},
	} {
		s := newServer(t)
		s.profiles = test.offered
		a := s.authority(t, func(a *Authority) { a.settings.Profile = profile })
		_, err := obtain(t, a, order(t, "payment.example.com"))
		switch {
		case test.want == "" && (err != nil || s.orders[0].profile != profile):
			t.Errorf("%s: error %v", profile, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), strings.Split(test.want, "https")[0])):
			t.Errorf("%s: error %v", profile, err)
		}
	}
}

// The end is the server's where none was asked for; one that was asked for is sent,
// and a server that takes none says so.
func TestEnd(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if c := want(t, s.authority(t, nil), order(t, "payment.example.com")); !c.Leaf().NotAfter.Equal(start.Add(90 * 24 * time.Hour)) {
		t.Errorf("by default it ends %s", c.Leaf().NotAfter)
	}
	o := order(t, "payment.example.com")
	o.Validity = ca.Validity{NotAfter: start.Add(48 * time.Hour)}
	if c := want(t, s.authority(t, nil), o); !c.Leaf().NotAfter.Equal(o.Validity.NotAfter) {
		t.Errorf("it ends %s", c.Leaf().NotAfter)
	}
	s = newServer(t)
	s.ownEnd = true
	_, err := obtain(t, s.authority(t, nil), o)
	if r, refused := ca.IsRefusal(err); !refused || !strings.Contains(r.Why, "leave the validity out") {
		t.Errorf("error %v", err)
	}
}

// A subject that repeats a name is the server's to make.
func TestSubject(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.commonNames = true
	c := want(t, s.authority(t, nil), order(t, "payment.example.com"))
	if c.Leaf().Subject.CommonName != "payment.example.com" || len(c.Tolerated) > 0 {
		t.Errorf("the subject is %s, tolerated %v", c.Leaf().Subject, c.Tolerated)
	}
	other := *c.Leaf()
	other.DNSNames = []string{"ledger.example.com"}
	if checkSubject(&other) == nil {
		t.Error("a subject that names somebody else is taken")
	}
}

var _ ca.Decider = (*Authority)(nil)
var _ ca.Explainer = (*Authority)(nil)

func TestExplain(t *testing.T) {
	t.Parallel()
	a := &Authority{}
	for _, part := range []string{issue.PartEKU, issue.PartUsage, issue.PartEnd} {
		if cause, _ := a.Explain(t.Context(), part); cause == "" {
			t.Errorf("nothing is said of %s", part)
		}
	}
}
