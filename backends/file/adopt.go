package file

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// Adopt takes in an intermediate that somebody else made, with its key and the CAs
// above it: chain is the CA first, root the one that it leads to. A directory without
// a root gets this one; one with another root refuses, with a *ca.Refusal. Errors to
// branch on: ErrExists.
func (d *Directory) Adopt(ctx context.Context, name string, chain []*x509.Certificate, root *x509.Certificate, key crypto.Signer, passphrase []byte) (Authority, error) {
	if !ValidName(name) || IsRootName(name) {
		return Authority{}, fmt.Errorf("%q %w", name, errBadCAName)
	}
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return Authority{}, err
	}
	defer lock.Release()
	present, err := d.census()
	if err != nil {
		return Authority{}, err
	}
	if _, err := os.Lstat(d.CertificatePath(name)); err == nil {
		return Authority{}, fmt.Errorf("%q: %w", name, ErrExists)
	}
	for _, a := range present.all {
		if slices.ContainsFunc(a.Certificates(), chain[0].Equal) {
			return Authority{}, fmt.Errorf("it is %q: %w", a.Name, ErrExists)
		}
	}
	if err := proves(key, chain[0]); err != nil {
		return Authority{}, &ca.Refusal{What: "the CA", Why: "the key is not its own", Citation: "RFC 5280, Section 4.1.2.7"}
	}
	above, err := ca.Anchor(chain[0], chain[1:], root, d.now())
	if err != nil {
		return Authority{}, err
	}
	data, err := encodeKey(key, passphrase)
	if err != nil {
		return Authority{}, err
	}
	if err := present.takeIn(ctx, above); err != nil {
		return Authority{}, err
	}
	// A key without a certificate is what an interrupted run left: it was never used.
	if err := durable.WriteFile(d.keyPath(name), data, secretMode); err != nil {
		return Authority{}, err
	}
	if err := d.enter(ctx, name, chain[0]); err != nil {
		return Authority{}, err
	}
	return d.Authority(name)
}
