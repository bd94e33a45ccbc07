package awspca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/smithy-go"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// handing is one order on its way in.
type handing struct {
	*order
	t       ticket
	pending func([]byte) error
	// unsure tells that a request of this order may have been carried out, unheard.
	unsure bool
	// untold tells that nobody takes notice any more of how far it has come.
	untold bool
	fails  int
}

// handIn has the order placed, and gives the name of the certificate to come. That it
// is about to be asked for is told before the request is made, and the name before
// anything else is done. An order that was asked for so long ago that its token is
// forgotten, and of which nothing was heard, is ca.ErrLost: asked for again it could
// be a second certificate.
func (a *Authority) handIn(ctx context.Context, o *order, t ticket, pending func([]byte) error) (string, error) {
	c, err := a.connected(ctx)
	if err != nil {
		return "", err
	}
	h := &handing{order: o, t: t, pending: pending, unsure: t.Asked != 0}
	in := &acmpca.IssueCertificateInput{CertificateAuthorityArn: &a.arn.text, Csr: requestPEM(o.csr.Raw), SigningAlgorithm: o.algorithm,
		TemplateArn: aws.String(a.arn.template(o.template)), Validity: absolute(o.notAfter), ApiPassthrough: o.pass, IdempotencyToken: &o.token}
	if !o.notBefore.IsZero() {
		in.ValidityNotBefore = absolute(o.notBefore)
	}
	// The limit is for the waits: a request that is on its way is not cut off.
	name, err := within(ctx, orderWithin, func(waits context.Context) (string, error) {
		for {
			name, err := a.try(ctx, waits, c, h, in)
			if name != "" || err != nil {
				return name, err
			}
		}
	})
	if err != nil {
		return "", errors.Join(err, h.settled(err))
	}
	return name, h.tell(ticket{ARN: name})
}

// try makes the request once. Neither name nor error: it is to be tried again.
func (a *Authority) try(ctx, waits context.Context, c *client, h *handing, in *acmpca.IssueCertificateInput) (string, error) {
	epoch, err := c.issue.wait(waits)
	if err != nil {
		return "", err
	}
	if err := context.Cause(ctx); err != nil {
		return "", err // nothing was asked
	}
	if err := h.mark(a.now()); err != nil {
		return "", err
	}
	out, err := once(ctx, c.api.IssueCertificate, in)
	switch k := kindOf(err); {
	case err == nil && aws.ToString(out.CertificateArn) != "":
		c.issue.served()
		return *out.CertificateArn, nil
	case err == nil:
		return "", errors.New("IssueCertificate at AWS Private CA: the answer names no certificate")
	case k == throttle:
		c.issue.throttled(epoch)
		return "", nil
	case ctx.Err() != nil:
		h.unsure = true
		return "", context.Cause(ctx)
	case k == away:
		// It may have been carried out; the token makes it one certificate.
		h.unsure = true
		if h.fails++; h.fails >= tries {
			return "", a.told("IssueCertificate", h.template, err)
		}
		return "", guard.Sleep(waits, again<<h.fails)
	}
	return "", a.told("IssueCertificate", h.template, err)
}

// mark tells, before a request, since when one may have been carried out.
func (h *handing) mark(now time.Time) error {
	age := now.Sub(time.Unix(h.t.Asked, 0))
	switch {
	case h.unsure && age > tokenLife:
		return ca.ErrLost
	case h.unsure, h.t.Asked != 0 && age < markedFor:
		return nil
	}
	return h.tell(ticket{Asked: now.Unix()})
}

func (h *handing) tell(t ticket) error {
	h.t = t
	if h.pending == nil {
		return nil
	}
	err := h.pending(t.encode())
	h.untold = err != nil
	return err
}

// settled takes the mark back where it is known that nothing was carried out.
func (h *handing) settled(err error) error {
	if h.unsure || h.untold || h.pending == nil || h.t.Asked == 0 || errors.Is(err, ca.ErrLost) {
		return nil
	}
	return h.pending(nil)
}

const (
	// firstLook is when a certificate is asked for first, until it is known how long the
	// service takes; longestLook, how far apart two looks are at the most.
	firstLook   = 200 * time.Millisecond
	soonestLook = 50 * time.Millisecond
	longestLook = 15 * time.Second
	// unseen is how many looks may find no such certificate: it was only just named.
	unseen = 6
)

// looks are when a certificate is looked for: first, and then no sooner than that.
type looks struct{ first, soonest time.Duration }

// fetch waits for a certificate that was named, and gives its chain.
func (a *Authority) fetch(ctx context.Context, csr *x509.CertificateRequest, name string) (ca.Chain, error) {
	c, err := a.connected(ctx)
	if err != nil {
		return nil, err
	}
	out, err := within(ctx, orderWithin, func(ctx context.Context) (*acmpca.GetCertificateOutput, error) { return a.look(ctx, c, name) })
	if err != nil {
		return nil, err
	}
	chain, err := chainOf(out.Certificate, out.CertificateChain)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name, err)
	}
	if !pemfile.SamePublicKey(chain[0].PublicKey, csr.PublicKey) {
		return nil, &ca.Refusal{What: "the certificate request", Why: "certificate " + name + ", which was named for it, is for another key"}
	}
	last := chain[len(chain)-1]
	if d := a.known(); d != nil && !last.Equal(d.root()) {
		a.remember(nil) // it has another chain by now
	}
	if bytes.Equal(last.RawSubject, last.RawIssuer) && len(chain) > 1 {
		chain = chain[:len(chain)-1]
	}
	return ca.Chain(slices.Clip(chain)), nil
}

// look asks for a certificate until it is there. How long it took is remembered for
// the next one.
func (a *Authority) look(ctx context.Context, c *client, name string) (*acmpca.GetCertificateOutput, error) {
	in := &acmpca.GetCertificateInput{CertificateAuthorityArn: &a.arn.text, CertificateArn: &name}
	first, step := a.usual()
	delay, slept := first, time.Duration(0)
	for n := 1; ; n++ {
		if err := guard.Sleep(ctx, delay); err != nil {
			return nil, err
		}
		slept += delay
		out, err := ask(ctx, c.fetch, c.api.GetCertificate, in)
		switch k := kindOf(err); {
		case err == nil:
			a.learn(slept, n)
			return out, nil
		case k == notYet, k == missing && n < unseen:
		case failedThere(err):
			return nil, fmt.Errorf("AWS Private CA failed to issue certificate %s (%s): %w", name, said(err), ca.ErrLost)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		default:
			return nil, a.told("GetCertificate", "", err)
		}
		if delay = step; n > 1 {
			step = min(2*step, longestLook)
		}
	}
}

// failedThere tells whether the service gave an order up.
func failedThere(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == "RequestFailedException"
}

// usual is how long the service takes, and how long after that the next look is:
// soon, where it is known.
func (a *Authority) usual() (first, step time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.took == 0 {
		return a.looks.first, a.looks.first
	}
	return a.took, max(a.took/4, a.looks.soonest)
}

// learn takes notice of how long it took, and of how many looks: the second one is to
// find it.
func (a *Authority) learn(slept time.Duration, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n != 2 || a.took == 0 {
		a.took = slept * 9 / 10 // it was there a little sooner
	}
	a.took = min(max(a.took, a.looks.soonest), 5*time.Second)
}
