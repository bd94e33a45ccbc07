package file

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Errors that a caller can branch on.
var (
	// ErrNotOurs says that a CA certificate is that of no authority of the directory.
	ErrNotOurs = errors.New("is the certificate of no authority of this directory")
	// ErrIsRoot says that something cannot be done to a root.
	ErrIsRoot = errors.New("is a root")
)

// Cross is a further certificate of an authority, for the same subject and key,
// that another authority of the directory signed.
type Cross struct {
	Signer      string // the other authority's name
	Certificate *x509.Certificate
	// Above are the CA certificates over it that the directory knows, the root last.
	Above []*x509.Certificate
}

// Certificates are all of the authority's: its own first, then what others gave it.
func (a Authority) Certificates() []*x509.Certificate {
	all := []*x509.Certificate{a.Certificate}
	for _, c := range a.Crosses {
		all = append(all, c.Certificate)
	}
	return all
}

// CrossPath is the file with the certificate that signer gave an authority. Names
// have no dots, so it is no authority's own.
func (d *Directory) CrossPath(name, signer string) string {
	return filepath.Join(d.path, caDir, name+"."+signer+".crt")
}

// crossName takes the name of a file apart into that of an authority and that of the
// other that signed for it; false for any other file.
func crossName(file string) (name, signer string, ok bool) {
	base, isCert := strings.CutSuffix(file, ".crt")
	name, signer, two := strings.Cut(base, ".")
	return name, signer, isCert && two && ValidName(name) && ValidName(signer)
}

// signerOf is who signed the further certificate in a file of that name; "" for any other.
func signerOf(file string) string {
	if _, signer, ok := crossName(file); ok {
		return signer
	}
	return ""
}

// readCrosses finds the further certificates of the authorities among the files.
func (c *census) readCrosses(files []fs.DirEntry) error {
	for _, f := range files {
		name, signer, ok := crossName(f.Name())
		if !ok || c.rotation.hides(signer) {
			continue
		}
		i := c.index(func(a Authority) bool { return a.Name == name })
		if i < 0 {
			continue // of an authority that is gone
		}
		path := c.d.CrossPath(name, signer)
		data, err := pemfile.ReadFile(path)
		if err != nil {
			return err
		}
		certs, err := pemfile.Certificates(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if own := c.all[i].Certificate; !certs[0].IsCA || !bytes.Equal(certs[0].RawSubject, own.RawSubject) || !pemfile.SamePublicKey(certs[0].PublicKey, own.PublicKey) {
			return fmt.Errorf("%s: it is no certificate of %s: subject and key must be the same", path, name)
		}
		c.all[i].Crosses = append(c.all[i].Crosses, Cross{Signer: signer, Certificate: certs[0]})
	}
	return nil
}

// CrossOptions say what cross-signature is wanted.
type CrossOptions struct {
	ca.Cross
	By  string // the authority that signs
	Key KeySource
}

// CrossSign has one authority certify another CA that has a certificate already. Of
// an authority of the directory the result is kept beside its own; another's, which
// o.Foreign must say it is, is only recorded. It gives the name of the authority
// that was certified, "" for another's. Errors to branch on: ErrNotOurs,
// ErrNoAuthority, ErrNoKey, *ca.Refusal, *ca.ValidityError.
func (d *Directory) CrossSign(ctx context.Context, o CrossOptions) (c *x509.Certificate, of string, err error) {
	now, err := d.census()
	if err != nil {
		return nil, "", err
	}
	i := now.index(func(a Authority) bool { return slices.ContainsFunc(a.Certificates(), o.Certificate.Equal) })
	switch {
	case i >= 0:
		of, o.Foreign = now.all[i].Name, false
	case !o.Foreign:
		return nil, "", ErrNotOurs
	}
	issuer, err := d.Issuer(o.By, o.Key)
	if err != nil {
		return nil, "", err
	}
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return nil, "", err
	}
	defer lock.Release()
	if c, err = issuer.CrossSign(ctx, o.Cross); err != nil || of == "" {
		return c, of, err
	}
	return c, of, durable.WriteFile(d.CrossPath(of, o.By), pemfile.EncodeCertificates(c), publicMode)
}

// Reissue gives an intermediate another certificate for the same key, of the same
// shape, by the authority that signed the one it has; the old one stays in the
// ledger. from is where the key of that authority is, v the time that is asked for.
// Errors to branch on: ErrNoAuthority, ErrNoKey, ErrIsRoot, *ca.Refusal,
// *ca.ValidityError.
func (d *Directory) Reissue(ctx context.Context, name string, from KeySource, v ca.Validity) (Authority, error) {
	parent, err := d.Parent(name)
	if err != nil {
		return Authority{}, err
	}
	issuer, err := d.Issuer(parent.Name, from)
	if err != nil {
		return Authority{}, err
	}
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return Authority{}, err
	}
	defer lock.Release()
	a, err := d.Authority(name) // as it is now that nobody else changes it
	if err != nil {
		return Authority{}, err
	}
	c, err := issuer.ReissueCA(ctx, a.Certificate, v)
	if err != nil {
		return Authority{}, err
	}
	if err := durable.WriteFile(a.Path, pemfile.EncodeCertificates(c), publicMode); err != nil {
		return Authority{}, err
	}
	return d.Authority(a.Name)
}

// Parent is the authority that signed another's certificate. Of a root the error is
// ErrIsRoot; where the directory does not have it, ErrNoAuthority.
func (d *Directory) Parent(name string) (Authority, error) {
	now, err := d.census()
	if err != nil {
		return Authority{}, err
	}
	return now.parent(name)
}

// parent is Parent at one moment.
func (c *census) parent(name string) (Authority, error) {
	a, err := c.pick(name)
	switch {
	case err != nil:
		return Authority{}, err
	case a.Root():
		return Authority{}, fmt.Errorf("%q %w", a.Name, ErrIsRoot)
	case len(a.Above) == 0:
		return Authority{}, fmt.Errorf("the issuer of %q: %w", a.Name, ErrNoAuthority)
	}
	return c.all[c.index(func(p Authority) bool { return p.Certificate.Equal(a.Above[0]) })], nil
}

// Ends tells when an authority comes to its end, and whose end that is: its own, or
// that of a CA above it.
func (a Authority) Ends() (time.Time, *x509.Certificate) {
	return (&ca.Issuer{Certificate: a.Certificate, Above: a.Above}).Limit()
}
