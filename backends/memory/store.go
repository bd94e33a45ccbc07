// Package memory keeps things in this process alone: places, a ledger and
// authorities for tests, and for whoever wants to leave nothing behind.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
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
	version uint64 // counts the saves; 0 is the empty place
}

var _ issue.Store = (*Store)(nil)

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
	if s.version == 0 {
		return issue.Set{}, "", fs.ErrNotExist
	}
	return clone(s.set), s.at(), nil
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
	s.set = clone(set)
	s.version++
	return s.at(), nil
}

// at is the present version; the lock is held.
func (s *Store) at() issue.Version {
	if s.version == 0 {
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
