package renew

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// mesh is what a loop works on in tests: all of it in memory.
type mesh struct {
	mu      sync.Mutex
	offset  time.Duration // of the wall clock
	targets []*Target
	byName  map[string]*Target
	issuer  *ca.Issuer
	down    map[string]bool // which authorities do not answer
	calls   map[string]int  // by authority
	issued  map[string]int  // by target
	failing map[string]bool // by what was told
	events  map[EventKind]int
	asked   func(ref string) // told of each call of an authority that is elsewhere
	renewed func(target string)
	hidden  map[string]bool // targets that are not under care now
	memory  bytesInMemory
	locks   sync.Map
}

// bytesInMemory is a Memory.
type bytesInMemory struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (m *bytesInMemory) Read(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.kept[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (m *bytesInMemory) Write(_ context.Context, name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[string][]byte{}
	}
	m.kept[name] = data
	return nil
}

func (m *bytesInMemory) Remove(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, name)
	return nil
}

func (m *bytesInMemory) Names(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.kept)), nil
}

// elsewhere is an authority that is elsewhere, and does not always answer.
type elsewhere struct {
	*ca.Issuer
	w   *mesh
	ref string
}

var errDown = errors.New("the authority does not answer")

func (a elsewhere) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	a.w.mu.Lock()
	asked := a.w.asked
	a.w.mu.Unlock()
	asked(a.ref)
	if a.w.isDown(a.ref) {
		return nil, errDown
	}
	return a.Issuer.Issue(ctx, req)
}

func (w *mesh) isDown(ref string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[ref]++
	return w.down[ref]
}

// open gives an authority of the machine's own, or one that is elsewhere.
func (w *mesh) open(_ context.Context, ref string) (ca.Authority, error) {
	if scheme(ref) != "local" {
		return elsewhere{w.issuer, w, ref}, nil
	}
	if w.isDown(ref) {
		return nil, errDown
	}
	return w.issuer, nil
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	w := &mesh{byName: map[string]*Target{}, down: map[string]bool{}, calls: map[string]int{}, issued: map[string]int{}, failing: map[string]bool{},
		events: map[EventKind]int{}, hidden: map[string]bool{}, asked: func(string) {}, renewed: func(string) {}}
	var err error
	w.issuer, err = memory.NewAuthority(t.Context(), memory.AuthorityOptions{Now: w.now, KeyType: ca.Ed25519, Validity: 10 * 365 * day})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *mesh) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.offset)
}

// set moves the wall clock, as an administrator does, or a suspend.
func (w *mesh) set(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset += by
}

func (w *mesh) turn(ref string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[ref] = down
}

// add puts a target under care.
func (w *mesh) add(t *testing.T, service string, life time.Duration, backend string, steps ...Step) *Target {
	t.Helper()
	named, err := layout.ByName("tls")
	if err != nil {
		t.Fatal(err)
	}
	r := issue.Record{Service: service, Namespace: "year", TrustDomain: "cluster.local", Cluster: "cluster.local",
		Profile: "workload", KeyType: "ed25519", Validity: life.String(), Backend: backend,
		Outputs: []issue.RecordOutput{{To: "/srv/" + service, Layouts: []string{"tls"}}}}
	target := &Target{Name: service + ".year", Record: r, Backend: backend, Steps: steps, Listed: true,
		Policy: Policy{Name: service + ".year", Jitter: DefaultJitter},
		Places: []Place{{Output: issue.Output{Store: memory.NewStore("/srv/" + service), Layouts: []issue.Layout{named[0].Layout}}, Named: named, To: "/srv/" + service}}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets, w.byName[target.Name] = append(w.targets, target), target
	return target
}

// newLoop is one over the world as it is.
func (w *mesh) newLoop() *Loop {
	limits := &Limits{}
	r := &Renewer{
		Open:    w.open,
		Outlook: w.outlook,
		Revoked: func(context.Context) (ca.Revoked, error) { return ca.Revoked{}, nil },
		Memory:  &w.memory,
		Lock: func(_ context.Context, t *Target) (func() error, error) {
			lock, _ := w.locks.LoadOrStore(t.Name, &sync.Mutex{})
			lock.(*sync.Mutex).Lock()
			return func() error { lock.(*sync.Mutex).Unlock(); return nil }, nil
		},
		Now: w.now, Backoff: Backoff, Emit: w.emit, Workers: 4, Allow: limits.Allow,
	}
	return &Loop{Renewer: r, Listed: func() int { return len(w.there(nil)) },
		Candidates: func(_ context.Context, names map[string]bool) (iter.Seq[Candidate], error) {
			return func(yield func(Candidate) bool) {
				for _, t := range w.there(names) {
					if !yield(func(context.Context) (*Target, error) { return t, nil }) {
						return
					}
				}
			}, nil
		}}
}

// there is what is under care now; with names, those.
func (w *mesh) there(names map[string]bool) (out []*Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if names == nil {
		for _, t := range w.targets {
			if !w.hidden[t.Name] {
				out = append(out, t)
			}
		}
	}
	for n := range names {
		if t := w.byName[n]; t != nil && !w.hidden[n] {
			out = append(out, t)
		}
	}
	return out
}

func (w *mesh) renewals(target string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.issued[target]
}

func (w *mesh) told(kind EventKind) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[kind]
}

func (w *mesh) outlook(ctx context.Context, _ string) (ca.Outlook, error) {
	roots, err := w.issuer.Roots(ctx)
	return ca.Outlook{Roots: roots, Until: w.issuer.Certificate.NotAfter}, err
}

func (w *mesh) emit(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[e.Kind]++
	switch e.Kind {
	case EventRenewed:
		w.issued[e.Target]++
		w.renewed(e.Target)
	case EventFailed:
		w.failing[e.Target] = true
		return
	}
	if e.Kind == EventServed || e.Kind == EventRenewed {
		delete(w.failing, e.Target)
	}
}

// missing says what a report does not tell of what is failing, or tells in excess.
// What waits for the clock to be right again has not been tried, and is told of.
func (w *mesh) missing(r *Report, all []Stands) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	failing := maps.Clone(w.failing)
	for _, s := range all {
		if strings.HasPrefix(s.Problem, "the clock is wrong") {
			failing[s.Name] = true
		}
	}
	if r.Bad() != len(failing) {
		return fmt.Errorf("the report has %d that fail, and %d do: %v, not %v", r.Bad(), len(failing), r.Failing, slices.Sorted(maps.Keys(failing)))
	}
	for _, name := range r.Failing {
		if !failing[name] {
			return fmt.Errorf("the report says that %s fails, and it does not", name)
		}
	}
	return nil
}
