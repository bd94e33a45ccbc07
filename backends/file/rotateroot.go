package file

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// RotateRootOptions say what root is to take the place of the present one.
type RotateRootOptions struct {
	CommonName string // "" is that of the present root, with its number
	KeyType    ca.KeyType
	NotAfter   time.Time
	Passphrase []byte // of the new key; empty leaves it in the clear
	// OfflineRoot is a file outside the directory that the new key goes to; or KeyURI
	// is where it is made, or is already.
	OfflineRoot, KeyURI string
	Open                func(authority, uri string, create ca.KeyType) (crypto.Signer, error)
	OldKey              KeySource // of the present root's key
}

// RotateRoot has a new root take the first step towards the place of the present
// one. The new root is made, the old one certifies it where its path length leaves
// room, and the new one certifies every intermediate directly below the old one, with
// the names and keys that they have. All of it is recorded first. Then, at once, both
// roots are to be trusted. What an interrupted one left is taken away before.
// Errors to branch on: ErrRotating, ErrNoKey, ErrKeyFile, *ca.Refusal,
// *ca.ValidityError.
func (d *Directory) RotateRoot(ctx context.Context, o RotateRootOptions) (r *Rotation, err error) {
	return r, d.counted(ctx, func(c *census) error {
		if c.rotation.underWay() {
			return fmt.Errorf("%w, from %s to %s", ErrRotating, c.rotation.Old, c.rotation.New)
		}
		if c.rotation != nil {
			if err := d.clear(c.rotation); err != nil {
				return err
			}
			c.rotation = nil
		}
		s := &succession{d: d, c: c, o: o, old: c.settings.root()}
		if err := s.look(); err != nil {
			return err
		}
		r = &Rotation{Old: s.old, New: s.name}
		if err := d.begin(r, PhasePreparing); err != nil {
			return err
		}
		if err := s.make(ctx); err != nil {
			return errors.Join(err, s.undo(r))
		}
		return d.begin(r, PhaseOverlap)
	})
}

// succession is the making of a new root.
type succession struct {
	d      *Directory
	c      *census
	o      RotateRootOptions
	old    string
	name   string
	number int
	by     *ca.Issuer // the old root, ready to sign; nil where it certifies nothing more
	made   bool       // the file outside the directory
}

// look finds a name and the old root's key, before anything is made.
func (s *succession) look() error {
	root, err := s.c.pick(s.old)
	if err != nil {
		return err
	}
	for s.number = 2; s.name == ""; s.number++ {
		name := RootName + "-" + strconv.Itoa(s.number)
		if _, err := os.Lstat(s.d.CertificatePath(name)); errors.Is(err, fs.ErrNotExist) && !slices.Contains(s.c.settings.Retired, name) {
			s.name = name
			break
		}
	}
	if s.o.CommonName == "" {
		s.o.CommonName = numbered(root.Certificate.Subject.CommonName, s.number)
	}
	if s.o.OfflineRoot != "" {
		if _, err := os.Lstat(s.o.OfflineRoot); err == nil {
			return fmt.Errorf("%s: %w", s.o.OfflineRoot, ErrKeyFile)
		}
	}
	if !s.room(root.Certificate) {
		return nil
	}
	s.by, err = s.c.issuer(s.old, s.o.OldKey)
	return err
}

// numbered is a common name with a number behind it, in place of the one before.
func numbered(name string, n int) string {
	if i := strings.LastIndexByte(name, ' '); i > 0 && strings.Trim(name[i+1:], "0123456789") == "" && i < len(name)-1 {
		name = name[:i]
	}
	return name + " " + strconv.Itoa(n)
}

// room tells whether a chain through the new root stays within the old root's path
// length (RFC 5280, Section 4.2.1.9).
func (s *succession) room(root *x509.Certificate) bool {
	if root.MaxPathLen <= 0 && !root.MaxPathLenZero {
		return true
	}
	levels := 0
	for _, a := range s.c.all {
		if n := len(a.Above); n > levels && a.Above[n-1].Equal(root) {
			levels = n
		}
	}
	return root.MaxPathLen > levels
}

// make makes the new root and all that it has to sign at first.
func (s *succession) make(ctx context.Context) error {
	key, err := s.key()
	if err != nil {
		return err
	}
	now := s.d.now()
	old, err := s.c.pick(s.old)
	if err != nil {
		return err
	}
	life := ca.Validity{NotBefore: now.Add(-ca.Backdate), NotAfter: s.o.NotAfter}
	root, err := ca.SucceedRoot(ctx, old.Certificate, ca.Successor{CommonName: s.o.CommonName, Validity: life}, key, s.d.Ledger(), now)
	if err != nil {
		return err
	}
	if err := s.d.writeCA(s.d.CertificatePath(s.name), root); err != nil {
		return err
	}
	if s.by != nil {
		cross, err := s.by.CrossSign(ctx, ca.Cross{Certificate: root})
		if err != nil {
			return err
		}
		if err := s.d.writeCA(s.d.CrossPath(s.name, s.old), cross); err != nil {
			return err
		}
	}
	return s.below(ctx, &ca.Issuer{Certificate: root, Signer: key, Ledger: s.d.Ledger(), Now: s.d.now}, old.Certificate)
}

// below certifies the intermediates directly below the old root under the new one.
// One that is over, or revoked, stays where it is.
func (s *succession) below(ctx context.Context, by *ca.Issuer, old *x509.Certificate) error {
	urls, err := s.d.urlsFor(s.name)
	if err != nil {
		return err
	}
	by.URLs = urls
	revoked, err := s.d.Ledger().Revoked(ctx)
	if err != nil {
		return err
	}
	for _, a := range s.c.all {
		_, over := revoked.Certificate(a.Certificate)
		if a.Root() || len(a.Above) == 0 || !a.Above[0].Equal(old) || over || !s.d.now().Before(a.Certificate.NotAfter) {
			continue
		}
		cross, err := by.CrossSign(ctx, ca.Cross{Certificate: a.Certificate})
		if err != nil {
			return fmt.Errorf("%s under the new root: %w", a.Name, err)
		}
		if err := s.d.writeCA(s.d.CrossPath(a.Name, s.name), cross); err != nil {
			return err
		}
	}
	return nil
}

func (d *Directory) writeCA(path string, c *x509.Certificate) error {
	return durable.WriteFile(path, pemfile.EncodeCertificates(c), publicMode)
}

// key makes the new root's key and sees that it is where it is to be.
func (s *succession) key() (crypto.Signer, error) {
	if s.o.KeyURI != "" {
		if s.o.Open == nil {
			return nil, fmt.Errorf("%s: %w", s.o.KeyURI, errNoOpener)
		}
		key, err := s.o.Open(s.name, s.o.KeyURI, s.o.KeyType)
		if err != nil {
			return nil, err
		}
		return key, s.d.writeURI(s.name, s.o.KeyURI)
	}
	key, err := ca.NewKey(s.o.KeyType)
	if err != nil {
		return nil, err
	}
	data, err := encodeKey(key, s.o.Passphrase)
	if err != nil {
		return nil, err
	}
	if s.o.OfflineRoot == "" {
		return key, durable.WriteFile(s.d.keyPath(s.name), data, secretMode)
	}
	err = durable.CreateFile(s.o.OfflineRoot, data, secretMode)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s: %w", s.o.OfflineRoot, ErrKeyFile)
	}
	if err != nil {
		return nil, err
	}
	s.made = true
	return key, nil
}

// undo takes away what was made for a rotation that did not begin.
func (s *succession) undo(r *Rotation) error {
	err := s.d.clear(r)
	if s.made {
		err = errors.Join(err, os.Remove(s.o.OfflineRoot))
	}
	return err
}
