// Package memory keeps things in this process alone: places, a ledger and
// authorities for tests, and for whoever wants to leave nothing behind.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/meshpki/meshpki/issue"
)

// Store is a place that keeps one set in memory. It is safe for concurrent use
// and must not be copied.
type Store struct {
	name string

	mu      sync.Mutex
	set     issue.Set
	version uint64 // counts the saves
	empty   bool   // nothing has been saved since it was emptied
	kept    []kept // what was replaced, the newest first
}

// kept is a set that was replaced.
type kept struct {
	set      issue.Set
	version  issue.Version
	stripped bool // its secret files are gone
}

// mostStripped is how many sets are kept without their secret files.
const mostStripped = 10

var (
	_ issue.Store     = (*Store)(nil)
	_ issue.Auditor   = (*Store)(nil)
	_ issue.Comparer  = (*Store)(nil)
	_ issue.Historian = (*Store)(nil)
	_ issue.Purger    = (*Store)(nil)
)

// NewStore gives an empty place; name is what String says.
func NewStore(name string) *Store { return &Store{name: name} }

// String is the name that the place was given.
func (s *Store) String() string { return s.name }

// Load gives a copy of the set. Where nothing is kept the error is fs.ErrNotExist.
func (s *Store) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	if err := ctx.Err(); err != nil {
		return issue.Set{}, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at() == "" {
		return issue.Set{}, "", fs.ErrNotExist
	}
	return clone(s.set), s.at(), nil
}

// Unchanged compares the versions.
func (s *Store) Unchanged(ctx context.Context, was issue.Version) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at() == was, nil
}

// Save replaces the set by a copy of the one given. Errors to branch on:
// issue.ErrChanged.
func (s *Store) Save(ctx context.Context, set issue.Set, was issue.Version) (issue.Version, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	for name := range set.Files {
		if !validName(name) {
			return "", fmt.Errorf("%q is no file name for a set", name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at() != was {
		return "", issue.ErrChanged
	}
	if s.at() != "" {
		s.kept = append([]kept{{set: s.set, version: s.at()}}, s.kept...)
	}
	whole := max(1, set.Whole)
	for i := whole; i < len(s.kept); i++ {
		s.kept[i].strip()
	}
	s.kept = s.kept[:min(len(s.kept), whole+mostStripped)]
	s.set, s.empty = clone(set), false
	s.version++
	return s.at(), nil
}

// strip takes the secret files away.
func (k *kept) strip() {
	maps.DeleteFunc(k.set.Files, func(_ string, f issue.File) bool { return f.Secret })
	k.stripped = true
}

// Audit compares the owner, group and mode that the set was saved with.
func (s *Store) Audit(ctx context.Context, want issue.Set) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at() == "" {
		return nil, fs.ErrNotExist
	}
	var found []string
	mode := func(m fs.FileMode) fs.FileMode {
		if m == 0 {
			return 0o600
		}
		return m
	}
	for _, name := range s.set.Files.Names() {
		if s.set.Files[name].Secret && mode(s.set.Mode) != mode(want.Mode) {
			found = append(found, fmt.Sprintf("%s has mode %04o and should have %04o", name, mode(s.set.Mode), mode(want.Mode)))
		}
		if want.Owner != "" && s.set.Owner != want.Owner {
			found = append(found, fmt.Sprintf("%s belongs to %s and should belong to %s", name, s.set.Owner, want.Owner))
		}
		if want.Group != "" && s.set.Group != want.Group {
			found = append(found, fmt.Sprintf("%s has group %s and should have %s", name, s.set.Group, want.Group))
		}
	}
	return found, nil
}

// Previous gives a copy of the newest whole set before the present one.
func (s *Store) Previous(ctx context.Context) (issue.Set, issue.Version, error) {
	if err := ctx.Err(); err != nil {
		return issue.Set{}, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kept {
		if !k.stripped {
			return clone(k.set), k.version, nil
		}
	}
	return issue.Set{}, "", fs.ErrNotExist
}

// Purge takes the secret files out of the kept sets of which doomed says so.
func (s *Store) Purge(ctx context.Context, doomed func(issue.Files) bool) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	purged := 0
	for i := range s.kept {
		k := &s.kept[i]
		secret := slices.ContainsFunc(k.set.Files.Names(), func(name string) bool { return k.set.Files[name].Secret })
		if secret && doomed(clone(k.set).Files) {
			k.strip()
			purged++
		}
	}
	return purged, nil
}

// at is the present version, "" of the empty place; the lock is held.
func (s *Store) at() issue.Version {
	if s.version == 0 || s.empty {
		return ""
	}
	return issue.Version(strconv.FormatUint(s.version, 10))
}

// validName tells whether a name could be one file's in a directory.
func validName(name string) bool {
	return name != "" && name != "." && len(name) <= 255 && !strings.HasPrefix(name, "..") &&
		!strings.ContainsAny(name, `/\`) && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// clone shares nothing with the set that it copies.
func clone(s issue.Set) issue.Set {
	files := issue.Files{}
	for name, f := range s.Files {
		f.Data = bytes.Clone(f.Data)
		files[name] = f
	}
	s.Files, s.Facts = files, maps.Clone(s.Facts)
	return s
}
