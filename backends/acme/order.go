package acme

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// ticket is what ca.Request.Resume is: whose order it is, and where it stands. There
// is no secret in it: only the account can use it.
type ticket struct {
	Directory string `json:"directory"`
	Order     string `json:"order"`
}

// place places the order and tells req.Pending of it, or finds the one again that
// was placed earlier. One that has come to nothing meanwhile is placed anew.
func (s *session) place(ctx context.Context, req ca.Request) (acme.Order, error) {
	if len(req.Resume) > 0 {
		order, err := s.find(ctx, req.Resume)
		if err != nil || order.Location != "" {
			return order, err
		}
	}
	order, err := s.newOrder(ctx, req)
	if err != nil {
		return order, err
	}
	if order.Location == "" {
		return order, fmt.Errorf("place an order with %s: it does not say where the order is (RFC 8555, Section 7.4)", s.Authority.directory)
	}
	if req.Pending == nil {
		return order, nil
	}
	resume, err := json.Marshal(ticket{s.Authority.directory, order.Location})
	if err != nil {
		return order, err
	}
	return order, req.Pending(resume)
}

// find fetches the order of a ticket; one without a location where it is of no use
// any more.
func (s *session) find(ctx context.Context, resume []byte) (acme.Order, error) {
	var t ticket
	if err := json.Unmarshal(resume, &t); err != nil || t.Order == "" {
		return acme.Order{}, errors.New("what was kept of an order that is on its way is no ticket of an ACME server's")
	}
	if t.Directory != s.Authority.directory {
		return acme.Order{}, nil // the backend has changed since
	}
	order, err := s.client.GetOrder(ctx, s.account, acme.Order{Location: t.Order})
	if p, ok := errors.AsType[acme.Problem](err); ok && p.Status < http.StatusInternalServerError && !passing[p.Type] {
		return acme.Order{}, nil // it has ended: servers forget orders
	}
	if err != nil {
		return acme.Order{}, s.said("go on with an order at", err)
	}
	if order.Status == acme.StatusInvalid || order.Status == "" {
		return acme.Order{}, nil
	}
	order.Location = t.Order
	return order, nil
}

// newOrder places the order. It says which certificate it replaces, where the server
// knows renewal information, and leaves that out where the server will not have it
// (RFC 9773, Section 5).
func (s *session) newOrder(ctx context.Context, req ca.Request) (acme.Order, error) {
	want := acme.Order{Identifiers: identifiers(req.Identity), Profile: s.settings.Profile}
	if err := s.knows(want.Profile); err != nil {
		return want, err
	}
	if !req.Validity.UpTo {
		end := req.Validity.NotAfter.UTC().Truncate(time.Second)
		want.NotAfter = &end
	}
	if old := req.Replaces; old != nil && s.directory.RenewalInfo != "" && len(old.AuthorityKeyId) > 0 && old.NotAfter.After(s.options.Now()) {
		// An error leaves it empty: there is nothing to be replaced then.
		want.Replaces, _ = acme.ARIUniqueIdentifier(old)
	}
	order, err := s.client.NewOrder(ctx, s.account, want)
	if p, ok := errors.AsType[acme.Problem](err); ok && want.Replaces != "" && replacing(p) {
		want.Replaces = ""
		order, err = s.client.NewOrder(ctx, s.account, want)
	}
	if err == nil {
		return order, nil
	}
	err = s.said("place an order with", err)
	if _, refused := ca.IsRefusal(err); refused && want.NotAfter != nil && strings.Contains(strings.ToLower(err.Error()), "notafter") {
		return order, &ca.Refusal{What: "an end of one's own choosing", Why: err.Error() + ": leave the validity out, and choose a profile of the server's instead",
			Citation: "RFC 8555, Section 7.4"}
	}
	return order, err
}

// replacing tells whether a problem may be with the certificate that is replaced: it
// has been already, or it is another's.
func replacing(p acme.Problem) bool {
	switch p.Type {
	case acme.ProblemTypeAlreadyReplaced, acme.ProblemTypeMalformed, acme.ProblemTypeUnauthorized, acme.ProblemTypeNamespace + "notFound":
		return true
	}
	return p.Status == http.StatusConflict || p.Status == http.StatusNotFound
}

// knows tells whether the server has a profile.
func (s *session) knows(profile string) error {
	if profile == "" {
		return nil
	}
	var known []string
	if s.directory.Meta != nil {
		for name := range s.directory.Meta.Profiles {
			known = append(known, short(name))
		}
	}
	slices.Sort(known)
	switch {
	case slices.Contains(known, profile):
		return nil
	case len(known) == 0:
		return &ca.Refusal{What: fmt.Sprintf("profile %q", profile), Why: s.Authority.directory + " has no profiles: leave it out"}
	}
	return &ca.Refusal{What: fmt.Sprintf("profile %q", profile), Why: s.Authority.directory + " has " + strings.Join(known, ", ")}
}

// identifiers are the names of an identity as an order has them
// (RFC 8555, Section 7.1.3; RFC 8738, Section 3).
func identifiers(id ca.Identity) (out []acme.Identifier) {
	for _, name := range id.DNS() {
		out = append(out, acme.Identifier{Type: "dns", Value: strings.ToLower(name)})
	}
	for _, ip := range id.IPs() {
		out = append(out, acme.Identifier{Type: "ip", Value: ip.String()})
	}
	return out
}

// finalize hands the request in, once the server is ready for it, and waits until
// the certificate is made.
func (s *session) finalize(ctx context.Context, order acme.Order, csr []byte) (acme.Order, error) {
	const doing = "finalize an order at"
	for {
		switch order.Status {
		case acme.StatusValid:
			return order, nil
		case acme.StatusReady:
			done, err := s.client.FinalizeOrder(ctx, s.account, order, csr)
			if err != nil {
				return order, s.said(doing, err)
			}
			return done, nil
		case acme.StatusInvalid:
			if order.Error != nil {
				return order, s.problem(doing, *order.Error)
			}
			return order, &ca.Refusal{What: "the order", Why: s.Authority.directory + " has ended it without a reason", Citation: "RFC 8555, Section 7.1.6"}
		}
		if err := guard.Sleep(ctx, s.poll); err != nil {
			return order, err
		}
		var err error
		if order, err = s.client.GetOrder(ctx, s.account, order); err != nil {
			return order, s.said(doing, err)
		}
	}
}

// mostChain is how many certificates one chain may have.
const mostChain = 10

var errChain = errors.New("no chain of certificates")

// parseChain reads certificates in PEM.
func parseChain(data []byte) ([]*x509.Certificate, error) {
	chain, err := pemfile.Certificates(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errChain, err)
	}
	return chain, nil
}

// fetch fetches the chains, and gives the one that is preferred, without its root.
func (s *session) fetch(ctx context.Context, order acme.Order, csr *x509.CertificateRequest) (ca.Chain, error) {
	chains := ctx
	if s.directory.RenewalInfo != "" {
		chains = context.WithValue(ctx, unasked{}, s.directory.RenewalInfo)
	}
	offered, err := s.client.GetCertificateChain(chains, s.account, order.Certificate)
	if err != nil {
		return nil, s.said("fetch a certificate from", err)
	}
	var all []ca.Chain
	for _, c := range offered {
		chain, err := parseChain(c.ChainPEM)
		if err != nil || len(chain) > mostChain {
			return nil, fmt.Errorf("what %s gave is %w, or one of more than %d", s.Authority.directory, errChain, mostChain)
		}
		if !pemfile.SamePublicKey(chain[0].PublicKey, csr.PublicKey) {
			return nil, &ca.Refusal{What: "the certificate request", Why: "the order that is gone on with was finalized for another key", Citation: "RFC 8555, Section 7.4"}
		}
		all = append(all, bare(chain))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("what %s gave is %w", s.Authority.directory, errChain)
	}
	chain := prefer(all, s.settings.PreferredChain)
	if err := checkSubject(chain.Leaf()); err != nil {
		return nil, err
	}
	return chain, s.learn(chain)
}

// bare is a chain without the root that some servers send.
func bare(chain []*x509.Certificate) ca.Chain {
	last := chain[len(chain)-1]
	if len(chain) > 1 && bytes.Equal(last.RawSubject, last.RawIssuer) {
		return chain[:len(chain)-1]
	}
	return chain
}

// prefer finds the chain that leads to an issuer of that common name; where none
// does, it is the one that the server prefers.
func prefer(chains []ca.Chain, name string) ca.Chain {
	for _, chain := range chains {
		for _, c := range chain {
			if name != "" && c.Issuer.CommonName == name {
				return chain
			}
		}
	}
	return chains[0]
}
