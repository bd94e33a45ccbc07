package renew

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"
	"time"
)

// Loop keeps everything under care renewed for as long as it runs. It looks at all of
// it now and then, remembers of each target when something is next to be done, and
// works those whose time has come. It goes by the wall clock, which it reads anew
// several times a minute: after a suspend, or when the clock was set, it does what is
// due then.
//
// Its exported fields do not change once Run is called.
type Loop struct {
	// Renewer does the work. Its Backoff should be set.
	Renewer *Renewer
	// Candidates gives what is under care as it is known now: everything, or the
	// targets of these names.
	Candidates func(ctx context.Context, names map[string]bool) (iter.Seq[Candidate], error)
	// Listed is how many services the manifest names. It may be nil.
	Listed func() int
	// World, if not nil, is a mark of what decisions go by besides the targets
	// themselves, such as the manifest and the CAs. When it changes, everything is read
	// and looked at again. It is taken at every tick and has to be cheap.
	World func(ctx context.Context) string
	// Reload, if not nil, reads the manifest again. After an error the one before is
	// kept; the error is told, and stands in the report.
	Reload func(ctx context.Context) error
	// Reloads asks for it, and for a look at everything. It may be nil, and is not closed.
	Reloads <-chan os.Signal
	// Beat, if not nil, is called at every tick, for as long as the work makes progress.
	Beat func()
	// Saved, if not nil, is told of each report.
	Saved func(Report)

	// Every is how often everything is looked at; zero is ten minutes, and more where a
	// look takes so long that it would keep the machine busy, up to an hour.
	Every time.Duration
	// Tick is how often the clock is read; zero is ten seconds.
	Tick time.Duration
	// Grace is how long work in hand may go on when the loop is to stop, and then once
	// more how long it may take to break it off; zero is ten seconds.
	Grace time.Duration

	saving sync.Mutex // keeps the reports in order; taken before mu

	mu      sync.Mutex
	targets map[string]*entry
	first   time.Time // when the next of them has its turn, unless stale
	stale   bool
	lanes   map[laneKey]*lane
	done    chan struct{} // a lane has ended
	report  Report        // the last one
	problem error         // of the manifest, which could not be read again
	seen    time.Time     // the latest moment that is known to have been
	stopped bool
	// Looks at everything: how many, when the last one began to be waited for on the
	// clock that cannot be set, how long it took, what kept it from being made, and
	// when and from when on the last good one was made.
	looks        int
	looked       time.Time
	cost         time.Duration
	failure      error
	began, ended time.Time

	// Of Run alone.
	wall, mono, start time.Time // at the last tick; at the start
	mark              string
	asked             bool // for the manifest to be read again
	again, retry      bool // a look is wanted; and what failed tried without waiting
	ready             bool
}

const (
	usualEvery, longestEvery = 10 * time.Minute, time.Hour
	usualTick                = 10 * time.Second
	usualGrace               = 10 * time.Second
	// rest is how many times as long as a look takes there is none: 0.05 % of a core.
	rest = 2000
	// settle is how long after a look the next one is made because the world changed.
	settle = 30 * time.Second
	// jump is how far the clock may be off before it is said to have been set.
	jump = time.Minute
	// patience is how long the start is waited for: systemd gives up after 90 s.
	patience = 30 * time.Second
	// stalled is how long a lane may say nothing before it is taken for stuck.
	stalled = 30 * time.Minute
)

// Run works until ctx ends. It then finishes what is in hand or, after a time of
// grace, breaks it off: the journal has it, and the next start goes on with it. It
// gives an error only if the very first look at everything cannot be made.
func (l *Loop) Run(ctx context.Context) error {
	hands, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	l.begin(ctx)
	for {
		l.tick()
		l.changes(ctx)
		l.look(ctx)
		l.work(hands)
		if err := l.firstFailure(); err != nil {
			l.stop(drop)
			return err
		}
		l.settled()
		if !l.wait(ctx) {
			if errors.Is(context.Cause(ctx), ErrLost) {
				drop()
			}
			l.stop(drop)
			return nil
		}
	}
}

// ErrLost as the cause of the context of Run breaks off at once what is in hand: another
// process does the work now.
var ErrLost = errors.New("the work is another's now")

func (l *Loop) begin(ctx context.Context) {
	l.targets, l.lanes, l.done = map[string]*entry{}, map[laneKey]*lane{}, make(chan struct{}, 1)
	l.start, l.again = time.Now(), true
	if l.World != nil {
		l.mark = l.World(ctx)
	}
	// Without the record of a pass there is nothing to hold the clock against; a
	// damaged one is replaced by the next.
	if last, err := LastReport(ctx, l.Renewer.Memory); err == nil {
		l.seen = last.Ended
	}
}

// tick reads the clocks. Time that passed on one of them only was slept through, or
// the clock was set: one that is set while we look on is taken to be right from then on.
func (l *Loop) tick() {
	wall, mono := l.now(), time.Now()
	off := wall.Sub(l.wall) - mono.Sub(l.mono)
	first := l.wall.IsZero()
	l.wall, l.mono = wall, mono
	if first || off.Abs() <= jump {
		return
	}
	l.again = true
	what := "the clock was set forward, or time was slept through: "
	if off < 0 {
		what = "the clock was set back: "
		l.mu.Lock()
		l.seen = earliest(l.seen, wall)
		l.mu.Unlock()
	}
	l.tell(EventClock, what+ago(off), nil)
}

// now is the wall clock without the monotonic one, which does not go on in a suspend.
func (l *Loop) now() time.Time { return l.Renewer.Now().Round(0) }

// changes reads the manifest again where the world has changed or somebody asks for it.
func (l *Loop) changes(ctx context.Context) {
	asked := l.asked
	l.asked = false
	if l.World != nil && !asked {
		// What our own work changes is seen as well, so not at once.
		if l.busy() {
			return
		}
		mark := l.World(ctx)
		asked, l.mark = mark != l.mark, mark
	}
	if !asked {
		return
	}
	l.tell(EventReloading, "", nil)
	var err error
	if l.Reload != nil {
		err = l.Reload(ctx)
	}
	if l.World != nil {
		l.mark = l.World(ctx)
	}
	l.mu.Lock()
	l.problem = err
	l.mu.Unlock()
	l.again, l.retry = true, err == nil
	l.tell(EventReloaded, "", err)
}

// busy tells whether everything was looked at so lately that it is not done again.
func (l *Loop) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.looks == 0 || l.mono.Sub(l.looked) < max(settle, 20*l.cost)
}

// settled is what a round ends with: the start is over once what was due has had its
// turn, and progress is told of.
func (l *Loop) settled() {
	l.mu.Lock()
	idle, stuck := len(l.lanes) == 0, false
	for _, n := range l.lanes {
		stuck = stuck || l.mono.Sub(n.told) > stalled
	}
	looked := !l.ended.IsZero()
	l.mu.Unlock()
	if !l.ready && looked && (idle || l.mono.Sub(l.start) > patience) {
		l.ready = true
		l.tell(EventReady, "", nil)
	}
	if l.Beat != nil && !stuck {
		l.Beat()
	}
}

// wait sleeps until something is to be done, for a tick at the most. It tells whether
// to go on.
func (l *Loop) wait(ctx context.Context) bool {
	timer := time.NewTimer(l.sleep())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-l.done:
	case <-l.Reloads:
		l.asked = true
	}
	return ctx.Err() == nil
}

// stop lets work in hand end, breaks it off where it does not, and leaves behind what
// does not end even so.
func (l *Loop) stop(drop context.CancelFunc) {
	l.tell(EventStopping, "", nil)
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	grace := l.Grace
	if grace == 0 {
		grace = usualGrace
	}
	if !l.idleWithin(grace) {
		drop()
		l.idleWithin(grace)
	}
}

func (l *Loop) idleWithin(d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	for {
		l.mu.Lock()
		idle := len(l.lanes) == 0
		l.mu.Unlock()
		if idle {
			return true
		}
		select {
		case <-l.done:
		case <-late.C:
			return false
		}
	}
}

// firstFailure is why the first look could not be made.
func (l *Loop) firstFailure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looks > 0 && l.ended.IsZero() && l.failure != nil {
		return fmt.Errorf("look at what is under care: %w", l.failure)
	}
	return nil
}

func (l *Loop) tell(kind EventKind, reason string, err error) {
	if l.Renewer.Emit != nil {
		l.Renewer.Emit(Event{At: l.now(), Kind: kind, Reason: reason, Err: err})
	}
}
