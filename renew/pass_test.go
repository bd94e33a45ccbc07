package renew

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"iter"
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

var begin = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// notes is a Memory of a test's own.
type notes struct {
	mu   sync.Mutex
	kept map[string][]byte
	fail error
}

func (n *notes) Read(_ context.Context, name string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	data, ok := n.kept[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(data), nil
}

func (n *notes) Write(_ context.Context, name string, data []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	n.kept[name] = slices.Clone(data)
	return nil
}

func (n *notes) Remove(_ context.Context, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.kept, name)
	return nil
}

func (n *notes) Names(context.Context) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for name := range n.kept {
		names = append(names, name)
	}
	return names, nil
}

// world is an authority, a clock and a Renewer over them.
type world struct {
	*Renewer
	t      *testing.T
	root   *ca.Issuer
	issuer *ca.Issuer
	ledger *memory.Ledger
	notes  *notes
	roots  []*x509.Certificate
	now    time.Time
	opened ca.Authority // what Open gives
	asked  int          // how often it was opened
	events []Event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ledger: &memory.Ledger{}, notes: &notes{kept: map[string][]byte{}}, now: begin}
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	root, err := ca.NewRoot(t.Context(), ca.Spec{CommonName: "Root", MaxPathLen: -1, NotBefore: begin.Add(-ca.Backdate),
		NotAfter: begin.AddDate(10, 0, 0)}, key, w.ledger, begin)
	if err != nil {
		t.Fatal(err)
	}
	w.root = &ca.Issuer{Certificate: root, Signer: key, Ledger: w.ledger, Now: func() time.Time { return w.now }}
	w.roots = []*x509.Certificate{root}
	w.issuer = w.under("Issuing", begin.AddDate(3, 0, 0))
	w.opened = w.issuer
	w.Renewer = &Renewer{
		Open:    func(context.Context, string) (ca.Authority, error) { w.asked++; return w.opened, nil },
		Outlook: func(context.Context, string) (ca.Outlook, error) { return w.outlook(), nil },
		Revoked: w.ledger.Revoked,
		Memory:  w.notes,
		Lock:    func(context.Context, *Target) (func() error, error) { return func() error { return nil }, nil },
		Now:     func() time.Time { return w.now },
		Emit:    func(e Event) { w.events = append(w.events, e) },
	}
	return w
}

func (w *world) under(name string, until time.Time) *ca.Issuer {
	w.t.Helper()
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		w.t.Fatal(err)
	}
	chain, err := w.root.IssueCA(w.t.Context(), ca.Spec{CommonName: name, NotAfter: until}, key.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	return &ca.Issuer{Certificate: chain.Leaf(), Above: []*x509.Certificate{w.root.Certificate}, Signer: key, Ledger: w.ledger,
		Trusted: w.roots, Now: func() time.Time { return w.now }}
}

func (w *world) outlook() ca.Outlook {
	until, _ := w.issuer.Limit()
	return ca.Outlook{Roots: w.roots, Until: until, Above: func(*x509.Certificate) []*x509.Certificate {
		return []*x509.Certificate{w.issuer.Certificate}
	}}
}

// target is a service with those places.
func (w *world) target(name string, stores ...issue.Store) *Target {
	w.t.Helper()
	named, err := layout.ByName("tls")
	if err != nil {
		w.t.Fatal(err)
	}
	t := &Target{Name: name + ".default", Record: issue.Record{Service: name, Namespace: "default", TrustDomain: "cluster.local",
		Cluster: "cluster.local", Profile: "workload", KeyType: "ec-p256"}}
	for _, s := range stores {
		t.Places = append(t.Places, Place{Output: issue.Output{Store: s, Layouts: []issue.Layout{named[0].Layout}}, Named: named, To: s.String()})
		t.Record.Outputs = append(t.Record.Outputs, issue.RecordOutput{To: s.String(), Layouts: []string{"tls"}})
	}
	return t
}

// run makes a pass and gives what it said of each target.
func (w *world) run(o Options, targets ...*Target) map[string]Result {
	w.t.Helper()
	results := map[string]Result{}
	o.Each = func(r Result) { results[r.Name] = r }
	if err := w.Pass(w.t.Context(), of(targets), o); err != nil {
		w.t.Fatal(err)
	}
	return results
}

// one is run for a single target.
func (w *world) one(t *Target) Result { return w.run(Options{}, t)[t.Name] }

func of(targets []*Target) iter.Seq[Candidate] {
	return func(yield func(Candidate) bool) {
		for _, t := range targets {
			if !yield(func(context.Context) (*Target, error) { return t, nil }) {
				return
			}
		}
	}
}

// leaves counts the leaves that were signed.
func (w *world) leaves() (n int) {
	for e, err := range w.ledger.Entries(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Kind == ca.KindLeaf {
			n++
		}
	}
	return n
}

// pairIn is the leaf and the key that a place keeps.
func pairIn(t *testing.T, s issue.Store) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	set, _, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyOf(nil, set)
	if err != nil {
		t.Fatal(err)
	}
	return decode(layout.All(), set.Files)[0], key
}

func want(t *testing.T, r Result, s Standing) {
	t.Helper()
	if r.Standing != s {
		t.Fatalf("it stands %s (%s, %v), want %s", r.Standing, r.Reason, r.Err, s)
	}
}

// A root rotation asks no authority: the same keys and certificates are laid out
// again, with the new roots.
func TestRootRotationIssuesNothing(t *testing.T) {
	w := newWorld(t)
	w.Workers = 4
	w.Emit = nil
	var targets []*Target
	for i := range 1000 {
		targets = append(targets, w.target(fmt.Sprintf("service-%d", i), memory.NewStore("place")))
	}
	for name, r := range w.run(Options{}, targets...) {
		if r.Standing != StandsRenewed {
			t.Fatalf("%s stands %s: %v", name, r.Standing, r.Err)
		}
	}
	before, signed := w.asked, w.leaves()
	other := newWorld(t)
	w.roots = append(w.roots, other.root.Certificate)
	again := 0
	for name, r := range w.run(Options{}, targets...) {
		if r.Standing != StandsAgain || r.Decision.Check != "roots" {
			t.Fatalf("%s stands %s: %s, %v", name, r.Standing, r.Reason, r.Err)
		}
		again++
	}
	if again != 1000 || w.leaves() != signed || w.asked != before {
		t.Errorf("%d were laid out again, with %d certificates and %d openings of the authority", again, w.leaves()-signed, w.asked-before)
	}
	for _, r := range w.run(Options{}, targets...) {
		want(t, r, StandsFresh)
	}
}

// broken is a place that cannot be written for a while.
type broken struct {
	*memory.Store
	err error
}

func (b *broken) Save(ctx context.Context, s issue.Set, was issue.Version) (issue.Version, error) {
	if b.err != nil {
		return "", b.err
	}
	return b.Store.Save(ctx, s, was)
}

// A place that cannot be reached keeps no other from its turn, and is given the very
// same credential later.
func TestPlacesGetTheSameCredential(t *testing.T) {
	w := newWorld(t)
	good, bad := memory.NewStore("good"), &broken{memory.NewStore("bad"), errors.New("it is away")}
	target := w.target("payment", good, bad)
	r := w.one(target)
	want(t, r, StandsPending)
	if r.Places[0] != "" || !strings.Contains(r.Places[1], "away") || r.Failures != 1 {
		t.Errorf("places %q, %d failures", r.Places, r.Failures)
	}
	leaf, _ := pairIn(t, good)
	want(t, w.one(target), StandsPending)
	bad.err = nil
	want(t, w.one(target), StandsRenewed)
	got, key := pairIn(t, bad)
	if !got.Equal(leaf) || !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(leaf.PublicKey) {
		t.Error("the places have different credentials")
	}
	if n := w.leaves(); n != 1 {
		t.Errorf("%d certificates were signed", n)
	}
	want(t, w.one(target), StandsFresh)
	if len(w.notes.kept) > 0 {
		t.Errorf("the journal keeps %d", len(w.notes.kept))
	}
}

// A single place that fails after the signing gets what was signed, not another.
func TestNothingIsSignedTwice(t *testing.T) {
	w := newWorld(t)
	place := &broken{memory.NewStore("place"), errors.New("the disk is full")}
	target := w.target("payment", place)
	for range 3 {
		want(t, w.one(target), StandsFailed)
	}
	place.err = nil
	want(t, w.one(target), StandsRenewed)
	if n := w.leaves(); n != 1 {
		t.Errorf("%d certificates were signed", n)
	}
}

// A crash between the signing of a remote authority and our writing costs nothing:
// the next pass asks for the very same.
func TestRemoteIsAskedOnce(t *testing.T) {
	w := newWorld(t)
	crash := errors.New("crashed")
	remote := &memory.Remote{Issuer: w.issuer, Wait: func(context.Context) error { return crash }}
	w.opened, w.Ledger = remote, w.ledger
	place := memory.NewStore("place")
	target := w.target("payment", place)
	want(t, w.one(target), StandsFailed)
	if memo := string(w.notes.kept["default.payment"]); !strings.Contains(memo, `"resume"`) || !strings.Contains(memo, `"csr"`) {
		t.Errorf("the journal has %s", memo)
	}
	remote.Wait = nil
	w.now = w.now.Add(time.Hour)
	want(t, w.one(target), StandsRenewed)
	intents := 0
	serials := map[string]bool{}
	for e := range w.ledger.Entries(t.Context()) {
		if e.Kind == ca.KindIntent {
			intents++
		}
		if e.Kind == ca.KindLeaf {
			serials[e.Serial] = true
		}
	}
	if len(serials) != 1 || intents == 0 {
		t.Errorf("%d certificates for %d intents", len(serials), intents)
	}
}

// What was in hand is dropped once it is of no use: here it expires before its place
// can be reached.
func TestStaleDeliveryIsDropped(t *testing.T) {
	w := newWorld(t)
	place := &broken{memory.NewStore("place"), errors.New("it is away")}
	target := w.target("payment", place)
	want(t, w.one(target), StandsFailed)
	w.now = w.now.Add(31 * 24 * time.Hour)
	place.err = nil
	want(t, w.one(target), StandsRenewed)
	if leaf, _ := pairIn(t, place); leaf.NotAfter.Before(w.now) {
		t.Errorf("it was given one that ended on %s", leaf.NotAfter)
	}
	want(t, w.one(target), StandsFresh)
}

// A journal that cannot be read, or written, is a failure of that target alone.
func TestJournalFails(t *testing.T) {
	w := newWorld(t)
	a, b := w.target("a", memory.NewStore("a")), w.target("b", memory.NewStore("b"))
	w.notes.kept["default.a"] = []byte("{")
	results := w.run(Options{}, a, b)
	want(t, results["a.default"], StandsFailed)
	want(t, results["b.default"], StandsRenewed)
	if err := results["a.default"].Err; err == nil || !strings.Contains(err.Error(), "journal of a.default") {
		t.Errorf("error %v", err)
	}
	delete(w.notes.kept, "default.a")
	a = w.target("a", memory.NewStore("one"), memory.NewStore("two"))
	w.notes.fail = errors.New("no space")
	want(t, w.one(a), StandsFailed)
	if _, _, err := a.Places[0].Store.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a place was written although the journal could not be: %v", err)
	}
}

// A leaf that ends with its issuer is held, at once, and renewed as soon as a
// longer-lived issuer exists.
func TestHeldUntilALongerIssuer(t *testing.T) {
	w := newWorld(t)
	w.issuer = w.under("Short", begin.Add(10*24*time.Hour))
	w.opened = w.issuer
	target := w.target("payment", memory.NewStore("place"))
	want(t, w.one(target), StandsRenewed)
	if r := w.one(target); r.Decision.HeldBy == "" {
		t.Error("nobody is told that it ends with its issuer")
	}
	w.now = begin.Add(9 * 24 * time.Hour)
	signed := w.leaves()
	want(t, w.one(target), StandsHeld)
	if w.leaves() != signed {
		t.Error("it was renewed for nothing")
	}
	short := w.issuer
	w.issuer = w.under("Long", begin.AddDate(3, 0, 0))
	w.opened = w.issuer
	w.Renewer.Outlook = func(context.Context, string) (ca.Outlook, error) {
		until, _ := w.issuer.Limit()
		return ca.Outlook{Roots: w.roots, Until: until, Above: func(leaf *x509.Certificate) []*x509.Certificate {
			if leaf.Issuer.CommonName == "Short" {
				return []*x509.Certificate{short.Certificate}
			}
			return []*x509.Certificate{w.issuer.Certificate}
		}}, nil
	}
	want(t, w.one(target), StandsRenewed)
	w.now = w.now.Add(48 * time.Hour)
	want(t, w.one(target), StandsFresh)
}

// A candidate that makes the pass impossible ends it before anything is done.
func TestAbortComesFirst(t *testing.T) {
	w := newWorld(t)
	for _, workers := range []int{1, 4} {
		w.Workers = workers
		targets := of([]*Target{w.target("a", memory.NewStore("a"))})
		wrong := func(yield func(Candidate) bool) {
			targets(yield)
			yield(func(context.Context) (*Target, error) { return nil, errors.Join(ErrAbort, errors.New("line 3")) })
		}
		if err := w.Pass(t.Context(), wrong, Options{}); !errors.Is(err, ErrAbort) || w.leaves() != 0 {
			t.Errorf("with %d workers: %v, and %d certificates", workers, err, w.leaves())
		}
	}
}

// A panic in a place ends the pass with an error, and nobody waits for ever.
func TestPanicEndsThePass(t *testing.T) {
	w := newWorld(t)
	w.Workers = 2
	var targets []*Target
	for i := range 20 {
		targets = append(targets, w.target(fmt.Sprint("s", i), panics{}))
	}
	if err := w.Pass(t.Context(), of(targets), Options{}); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("error %v", err)
	}
}

type panics struct{ issue.Store }

func (panics) String() string { return "panics" }
