package command

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

// readTrust reads what the question is judged by: the roots of --roots and of
// --system-roots and the bundles of --spiffe-bundle, else the directory's bundle;
// without any the question cannot be asked. With the directory's bundle goes what its
// ledger knows to be revoked.
func (c *call) readTrust(ctx context.Context, q *question) error {
	if c.Bool("system-roots") {
		system, err := c.systemRoots()
		if err != nil {
			return err
		}
		q.Roots = system
	}
	for _, name := range c.values("roots") {
		if err := c.addRoots(q, name, ""); err != nil {
			return err
		}
	}
	for _, given := range c.values("spiffe-bundle") {
		domain, name, ok := strings.Cut(given, "=")
		td, err := spiffeid.ParseTrustDomain(domain)
		switch {
		case !ok || name == "":
			return usagef("--spiffe-bundle: %q is not TRUST-DOMAIN=SOURCE, such as cluster.local=bundle.json", given)
		case err != nil:
			return usagef("--spiffe-bundle: %v", err)
		}
		if err := c.addRoots(q, name, td.String()); err != nil {
			return err
		}
	}
	if c.Bool("system-roots") || c.IsSet("roots") || c.IsSet("spiffe-bundle") {
		return nil
	}
	return c.ownTrust(ctx, q)
}

// addRoots adds the roots of one source: to the bundle of a trust domain, or, where
// none is named, to the roots. Bundles that a source keeps by trust domain stay apart.
func (c *call) addRoots(q *question, name, domain string) error {
	objects, err := c.objects(name)
	if err != nil {
		return err
	}
	found, others := 0, ""
	if q.Bundles == nil {
		q.Bundles = map[string][]*x509.Certificate{}
	}
	for _, o := range objects {
		switch {
		case o.Err != nil:
			return unreadable(name, o)
		case len(inspect.Certificates([]inspect.Object{o})) == 0:
		case domain != "" && o.TrustDomain != "" && o.TrustDomain != domain:
			others = o.TrustDomain
		case domain == "" && o.TrustDomain == "":
			q.Roots = append(q.Roots, o.Certificate)
			found++
		default:
			td := cmp.Or(domain, o.TrustDomain)
			q.Bundles[td] = append(q.Bundles[td], o.Certificate)
			found++
		}
	}
	switch {
	case found == 0 && others != "":
		return fmt.Errorf("%s: there is no bundle of trust domain %s in it, but of %s", name, domain, others)
	case found == 0:
		return fmt.Errorf("%s: %w", name, errNoCertificate)
	}
	return nil
}

// ownTrust is the directory's bundle, and what its ledger knows to be revoked.
func (c *call) ownTrust(ctx context.Context, q *question) error {
	d, err := c.openIfThere()
	if err != nil {
		return err
	}
	if d == nil {
		return usagef("there are no roots to verify against").
			withHint("--roots FILE names them; without it they are those of the directory, and there is none at %s", c.dir())
	}
	revoked, err := d.Ledger().Revoked(ctx)
	if err != nil {
		return err
	}
	q.Revoked = func(cert *x509.Certificate) (string, bool) {
		e, gone := revoked.Certificate(cert)
		return e.Reason, gone
	}
	q.Roots, err = d.Bundle()
	return err
}
