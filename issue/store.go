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
	// Swap is SwapDirectory, also where it is empty, or SwapFiles.
	Swap string
	// Labels and Annotations are written on what keeps the set, where that can have
	// some: a Secret can, a directory ignores them.
	Labels, Annotations map[string]string
	// Whole is how many of the generations that were replaced stay whole; zero is one,
	// the previous. Of older ones the secret files are taken away.
	Whole int
}

// How a place shows a new set to its readers.
const (
	// SwapDirectory shows all files at once: a reader that resolves the directory
	// never sees files of two sets.
	SwapDirectory = "directory"
	// SwapFiles keeps plain files under the set's names and replaces one after the
	// other, for readers that follow no links. Between two of them a reader may see
	// files of two sets; a set of one file has no such moment.
	SwapFiles = "files"
)

// Version identifies one state of a place. The zero Version is the empty place.
type Version string

// Store is a place that keeps one set. It is safe for concurrent use, also by
// several processes.
type Store interface {
	// Load gives what the place keeps, and its version. Where nothing is kept the
	// error is fs.ErrNotExist. A set that is damaged may come with its error: its facts,
	// what can be read of its files, and its version, at which Save replaces it.
	Load(ctx context.Context) (Set, Version, error)
	// Save replaces the set, whole or not at all, and durably. It fails with
	// ErrChanged where the place is no longer at version was, and with ErrForeign
	// where files under the set's names are not ours and Replace is not set.
	Save(ctx context.Context, s Set, was Version) (Version, error)
	// String is the place as the user wrote it; there is no secret in it.
	String() string
}

// Auditor is implemented by a Store that can tell whether what it keeps is kept as
// is wanted; it is found by assertion.
type Auditor interface {
	// Audit names what differs in the present generation from want in mode, owner or
	// group, and what of an earlier Save is unfinished, each in words for people; none
	// where nothing does. want.Files need not be given. It does not compare bytes with
	// want. Where nothing is kept the error is fs.ErrNotExist.
	Audit(ctx context.Context, want Set) ([]string, error)
}

// Looker is implemented by a Store that can load and audit in one look; it is found
// by assertion.
type Looker interface {
	// Look is Load, and gives what audits the state that was loaded: see Auditor. The
	// audit is nil where nothing was loaded.
	Look(ctx context.Context) (Set, Version, func(ctx context.Context, want Set) ([]string, error), error)
}

// Comparer is implemented by a Store that can tell cheaply that it is as it was; it is
// found by assertion.
type Comparer interface {
	// Unchanged tells whether the place is still at a version that was loaded: then what
	// was loaded need not be loaded again before a Save. False is no more than that it
	// should be. It costs far less than Load; a place may say true without a look, where
	// what is remembered of the version is all that Save needs to hold it against the
	// place in the very write, and ErrChanged then comes a step later. Modes and owners
	// are no part of a version, nor is what somebody did to the files without Save.
	Unchanged(ctx context.Context, was Version) (bool, error)
}

// Rememberer is implemented by a Store whose every write is held against the place by
// whoever keeps it: what it needs for that can be kept elsewhere, and a place that nobody
// has touched since need not be looked at to be written over. It is found by assertion.
type Rememberer interface {
	// Remember gives what a Save over that version needs, which is the last that was
	// loaded or saved: a short text without secrets, to be kept for Recall. It is empty
	// where the place had better be looked at first.
	Remember(at Version) string
	// Recall takes up what Remember gave, also in another process, in place of a Load.
	// Unchanged then says true of the version that it gives, and a Save over it fails with
	// ErrChanged unless the place is in every part as it was remembered, and writes
	// nothing. It is false where the text is of no use.
	Recall(remembered string) (Version, bool)
}

// Historian is implemented by a Store that keeps what it replaced; it is found by
// assertion.
type Historian interface {
	// Previous gives the newest whole generation before the present one, with its
	// facts, fit to be saved again. Where there is none the error is fs.ErrNotExist.
	Previous(ctx context.Context) (Set, Version, error)
}

// Purger is implemented by a Store that keeps what it replaced; it is found by
// assertion.
type Purger interface {
	// Purge takes the secret files out of every replaced generation that has some and
	// of which doomed says so, durably, and tells of how many. The present one is not
	// asked about, and an empty place has none.
	Purge(ctx context.Context, doomed func(Files) bool) (int, error)
}

// Remover is implemented by a Store that can take away all that it keeps; it is found
// by assertion.
type Remover interface {
	// Remove empties a place that is at version was, durably, keys first: every
	// generation, and the place itself where nothing else is in it. kept names what is
	// there and is not ours; it stays. It fails with ErrChanged where the place is no
	// longer at that version. One that was interrupted is finished by another, also
	// at the zero version, which is no error where nothing is left; a place that is
	// there and is empty goes all the same.
	Remove(ctx context.Context, was Version) (kept []string, err error)
}
