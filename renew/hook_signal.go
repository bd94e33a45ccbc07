package renew

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Signal is a step that signals a process, found by its pid file each time.
type Signal struct {
	PIDFile string // an absolute path
	Signal  string // one of SignalNames, without SIG; "" is HUP
	// User is whose process it has to be, by name or number; "" is whoever runs meshpki.
	User string
}

// SignalNames are the signals that a step can send.
const SignalNames = "HUP USR1 USR2 WINCH INT QUIT TERM"

func (s *Signal) name() string {
	if s.Signal == "" {
		return "HUP"
	}
	return s.Signal
}

func (s *Signal) validate() error {
	switch known := strings.Fields(SignalNames); {
	case !signals:
		return errors.New("a signal step is not there on this system: exec can run a program that does the same")
	case !filepath.IsAbs(s.PIDFile):
		return fmt.Errorf("the pid file %q is not an absolute path", s.PIDFile)
	case !slices.Contains(known, s.name()):
		return fmt.Errorf("%q is no signal of a signal step: %s are", s.Signal, strings.Join(known, ", "))
	}
	return nil
}

// send signals the process whose number is in the pid file. The process is held
// first (through a pidfd, where the system has them) and then looked at, so that it
// is the one that was looked at which is signalled, or none.
func (s *Signal) send() error {
	want, err := userNumber(s.User)
	if err != nil {
		return err
	}
	pid, err := readPID(s.PIDFile, want)
	if err != nil {
		return err
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return noProcess(s.PIDFile, pid, err)
	}
	defer p.Release() //nolint:errcheck // nothing was written to it
	users, err := usersOf(pid)
	if err != nil {
		return noProcess(s.PIDFile, pid, err)
	}
	for _, have := range users {
		if have != want {
			return fmt.Errorf("process %d, which %s names, is of user %d and not of %d: it was not signalled", pid, s.PIDFile, have, want)
		}
	}
	if err := p.Signal(signalByName(s.name())); err != nil {
		return noProcess(s.PIDFile, pid, err)
	}
	return nil
}

func noProcess(file string, pid int, err error) error {
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no process %d, which %s names", pid, file)
	}
	return fmt.Errorf("signalling process %d, which %s names: %w", pid, file, err)
}

// readPID reads a pid file: one number in decimal digits and no more than a line's
// end after it. Some write further lines; their first alone is not gone by, for it
// may be something else's file.
func readPID(name string, want uint32) (int, error) {
	f, err := openPlain(name)
	if err != nil {
		return 0, fmt.Errorf("reading the pid file: %w", err)
	}
	defer f.Close()
	if err := mayName(f, want); err != nil {
		return 0, fmt.Errorf("the pid file %s: %w", name, err)
	}
	const most = 32
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return 0, fmt.Errorf("reading the pid file %s: %w", name, err)
	}
	pid, err := parsePID(string(text))
	if err != nil {
		return 0, fmt.Errorf("the pid file %s: %w", name, err)
	}
	return pid, nil
}

// parsePID refuses 1 and below: no service that reloads has the number of init.
func parsePID(text string) (int, error) {
	digits := strings.Trim(text, " \t\r\n")
	pid, err := strconv.ParseUint(digits, 10, 31)
	switch {
	case digits == "":
		return 0, errors.New("it is empty: the number of a process is expected")
	case err != nil || digits[0] == '0' || digits[0] == '+':
		return 0, fmt.Errorf("%s is not the number of a process", quoted(digits))
	case pid == 1:
		return 0, errors.New("it names process 1, which is the system's own")
	case int(pid) == os.Getpid():
		return 0, errors.New("it names this very process")
	}
	return int(pid), nil
}
