package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/meshpki/meshpki/backends"
)

// Memory keeps named bytes in one Secret: what a renewer remembers, where its disk is
// lost with its pod. It is written by the resource version that was read, several
// changes at once where they come at once. It is safe for concurrent use, and must not
// be copied. Another process that writes it makes our next write fail.
type Memory struct {
	c       *client
	at      thing
	options backends.Options

	writing sync.Mutex // one write at a time; taken before mu

	mu    sync.Mutex
	known *secret // as it was read last, under term; nil: not read yet
	term  string
	next  *change // what is to be written next
}

// change is what one write changes; nil takes a name away.
type change struct {
	values map[string][]byte
	done   chan struct{}
	err    error
}

// typeState is the type of the Secret, so that nobody takes it for a certificate.
const typeState = domain + "state"

// Memory gives the memory in a Secret, namespace/name. Nothing is asked yet.
func (p *platform) Memory(place string) (backends.Memory, error) {
	namespace, name, err := parsePlace(place)
	if err != nil {
		return nil, err
	}
	return &Memory{c: p.client, options: p.options, at: secretAt(namespace, name)}, nil
}

// Place says where something is remembered.
func (m *Memory) Place(name string) string {
	return "k8s://" + m.at.namespace + "/" + m.at.name + ", " + name
}

// load reads the Secret, unless it is known under the present term.
func (m *Memory) load(ctx context.Context) (*secret, error) {
	term, err := termOf(m.options)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	known, same := m.known, m.term == term
	m.mu.Unlock()
	if known != nil && same {
		return known, nil
	}
	read := &secret{}
	err = m.c.do(ctx, call{method: http.MethodGet, about: m.at}, read)
	if errors.Is(err, fs.ErrNotExist) {
		read, err = &secret{}, nil
	}
	if err != nil {
		return nil, err
	}
	if read.Type != typeState && read.Type != "" {
		return nil, fmt.Errorf("%s is of type %s, and holds no state of meshpki's", m.at, read.Type)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known, m.term = read, term
	return read, nil
}

// Read gives what is remembered under a name; fs.ErrNotExist where nothing is.
func (m *Memory) Read(ctx context.Context, name string) ([]byte, error) {
	known, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	data, ok := known.Data[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(data), nil
}

// Names lists what is remembered, in order.
func (m *Memory) Names(ctx context.Context) ([]string, error) {
	// A pass begins with it: what another process has written since is seen then.
	m.mu.Lock()
	m.known = nil
	m.mu.Unlock()
	known, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	return names(known.Data), nil
}

// Write remembers bytes under a name.
func (m *Memory) Write(ctx context.Context, name string, data []byte) error {
	if data == nil {
		data = []byte{}
	}
	return m.put(ctx, name, slices.Clone(data))
}

// Remove forgets a name.
func (m *Memory) Remove(ctx context.Context, name string) error {
	known, err := m.load(ctx)
	if err != nil {
		return err
	}
	if _, ok := known.Data[name]; !ok {
		return nil
	}
	return m.put(ctx, name, nil)
}

// put adds to the next write, and sees it done: whoever comes first writes for all that
// came while another write was on its way.
func (m *Memory) put(ctx context.Context, name string, data []byte) error {
	m.mu.Lock()
	mine := m.next
	first := mine == nil
	if first {
		mine = &change{values: map[string][]byte{}, done: make(chan struct{})}
		m.next = mine
	}
	mine.values[name] = data
	m.mu.Unlock()
	if !first {
		select {
		case <-mine.done:
			return mine.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	m.mu.Lock()
	m.next = nil
	m.mu.Unlock()
	mine.err = m.write(ctx, mine.values)
	close(mine.done)
	return mine.err
}

// write changes the Secret as it was read under this term, and no other state of it.
func (m *Memory) write(ctx context.Context, values map[string][]byte) error {
	for try := 1; ; try++ {
		known, err := m.load(ctx)
		if err != nil {
			return err
		}
		term, err := termOf(m.options)
		m.mu.Lock()
		if err == nil && term != m.term {
			err = errTerm
		}
		m.mu.Unlock()
		if err != nil {
			return err
		}
		next := maps.Clone(known.Data)
		if next == nil {
			next = map[string][]byte{}
		}
		patch, total := map[string]any{}, 0
		for name, data := range values {
			if data == nil {
				patch[name] = nil
				delete(next, name)
			} else {
				patch[name], next[name] = data, data
			}
		}
		for _, data := range next {
			total += len(data)
		}
		if total > mostBytes {
			return fmt.Errorf("%s is full: %d bytes of state, and a Secret holds %d", m.at, total, mostBytes)
		}
		written := &secret{}
		err = m.c.do(ctx, m.call(known, next, patch), written)
		m.mu.Lock()
		if m.known = nil; err == nil {
			m.known = written
		}
		m.mu.Unlock()
		if err == nil || !away(err) || try == tries {
			return err
		}
		// It may have been carried out: what is there is what to go by.
		now, lost := m.load(ctx)
		if lost != nil {
			return err
		}
		if maps.EqualFunc(now.Data, next, slices.Equal) {
			return nil
		}
		if now.Metadata.ResourceVersion != known.Metadata.ResourceVersion {
			return err
		}
	}
}

func (m *Memory) call(known *secret, next map[string][]byte, patch map[string]any) call {
	query := url.Values{"fieldManager": {manager}}
	if known.Metadata.UID == "" {
		return call{method: http.MethodPost, about: m.at, query: query, media: asJSON, body: secret{APIVersion: "v1", Kind: "Secret", Type: typeState, Data: next,
			Metadata: meta{Name: m.at.name, Namespace: m.at.namespace, Labels: map[string]string{labelManaged: "true"}}}}
	}
	return call{method: http.MethodPatch, about: m.at, query: query, media: asMerge, body: map[string]any{
		"metadata": map[string]any{"uid": known.Metadata.UID, "resourceVersion": known.Metadata.ResourceVersion}, "data": patch,
	}}
}
