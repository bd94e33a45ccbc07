package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// errNoRoots says that ACME itself tells nobody what to trust.
var errNoRoots = errors.New("its roots are not known: a server tells them to nobody over ACME. Name the file with them under roots")

// Roots gives those that the settings name or, without, those that its chains have
// led to: of the system, or of those that the server itself is trusted by.
func (a *Authority) Roots(ctx context.Context) ([]*x509.Certificate, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if a.settings.Roots != "" {
		return readCertificates(a.settings.Roots)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.learned) == 0 {
		found, err := readCertificates(a.rootsPath())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		a.learned = found
	}
	if len(a.learned) == 0 {
		return nil, fmt.Errorf("%s: %w", a.directory, errNoRoots)
	}
	return slices.Clone(a.learned), nil
}

// rootsPath is where learned roots are remembered: they can be learned again.
func (a *Authority) rootsPath() string {
	return filepath.Join(a.options.Dir, "cache", "acme", a.id()+".roots.pem")
}

// mostRoots is how many roots are remembered.
const mostRoots = 8

// learn finds the root that a chain leads to, where the settings name none.
func (a *Authority) learn(chain ca.Chain) error {
	if a.settings.Roots != "" {
		return nil
	}
	root, err := a.rootOf(chain)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.learned) == 0 { // what cannot be read is learned anew
		a.learned, _ = readCertificates(a.rootsPath())
	}
	if slices.ContainsFunc(a.learned, root.Equal) {
		return nil
	}
	// What others have in use leads to those that were learned before.
	a.learned = slices.DeleteFunc(append([]*x509.Certificate{root}, a.learned...), func(c *x509.Certificate) bool {
		return !c.NotAfter.After(a.options.Now())
	})
	a.learned = a.learned[:min(len(a.learned), mostRoots)]
	if err := durable.MkdirAll(filepath.Dir(a.rootsPath()), 0o755); err != nil {
		return fmt.Errorf("remember the roots: %w", err)
	}
	if err := durable.WriteFile(a.rootsPath(), pemfile.EncodeCertificates(a.learned...), 0o644); err != nil {
		return fmt.Errorf("remember the roots: %w", err)
	}
	return nil
}

// rootOf finds the root over a chain among those that the system trusts, and those
// that the server is trusted by.
func (a *Authority) rootOf(chain ca.Chain) (*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	o := x509.VerifyOptions{Intermediates: between, CurrentTime: a.options.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	found, err := chain.Leaf().Verify(o)
	if err != nil && a.settings.CACert != "" {
		roots, unread := readCertificates(a.settings.CACert)
		if unread != nil {
			return nil, unread
		}
		o.Roots = x509.NewCertPool()
		for _, r := range roots {
			o.Roots.AddCert(r)
		}
		found, err = chain.Leaf().Verify(o)
	}
	if err != nil || len(found) == 0 {
		top := chain[len(chain)-1].Issuer.CommonName
		return nil, fmt.Errorf("no root that is known on this machine leads to what %s signs, under %s: name the file with it under roots", a.directory, short(top))
	}
	path := found[0]
	return path[len(path)-1], nil
}
