// Package kubernetes keeps sets of files in Secrets of a cluster, asks the cluster's
// own signers for certificates, and lets one of several renewers do the work. It
// speaks to the API server over client-go's rest, without its typed clients.
package kubernetes

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// Store is a Secret that keeps one set: a key of the Secret for each file, the facts
// in an annotation. Keys of others in it stay as they are. It is safe for concurrent
// use, also by several processes, and must not be copied.
type Store struct {
	clusters *Clusters
	options  backends.Options
	at       thing

	mu   sync.Mutex
	last *live // what was read or written last
}

var (
	_ issue.Store    = (*Store)(nil)
	_ issue.Looker   = (*Store)(nil)
	_ issue.Comparer = (*Store)(nil)
	_ issue.Auditor  = (*Store)(nil)
	_ issue.Preparer = (*Store)(nil)
	_ issue.Remover  = (*Store)(nil)

	_ issue.Rememberer = (*Store)(nil)
)

const (
	longestLabel = 63
	longestName  = 253
)

// parsePlace reads namespace/name.
func parsePlace(rest string) (namespace, name string, err error) {
	namespace, name, _ = strings.Cut(rest, "/")
	if !isLabel(namespace) || !isName(name) {
		return "", "", &backends.RefError{Ref: "k8s://" + rest,
			Problem: "is no place: k8s://<namespace>/<secret> is expected, both of lower-case letters, digits and '-' (RFC 1123, Section 2.1)"}
	}
	return namespace, name, nil
}

// isLabel tells whether a text is a label of lower-case letters, digits and '-', with
// neither '-' at an end (RFC 1123, Section 2.1).
func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' && i > 0 && i < len(s)-1) {
			return false
		}
	}
	return s != "" && len(s) <= longestLabel
}

// isName tells whether a text is labels with dots in between.
func isName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return len(s) <= longestName
}

// Store gives the place of a reference, namespace/name. Nothing is asked yet.
func (c *Clusters) Store(rest string, o backends.Options) (issue.Store, error) {
	namespace, name, err := parsePlace(rest)
	if err != nil {
		return nil, err
	}
	return &Store{clusters: c, options: o, at: secretAt(namespace, name)}, nil
}

func secretAt(namespace, name string) thing {
	return thing{version: "v1", resource: "secrets", kind: "Secret", namespace: namespace, name: name}
}

// String is the place as it is written: k8s://namespace/name.
func (s *Store) String() string { return "k8s://" + s.at.namespace + "/" + s.at.name }

// Load gives the set that the Secret keeps. One that keeps none of ours is
// fs.ErrNotExist, also where the Secret is there. Errors to branch on: fs.ErrNotExist,
// fs.ErrPermission, ca.ErrAway.
func (s *Store) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	set, version, _, err := s.load(ctx)
	return set, version, err
}

func (s *Store) load(ctx context.Context) (issue.Set, issue.Version, *live, error) {
	read, l, err := s.read(ctx)
	switch {
	case err != nil:
		return issue.Set{}, "", nil, err
	case l.set == nil:
		return issue.Set{}, "", nil, fs.ErrNotExist
	case l.damaged != nil:
		return issue.Set{Facts: map[string]string{}, Files: issue.Files{}}, l.version(), nil, l.damaged
	}
	return issue.Set{Files: read.files(l.set), Facts: l.set.Facts}, l.version(), l, nil
}

// Look is Load, and audits what was loaded without asking again.
func (s *Store) Look(ctx context.Context) (issue.Set, issue.Version, func(context.Context, issue.Set) ([]string, error), error) {
	set, version, l, err := s.load(ctx)
	if err != nil {
		return set, version, nil, err
	}
	return set, version, func(ctx context.Context, want issue.Set) ([]string, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return l.audit(want), nil
	}, nil
}

// Audit names what was changed in our labels and annotations.
func (s *Store) Audit(ctx context.Context, want issue.Set) ([]string, error) {
	_, _, audit, err := s.Look(ctx)
	if err != nil {
		return nil, err
	}
	return audit(ctx, want)
}

// audit holds labels and annotations against what the set's own note says.
func (l *live) audit(want issue.Set) []string {
	var found []string
	if l.labels[labelManaged] != "true" {
		found = append(found, "the label "+labelManaged+" is gone")
	}
	for _, note := range names(shownFacts) {
		if l.notes[note] != l.set.Facts[shownFacts[note]] {
			found = append(found, "the annotation "+note+" was changed")
		}
	}
	for _, own := range []struct {
		what       string
		want, have map[string]string
	}{{"label", want.Labels, l.labels}, {"annotation", want.Annotations, l.notes}} {
		for _, key := range names(own.want) {
			if have, there := own.have[key]; !there || have != own.want[key] {
				found = append(found, "the "+own.what+" "+key+" is not as ordered")
			}
		}
	}
	if owned := ownedBy(want); owned != "" {
		found = append(found, owned)
	}
	return found
}

// ownedBy says that a Secret cannot be given to anybody.
func ownedBy(want issue.Set) string {
	if want.Owner != "" || want.Group != "" || want.Mode != 0 {
		return "a Secret has no owner, group or mode: RBAC says who reads it"
	}
	return ""
}

// read asks for the Secret, and remembers what there is.
func (s *Store) read(ctx context.Context) (*secret, *live, error) {
	c, err := s.client()
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	term, err := s.term()
	if err != nil {
		return nil, nil, err
	}
	read := &secret{}
	err = c.do(ctx, call{method: http.MethodGet, about: s.at}, read)
	l := &live{}
	switch {
	case err == nil:
		l = liveOf(read)
	case !errors.Is(err, fs.ErrNotExist):
		s.mu.Lock()
		s.last = nil // nothing is to be gone by what was there before
		s.mu.Unlock()
		return nil, nil, err
	}
	l.term = term
	s.mu.Lock()
	s.last = l.kept()
	s.mu.Unlock()
	return read, l, nil
}

// Unchanged asks nothing: what was read last, if it is of that version, has all that
// Save needs to write with the precondition that the Secret is as it was then, which the
// API server enforces.
func (s *Store) Unchanged(ctx context.Context, was issue.Version) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last != nil && s.last.version() == was, nil
}

func (s *Store) client() (*client, error) { return s.clusters.client(s.options) }

// term is the term of leadership that there is time in for a write; "" where nobody
// leads.
func (s *Store) term() (string, error) { return termOf(s.options) }

func termOf(o backends.Options) (string, error) {
	if o.Term == nil {
		return "", nil
	}
	return o.Term(callTime)
}

// known is what was read last, where the caller has seen that very state; else it is
// read again. ErrChanged where the place is at another version.
func (s *Store) known(ctx context.Context, was issue.Version) (*live, error) {
	s.mu.Lock()
	l := s.last
	s.mu.Unlock()
	if l == nil || l.version() != was {
		var err error
		if _, l, err = s.read(ctx); err != nil {
			return nil, err
		}
	}
	if l.version() != was {
		return nil, issue.ErrChanged
	}
	return l, nil
}

// Prepare tells what Save would refuse, from what was read last. Nothing is tried:
// what RBAC does not grant shows only when it is done.
func (s *Store) Prepare(ctx context.Context, want issue.Set) error {
	if err := errors.Join(ctx.Err(), checkSet(want)); err != nil {
		return err
	}
	s.mu.Lock()
	l := s.last
	s.mu.Unlock()
	if l == nil || l.recalled && l.writable(want) != nil {
		var err error
		if _, l, err = s.read(ctx); err != nil {
			return err
		}
	}
	if !l.exists {
		return nil
	}
	if err := l.writable(want); err != nil {
		return err
	}
	if want.Replace {
		return nil
	}
	for _, name := range want.Files.Names() {
		if others := l.owners["data."+name]; l.mine(name) && len(others) > 0 {
			return &ConflictError{Manager: others[0], Fields: []string{"data." + name}}
		}
	}
	return nil
}

// mine tells whether a key of the Secret is of our set.
func (l *live) mine(name string) bool {
	if l.set == nil {
		return false
	}
	return slices.Contains(l.set.Files, name)
}

// husk tells whether a key of the Secret is there only because its type demands it:
// what Remove leaves of ours.
func (l *live) husk(name string) bool {
	return l.typ == typeTLS && slices.Contains(demanded[:], name) && l.keys[name] == sha256.Sum256(nil)
}

// writable says why a set cannot stand in this Secret.
func (l *live) writable(want issue.Set) error {
	switch {
	case l.holder != "":
		return fmt.Errorf("it belongs to cert-manager, which writes it for the Certificate %s: %w", l.holder, issue.ErrForeign)
	case l.leaving:
		return errors.New("it is being deleted, and waits for its finalizers")
	case l.immutable && !want.Replace:
		return fmt.Errorf("%w: --force deletes it and makes it again", errImmutable)
	case !l.fits(want.Files) && !want.Replace:
		return fmt.Errorf("it is of type %s, which cannot be changed and demands tls.crt and tls.key: --force deletes it and makes it again", typeTLS)
	}
	if want.Replace {
		return nil
	}
	for _, name := range want.Files.Names() {
		if _, taken := l.keys[name]; taken && !l.mine(name) && !l.husk(name) {
			whose := ""
			if others := l.owners["data."+name]; len(others) > 0 {
				whose = fmt.Sprintf(", but %q's", others[0])
			}
			return fmt.Errorf("its key %s is not ours%s: %w", name, whose, issue.ErrForeign)
		}
	}
	return nil
}

// errImmutable says that nothing in a Secret can be changed.
var errImmutable = errors.New("it is immutable")

// fits tells whether the files can be of the Secret's type.
func (l *live) fits(files issue.Files) bool {
	if l.typ != typeTLS {
		return true
	}
	for _, name := range demanded {
		_, wanted := files[name]
		if _, there := l.keys[name]; !wanted && (!there || l.mine(name)) {
			return false
		}
	}
	return true
}

const (
	longestKey = 253
	mostBytes  = 1 << 20
)

// isKey tells whether a Secret can have a key of that name.
func isKey(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return name != "" && len(name) <= longestKey && name != "." && !strings.HasPrefix(name, "..")
}

// checkSet refuses what no Secret can keep.
func checkSet(want issue.Set) error {
	total := 0
	for _, name := range want.Files.Names() {
		if !isKey(name) {
			return fmt.Errorf("%q is no key of a Secret: letters, digits, '-', '_' and '.' are expected", name)
		}
		total += len(want.Files[name].Data)
	}
	if total > mostBytes {
		return fmt.Errorf("the files have %d bytes, and a Secret holds %d", total, mostBytes)
	}
	if owned := ownedBy(want); owned != "" {
		return errors.New(owned)
	}
	return nil
}

// away tells whether a write may or may not have been done.
func away(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.unsure() && errors.Is(err, ca.ErrAway)
}
