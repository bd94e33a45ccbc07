package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

// bundle is the roots of the directory, or with --backend of an authority elsewhere.
func (c *call) bundle(ctx context.Context) ([]*x509.Certificate, error) {
	if ref := c.String("backend"); ref != "" {
		if c.IsSet("record") {
			return nil, usagef("--record does not go with --backend: a rotation here waits for nobody who trusts other roots")
		}
		authority, err := c.env.Registry.Authority(ctx, ref, c.options())
		if err != nil {
			return nil, err
		}
		return authority.Roots(ctx)
	}
	d, err := c.open()
	if err != nil {
		return nil, err
	}
	return d.Bundle()
}

// recordBundle remembers to whom the roots are handed, where that was asked for.
func (c *call) recordBundle(ctx context.Context, roots []*x509.Certificate) error {
	if !c.IsSet("record") {
		return nil
	}
	d, err := c.open()
	if err != nil {
		return err
	}
	return d.RecordExport(ctx, c.String("record"), file.Handed{}, roots)
}

// intermediateFrom makes an intermediate that an authority elsewhere signs: its key is
// made here, as for another machine's root. What was asked for and did not come, an
// interrupted run's, is asked for again.
func (c *call) intermediateFrom(ctx context.Context, name string) error {
	for _, flag := range []string{"parent", "key", "root-passphrase-file"} {
		if c.IsSet(flag) {
			return usagef("--%s does not go with --backend: the authority elsewhere signs", flag)
		}
	}
	authority, err := c.env.Registry.Authority(ctx, c.String("backend"), c.options())
	if err != nil {
		return err
	}
	superior, ok := authority.(ca.Superior)
	if !ok {
		return usagef("%s signs no intermediates", c.String("backend"))
	}
	settings, err := c.csrSettings(name)
	if err != nil {
		return err
	}
	o, err := c.pendingOptions(settings, name)
	if err != nil {
		return err
	}
	roots, err := authority.Roots(ctx) // before a key is made in vain
	if err != nil {
		return err
	}
	if o.Passphrase, err = c.newPassphrase("the new key"); err != nil {
		return err
	}
	d, err := c.openOrMake(ctx, settings)
	if err != nil {
		return err
	}
	t := c.transcript("intermediate-" + name)
	p, err := d.AddPending(ctx, o)
	if errors.Is(err, file.ErrPending) {
		p, err = pendingNamed(d, name)
	}
	if errors.Is(err, file.ErrExists) {
		return withHint(usagef("there is an authority %q already", name), "meshpki ca show %s%s", name, c.dirFlag())
	}
	if err != nil {
		return err
	}
	a, err := c.signedBy(ctx, superior, d, p, roots)
	if err != nil {
		_, kept := t.end(d, err)
		return errors.Join(err, kept)
	}
	return c.imported(d, a, t)
}

// pendingNamed is what was asked for under a name.
func pendingNamed(d *file.Directory, name string) (file.Pending, error) {
	all, err := d.Pending()
	if err != nil {
		return file.Pending{}, err
	}
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
	}
	return file.Pending{}, fmt.Errorf("%q: %w", name, file.ErrNoPending)
}

// signedBy has what is asked for signed, and takes it in under the root that it leads to.
func (c *call) signedBy(ctx context.Context, superior ca.Superior, d *file.Directory, p file.Pending, roots []*x509.Certificate) (file.Authority, error) {
	chain, err := superior.CertifyCA(ctx, p.CSR.Raw, p.Spec)
	if err != nil {
		return file.Authority{}, err
	}
	root := (ca.Outlook{Roots: roots}).RootOf(chain)
	if root == nil {
		return file.Authority{}, &ca.Refusal{What: "the certificate", Why: "its chain leads to none of the authority's roots", Citation: "RFC 5280, Section 6.1"}
	}
	return d.ImportWith(ctx, chain.Leaf(), chain[1:], root, c.added(superior, p.Spec, chain.Leaf()))
}

// added is what an authority elsewhere puts into the key usage of a CA besides, and
// says that it did.
func (c *call) added(superior ca.Superior, spec ca.Spec, cert *x509.Certificate) x509.KeyUsage {
	a, ok := superior.(ca.Adder)
	if !ok {
		return 0
	}
	more, why := a.Adds(spec)
	if cert.KeyUsage&more != 0 {
		c.notice("warning: the certificate of %s has more in its key usage than was asked for: %s", ui.Safe(spec.CommonName), ui.Safe(why))
	}
	return more
}

// intermediateIn signs a CA whose key is made and kept elsewhere, and hands it over.
// Where the handing over failed before, that is all that is done.
func (c *call) intermediateIn(ctx context.Context, d *file.Directory, name string) error {
	authority, err := c.env.Registry.Authority(ctx, c.String("in"), c.options())
	if err != nil {
		return err
	}
	if c.IsSet("passphrase-file") {
		return usagef("--passphrase-file does not go with --in: the key is made there, and none is kept here")
	}
	there, ok := authority.(ca.Subordinate)
	if !ok {
		return usagef("%s takes no CA that is signed elsewhere", c.String("in"))
	}
	a, err := d.Authority(name)
	switch {
	case errors.Is(err, file.ErrNoAuthority):
		if a, err = c.signThere(ctx, d, there, name); err != nil {
			return err
		}
	case err != nil:
		return err
	case a.KeyPath != "" || a.KeyURI != "":
		return withHint(usagef("there is an authority %q already", name), "meshpki ca show %s%s", name, c.dirFlag())
	}
	if err := there.InstallCA(ctx, append(ca.Chain{a.Certificate}, a.Above...)); err != nil {
		return withHint(fmt.Errorf("%s is signed and not handed over: %w", name, err), "the same command again hands it over")
	}
	now := c.env.Now()
	return c.say(ui.Authorities{List: describeAuthorities([]file.Authority{a}, now), Now: now, Dir: c.dir()})
}

// signThere has the key made elsewhere and signs its certificate here.
func (c *call) signThere(ctx context.Context, d *file.Directory, there ca.Subordinate, name string) (file.Authority, error) {
	o, err := c.intermediateOptions(d, name)
	if err != nil {
		return file.Authority{}, err
	}
	der, err := there.RequestCA(ctx, o.Spec, o.KeyType)
	if err != nil {
		return file.Authority{}, err
	}
	csr, err := ca.ParseCSR(der)
	if err != nil {
		return file.Authority{}, err
	}
	if is := ca.KeyTypeOf(csr.PublicKey); c.IsSet("key-type") && is != o.KeyType {
		return file.Authority{}, usagef("--key-type %s: the key that %s has made is %s, and it alone decides about that", o.KeyType, c.String("in"), is)
	}
	if cn, err := ca.CommonNameOf(csr); err == nil && c.String("for") == "" {
		o.Spec.CommonName = cn // as it is called there
	}
	o.Public = csr.PublicKey
	a, err := d.AddIntermediate(ctx, o)
	if errors.Is(err, file.ErrNoKey) {
		return a, withHint(err, "--key FILE names the file that holds the key of %s", o.Parent)
	}
	return a, err
}
