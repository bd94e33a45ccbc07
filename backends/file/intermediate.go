package file

import (
	"context"
	"crypto"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// IntermediateOptions say what further intermediate is wanted.
type IntermediateOptions struct {
	Name       string
	Spec       ca.Spec
	KeyType    ca.KeyType
	Passphrase []byte // of the new key; empty leaves it in the clear
	Parent     string // "" is the root
	ParentKey  KeySource
	// Public is the key to be certified, where it was made elsewhere and stays there.
	Public crypto.PublicKey
}

// AddIntermediate makes another intermediate. The key is in place before the
// certificate, which is what makes the authority exist. A name that is taken is
// ErrExists.
func (d *Directory) AddIntermediate(ctx context.Context, o IntermediateOptions) (Authority, error) {
	if !ValidName(o.Name) || IsRootName(o.Name) {
		return Authority{}, fmt.Errorf("%q %w", o.Name, errBadCAName)
	}
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return Authority{}, err
	}
	defer lock.Release()
	if _, err := os.Lstat(d.CertificatePath(o.Name)); err == nil {
		return Authority{}, fmt.Errorf("%q: %w", o.Name, ErrExists)
	}
	now, err := d.census()
	if err != nil {
		return Authority{}, err
	}
	if o.Parent == "" {
		o.Parent = now.lead()
	}
	if err := now.mayStandUnder(o.Parent); err != nil {
		return Authority{}, err
	}
	parent, err := now.issuer(o.Parent, o.ParentKey)
	if err != nil {
		return Authority{}, err
	}
	public, data, err := o.key()
	if err != nil {
		return Authority{}, err
	}
	chain, err := parent.IssueCA(ctx, o.Spec, public)
	if err != nil {
		return Authority{}, err
	}
	if data != nil {
		// A key without a certificate is what an interrupted run left: it was never used.
		if err := durable.WriteFile(d.keyPath(o.Name), data, secretMode); err != nil {
			return Authority{}, err
		}
	}
	if err := durable.WriteFile(filepath.Join(d.path, caDir, o.Name+".crt"), pemfile.EncodeCertificates(chain.Leaf()), publicMode); err != nil {
		return Authority{}, err
	}
	return d.Authority(o.Name)
}

// key makes the key, and gives it as it is kept; nothing is kept of one elsewhere.
func (o IntermediateOptions) key() (public crypto.PublicKey, data []byte, err error) {
	if o.Public != nil {
		return o.Public, nil, nil
	}
	key, err := ca.NewKey(o.KeyType)
	if err != nil {
		return nil, nil, err
	}
	data, err = encodeKey(key, o.Passphrase)
	return key.Public(), data, err
}

// mayStandUnder refuses what a rotation would not take along: it certifies what
// stands under the old root when it begins.
func (c *census) mayStandUnder(parent string) error {
	p, err := c.pick(parent)
	switch {
	case err != nil:
		return err
	case p.Stage == StageRetired:
		return fmt.Errorf("%q is retired: %s has taken its place: %w", parent, c.settings.root(), ErrNoAuthority)
	case p.Stage == "" || c.rotation.Phase == PhaseDrop && p.Stage == StageNew:
		return nil
	}
	return fmt.Errorf("%w from %s to %s (phase %s): nothing new can stand under either until the old one is dropped", ErrRotating, c.rotation.Old, c.rotation.New, c.rotation.Phase)
}
