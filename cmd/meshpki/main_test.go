package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary be meshpki when a script calls it: the real
// main with a clock that stands still, at MESHPKI_TEST_NOW if that is set.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"meshpki": func() {
			env := world(os.Args, clock)
			env.Version, env.Commit = "v0.0.0-test", "0123456789abcdef"
			if oneThread {
				env.Workers = 1
			}
			os.Exit(untilDone(env))
		},
	})
}

// oneThread keeps all that is done on the process's first thread, for whoever counts
// its system calls. Only while a program is initialised is main known to be on it.
var oneThread = func() bool {
	if os.Getenv("MESHPKI_TEST_ONE_THREAD") == "" {
		return false
	}
	runtime.LockOSThread()
	return true
}()

// clock is the time at which scripts live: 2026-11-21 12:00:00 UTC, or what
// MESHPKI_TEST_NOW says in RFC 3339; "real" is this machine's, "real+40m" is ahead of it.
func clock() time.Time {
	s := os.Getenv("MESHPKI_TEST_NOW")
	if ahead, ok := strings.CutPrefix(s, "real"); ok {
		d, _ := time.ParseDuration(ahead) // "real" is not ahead
		return time.Now().Add(d)
	} else if s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		return t
	}
	return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
}
