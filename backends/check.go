package backends

import (
	"context"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// State is how a check came out.
type State string

// The states of a check, from good to bad.
const (
	StateOK      State = "ok"
	StateUnknown State = "unknown" // it could not be looked at
	StateWarning State = "warning"
	StateFailed  State = "failed"
)

// Check is one assumption about a backend that was tried.
type Check struct {
	Name   string // a stable id: "token", "role"
	State  State
	Says   string // what was found, a sentence part
	Remedy string // the command or the setting that mends it; it may be empty
}

// Want is a certificate that will be asked for.
type Want struct {
	Name     string // of the service: payment.prod
	Identity ca.Identity
	Profile  ca.Profile
	KeyType  ca.KeyType
	Validity time.Duration
}

// Suggestion is a setting that would do: Form is what it is for ("vault",
// "terraform"), Text what to run or to write there.
type Suggestion struct {
	Form, Text string
}

// Check tries every assumption about the backend of a reference against what will
// be asked of it. ok is false where the backend has nothing to check.
func (r *Registry) Check(ctx context.Context, ref string, o Options, wants []Want) (checks []Check, ok bool, err error) {
	scheme, rest, o := o.resolve(ref)
	check, ok := r.Checks[scheme]
	if !ok {
		return nil, false, r.unknown(scheme, ref)
	}
	checks, err = check(ctx, rest, o, wants)
	return checks, true, err
}

// Suggest gives the settings at the backend that would do. ok is false where there
// is none to suggest.
func (r *Registry) Suggest(ref string, o Options, wants []Want) (suggestions []Suggestion, ok bool, err error) {
	scheme, rest, o := o.resolve(ref)
	suggest, ok := r.Suggests[scheme]
	if !ok {
		return nil, false, r.unknown(scheme, ref)
	}
	suggestions, err = suggest(rest, o, wants)
	return suggestions, true, err
}

// unknown is the error for a scheme that is no backend's; nil for one that is.
func (r *Registry) unknown(scheme, ref string) error {
	if _, known := r.Authorities[scheme]; known {
		return nil
	}
	return r.noBackend(ref)
}
