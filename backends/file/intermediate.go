package file

import (
	"context"
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
}

// AddIntermediate makes another intermediate. The key is in place before the
// certificate, which is what makes the authority exist. A name that is taken is
// ErrExists.
func (d *Directory) AddIntermediate(ctx context.Context, o IntermediateOptions) (Authority, error) {
	if !ValidName(o.Name) || o.Name == RootName {
		return Authority{}, fmt.Errorf("%q %w", o.Name, errBadCAName)
	}
	if o.Parent == "" {
		o.Parent = RootName
	}
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return Authority{}, err
	}
	defer lock.Release()
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return Authority{}, err
	}
	defer root.Close()
	if _, err := root.Lstat(filepath.Join(caDir, o.Name+".crt")); err == nil {
		return Authority{}, fmt.Errorf("%q: %w", o.Name, ErrExists)
	}
	parent, err := d.Issuer(o.Parent, o.ParentKey)
	if err != nil {
		return Authority{}, err
	}
	key, err := ca.NewKey(o.KeyType)
	if err != nil {
		return Authority{}, err
	}
	data, err := encodeKey(key, o.Passphrase)
	if err != nil {
		return Authority{}, err
	}
	chain, err := parent.IssueCA(ctx, o.Spec, key.Public())
	if err != nil {
		return Authority{}, err
	}
	// A key without a certificate is what an interrupted run left: it was never used.
	if err := durable.WriteFile(d.keyPath(o.Name), data, secretMode); err != nil {
		return Authority{}, err
	}
	if err := durable.WriteFile(filepath.Join(d.path, caDir, o.Name+".crt"), pemfile.EncodeCertificates(chain.Leaf()), publicMode); err != nil {
		return Authority{}, err
	}
	return d.Authority(o.Name)
}
