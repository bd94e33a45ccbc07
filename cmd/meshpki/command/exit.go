package command

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// The exit codes: docs/exit-codes.md is their table, and a test holds one against
// the other.
const (
	codeDone        = 0
	codeFailed      = 1
	codeUsage       = 2
	codeNo          = 3
	codeRefused     = 4
	codePartial     = 5
	codeInterrupted = 130
	// What needs-renewal says to systemd.
	codeNotDue = 1
	codeElse   = 255
	// What a plugin says to Nagios.
	nagiosOK       = 0
	nagiosWarning  = 1
	nagiosCritical = 2
	nagiosUnknown  = 3
)

// Errors that stand for an answer that has been given already; nothing more is said.
var (
	errNo      = errors.New("the answer is no")
	errPartial = errors.New("some of it failed")
	// What a plugin tells apart besides.
	errWarning = fmt.Errorf("%w: there are warnings", errNo)
	errUnknown = fmt.Errorf("%w: something cannot be read", errNo)
)

// answered tells whether an error is an answer that has been given.
func answered(err error) bool { return errors.Is(err, errNo) || errors.Is(err, errPartial) }

// usageError is a command line or a configuration that cannot be meant.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) *usageError {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

func (e *usageError) withHint(format string, args ...any) *usageError {
	e.hint = fmt.Sprintf(format, args...)
	return e
}

// hinted is an error with advice for a person.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

func withHint(err error, format string, args ...any) error {
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// exitCode turns an error into the exit code: the only place that does.
func exitCode(err error) int {
	switch {
	case err == nil:
		return codeDone
	case errors.Is(err, errNo), errors.Is(err, file.ErrAlive), errors.Is(err, file.ErrDropped), is[*layout.RefusedError](err):
		return codeNo
	case errors.Is(err, errPartial):
		return codePartial
	case isUsage(err):
		return codeUsage
	case isRefusal(err):
		return codeRefused
	}
	return codeFailed
}

func isUsage(err error) bool {
	if m, ok := errors.AsType[*config.Error](err); ok {
		return m.Err == nil
	}
	return is[*usageError](err) || is[*ca.ValidityError](err) || is[*ca.NameError](err) || is[*issue.WishError](err) ||
		is[*backends.RefError](err) || errors.Is(err, file.ErrNoDirectory) || errors.Is(err, file.ErrNoAuthority) || errors.Is(err, file.ErrPending) ||
		errors.Is(err, file.ErrExists) || errors.Is(err, file.ErrNotEmpty) || errors.Is(err, file.ErrRecovered) ||
		errors.Is(err, file.ErrNoRotation) || errors.Is(err, file.ErrRotating) || errors.Is(err, file.ErrSucceeded) || errors.Is(err, file.ErrNotSucceeded)
}

// isRefusal tells the refusal of an authority, or of a place that may not be
// written, from a failure.
func isRefusal(err error) bool {
	if is[*ca.Refusal](err) {
		return true
	}
	if p, ok := errors.AsType[*issue.PlaceError](err); ok {
		return errors.Is(p, fs.ErrPermission) || errors.Is(p, syscall.EROFS)
	}
	return false
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// status is the exit code of a line that ended with that code and error.
func (c *command) status(args []string, code int, err error) int {
	switch {
	case !c.plugin(args):
		return c.polarity(code)
	case code == codeDone, code == codeNo:
		return nagiosCode(err)
	}
	return nagiosUnknown
}

// polarity turns a code round for the one command that speaks to systemd's
// ExecCondition: 0 is due, 1 not due, and 255 everything else.
func (c *command) polarity(code int) int {
	switch {
	case c.name != "needs-renewal" || code == codeDone:
		return code
	case code == codeNo:
		return codeNotDue
	}
	return codeElse
}

// nagiosCode is what an answer, or an error, is to Nagios.
func nagiosCode(err error) int {
	switch {
	case err == nil:
		return nagiosOK
	case errors.Is(err, errWarning):
		return nagiosWarning
	case errors.Is(err, errUnknown), !errors.Is(err, errNo):
		return nagiosUnknown
	}
	return nagiosCritical
}

// plugin tells whether a line asks for a plugin's answer: also one that is wrong
// otherwise, for its reader understands no other exit code.
func (c *command) plugin(args []string) bool {
	if c.name != "status" && c.name != "verify" {
		return false
	}
	for i, arg := range args {
		switch {
		case arg == "--":
			return false
		case arg == "--format=nagios", arg == "--format" && i+1 < len(args) && args[i+1] == "nagios":
			return true
		}
	}
	return false
}

// tell says an error and its hint on standard error. Answers have been given.
func tell(env *Env, err error) {
	if answered(err) {
		return
	}
	page := ui.NewPage(env.look(env.StderrTTY, slices.Contains(env.Args, "--no-color")))
	page.Hanging("meshpki: error: ", ui.Safe(plain(err)))
	if hint := hintFor(err); hint != "" {
		page.Hanging("meshpki: hint: ", hint)
	}
	fmt.Fprint(env.Stderr, page)
}

// inSecret tells whether it is a Secret of a cluster that an error is about.
func inSecret(err error) bool {
	p, ok := errors.AsType[*issue.PlaceError](err)
	return ok && strings.HasPrefix(p.Place, "k8s://")
}

// plain is an error's text without the system call that it came from: "roots.pem:
// no such file or directory".
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ") // several errors, joined
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		text = strings.Replace(text, pe.Op+" "+pe.Path+": ", pe.Path+": ", 1)
	}
	return text
}

// hintFor is the advice that goes with an error.
func hintFor(err error) string {
	if h, ok := errors.AsType[*hinted](err); ok {
		return h.hint
	}
	if u, ok := errors.AsType[*usageError](err); ok {
		return u.hint
	}
	if m, ok := errors.AsType[*config.Error](err); ok {
		return m.Hint
	}
	switch {
	case errors.Is(err, file.ErrNoDirectory):
		return "meshpki ca init makes one; --dir or MESHPKI_DIR names another"
	case errors.Is(err, file.ErrNoAuthority):
		return "meshpki ca list names them"
	case errors.Is(err, file.ErrPending):
		return "meshpki ca import takes in what the other machine signed"
	case errors.Is(err, backends.ErrNoSuchKey):
		return "a key URI finds what the device has under that name; MESHPKI_PIN_FILE names the file with its PIN"
	case errors.Is(err, file.ErrNoKey):
		return "--key FILE names the file that holds it"
	case errors.Is(err, pemfile.ErrKeyEncrypted):
		return "--passphrase-file FILE gives its passphrase; so does a terminal"
	case errors.Is(err, inspect.ErrKeystoreLocked):
		return "--keystore-password-file FILE names a file with the password"
	case errors.Is(err, issue.ErrForeign) && inSecret(err):
		return "--force takes it over; what it held is not kept. What belongs to cert-manager is never taken"
	case errors.Is(err, issue.ErrForeign):
		return "--force puts ours in its place and keeps what was there aside"
	case errors.Is(err, issue.ErrChanged):
		return "run it again"
	}
	// What an authority elsewhere would have to be told.
	if m, ok := errors.AsType[interface {
		error
		Remedy() string
	}](err); ok {
		return ui.Safe(strings.ReplaceAll(m.Remedy(), "\n", "; "))
	}
	if v, ok := errors.AsType[*ca.ValidityError](err); ok && !v.Limit.IsZero() {
		return "without --validity it ends with its issuer at the latest"
	}
	return ""
}
