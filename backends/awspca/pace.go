package awspca

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/meshpki/meshpki/ca"
)

// pace keeps one kind of request below what the account may ask in a second: a token
// bucket that all targets of an authority share. A throttled request halves its rate,
// each that is served gives a tenth of the full rate back. It is safe for concurrent
// use and must not be copied.
type pace struct {
	full float64 // requests a second; 0 is without limit
	turn chan struct{}

	mu      sync.Mutex
	limiter *rate.Limiter
	rate    float64
	epoch   int // of the rate: one halving for all that were on their way together
	waiting int
}

const (
	// slowest is the rate of an authority that throttles everything: one request a
	// minute finds out when that is over.
	slowest = 1.0 / 60
	// unlimited stands for the full rate where there is no limit and a throttled
	// request shows that there is one after all.
	unlimited = 100.0
	// patience is the longest wait for a turn while requests are throttled.
	patience = 4 * time.Minute
)

func newPace(full float64) *pace {
	p := &pace{full: full, rate: full, turn: make(chan struct{}, 1), limiter: rate.NewLimiter(rate.Inf, 1)}
	if full > 0 {
		p.limiter = rate.NewLimiter(rate.Limit(full), 1)
	}
	return p
}

// throttledError says that there is no turn to be had soon.
func throttledError() error {
	return fmt.Errorf("AWS Private CA throttles this account, so it is asked more slowly: %w", ca.ErrAway)
}

// wait waits for the turn of one request, and gives the epoch that it belongs to.
// While requests are throttled, those that would wait for long are sent away at once.
func (p *pace) wait(ctx context.Context) (epoch int, err error) {
	p.mu.Lock()
	if slow := p.rate < p.full || p.full == 0 && p.rate > 0; slow && float64(p.waiting+1)/p.rate > patience.Seconds() && p.waiting > 0 {
		p.mu.Unlock()
		return 0, throttledError()
	}
	p.waiting++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
	}()
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-p.turn }()
	if err := p.limiter.Wait(ctx); err != nil {
		if context.Cause(ctx) != nil {
			return 0, context.Cause(ctx)
		}
		return 0, throttledError() // the deadline comes before the turn
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch, nil
}

// throttled takes notice that a request of that epoch was throttled.
func (p *pace) throttled(epoch int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if epoch != p.epoch {
		return // it was on its way when the rate was halved
	}
	now := p.rate
	if now == 0 {
		now = unlimited
	}
	p.epoch++
	p.set(max(now/2, slowest))
}

// served takes notice that a request was carried out.
func (p *pace) served() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == p.full {
		return
	}
	full := p.full
	if full == 0 {
		full = unlimited
	}
	switch next := p.rate + full/10; {
	case next < full:
		p.set(next)
	case p.full == 0:
		p.rate = 0
		p.limiter.SetLimit(rate.Inf)
	default:
		p.set(full)
	}
}

// set changes the rate; p.mu is held.
func (p *pace) set(now float64) {
	p.rate = now
	p.limiter.SetLimit(rate.Limit(now))
}
