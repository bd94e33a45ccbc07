package renew

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// Errand is one order on its way to an authority elsewhere and back. What is asked
// for is journaled and recorded before it is asked, so that a crash between its
// signing and our writing costs nothing, or one certificate at most. The target's
// lock is held for as long as there is one; it is used by one goroutine.
type Errand struct {
	r   *Renewer
	t   *Target
	m   *memo
	now time.Time
}

// Begin takes up the errand of a target: a new one, or what an earlier try left.
func (r *Renewer) Begin(ctx context.Context, t *Target) (*Errand, error) {
	m, err := r.recall(ctx, t)
	if err != nil {
		return nil, err
	}
	return &Errand{r, t, m, r.Now()}, nil
}

// Obtain has the order's certificate made, or gives the one that an earlier try
// brought back and did not deliver, where the order is still the same. It is
// journaled with its key; Done is called once it is delivered.
func (e *Errand) Obtain(ctx context.Context, authority ca.Authority, order issue.Order) (*issue.Credential, error) {
	if e.m.holding() {
		if c := e.kept(order); c != nil {
			return c, nil
		}
		e.m.forget()
	}
	c, err := e.fetch(ctx, authority, order)
	if err != nil {
		return nil, err
	}
	if err := e.m.hold(c, true); err != nil {
		return nil, err
	}
	return c, e.r.remember(ctx, e.t, e.m)
}

// Done ends the errand: its certificate is delivered.
func (e *Errand) Done(ctx context.Context) error {
	e.m.forget()
	e.m.succeeded()
	return e.r.remember(ctx, e.t, e.m)
}

// kept is the credential of an earlier try, if it is what is ordered now.
func (e *Errand) kept(order issue.Order) *issue.Credential {
	c, err := e.m.credential()
	if err != nil || e.m.orderedOtherwise(e.t.Record) || c.Key == nil {
		return nil
	}
	left, asked := c.Leaf().NotAfter.Sub(e.now), order.Validity.NotAfter.Sub(e.now)
	if c.Check(nil, e.now) != nil || left < asked/2 {
		return nil
	}
	return c
}

// take makes an order that is with the authority already the one that is asked for,
// as long as it is for the same and would not soon end.
func (e *Errand) take(order *issue.Order) (err error) {
	if err := order.Check(e.now); err != nil {
		return err // before anything of it is written down
	}
	another := order.CSR != nil && !bytes.Equal(order.CSR, e.m.CSR) // somebody else's key
	if another || e.m.NotAfter.Sub(e.now) < order.Validity.NotAfter.Sub(e.now)/2 || e.m.orderedOtherwise(e.t.Record) || e.answered(order) {
		e.m.unplace()
	}
	if len(e.m.CSR) == 0 {
		return nil
	}
	if order.Key, err = e.m.key(); err != nil {
		return err
	}
	order.CSR, order.Resume = e.m.CSR, e.m.Resume
	order.Validity.NotAfter = e.m.NotAfter
	return nil
}

// answered tells whether the order that was placed is for the key that is in use, where
// a new one is wanted: it was answered and delivered, and a crash has brought its
// journal back.
func (e *Errand) answered(order *issue.Order) bool {
	if len(e.m.CSR) == 0 || order.Key != nil || order.CSR != nil || order.Replaces == nil {
		return false
	}
	placed, err := x509.ParseCertificateRequest(e.m.CSR)
	return err == nil && bytes.Equal(placed.RawSubjectPublicKeyInfo, order.Replaces.RawSubjectPublicKeyInfo)
}

// fetch has it signed elsewhere. Where it cannot be known what became of the order
// that was placed, another one is, for another key: the same one, certified twice,
// would be a certificate that nobody knows of.
func (e *Errand) fetch(ctx context.Context, authority ca.Authority, order issue.Order) (*issue.Credential, error) {
	placed := order
	if err := e.take(&placed); err != nil {
		return nil, err
	}
	c, err := e.ask(ctx, authority, placed)
	if !errors.Is(err, ca.ErrLost) {
		return c, err
	}
	e.m.unplace()
	if err := e.take(&order); err != nil {
		return nil, err
	}
	return e.ask(ctx, authority, order)
}

// ask has it signed elsewhere.
func (e *Errand) ask(ctx context.Context, authority ca.Authority, order issue.Order) (*issue.Credential, error) {
	if err := e.intend(ctx, &order); err != nil {
		return nil, err
	}
	if e.r.Allow != nil {
		if err := e.r.Allow(ctx, e.t.Backend); err != nil {
			return nil, err
		}
	}
	c, err := e.obtain(ctx, authority, order)
	if err != nil {
		return nil, err
	}
	for i := range c.Tolerated {
		if e.r.Emit != nil {
			d := &c.Tolerated[i]
			e.r.Emit(Event{At: e.now, Target: e.t.Name, Kind: EventAltered, Reason: d.String(), Serial: ca.FormatSerial(c.Leaf().SerialNumber), Altered: d})
		}
	}
	if e.r.Ledger != nil {
		entry := ca.EntryOf(ca.KindLeaf, c.Leaf(), e.now)
		entry.Service, entry.Namespace, entry.Token = e.t.Record.Service, e.t.Record.Namespace, hex.EncodeToString(order.Token[:])
		if err := e.r.Ledger.Record(ctx, entry); err != nil {
			return nil, fmt.Errorf("record the certificate: %w", err)
		}
	}
	return c, nil
}

// obtain waits for its turn, and has it signed.
func (e *Errand) obtain(ctx context.Context, authority ca.Authority, order issue.Order) (*issue.Credential, error) {
	if e.r.Asking != nil {
		select {
		case e.r.Asking <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		defer func() { <-e.r.Asking }()
	}
	return issue.Obtain(ctx, authority, order, e.now)
}

// intend writes down what is about to be asked.
func (e *Errand) intend(ctx context.Context, order *issue.Order) error {
	if len(e.m.CSR) == 0 {
		if err := e.seal(ctx, order); err != nil {
			return err
		}
	}
	order.Token = issue.TokenOf(order.CSR, order.Validity.NotAfter)
	order.Pending = func(resume []byte) error {
		e.m.Resume = resume
		return e.r.remember(ctx, e.t, e.m)
	}
	if e.r.Ledger == nil {
		return nil
	}
	key, err := fingerprint(order)
	if err != nil {
		return err
	}
	return e.r.Ledger.Record(ctx, ca.Entry{Kind: ca.KindIntent, At: e.now.UTC().Truncate(time.Second),
		Key: key, Token: hex.EncodeToString(order.Token[:]),
		Service: e.t.Record.Service, Namespace: e.t.Record.Namespace, Note: e.t.Backend})
}

// fingerprint is that of the key that a certificate is ordered for.
func fingerprint(order *issue.Order) (string, error) {
	if order.Key != nil {
		spki, err := x509.MarshalPKIXPublicKey(order.Key.Public())
		return ca.KeyFingerprint(spki), err
	}
	request, err := x509.ParseCertificateRequest(order.CSR)
	if err != nil {
		return "", err
	}
	return ca.KeyFingerprint(request.RawSubjectPublicKeyInfo), nil
}

// seal journals the request and its key.
func (e *Errand) seal(ctx context.Context, order *issue.Order) error {
	if err := order.Seal(); err != nil {
		return err
	}
	e.m.Key, e.m.held = nil, nil
	if order.Key != nil { // else somebody else has it
		key, err := pemfile.EncodeKey(order.Key)
		if err != nil {
			return err
		}
		e.m.Key = key
	}
	facts, err := e.t.Record.OrderFact()
	if err != nil {
		return err
	}
	e.m.CSR, e.m.NotAfter, e.m.Resume, e.m.Order = order.CSR, order.Validity.NotAfter, nil, facts
	return e.r.hold(ctx, e.t, e.m)
}
