package file

import (
	"bytes"
	"context"
	"crypto/x509"
	"slices"

	"github.com/meshpki/meshpki/ca"
)

// Unconstrained lists the authorities whose keys can be used from this directory and
// that may certify any name, where the root came from another machine: on one that
// only renews its own certificates that is more than it needs. A directory that has
// a root's key holds the whole CA, and one that made the root is where a CA lives:
// of them there are none.
func (d *Directory) Unconstrained(ctx context.Context) ([]Authority, error) {
	now, err := d.census()
	if err != nil {
		return nil, err
	}
	all := now.all
	var loose []Authority
	for _, a := range all {
		here := a.KeyPath != "" || a.KeyURI != ""
		if here && a.Root() {
			return nil, nil
		}
		free := !slices.ContainsFunc(append(a.Certificates()[:1], a.Above...), ca.Constrained)
		if here && free && d.now().Before(a.Certificate.NotAfter) {
			loose = append(loose, a)
		}
	}
	if len(loose) == 0 { // the ledger need not be read
		return nil, nil
	}
	for _, a := range all {
		if !a.Root() {
			continue
		}
		if imported, err := d.imported(ctx, a.Certificate); err != nil || !imported {
			return nil, err
		}
	}
	return loose, nil
}

// imported tells whether a CA certificate was signed elsewhere and taken in.
func (d *Directory) imported(ctx context.Context, c *x509.Certificate) (bool, error) {
	for e, err := range d.Ledger().Find(ctx, ca.FormatSerial(c.SerialNumber)) {
		if err != nil {
			return false, err
		}
		if e.Kind == ca.KindCA && bytes.Equal(e.Certificate, c.Raw) && e.Note == noteImported {
			return true, nil
		}
	}
	return false, nil
}
