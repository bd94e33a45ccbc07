package issue

import (
	"context"
	"errors"
	"io/fs"
)

// Errors of a Store that a caller can branch on, besides fs.ErrNotExist and
// fs.ErrPermission.
var (
	// ErrChanged says that somebody else has written since the version that was read.
	ErrChanged = errors.New("changed by another since it was read")
	// ErrForeign says that the place holds something under our names that is not ours.
	ErrForeign = errors.New("not made by meshpki")
)

// Set is what a place keeps: named bytes, and what the caller says of them. The
// store never parses the bytes.
type Set struct {
	Files Files
	// Facts are told by the caller and kept with the files: when the set is due,
	// what it was ordered as. Nothing secret belongs in them.
	Facts map[string]string
	// Owner and Group are names or numbers; empty leaves them as the process has them.
	Owner, Group string
	// Mode is that of secret files; zero is 0600. Other files are 0644.
	Mode fs.FileMode
	// Replace lets the set take the place of files under its names that are not ours;
	// they are kept aside.
	Replace bool
}

// Version identifies one state of a place. The zero Version is the empty place.
type Version string

// Store is a place that keeps one set. It is safe for concurrent use, also by
// several processes.
type Store interface {
	// Load gives what the place keeps, and its version. Where nothing is kept the
	// error is fs.ErrNotExist.
	Load(ctx context.Context) (Set, Version, error)
	// Save replaces the set, whole or not at all, and durably. It fails with
	// ErrChanged where the place is no longer at version was, and with ErrForeign
	// where files under the set's names are not ours and Replace is not set.
	Save(ctx context.Context, s Set, was Version) (Version, error)
	// String is the place as the user wrote it; there is no secret in it.
	String() string
}
