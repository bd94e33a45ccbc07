package guard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := Sleep(t.Context(), time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		stopped := errors.New("told to stop")
		ctx, stop := context.WithCancelCause(t.Context())
		stop(stopped)
		if err := Sleep(ctx, time.Hour); !errors.Is(err, stopped) || time.Since(began) != time.Hour {
			t.Errorf("stopped after %s: %v", time.Since(began), err)
		}
	})
}
