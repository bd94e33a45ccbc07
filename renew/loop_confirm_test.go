package renew

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// What is not served is looked for again a second after the look before has ended,
// however long that took, and when it becomes an alarm is known from the start.
func TestLoopLooksAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t)
		target := w.add(t, "unseen", day, "local")
		target.Confirm = &Confirm{Endpoint: "a:1", Within: time.Minute, Settle: 5 * time.Second,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("nobody is there")
			}}
		begun := w.now()
		r := w.run(t)
		s := r.after(8*time.Second, "unseen")
		if s.Standing != StandsPending || s.AlarmAt.Before(begun.Add(time.Minute)) || s.AlarmAt.After(begun.Add(90*time.Second)) {
			t.Errorf("it is %s, an alarm at %s", s.Standing, s.AlarmAt)
		}
		if n := w.told(EventConfirm); n < 2 || n > 4 {
			t.Errorf("it was looked for %d times in 8 s", n)
		}
		r.end()
	})
}
