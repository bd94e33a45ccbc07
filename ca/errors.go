package ca

import (
	"errors"
	"fmt"
	"time"
)

// Errors that a caller can branch on.
var (
	ErrRevoked       = errors.New("already revoked")
	ErrOtherCRL      = errors.New("is no CRL of this authority that the ledger knows")
	ErrUnknownSerial = errors.New("no certificate of that serial number was ever signed here")
)

// Refusal is the answer of an authority that will not certify what it was asked
// for: a policy, a permission or a name constraint stands against it.
type Refusal struct {
	What     string // what was refused: a name, a key, a lifetime
	Why      string // the rule, in words
	Citation string // the clause, if there is one
}

func (r *Refusal) Error() string {
	s := r.What + " is refused: " + r.Why
	if r.Citation != "" {
		s += " (" + r.Citation + ")"
	}
	return s
}

// ValidityError says that the time asked for is not to be had.
type ValidityError struct {
	NotAfter time.Time // asked for
	Limit    time.Time // the latest that the authority can give; zero where that is not the point
	Issuer   string    // whose end is the limit
	Problem  string    // what else is wrong with it
}

func (e *ValidityError) Error() string {
	if e.Problem != "" {
		return e.Problem
	}
	return fmt.Sprintf("a certificate until %s would outlive its issuer: %s ends %s",
		e.NotAfter.UTC().Format(time.RFC3339), e.Issuer, e.Limit.UTC().Format(time.RFC3339))
}
