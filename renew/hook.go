package renew

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// DefaultStepTimeout is how long one try of a step may take where it says nothing.
const DefaultStepTimeout = 30 * time.Second

// Step is one step of a hook: what makes a service take up its new files. Exactly
// one of Exec, Signal, Systemctl, HAProxy, HTTP and Rollout is set.
type Step struct {
	Exec      []string // a program and its arguments: an absolute path, or a bare name on HookPath
	Signal    *Signal
	Systemctl *Systemctl
	HAProxy   *HAProxy
	HTTP      *HTTP
	Rollout   *Rollout

	// Env names variables of meshpki's own environment that a program is given besides
	// its own. One that is not set there is not set for the program either.
	Env []string
	// Timeout bounds one try; 0 is DefaultStepTimeout.
	Timeout time.Duration
	// Places, as they are written in the manifest, have to be done before the step is
	// run; none stands for all of the service's places.
	Places []string
}

// HookFacts are what a step may know of the renewal that it follows.
type HookFacts struct {
	Service, Namespace string
	Places             []string // as written in the manifest
	Files              []string // the paths of the files that were written
	Serial             string   // of the new certificate, in lower-case hex
	PreviousSerial     string   // of the one before it; "" for the first
	Reason             string   // why it was renewed
	NotAfter           time.Time
	// Lookup reads meshpki's own environment, for Step.Env; nil stands for an empty one.
	Lookup func(name string) (string, bool)
	// PEM gives the new chain and its private key, for a step that hands them on in
	// memory. They are given to no program.
	PEM func() ([]byte, error)
}

// Kind is what sort of step this is, as the manifest has it: exec, signal,
// systemctl, haproxy, http or rollout; "" where it is not exactly one.
func (s Step) Kind() string {
	kind, n := "", 0
	for _, k := range []struct {
		name string
		set  bool
	}{
		{"exec", len(s.Exec) > 0}, {"signal", s.Signal != nil}, {"systemctl", s.Systemctl != nil},
		{"haproxy", s.HAProxy != nil}, {"http", s.HTTP != nil}, {"rollout", s.Rollout != nil},
	} {
		if k.set {
			kind, n = k.name, n+1
		}
	}
	if n != 1 {
		return ""
	}
	return kind
}

// String says what the step does, on one line; what comes from outside is in it as
// it was given.
func (s Step) String() string {
	switch s.Kind() {
	case "exec":
		return strings.Join(s.Exec, " ")
	case "signal":
		return "signal " + s.Signal.name() + " to the process of " + s.Signal.PIDFile
	case "systemctl":
		return "systemctl " + s.Systemctl.Action + " " + s.Systemctl.Unit
	case "haproxy":
		return "haproxy " + s.HAProxy.Cert + " at " + s.HAProxy.Socket
	case "http":
		return s.HTTP.method() + " " + s.HTTP.URL
	case "rollout":
		return "rollout of " + s.Rollout.Kind + " " + s.Rollout.Namespace + "/" + s.Rollout.Name
	}
	return "no step"
}

// Validate refuses a step that no try of it could do right, before anything is
// tried. It touches nothing.
func (s Step) Validate() error {
	kind := s.Kind()
	switch {
	case kind == "":
		return errors.New("not exactly one of exec, signal, systemctl, haproxy, http and rollout")
	case s.Timeout < 0:
		return fmt.Errorf("a time limit of %s: one above zero is expected", s.Timeout)
	case len(s.Env) > 0 && kind != "exec" && kind != "systemctl":
		return errors.New("env is for a program: " + kind + " starts none")
	}
	for _, name := range s.Env {
		if err := validateVariable(name); err != nil {
			return err
		}
	}
	switch kind {
	case "exec":
		return validateProgram(s.Exec)
	case "signal":
		return s.Signal.validate()
	case "systemctl":
		return s.Systemctl.validate()
	case "haproxy":
		return s.HAProxy.validate()
	case "rollout":
		return s.Rollout.validate()
	}
	return s.HTTP.validate()
}

// Run tries the step once, within its time limit and ctx. It gives what the program
// or the server said, at most OutputLimit bytes and whatever the outcome; that is
// others' text, to be escaped where it is shown. The error says what failed, with
// the last line of the output. A step is run at least once for each renewal, and
// again after a crash: it has to bear that.
func (s Step) Run(ctx context.Context, f HookFacts) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	limit := s.Timeout
	if limit == 0 {
		limit = DefaultStepTimeout
	}
	late := &lateError{limit}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	switch s.Kind() {
	case "exec":
		return runProgram(ctx, s.Exec, hookEnviron(f, s.Env))
	case "signal":
		return nil, s.Signal.send()
	case "systemctl":
		return runProgram(ctx, s.Systemctl.argv(), hookEnviron(f, s.Env))
	case "haproxy":
		return s.HAProxy.replace(ctx, f.PEM)
	case "rollout":
		return nil, s.Rollout.Restart(ctx, *s.Rollout, f.Service+"."+f.Namespace, f.Serial)
	}
	return s.HTTP.request(ctx)
}

// lateError is the cause of a context that ended at a step's time limit.
type lateError struct{ limit time.Duration }

func (e *lateError) Error() string { return "not done within " + e.limit.String() }

// HookPath is where a program that is named without a path is looked for.
const HookPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func validateProgram(argv []string) error {
	program := argv[0]
	switch {
	case filepath.IsAbs(program):
	case strings.ContainsAny(program, `/\`) || program == "" || program == "." || program == "..":
		return fmt.Errorf("%q is neither an absolute path nor a bare name", program)
	case runtime.GOOS == "windows":
		return fmt.Errorf("%q is a bare name, and Windows has no fixed path to look it up on: an absolute path is expected", program)
	}
	for _, word := range argv {
		if strings.ContainsRune(word, 0) {
			return fmt.Errorf("%q has a zero byte in it, which no argument can have", word)
		}
	}
	return nil
}

// Systemctl is a step that has systemd act on a unit.
type Systemctl struct {
	Action string // one of SystemctlActions
	Unit   string // with or without its suffix, as payment.service
}

// SystemctlActions are what a systemctl step can ask for. Which of them do nothing
// where the unit is not running is systemctl(1)'s to say: those with try- in them.
const SystemctlActions = "try-reload-or-restart reload-or-restart reload try-restart restart"

const unitBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"

// validate goes by systemd.unit(5); a name that begins with '-' would be an option.
func (s *Systemctl) validate() error {
	known := strings.Fields(SystemctlActions)
	found := false
	for _, k := range known {
		found = found || k == s.Action
	}
	switch {
	case !found:
		return fmt.Errorf("%q is no action of a systemctl step: %s are", s.Action, strings.Join(known, ", "))
	case s.Unit == "" || len(s.Unit) > 255 || strings.HasPrefix(s.Unit, "-") || strings.Trim(s.Unit, unitBytes) != "":
		return fmt.Errorf("%q is no name of a unit: one such as payment.service is expected", s.Unit)
	}
	return nil
}

func (s *Systemctl) argv() []string {
	return []string{"systemctl", "--no-ask-password", s.Action, s.Unit}
}
