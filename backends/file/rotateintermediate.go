package file

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// Errors that a caller can branch on.
var (
	// ErrSucceeded says that another authority has taken an intermediate's place already.
	ErrSucceeded = errors.New("another has taken its place already")
	// ErrNotSucceeded says that no other authority has taken an intermediate's place.
	ErrNotSucceeded = errors.New("no other has taken its place")
	// ErrAlive says that certificates of an authority are still good.
	ErrAlive = errors.New("certificates of it are still good")
)

// RotateIntermediateOptions say what is to take the place of an intermediate.
type RotateIntermediateOptions struct {
	Name       string // "" is the issuing intermediate
	KeyType    ca.KeyType
	Validity   ca.Validity
	Passphrase []byte // of the new key; empty leaves it in the clear
	ParentKey  KeySource
}

// RotateIntermediate makes an intermediate of the same shape, with another key,
// beside one, under the same authority. If that was the issuing intermediate, the
// new one is from then on. The old one's certificate stays, and is served with what
// it has signed. Interrupted anywhere, doing it again does the rest. It gives the new
// one. Errors to branch on: ErrNoAuthority, ErrIsRoot, ErrSucceeded, ErrRotating,
// ErrNoKey, *ca.Refusal, *ca.ValidityError.
func (d *Directory) RotateIntermediate(ctx context.Context, o RotateIntermediateOptions) (a Authority, err error) {
	err = d.counted(ctx, func(c *census) error {
		old, err := c.pick(o.Name)
		if err != nil {
			return err
		}
		parent, err := c.parent(old.Name)
		if err != nil {
			return err
		}
		next, begun := c.settings.Successors[old.Name]
		_, missing := os.Lstat(d.CertificatePath(next))
		switch {
		case begun && missing == nil && c.settings.Issuing != old.Name:
			return fmt.Errorf("%q: %w: %s", old.Name, ErrSucceeded, next)
		case begun && missing == nil:
			return d.succeed(c.settings, old.Name, next) // all but this was done
		}
		if err := c.mayStandUnder(parent.Name); err != nil {
			return err
		}
		by, err := c.issuer(parent.Name, o.ParentKey)
		if err != nil {
			return err
		}
		if !begun {
			next = c.freeName(old.Name)
		}
		return d.makeSuccessor(ctx, c.settings, old, next, by, o)
	})
	if err != nil {
		return a, err
	}
	now, err := d.census()
	if err != nil {
		return a, err
	}
	old := o.Name
	if old == "" {
		return now.pick("")
	}
	return now.pick(now.settings.Successors[old])
}

// makeSuccessor makes an intermediate in another's place. Its name is settled first,
// its key is in place before its certificate, and last it is the issuing one.
func (d *Directory) makeSuccessor(ctx context.Context, s Settings, old Authority, next string, by *ca.Issuer, o RotateIntermediateOptions) error {
	key, err := ca.NewKey(o.KeyType)
	if err != nil {
		return err
	}
	data, err := encodeKey(key, o.Passphrase)
	if err != nil {
		return err
	}
	cn := old.Certificate.Subject.CommonName
	if !strings.HasPrefix(cn, "identity.linkerd.") { // which Linkerd looks for
		_, number := splitNumber(next)
		cn = numbered(cn, number)
	}
	c, err := by.SucceedCA(ctx, old.Certificate, ca.Successor{CommonName: cn, Validity: o.Validity}, key.Public())
	if err != nil {
		return err
	}
	s.Successors = maps.Clone(s.Successors)
	if s.Successors == nil {
		s.Successors = map[string]string{}
	}
	if s.Successors[old.Name] != next {
		s.Successors[old.Name] = next
		if err := d.writeSettings(s); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(d.keyPath(next), data, secretMode); err != nil {
		return err
	}
	if err := d.writeCA(d.CertificatePath(next), c); err != nil {
		return err
	}
	return d.succeed(s, old.Name, next)
}

// succeed makes the successor of the issuing intermediate that.
func (d *Directory) succeed(s Settings, old, next string) error {
	if s.Issuing != old {
		return nil
	}
	s.Issuing = next
	return d.writeSettings(s)
}

// freeName is the next name after one: issuing-2, issuing-3.
func (c *census) freeName(name string) string {
	base, n := splitNumber(name)
	for {
		n++
		next := base + "-" + strconv.Itoa(n)
		_, cert := os.Lstat(c.d.CertificatePath(next))
		_, request := os.Lstat(c.d.RequestPath(next))
		if errors.Is(cert, fs.ErrNotExist) && errors.Is(request, fs.ErrNotExist) {
			return next
		}
	}
}

// splitNumber takes the number off a name; a name without one is the first.
func splitNumber(name string) (string, int) {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if n, err := strconv.Atoi(name[i+1:]); err == nil && n > 1 && n < 1_000_000 {
			return name[:i], n
		}
	}
	return name, 1
}

// Successors are, by the intermediate, those that have taken a place.
func (d *Directory) Successors() (map[string]string, error) {
	c, err := d.census()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for old, next := range c.settings.Successors {
		if _, err := c.pick(next); err == nil && c.settings.Issuing != old {
			out[old] = next
		}
	}
	return out, nil
}

// Leaf is a certificate of the ledger.
type Leaf struct {
	ca.Entry
	NotAfter time.Time
	Good     bool // it has neither ended nor been revoked
}

// Leaves gives every leaf that was signed by some authorities, the oldest first, by
// the hex of the authority's subject key identifier; nil gives all.
func (d *Directory) Leaves(ctx context.Context, of map[string]bool) iter.Seq2[Leaf, error] {
	return func(yield func(Leaf, error) bool) {
		revoked, err := d.Ledger().Revoked(ctx)
		if err != nil {
			yield(Leaf{}, err)
			return
		}
		now := d.now()
		for e, err := range ca.Sift(ctx, d.Ledger(), ca.KindLeaf) {
			if err == nil && of != nil && !of[e.IssuerKey] {
				continue
			}
			leaf := Leaf{Entry: e}
			if err == nil {
				leaf.NotAfter, err = endOf(e)
			}
			_, over := revoked.Of(e)
			leaf.Good = err == nil && !over && now.Before(leaf.NotAfter)
			if !yield(leaf, err) || err != nil {
				return
			}
		}
	}
}

// LastLeaf tells when the last certificate of each authority ends that is still
// good, by the authority's name; one that has none is not in it.
func (d *Directory) LastLeaf(ctx context.Context, of ...Authority) (map[string]time.Time, error) {
	keys, names := map[string]bool{}, map[string]string{}
	for _, a := range of {
		id := hex.EncodeToString(a.Certificate.SubjectKeyId)
		keys[id], names[id] = true, a.Name
	}
	last := map[string]time.Time{}
	for l, err := range d.Leaves(ctx, keys) {
		if err != nil {
			return nil, err
		}
		if name := names[l.IssuerKey]; l.Good && l.NotAfter.After(last[name]) {
			last[name] = l.NotAfter
		}
	}
	return last, nil
}

// Retire takes away the key of an intermediate whose place another has taken and of
// which no certificate is good any more. The key of one in a device stays there, and
// is found from here no more. Done twice it changes nothing. Errors to branch on:
// ErrNoAuthority, ErrNotSucceeded, ErrAlive.
func (d *Directory) Retire(ctx context.Context, name string) (Authority, error) {
	var a Authority
	return a, d.counted(ctx, func(c *census) (err error) {
		if a, err = c.pick(name); err != nil {
			return err
		}
		next, ok := c.settings.Successors[name]
		if _, err := c.pick(next); !ok || err != nil || c.settings.Issuing == name {
			return fmt.Errorf("%q: %w", name, ErrNotSucceeded)
		}
		last, err := d.LastLeaf(ctx, a)
		if err != nil {
			return err
		}
		if end, alive := last[name]; alive {
			return fmt.Errorf("%q: %w, until %s", name, ErrAlive, end.Format(time.RFC3339))
		}
		return errors.Join(d.remove(d.keyPath(name)), d.remove(d.uriPath(name)))
	})
}

// endOf tells when the certificate ends that an entry of the ledger records.
func endOf(e ca.Entry) (time.Time, error) {
	c, err := x509.ParseCertificate(e.Certificate)
	if err != nil {
		return time.Time{}, fmt.Errorf("the ledger's certificate %s: %w", e.Serial, err)
	}
	return c.NotAfter.UTC(), nil
}
