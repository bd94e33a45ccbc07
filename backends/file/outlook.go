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
	all, err := d.authorities()
	if err != nil {
		return ca.Outlook{}, err
	}
	a, err := d.pick(all, name)
	if err != nil {
		return ca.Outlook{}, err
	}
	roots, err := d.roots(all)
	if err != nil {
		return ca.Outlook{}, err
	}
	issuer := ca.Issuer{Certificate: a.Certificate, Above: a.Above}
	until, _ := issuer.Limit()
	return ca.Outlook{Roots: roots, Until: until.Truncate(time.Second), Above: func(leaf *x509.Certificate) []*x509.Certificate {
		return served(leaf, all)
	}}, nil
}

// served is the CAs over a leaf as they are served with it: without the root.
func served(leaf *x509.Certificate, all []Authority) []*x509.Certificate {
	for _, a := range all {
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
		return chain
	}
	return nil
}
