// Package acme is an authority that is asked over ACME (RFC 8555): a public one, or
// step-ca, Vault or Pebble. It places the order, proves that the names are ours, and
// fetches the chain; with renewal information (RFC 9773) the authority says when.
package acme

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
)

// mostTime is how long one order may take. What is not done by then stands at the
// server, and is gone on with by the next try.
const mostTime = 5 * time.Minute

// again is how often an order is gone on with at once, where that may help.
const again = 3

// Authority is an account with an ACME server. It logs in once, shares its challenge
// listeners between orders, and is safe for concurrent use.
type Authority struct {
	directory string
	settings  backends.ACME
	options   backends.Options
	public    string // whose public authority it is; "" for any other
	solvers   []solver

	turn    chan struct{} // taken while logging in
	client  *acme.Client
	account *acme.Account

	silent   silence
	infoTime time.Duration // how long renewal information may take
	poll     time.Duration // how often it is looked whether the server is done

	mu      sync.Mutex
	learned []*x509.Certificate // roots that chains have led to
	lost    bool                // the server does not know the account any more
}

var (
	_ ca.Authority          = (*Authority)(nil)
	_ ca.Judge              = (*Authority)(nil)
	_ ca.CertificateRevoker = (*Authority)(nil)
)

// Open gives the authority of a directory's URL, with the settings of its entry in the
// manifest, if it has one. It does no input or output. A URL that will not do is a
// *backends.RefError.
func Open(_ context.Context, directory string, o backends.Options) (ca.Authority, error) {
	return open(directory, o)
}

func open(directory string, o backends.Options) (*Authority, error) {
	u, err := url.Parse(directory)
	bad := func(problem string) (*Authority, error) {
		return nil, &backends.RefError{Ref: "acme:" + directory, Problem: problem}
	}
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return bad("is no ACME server: acme: and the URL of its directory are expected, such as acme:https://acme.example.com/directory")
	case u.User != nil:
		return nil, &backends.RefError{Ref: "acme:", Problem: "has a user or a password in its URL: secrets do not stand in a reference"}
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return bad("is not asked without TLS: an https:// URL is expected (RFC 8555, Section 6.1)")
	}
	a := &Authority{directory: directory, options: o, public: publicName(u.Hostname()), turn: make(chan struct{}, 1),
		silent: silence{first: make(chan struct{}, 1)}, infoTime: infoTime, poll: pollEvery}
	if s, ok := o.Settings.(*backends.ACME); ok && s != nil {
		a.settings = *s
	}
	a.solvers = newSolvers(a.settings)
	return a, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// id names the server in the state directory: its host, and a part of a digest.
func (a *Authority) id() string {
	host := "server"
	if u, err := url.Parse(a.directory); err == nil && u.Hostname() != "" {
		host = fileName(u.Hostname())
	}
	sum := sha256.Sum256([]byte(a.directory))
	return host + "-" + hex.EncodeToString(sum[:4])
}

// fileName is a host name in the letters that every file system takes.
func fileName(host string) string {
	name := []byte(host)
	for i, c := range name {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-') {
			name[i] = '-'
		}
	}
	return string(name[:min(len(name), 100)])
}

// keyPath is where the account's key is kept, like a CA's.
func (a *Authority) keyPath() string {
	if a.settings.AccountKeyFile != "" {
		return a.settings.AccountKeyFile
	}
	return filepath.Join(a.options.Dir, "keys", "acme-"+a.id()+".key")
}

// Issue places the order, or goes on with the one that req.Resume names, proves that
// its names are ours, and gives the chain. What ACME cannot certify is a *ca.Refusal
// before anyone is asked; what will pass is ca.ErrAway.
func (a *Authority) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	csr, err := a.check(req)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, mostTime)
	defer cancel()
	tell := req.Pending
	req.Pending = func(resume []byte) error {
		if req.Resume = resume; tell == nil {
			return nil
		}
		return tell(resume)
	}
	var chain ca.Chain
	err = a.insist(func() (err error) {
		chain, err = a.obtain(within, req, csr)
		return err
	})
	return a.ended(ctx, within, chain, err)
}

// insist tries again what failed for want of a good nonce, or of an account that the
// server knows.
func (a *Authority) insist(try func() error) error {
	err := try()
	for range again {
		switch {
		case errors.Is(err, errNoAccount): // a server that was set up anew, while a daemon ran on
			a.lose()
		case !errors.Is(err, errNonce):
			return err
		}
		err = try()
	}
	return err
}

// ended is what Issue gives: an order that has taken too long is gone on with later.
func (a *Authority) ended(ctx, within context.Context, chain ca.Chain, err error) (ca.Chain, error) {
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		return nil, fmt.Errorf("%s did not finish within %s, and the order is gone on with next time: %w: %w", a.directory, mostTime, ca.ErrAway, err)
	}
	if ctx.Err() != nil && err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	return chain, err
}

// obtain is Issue within its time.
func (a *Authority) obtain(ctx context.Context, req ca.Request, csr *x509.CertificateRequest) (ca.Chain, error) {
	s, err := a.login(ctx)
	if err != nil {
		return nil, err
	}
	order, err := s.place(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.prove(ctx, order); err != nil {
		if len(req.Resume) == 0 || ctx.Err() != nil || errors.Is(err, errNonce) {
			return nil, err
		}
		// The server looked while nobody was there to answer: that order is over.
		req.Resume = nil
		if order, err = s.place(ctx, req); err != nil {
			return nil, err
		}
		if err := s.prove(ctx, order); err != nil {
			return nil, err
		}
	}
	if order, err = s.finalize(ctx, order, req.CSR); err != nil {
		return nil, err
	}
	chain, err := s.fetch(ctx, order, csr)
	if err == nil && req.Replaces != nil {
		a.forget(req.Replaces)
	}
	return chain, err
}
