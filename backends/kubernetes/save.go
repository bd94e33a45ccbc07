package kubernetes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/meshpki/meshpki/issue"
)

// Save writes the set in one call, with the precondition that the Secret is as it was
// when it was read: created where there is none, else applied over what is there.
// Nothing is written where nothing would change. With Replace, fields of other
// managers are taken over, and what cannot be changed is deleted and made again.
// Errors to branch on: issue.ErrChanged, issue.ErrForeign (a *ConflictError among
// them), fs.ErrPermission, ca.ErrAway.
func (s *Store) Save(ctx context.Context, want issue.Set, was issue.Version) (issue.Version, error) {
	if err := errors.Join(ctx.Err(), checkSet(want)); err != nil {
		return "", err
	}
	l, err := s.known(ctx, was)
	if err != nil {
		return "", err
	}
	for try := 1; ; try++ {
		written, err := s.saveOver(ctx, l, want)
		if err == nil {
			return written, nil
		}
		if l.recalled {
			return "", s.unrecalled(err)
		}
		p, conflict := errors.AsType[*Problem](err)
		if !conflict || p.Code != http.StatusConflict || p.contested() || try == tries {
			return "", err
		}
		// Somebody has changed the Secret: our part of it, or another.
		term := l.term
		if _, l, err = s.read(ctx); err != nil {
			return "", err
		}
		switch {
		case l.term != term:
			return "", errTerm
		case l.version() != was:
			return "", issue.ErrChanged
		}
	}
}

// saveOver writes the set over what was read.
func (s *Store) saveOver(ctx context.Context, l *live, want issue.Set) (issue.Version, error) {
	w, err := s.write(l, want)
	if err != nil {
		return "", err
	}
	if w.nothing() {
		return l.version(), nil
	}
	written, err := w.run(ctx)
	if err != nil {
		return "", err
	}
	term := l.term
	l = liveOf(written)
	l.term = term
	s.mu.Lock()
	s.last = l.kept()
	s.mu.Unlock()
	return l.version(), nil
}

// write is a set on its way into a Secret.
type write struct {
	s             *Store
	c             *client
	want          issue.Set
	was           *live
	labels, notes map[string]string
	gone          []string // keys of ours that the set lacks
	again         bool     // it has to be deleted and made again
}

func (s *Store) write(l *live, want issue.Set) (*write, error) {
	w := &write{s: s, want: want, was: l}
	var err error
	if w.c, err = s.client(); err != nil {
		return nil, err
	}
	if w.labels, w.notes, err = marks(want); err != nil {
		return nil, err
	}
	if !l.exists {
		return w, nil
	}
	if l.set != nil && l.holder == "" && w.nothing() { // also where nothing could be written
		return w, nil
	}
	if err := l.writable(want); err != nil {
		return nil, err
	}
	w.again = l.immutable || !l.fits(want.Files)
	if l.set != nil {
		for _, name := range l.set.Files {
			if _, kept := want.Files[name]; !kept {
				w.gone = append(w.gone, name)
			}
		}
	}
	if !want.Replace {
		return w, w.contested()
	}
	return w, nil
}

// nothing tells whether the Secret is as it should be.
func (w *write) nothing() bool {
	if !w.was.exists || len(w.gone) > 0 || !maps.EqualFunc(w.was.notes, w.notes, same) || !maps.Equal(w.was.labels, w.labels) {
		return false
	}
	for name, f := range w.want.Files {
		if have, there := w.was.keys[name]; !there || have != sha256.Sum256(f.Data) {
			return false
		}
	}
	return true
}

// lost tells whether a label or an annotation of ours is to go.
func (w *write) lost() bool {
	without := func(have, want map[string]string) bool {
		return slices.ContainsFunc(names(have), func(key string) bool { _, kept := want[key]; return !kept })
	}
	return without(w.was.labels, w.labels) || without(w.was.notes, w.notes)
}

// contested says whose fields would be changed. The server would as well: but not
// where the fields that we own are to be taken over from ourselves.
func (w *write) contested() error {
	var e *ConflictError
	take := func(field string) {
		for _, other := range w.was.owners[field] {
			if e == nil {
				e = &ConflictError{Manager: other}
			}
			if other == e.Manager {
				e.Fields = append(e.Fields, field)
			}
		}
	}
	for name, f := range w.want.Files {
		if have, there := w.was.keys[name]; there && have != sha256.Sum256(f.Data) {
			take("data." + name)
		}
	}
	for _, name := range w.gone {
		take("data." + name)
	}
	for name, value := range w.notes {
		if have, there := w.was.notes[name]; there && !same(have, value) {
			take("metadata.annotations." + name)
		}
	}
	for name, value := range w.labels {
		if have, there := w.was.labels[name]; there && have != value {
			take("metadata.labels." + name)
		}
	}
	if e == nil {
		return nil
	}
	slices.Sort(e.Fields)
	return e
}

// run writes. Of a write that may or may not have been carried out it finds out which.
func (w *write) run(ctx context.Context) (*secret, error) {
	for try := 1; ; try++ {
		written, err := w.once(ctx)
		if !away(err) || ctx.Err() != nil {
			return written, explained(err)
		}
		read := &secret{}
		broken := w.c.do(ctx, call{method: http.MethodGet, about: w.s.at}, read)
		now := liveOf(read)
		switch {
		case errors.Is(broken, fs.ErrNotExist):
			now = &live{}
		case broken != nil:
			return nil, err
		case w.done(read):
			return read, nil
		}
		if now.exists != w.was.exists || now.resourceVersion != w.was.resourceVersion {
			return nil, issue.ErrChanged
		}
		if try == tries {
			return nil, err
		}
	}
}

// done tells whether a Secret is what was to be written.
func (w *write) done(read *secret) bool {
	for name, f := range w.want.Files {
		if have, ok := read.Data[name]; !ok || !bytes.Equal(have, f.Data) {
			return false
		}
	}
	return read.Metadata.Annotations[noteSet] == w.notes[noteSet]
}

// explained turns the server's complaint of a conflict into ours.
func explained(err error) error {
	if p, ok := errors.AsType[*Problem](err); ok && p.contested() {
		return p.conflict()
	}
	return err
}

// once makes the one call that writes. It is not made when leadership has been lost
// since the Secret was read, or is about to be.
func (w *write) once(ctx context.Context) (*secret, error) {
	if err := w.s.guard(w.was); err != nil {
		return nil, err
	}
	if w.again && w.was.exists {
		if err := w.remove(ctx); err != nil {
			return nil, err
		}
		if err := w.s.guard(w.was); err != nil {
			return nil, err
		}
	}
	r := w.apply()
	switch {
	case !w.was.exists || w.again:
		r = w.create()
	case (len(w.gone) > 0 || w.lost()) && w.was.updates:
		r = w.merge()
	}
	written := &secret{}
	err := w.c.do(ctx, r, written)
	return written, err
}

// guard refuses to write by what was read in another term of leadership, or with too
// little time left.
func (s *Store) guard(l *live) error {
	term, err := s.term()
	if err == nil && term != l.term {
		err = errTerm
	}
	return err
}

// errTerm says that leadership was lost and taken up again in between. It is
// issue.ErrChanged: what was read has to be read again.
var errTerm = fmt.Errorf("leadership has changed since it was read: %w", issue.ErrChanged)

// fields is the part of the Secret that is ours.
func (w *write) fields() secret {
	data := map[string][]byte{}
	for name, f := range w.want.Files {
		if data[name] = f.Data; f.Data == nil {
			data[name] = []byte{}
		}
	}
	return secret{APIVersion: "v1", Kind: "Secret", Data: data,
		Metadata: meta{Name: w.s.at.name, Namespace: w.s.at.namespace, Labels: w.labels, Annotations: w.notes}}
}

// create makes the Secret, which no other has made since: apply knows no such
// condition.
func (w *write) create() call {
	body := w.fields()
	body.Type = typeOf(w.want.Files)
	return call{method: http.MethodPost, about: w.s.at, query: url.Values{"fieldManager": {manager}}, media: asJSON, body: body}
}

// apply is server-side apply. What we own by the creation of the Secret is taken over
// from ourselves by force: whose fields they are has been seen at this very version.
func (w *write) apply() call {
	body := w.fields()
	body.Metadata.UID, body.Metadata.ResourceVersion = w.was.uid, w.was.resourceVersion
	force := w.want.Replace || w.was.updates
	return call{method: http.MethodPatch, about: w.s.at, media: asApply, body: body,
		query: url.Values{"fieldManager": {manager}, "force": {strconv.FormatBool(force)}}}
}

// merge also takes away keys that we have by the creation of the Secret: apply would
// leave them.
func (w *write) merge() call {
	data := map[string]any{}
	for name, f := range w.want.Files {
		data[name] = append([]byte{}, f.Data...)
	}
	for _, name := range w.gone {
		data[name] = nil
	}
	notes := map[string]any{}
	for name := range w.was.notes {
		notes[name] = nil
	}
	for name, value := range w.notes {
		notes[name] = value
	}
	labels := map[string]any{}
	for name := range w.was.labels {
		labels[name] = nil
	}
	for name, value := range w.labels {
		labels[name] = value
	}
	return call{method: http.MethodPatch, about: w.s.at, media: asMerge, query: url.Values{"fieldManager": {manager}}, body: map[string]any{
		"metadata": map[string]any{"uid": w.was.uid, "resourceVersion": w.was.resourceVersion, "labels": labels, "annotations": notes},
		"data":     data,
	}}
}

// remove deletes the Secret as it was read, and no other.
func (w *write) remove(ctx context.Context) error {
	return remove(ctx, w.c, w.s.at, w.was)
}

func remove(ctx context.Context, c *client, at thing, was *live) error {
	err := c.do(ctx, call{method: http.MethodDelete, about: at, media: asJSON, body: map[string]any{
		"apiVersion": "v1", "kind": "DeleteOptions",
		"preconditions": map[string]string{"uid": was.uid, "resourceVersion": was.resourceVersion},
	}}, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Remove takes our keys, labels and annotations away, and the Secret itself where
// nothing else is in it. kept names the keys of others.
func (s *Store) Remove(ctx context.Context, was issue.Version) (kept []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	_, l, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names(l.keys) {
		if !l.mine(name) && !l.husk(name) {
			kept = append(kept, name)
		}
	}
	switch {
	case l.version() != was:
		return nil, issue.ErrChanged
	case l.set == nil:
		return kept, nil
	case l.holder != "":
		return nil, l.writable(issue.Set{})
	}
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	if err := s.guard(l); err != nil {
		return nil, err
	}
	if len(kept) == 0 {
		err = remove(ctx, c, s.at, l)
	} else {
		err = c.do(ctx, l.strip(s.at), nil)
	}
	if err == nil {
		s.mu.Lock()
		s.last = nil
		s.mu.Unlock()
	}
	return kept, err
}

// strip takes away what is ours. Two keys have to be in a Secret of type
// kubernetes.io/tls: they are emptied.
func (l *live) strip(at thing) call {
	none := func(names []string) map[string]any {
		out := map[string]any{}
		for _, name := range names {
			out[name] = nil
		}
		return out
	}
	data := none(l.set.Files)
	for _, name := range demanded {
		if _, ours := data[name]; ours && l.typ == typeTLS {
			data[name] = ""
		}
	}
	return call{method: http.MethodPatch, about: at, media: asMerge, query: url.Values{"fieldManager": {manager}}, body: map[string]any{
		"metadata": map[string]any{"uid": l.uid, "resourceVersion": l.resourceVersion, "labels": none(names(l.labels)), "annotations": none(names(l.notes))},
		"data":     data,
	}}
}
