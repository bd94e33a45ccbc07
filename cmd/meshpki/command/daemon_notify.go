package command

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshpki/meshpki/internal/guard"
)

// supervisor is the service manager that has started us, as sd_notify(3) and
// sd_watchdog_enabled(3) have it. Without one nothing is told to anybody.
type supervisor struct {
	socket   string
	watchdog time.Duration // how often it wants to hear from us; zero is never
}

// supervisors are the variables by which it is reached. They are nobody else's.
var supervisors = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

func isSupervisors(name string) bool { return slices.Contains(supervisors, name) }

func newSupervisor(getenv func(string) string) *supervisor {
	s := &supervisor{socket: getenv("NOTIFY_SOCKET")}
	if !strings.HasPrefix(s.socket, "/") && !strings.HasPrefix(s.socket, "@") {
		s.socket = ""
	}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	pid := getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && usec < int64(1000*time.Hour/time.Microsecond) && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

// tick is how often the loop has to come round to be in time for the watchdog; zero
// is as often as it likes.
func (s *supervisor) tick() time.Duration {
	if s.watchdog == 0 {
		return 0
	}
	return min(10*time.Second, s.watchdog/2)
}

// send tells the supervisor lines such as READY=1, in one datagram. One that does not
// listen is not waited for: renewal goes on without it.
func (s *supervisor) send(lines ...string) {
	if s.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	// A full queue must not keep the loop: it is told of something else soon.
	sent := make(chan struct{})
	guard.Go(func(any) { close(sent) }, func() {
		_, _ = conn.Write([]byte(strings.Join(lines, "\n")))
		close(sent)
	})
	select {
	case <-sent:
	case <-time.After(time.Second):
	}
	_ = conn.Close() // nobody is left to be told
}

func (s *supervisor) ready() { s.send("READY=1") }

func (s *supervisor) stopping() { s.send("STOPPING=1", "STATUS=finishing what is in hand") }

// reloading is followed by ready.
func (s *supervisor) reloading() {
	lines := []string{"RELOADING=1"}
	if at, ok := monotonic(); ok {
		lines = append(lines, fmt.Sprintf("MONOTONIC_USEC=%d", at.Microseconds()))
	}
	s.send(lines...)
}

// status says how we do, in one line.
func (s *supervisor) status(line string) {
	s.send("STATUS=" + strings.ReplaceAll(line, "\n", "; "))
}

// beat tells the watchdog that there is progress.
func (s *supervisor) beat() {
	if s.watchdog > 0 {
		s.send("WATCHDOG=1")
	}
}
