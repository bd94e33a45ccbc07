package kubernetes

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"

	"github.com/meshpki/meshpki/issue"
)

// remembered is a Secret as a write has left it, to be written over unseen as long as it
// has that resourceVersion: names, and no value of any key.
type remembered struct {
	Schema          string        `json:"schema"`
	Version         issue.Version `json:"version"`
	UID             string        `json:"uid"`
	ResourceVersion string        `json:"resourceVersion"`
	Type            string        `json:"type"`
	Files           []string      `json:"files"` // the keys: all are ours
	Notes           []string      `json:"annotations"`
	Labels          []string      `json:"labels"`
	Updates         bool          `json:"updates,omitempty"`
}

const rememberedSchema = "meshpki/written/v1"

// Remember gives what was read or written last, where it is of that version, and is ours
// alone: what others have in a Secret, and what cannot be changed in it, is looked at
// each time. So is everything where a leader is elected, who goes by what was read in his
// own term.
func (s *Store) Remember(at issue.Version) string {
	s.mu.Lock()
	l := s.last
	s.mu.Unlock()
	if l == nil || l.version() != at || s.options.Term != nil || !l.plain() {
		return ""
	}
	text, err := json.Marshal(remembered{rememberedSchema, l.at, l.uid, l.resourceVersion, l.typ,
		l.set.Files, names(l.notes), names(l.labels), l.updates})
	if err != nil {
		return ""
	}
	return string(text)
}

// plain tells whether a Secret is a set of ours, and nobody else has anything in it.
func (l *live) plain() bool {
	return l.exists && l.set != nil && l.damaged == nil && l.uid != "" && l.resourceVersion != "" &&
		!l.immutable && !l.leaving && l.holder == "" && len(l.owners) == 0 && slices.Equal(names(l.keys), l.set.Files)
}

// Recall takes a Secret for what it was. The API server holds the next write against that,
// by its UID and its resourceVersion; whatever is not so is issue.ErrChanged.
func (s *Store) Recall(text string) (issue.Version, bool) {
	var r remembered
	if s.options.Term != nil || json.Unmarshal([]byte(text), &r) != nil || r.Schema != rememberedSchema ||
		r.Version == "" || r.UID == "" || r.ResourceVersion == "" {
		return "", false
	}
	l := &live{at: r.Version, exists: true, uid: r.UID, resourceVersion: r.ResourceVersion, typ: r.Type, set: &set{Files: r.Files},
		keys: map[string][sha256.Size]byte{}, notes: blank(r.Notes), labels: blank(r.Labels), updates: r.Updates, recalled: true}
	for _, name := range r.Files {
		l.keys[name] = [sha256.Size]byte{} // no value has that digest: something is always written
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = l
	return l.at, true
}

// blank is a map with those names and no values.
func blank(names []string) map[string]string {
	out := make(map[string]string, len(names))
	for _, name := range names {
		out[name] = ""
	}
	return out
}

// unrecalled is why a write over what was recalled was not made. Where the server would
// not have it the Secret is another than was thought, in whatever way: it has to be read.
func (s *Store) unrecalled(err error) error {
	if !errors.Is(err, issue.ErrChanged) && !errors.Is(err, issue.ErrForeign) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.mu.Lock()
	s.last = nil
	s.mu.Unlock()
	return issue.ErrChanged
}
