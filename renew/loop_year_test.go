package renew

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// year is what happens in it, and what has to hold.
type year struct {
	*mesh
	t       *testing.T
	ends    map[string]time.Time // of the last certificate that was signed, by target
	life    map[string]time.Duration
	backend map[string]string
	excuses []excuse
	last    map[string][]time.Time // the last calls of a backend
	most    int                    // calls within a second
	idler   int                    // the process whom hooks signal
	hups    chan os.Signal
	loop    *Loop
}

// excuse is a time in which certificates may end: nobody could have renewed them.
type excuse struct {
	backend     string // "" is every one
	from, until time.Time
}

// TestYear is a year of a daemon with a thousand targets, and everything that goes
// wrong in one: no certificate ends that could have been renewed, no authority is
// asked more often than need be, and every failure is in the report.
func TestYear(t *testing.T) {
	idler := startIdler(t)
	synctest.Test(t, func(t *testing.T) {
		y := &year{mesh: newMesh(t), t: t, ends: map[string]time.Time{}, life: map[string]time.Duration{}, backend: map[string]string{},
			last: map[string][]time.Time{}, idler: idler}
		y.asked, y.renewed = y.called, y.signed
		pid := filepath.Join(t.TempDir(), "pid")
		y.reloads(pid, true)
		y.people(pid)
		loop := y.newLoop()
		y.loop = loop
		loop.Tick, loop.Every = 5*time.Minute, 30*day
		y.hups = make(chan os.Signal)
		loop.Reloads = y.hups
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		over := make(chan error, 1)
		go func() { over <- loop.Run(ctx) }()
		y.live(pid)
		stop()
		if err := <-over; err != nil {
			t.Fatal(err)
		}
		for _, s := range loop.All() {
			if !s.Standing.Good() || !s.Ends.After(y.now()) {
				t.Errorf("at the end of the year %s is %s, until %s: %s", s.Name, s.Standing, s.Ends, s.Problem)
			}
		}
		y.frugal()
	})
}

// startIdler starts a process that takes signals and does nothing; 0 where there are none.
func startIdler(t *testing.T) int {
	if runtime.GOOS == "windows" {
		return 0
	}
	cmd := exec.Command("sleep", "3600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// people are the targets: few live an hour, most for weeks and months. Those that
// live an hour are there only while something goes wrong.
func (y *year) people(pid string) {
	for i := range 1000 {
		life := []time.Duration{90 * day, 60 * day, 90 * day, 90 * day, 90 * day, 90 * day, 90 * day, 30 * day, 90 * day, 90 * day}[i%10]
		switch {
		case i < 2:
			life = time.Hour
		case i < 3:
			life = 8 * time.Hour
		case i < 5:
			life = day
		case i < 12:
			life = 7 * day
		}
		var steps []Step
		if i%10 == 3 && y.idler != 0 {
			steps = []Step{{Signal: &Signal{PIDFile: pid, Signal: "WINCH"}}}
		}
		name := fmt.Sprintf("s%d", i)
		y.add(y.t, name, life, []string{"local:a", "vault:b"}[i%2], steps...)
		y.life[name+".year"], y.backend[name+".year"] = life, []string{"local:a", "vault:b"}[i%2]
		y.hidden[name+".year"] = life == time.Hour
	}
}

// hourly puts those that live an hour under care, or takes them out of it.
func (y *year) hourly(there bool) {
	y.mu.Lock()
	for name, life := range y.life {
		if life == time.Hour {
			y.hidden[name] = !there
			delete(y.ends, name)
		}
	}
	y.mu.Unlock()
	y.hups <- os.Interrupt
}

// reloads makes hooks work, or fail.
func (y *year) reloads(pid string, well bool) {
	text := "no number"
	if well {
		text = strconv.Itoa(y.idler)
	}
	if err := os.WriteFile(pid, []byte(text+"\n"), 0o600); err != nil {
		y.t.Fatal(err)
	}
}

// live is the year.
func (y *year) live(pid string) {
	y.pass(30 * day)
	y.meanwhile(func() { y.outage(2*day, "vault:b") })
	y.pass(20 * day)
	y.meanwhile(func() {
		y.reloads(pid, false)
		y.pass(2 * day)
		y.reloads(pid, true)
	})
	y.pass(20 * day)
	y.meanwhile(func() {
		y.jump(26 * time.Hour)
		y.pass(12 * time.Hour)
		y.jump(-26 * time.Hour)
	})
	y.pass(60 * day)
	y.meanwhile(func() { y.jump(21 * day) }) // a suspend
	y.pass(60 * day)
	y.meanwhile(func() { y.outage(2*day, "local:a", "vault:b") })
	y.pass(40 * day)
	y.meanwhile(func() { y.jump(-3 * time.Hour) })
	y.pass(60 * day)
}

// meanwhile has something go wrong while those that live an hour are there.
func (y *year) meanwhile(f func()) {
	y.hourly(true)
	y.pass(day)
	f()
	y.pass(2 * day)
	y.hourly(false)
	y.pass(day)
}

// pass lets time go by, and looks whether what fails is told of.
func (y *year) pass(d time.Duration) {
	y.t.Helper()
	const step = 6 * time.Hour
	for ; d > 0; d -= step {
		time.Sleep(min(d, step))
		synctest.Wait()
		r, err := LastReport(y.t.Context(), &y.memory)
		if err == nil {
			err = y.missing(r, y.loop.All())
		}
		if err != nil {
			y.t.Fatalf("on %s: %v\n%s", y.now(), err, y.journals())
		}
	}
}

// journals is what is remembered of targets that fail.
func (y *year) journals() (out string) {
	for name := range y.failing {
		service, namespace, _ := strings.Cut(name, ".")
		data, _ := y.memory.Read(y.t.Context(), namespace+"."+service)
		var m memo
		_ = json.Unmarshal(data, &m)
		out += fmt.Sprintf("%s failed %d times since %s, next on %s: %s\n", name, m.Failures, m.Since, m.Next, m.Problem)
	}
	return out
}

// outage has authorities not answer for a time.
func (y *year) outage(d time.Duration, refs ...string) {
	y.t.Helper()
	for _, ref := range refs {
		// What is left of the wait for the next try is part of it.
		y.excuse(excuse{ref, y.now(), y.now().Add(d + longestRetry)})
		y.turn(ref, true)
	}
	y.pass(d)
	for _, ref := range refs {
		y.turn(ref, false)
	}
}

// excuse notes when what ended could not have been renewed.
func (y *year) excuse(e excuse) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.excuses = append(y.excuses, e)
}

// jump sets the clock. What ended meanwhile could not be renewed before; what was
// made by a clock that was ahead is left alone until its time has come.
func (y *year) jump(by time.Duration) {
	before := y.now()
	y.set(by)
	if by > 0 {
		y.excuse(excuse{"", before, y.now().Add(10 * time.Minute)})
	} else {
		y.excuse(excuse{"", y.now(), before.Add(time.Hour)})
	}
}

// called is told of each call of an authority that is elsewhere.
func (y *year) called(ref string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	recent := append(y.last[ref], time.Now())
	for time.Since(recent[0]) >= time.Second {
		recent = recent[1:]
	}
	y.last[ref], y.most = recent, max(y.most, len(recent))
}

// signed is told of each renewal, with the world's lock held.
func (y *year) signed(target string) {
	now := time.Now().Add(y.offset)
	ended, had := y.ends[target]
	y.ends[target] = now.Add(y.life[target])
	if !had || ended.After(now) {
		return
	}
	for _, e := range y.excuses {
		if (e.backend == "" || e.backend == y.backend[target]) && ended.After(e.from) && now.Before(e.until) {
			return
		}
	}
	y.t.Errorf("%s ended on %s and was renewed on %s", target, ended, now)
}

// frugal holds the calls against what is needed.
func (y *year) frugal() {
	if y.most > 30 { // ten a second, and twenty at once
		y.t.Errorf("an authority was asked %d times within a second", y.most)
	}
	total := 0
	for name, n := range y.issued {
		total += n
		// Due at two thirds of a life, with room for what the jumps brought about.
		if most := int(365*day/(y.life[name]*DefaultPercent/100)) + 8; n > most {
			y.t.Errorf("%s was renewed %d times, not %d at the most", name, n, most)
		}
	}
	calls := y.calls["local:a"] + y.calls["vault:b"]
	y.t.Logf("%d renewals, %d calls, %d at the most in a second; %v", total, calls, y.most, y.events)
}
