package renew

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// Memory is where a Renewer keeps what it must know after a crash: named bytes, to
// which it writes durably, and which nobody else may read, for there are keys on their
// way among them. Safe for concurrent use.
type Memory interface {
	// Read gives what is kept under a name; fs.ErrNotExist where nothing is.
	Read(ctx context.Context, name string) ([]byte, error)
	// Write replaces it, whole or not at all; it returns once that would survive a crash.
	Write(ctx context.Context, name string, data []byte) error
	// Remove takes it away; one that is not there is no error.
	Remove(ctx context.Context, name string) error
	// Names lists what is kept, in order.
	Names(ctx context.Context) ([]string, error)
}

// Holder is a Memory that keeps for less what many write at the same time, and for a
// moment only. Hold is Write under a name that nothing is kept under. Whoever has the
// name to himself writes it anew, removes it, or calls Keep, before another may have it.
type Holder interface {
	Hold(ctx context.Context, name string, data []byte) error
	Keep(ctx context.Context, name string) error
}

// memo is the journal of one target: what was begun and is not finished, and what
// keeps failing. A target with nothing pending has none.
type memo struct {
	kept bool // there is something to be taken away, once it is empty

	Schema string `json:"schema"`
	Target string `json:"target"`
	// Reason and Begun say why and when the work in hand was begun.
	Reason string    `json:"reason,omitempty"`
	Begun  time.Time `json:"begun,omitzero"`

	// An order that is with an authority: all that is needed to ask for the very same.
	CSR      []byte    `json:"csr,omitempty"`
	NotAfter time.Time `json:"notAfter,omitzero"`
	Resume   []byte    `json:"resume,omitempty"`

	// The credential on its way to its places. Key is PKCS#8 in PEM.
	Key   []byte        `json:"key,omitempty"`
	held  crypto.Signer // the same; it is encoded once it has to be written
	Chain [][]byte      `json:"chain,omitempty"` // DER, leaf first
	Roots [][]byte      `json:"roots,omitempty"` // DER
	Due   string        `json:"due,omitempty"`
	// Order is what it was ordered as: see issue.FactOrder.
	Order string `json:"order,omitempty"`
	// Previous is the serial number that was in use before, lower-case hex.
	Previous string `json:"previous,omitempty"`
	// Again says that it is the credential in use, laid out once more.
	Again bool `json:"again,omitempty"`

	// Published is when every place had it; Served, when hook and confirmation were
	// done as well.
	Published time.Time    `json:"published,omitzero"`
	Steps     []stepMemo   `json:"steps,omitempty"`
	Confirm   *confirmMemo `json:"confirm,omitempty"`
	Served    time.Time    `json:"served,omitzero"`

	// What keeps failing, since when, how often, and when a daemon tries again.
	Problem  string    `json:"problem,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Failures int       `json:"failures,omitempty"`
	Next     time.Time `json:"next,omitzero"`
}

// stepMemo is one step of a hook.
type stepMemo struct {
	Step    string    `json:"step"` // what it does, by which a changed one is told
	Done    bool      `json:"done"`
	Tries   int       `json:"tries,omitempty"`
	Problem string    `json:"problem,omitempty"`
	Output  string    `json:"output,omitempty"`
	At      time.Time `json:"at,omitzero"`
}

// confirmMemo is the confirmation that the new certificate is served.
type confirmMemo struct {
	Done    bool      `json:"done"`
	Tries   int       `json:"tries,omitempty"`
	Problem string    `json:"problem,omitempty"`
	At      time.Time `json:"at,omitzero"`
}

// ErrJournal in what went wrong with a target says that its journal cannot be read.
var ErrJournal = errors.New("the journal")

const memoSchema = "meshpki/renewal/v1"

// holding tells whether a credential is on its way.
func (m *memo) holding() bool { return len(m.Chain) > 0 }

// unserved tells whether the credential is in its places and not served yet.
func (m *memo) unserved() bool { return m.holding() && !m.Published.IsZero() && m.Served.IsZero() }

// orderedOtherwise tells whether what was begun is for another order than this one.
func (m *memo) orderedOtherwise(is issue.Record) bool {
	if m.Order == "" {
		return false
	}
	was, err := issue.RecordOf(map[string]string{issue.FactOrder: m.Order})
	if err != nil {
		return true
	}
	changed, _ := orderedOtherwise(was, is)
	return len(changed) > 0
}

// empty tells whether there is nothing to remember.
func (m *memo) empty() bool {
	return len(m.CSR) == 0 && !m.holding() && m.Failures == 0 && m.Served.IsZero()
}

// recall reads the journal of a target; one without any has an empty one.
func (r *Renewer) recall(ctx context.Context, t *Target) (*memo, error) {
	m := &memo{Schema: memoSchema, Target: t.Name}
	data, err := r.Memory.Read(ctx, t.key())
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	m.kept = true
	if err != nil {
		return nil, fmt.Errorf("read %w of %s: %w", ErrJournal, t.Name, err)
	}
	if err := decodeWhole(data, m); err != nil || m.Schema != memoSchema || m.Target != t.Name {
		return nil, fmt.Errorf("%w of %s is damaged, or of a later version: %s", ErrJournal, t.Name, where(r.Memory, t.key()))
	}
	return m, nil
}

// where says where something is kept, if the memory can tell.
func where(m Memory, name string) string {
	if p, ok := m.(interface{ Place(name string) string }); ok {
		return p.Place(name)
	}
	return name
}

// decodeWhole reads JSON in which everything is known and behind which nothing stands.
func decodeWhole(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind it")
	}
	return nil
}

// hold is remember for what is in hand for a moment: see Holder.
func (r *Renewer) hold(ctx context.Context, t *Target, m *memo) error {
	h, ok := r.Memory.(Holder)
	if !ok || m.kept {
		return r.remember(ctx, t, m)
	}
	return r.write(ctx, t, m, h.Hold)
}

// keep has what is still held of a target kept, for its lock is given back.
func (r *Renewer) keep(ctx context.Context, t *Target) error {
	h, ok := r.Memory.(Holder)
	if !ok {
		return nil
	}
	if err := h.Keep(context.WithoutCancel(ctx), t.key()); err != nil {
		return fmt.Errorf("write the journal of %s: %w", t.Name, err)
	}
	return nil
}

// remember writes the journal of a target, or takes it away where it is empty.
func (r *Renewer) remember(ctx context.Context, t *Target, m *memo) error {
	return r.write(ctx, t, m, r.Memory.Write)
}

func (r *Renewer) write(ctx context.Context, t *Target, m *memo, write func(context.Context, string, []byte) error) error {
	// What was begun is written down although the caller is in a hurry to stop.
	ctx = context.WithoutCancel(ctx)
	if m.empty() {
		if !m.kept {
			return nil
		}
		return r.Memory.Remove(ctx, t.key())
	}
	if m.held != nil {
		var err error
		if m.Key, err = pemfile.EncodeKey(m.held); err != nil {
			return err
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	m.kept = true // also where it is not known whether it was written
	if err := write(ctx, t.key(), append(data, '\n')); err != nil {
		return fmt.Errorf("write the journal of %s: %w", t.Name, err)
	}
	return nil
}

// unplace drops the order that was placed, with its key: the next one is another.
func (m *memo) unplace() {
	m.Key, m.held, m.CSR, m.Resume, m.NotAfter = nil, nil, nil, nil, time.Time{}
}

// hold takes a credential into the journal.
func (m *memo) hold(c *issue.Credential, keepKey bool) error {
	m.Chain, m.Roots, m.Key, m.held = nil, nil, nil, nil
	for _, cert := range c.Chain {
		m.Chain = append(m.Chain, cert.Raw)
	}
	for _, cert := range c.Roots {
		m.Roots = append(m.Roots, cert.Raw)
	}
	m.CSR, m.Resume, m.NotAfter = nil, nil, time.Time{}
	if c.Key == nil || !keepKey {
		return nil
	}
	m.held = c.Key
	return nil
}

// credential gives it back.
func (m *memo) credential() (*issue.Credential, error) {
	c := &issue.Credential{}
	var err error
	if c.Chain, err = parseAll(m.Chain); err != nil {
		return nil, err
	}
	if c.Roots, err = parseAll(m.Roots); err != nil {
		return nil, err
	}
	if c.Key, err = m.key(); err != nil {
		return nil, err
	}
	return c, nil
}

// key is the private key on its way; nil where somebody else has it.
func (m *memo) key() (crypto.Signer, error) {
	if m.held != nil {
		return m.held, nil
	}
	if len(m.Key) == 0 {
		return nil, nil
	}
	return pemfile.ParseKey(m.Key, nil)
}

func parseAll(ders [][]byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("the certificate in the journal is damaged: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// failed counts a failure, and says when a daemon tries again.
func (m *memo) failed(problem string, now time.Time, wait func(Failure) time.Duration, f Failure) {
	if m.Failures == 0 {
		m.Since = now.UTC().Truncate(time.Second)
	}
	m.Failures++
	m.Problem = problem
	if wait != nil {
		f.Count = cmp.Or(f.Count, m.Failures)
		m.Next = now.Add(wait(f)).UTC()
	}
}

// succeeded forgets failures.
func (m *memo) succeeded() { m.Problem, m.Failures, m.Since, m.Next = "", 0, time.Time{}, time.Time{} }

// forget drops the work in hand, and keeps what is remembered of failures.
func (m *memo) forget() {
	*m = memo{kept: m.kept, Schema: m.Schema, Target: m.Target, Problem: m.Problem, Since: m.Since, Failures: m.Failures, Next: m.Next}
}
