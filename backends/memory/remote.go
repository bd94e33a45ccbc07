package memory

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"sync"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Remote is an authority as a slow service is one: an order is handed in, which
// gives a ticket, and is fetched by its ticket, in this run or a later one. The
// same token gives the same ticket. It is safe for concurrent use and must not be
// copied; its exported fields do not change once it is in use.
type Remote struct {
	Issuer *ca.Issuer
	// Wait stands for the service's slowness, between handing in and fetching. It may be nil.
	Wait func(ctx context.Context) error

	mu     sync.Mutex
	orders map[string]order // by ticket
}

type order struct {
	chain ca.Chain
	key   crypto.PublicKey
}

var (
	_ ca.Authority = (*Remote)(nil)
	_ ca.Revoker   = (*Remote)(nil)
	_ ca.Judge     = (*Remote)(nil)
	_ ca.Previewer = (*Remote)(nil)
)

// Issue hands the order in unless req.Resume is its ticket already, tells the
// ticket to req.Pending, waits, and fetches.
func (r *Remote) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	csr, err := ca.ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	ticket := string(req.Resume)
	if ticket == "" {
		if ticket, err = r.handIn(ctx, req, csr.PublicKey); err != nil {
			return nil, err
		}
		if req.Pending != nil {
			if err := req.Pending([]byte(ticket)); err != nil {
				return nil, err
			}
		}
	}
	if r.Wait != nil {
		if err := r.Wait(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return r.fetch(ticket, csr.PublicKey)
}

func (r *Remote) handIn(ctx context.Context, req ca.Request, key crypto.PublicKey) (ticket string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ticket = "order-" + strconv.Itoa(len(r.orders)+1)
	if req.Token != [32]byte{} {
		ticket = "token-" + hex.EncodeToString(req.Token[:])
	}
	if _, known := r.orders[ticket]; known {
		return ticket, nil
	}
	chain, err := r.Issuer.Issue(ctx, req)
	if err != nil {
		return "", err
	}
	if r.orders == nil {
		r.orders = map[string]order{}
	}
	r.orders[ticket] = order{chain, key}
	return ticket, nil
}

func (r *Remote) fetch(ticket string, key crypto.PublicKey) (ca.Chain, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, ok := r.orders[ticket]
	switch {
	case !ok:
		return nil, errors.New("the authority knows no order of that ticket")
	case !pemfile.SamePublicKey(o.key, key):
		return nil, &ca.Refusal{What: "the certificate request", Why: "its token was used for another key"}
	}
	return slices.Clone(o.chain), nil
}

// Roots gives the issuer's roots.
func (r *Remote) Roots(ctx context.Context) ([]*x509.Certificate, error) { return r.Issuer.Roots(ctx) }

// Revoke revokes a certificate of the issuer's.
func (r *Remote) Revoke(ctx context.Context, serial *big.Int, reason ca.Reason) error {
	return r.Issuer.Revoke(ctx, serial, reason)
}

// Judge asks the issuer about a name.
func (r *Remote) Judge(n ca.Name) error { return r.Issuer.Judge(n) }

// Preview shows what the issuer would certify.
func (r *Remote) Preview(ctx context.Context, req ca.Request) (*x509.Certificate, error) {
	return r.Issuer.Preview(ctx, req)
}
