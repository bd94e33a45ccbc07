package renew

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// running is a loop that runs in a bubble.
type running struct {
	*mesh
	*Loop
	t    *testing.T
	hup  chan os.Signal
	stop context.CancelFunc
	over chan error
}

func (w *mesh) run(t *testing.T) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{w, w.newLoop(), t, make(chan os.Signal), stop, make(chan error, 1)}
	r.Reloads = r.hup
	go func() { r.over <- r.Run(ctx) }()
	return r
}

// end stops the loop, and gives how long it took.
func (r *running) end() time.Duration {
	r.t.Helper()
	began := time.Now()
	r.stop()
	if err := <-r.over; err != nil {
		r.t.Error(err)
	}
	return time.Since(began)
}

// after lets time go by, and gives how a target stands then.
func (r *running) after(d time.Duration, name string) Stands {
	r.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	for _, s := range r.All() {
		if s.Name == name+".year" {
			return s
		}
	}
	r.t.Fatalf("%s is not under care", name)
	return Stands{}
}

// An authority that hangs keeps nobody waiting but who asks it; and of those, not one
// that has not failed yet once the others have.
func TestLoopKeepsWhatHangsOutOfTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t)
		release := make(chan struct{})
		w.asked = func(ref string) {
			if ref == "vault:hangs" {
				<-release
			}
		}
		w.turn("vault:hangs", true)
		for i := range 300 {
			w.add(t, fmt.Sprintf("h%d", i), day, "vault:hangs")
		}
		w.add(t, "well", time.Hour, "local")
		r := w.run(t)
		if s := r.after(time.Minute, "well"); s.Standing != StandsRenewed {
			t.Errorf("what is well is %s: %s", s.Standing, s.Problem)
		}
		r.after(3*time.Hour, "well")
		if n := w.renewals("well.year"); n < 4 {
			t.Errorf("it was renewed %d times in three hours, and lives one", n)
		}
		close(release)
		r.after(time.Hour, "well") // now they fail
		w.mu.Lock()
		w.asked = func(string) { time.Sleep(time.Minute) } // and take their time about it
		w.mu.Unlock()
		w.add(t, "late", day, "vault:hangs")
		w.turn("vault:hangs", false)
		r.hup <- os.Interrupt
		if s := r.after(3*time.Minute, "late"); s.Standing != StandsRenewed {
			t.Errorf("one that has not failed is %s: %s", s.Standing, s.Problem)
		}
		r.end()
		time.Sleep(time.Hour) // what was left behind ends as well
	})
}

// What does not end when it is told to keeps the daemon for twice its grace.
func TestLoopStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t)
		release := make(chan struct{})
		w.asked = func(string) { <-release }
		w.add(t, "stuck", day, "vault:stuck")
		w.add(t, "well", day, "local")
		r := w.run(t)
		r.after(time.Minute, "well")
		if took := r.end(); took != 2*usualGrace {
			t.Errorf("it took %s to stop", took)
		}
		close(release)
		time.Sleep(time.Hour)
	})
}

// Once in a while is often enough for a place that keeps nothing as it is laid out.
func TestLoopIsNeverHot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t)
		target := w.add(t, "drifts", 90*day, "local")
		target.Places[0].Store = drifting{memory.NewStore("/srv/drifts")}
		r := w.run(t)
		r.after(day, "drifts")
		if n := w.told(EventDelivered); n < 3 || n > 20 {
			t.Errorf("it was laid out %d times in a day", n)
		}
		r.end()
	})
}

// drifting is a place whose files never have the mode that they should have.
type drifting struct{ *memory.Store }

func (drifting) Audit(context.Context, issue.Set) ([]string, error) {
	return []string{"tls.key has mode 0644 and should have 0600"}, nil
}

// A clock that is behind the last pass at the start is refused; one that is set back
// while we look on is not.
func TestLoopAndTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t)
		w.add(t, "payment", day, "local")
		r := w.run(t)
		r.after(time.Minute, "payment")
		w.set(30 * day)
		if s := r.after(time.Minute, "payment"); !s.Ends.After(w.now()) || w.renewals("payment.year") != 2 {
			t.Errorf("after a suspend: %+v", s)
		}
		w.set(-9 * time.Minute) // what was made begins before that
		if s := r.after(time.Minute, "payment"); !s.Standing.Good() {
			t.Errorf("set back: %+v", s)
		}
		w.add(t, "account", day, "local")
		r.hup <- os.Interrupt
		if s := r.after(time.Minute, "account"); s.Standing != StandsRenewed {
			t.Errorf("set back, another: %+v", s)
		}
		r.end()
		w.set(-300 * day)
		r = w.run(t)
		if s := r.after(time.Minute, "payment"); s.Standing != StandsFailed || !strings.Contains(s.Problem, "the clock is wrong") {
			t.Errorf("a clock of last year: %+v", s)
		}
		if last, err := LastReport(t.Context(), &w.memory); err != nil || last.Ended.Before(w.now()) {
			t.Errorf("a later pass was hidden by an earlier one: %+v, %v", last, err)
		}
		r.end()
	})
}

// A look that cannot be made at the start is an error; later it is reported.
func TestLoopWithoutALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t)
		w.add(t, "payment", day, "local")
		broken := errors.New("the revocations cannot be read")
		l := w.newLoop()
		l.Renewer.Revoked = func(context.Context) (ca.Revoked, error) { return ca.Revoked{}, broken }
		if err := l.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("the first look: %v", err)
		}
	})
}

func TestBackoff(t *testing.T) {
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, try := range []struct {
		f    Failure
		wait time.Duration // at most, and a fifth less at least
	}{
		{Failure{Count: 1, Ends: at.Add(90 * day)}, 30 * time.Second},
		{Failure{Count: 2, Ends: at.Add(90 * day)}, time.Minute},
		{Failure{Count: 50, Ends: at.Add(90 * day)}, time.Hour},
		{Failure{Count: 50, Ends: at.Add(20 * time.Minute)}, 2 * time.Minute},
		{Failure{Count: 50, Ends: at.Add(time.Second)}, soonest},
		{Failure{Count: 50, Ends: at.Add(-time.Second)}, endedRetry},
		{Failure{Count: 50}, endedRetry},
		{Failure{}, firstRetry},
		{Failure{Count: 1, Unserved: true, Ends: at.Add(-day)}, time.Second},
		{Failure{Count: 5, Unserved: true}, 16 * time.Second},
		{Failure{Count: 1 << 40, Unserved: true}, 15 * time.Minute},
	} {
		differ := map[time.Duration]bool{}
		for i := range 50 {
			f := try.f
			f.Target, f.Now = fmt.Sprintf("t%d", i), at
			wait := Backoff(f)
			differ[wait] = true
			if wait > try.wait || wait < try.wait/5*4 {
				t.Errorf("%+v: %s, not %s", f, wait, try.wait)
			}
		}
		if len(differ) < 10 {
			t.Errorf("%+v: all wait for the same time", try.f)
		}
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Limits{}
		began := time.Now()
		for range 1000 {
			if err := l.Allow(t.Context(), "local:issuing"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("an authority of our own was waited for: %s", took)
		}
		for range 120 {
			if err := l.Allow(t.Context(), "vault:pki/mesh"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began).Round(time.Second); took != 10*time.Second {
			t.Errorf("120 took %s: twenty at once, and ten a second", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Allow(ctx, "vault:pki/mesh"); !errors.Is(err, context.Canceled) {
			t.Errorf("nobody waits any more: %v", err)
		}
	})
}
