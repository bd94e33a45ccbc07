package file

import (
	"bytes"
	"crypto/x509"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// Outlook tells what can be expected of an authority, without its key; "" is the
// issuing intermediate. Leaves of every authority of the directory are known, so
// that those of a retired one keep their chain.
func (d *Directory) Outlook(name string) (ca.Outlook, error) {
	c, err := d.census()
	if err != nil {
		return ca.Outlook{}, err
	}
	a, err := c.pick(name)
	if err != nil {
		return ca.Outlook{}, err
	}
	roots, err := c.roots()
	if err != nil {
		return ca.Outlook{}, err
	}
	issuer := ca.Issuer{Certificate: a.Certificate, Above: a.Above}
	until, _ := issuer.Limit()
	return ca.Outlook{Roots: roots, Until: until.Truncate(time.Second), Above: c.served}, nil
}

// served is the CAs over a leaf as they are served with it: without the root.
func (c *census) served(leaf *x509.Certificate) []*x509.Certificate {
	for _, a := range c.all {
		if !bytes.Equal(a.Certificate.RawSubject, leaf.RawIssuer) || !bytes.Equal(a.Certificate.SubjectKeyId, leaf.AuthorityKeyId) {
			continue
		}
		if a.Root() {
			return []*x509.Certificate{}
		}
		chain := append([]*x509.Certificate{a.Certificate}, a.Above...)
		if last := chain[len(chain)-1]; selfSigned(last) {
			chain = chain[:len(chain)-1]
		}
		return append(chain, ca.Outliving(c.behind(a), leaf)...)
	}
	return nil
}
