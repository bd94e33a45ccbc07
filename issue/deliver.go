package issue

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// Output is one place to deliver to, in one or several layouts.
type Output struct {
	Store        Store
	Layouts      []Layout
	Owner, Group string
	Mode         fs.FileMode // of secret files; zero is 0600
	Swap         string      // as in Set
	// Labels and Annotations are as in Set.
	Labels, Annotations map[string]string
}

// Preparer is implemented by a Store that can tell beforehand that a set could
// not be saved, so that nothing is signed in vain; it is found by assertion.
type Preparer interface {
	// Prepare tries what Save would need, and leaves nothing behind.
	Prepare(ctx context.Context, s Set) error
}

// PlaceError is what a place answered: Err says what, for errors.Is.
type PlaceError struct {
	Place string
	Err   error
}

func (e *PlaceError) Error() string { return e.Place + ": " + e.Err.Error() }

// Unwrap gives the place's own error.
func (e *PlaceError) Unwrap() error { return e.Err }

// Prepare tries every place before anything is signed: that it can be read and,
// where it can tell, that it could be written. names are the files to come. It
// gives the version of each place, for Deliver.
func Prepare(ctx context.Context, outputs []Output, names []string, replace bool) ([]Version, error) {
	files := Files{}
	for _, n := range names {
		files[n] = File{}
	}
	versions := make([]Version, len(outputs))
	for i, o := range outputs {
		_, version, err := o.Store.Load(ctx)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, &PlaceError{o.Store.String(), err}
		}
		versions[i] = version
		if p, ok := o.Store.(Preparer); ok {
			if err := p.Prepare(ctx, o.SetOf(files, nil, replace)); err != nil {
				return nil, &PlaceError{o.Store.String(), err}
			}
		}
	}
	return versions, nil
}

// SetOf is files as they are to be in the place, with what is kept beside them.
func (o Output) SetOf(files Files, facts map[string]string, replace bool) Set {
	return Set{Files: files, Facts: facts, Owner: o.Owner, Group: o.Group, Mode: o.Mode, Swap: o.Swap, Labels: o.Labels, Annotations: o.Annotations, Replace: replace}
}

// Deliver lays the credential out and saves it in every place. Each place gets
// the whole set or keeps what it had; a place that fails keeps no other from its
// turn, and the errors name the places.
func Deliver(ctx context.Context, c *Credential, outputs []Output, was []Version, facts map[string]string, replace bool) error {
	sets := make([]Set, len(outputs))
	for i, o := range outputs {
		var err error
		if sets[i], err = o.Set(c, facts, replace); err != nil {
			return err
		}
	}
	var failed []error
	for i, o := range outputs {
		if _, err := o.Store.Save(ctx, sets[i], was[i]); err != nil {
			failed = append(failed, &PlaceError{o.Store.String(), err})
		}
	}
	return errors.Join(failed...)
}

// Set lays the credential out for this place. To the facts are added the digests of
// the files and of the roots, by which a later look sees that nothing has changed. A place
// without layouts keeps the order, and nothing of a certificate: see OrderFacts.
func (o Output) Set(c *Credential, facts map[string]string, replace bool) (Set, error) {
	if len(o.Layouts) == 0 {
		return o.SetOf(Files{}, OrderFacts(facts), replace), nil
	}
	files, err := LayOut(c, o.Layouts)
	if err != nil {
		return Set{}, fmt.Errorf("%s: %w", o.Store, err)
	}
	facts = maps.Clone(facts)
	if facts == nil {
		facts = map[string]string{}
	}
	facts[FactFiles], facts[FactRoots] = files.Digest(), RootsDigest(c.Roots)
	return o.SetOf(files, facts, replace), nil
}

// Check holds a credential against itself: the key belongs to the leaf, the chain is
// in order and leads to the roots at that time. a, which may be nil, is shared by
// credentials that have the same CAs above them. What does not hold is a *Mismatch.
func (c *Credential) Check(a *Ascent, now time.Time) error {
	if len(c.Chain) == 0 || slices.Contains(c.Chain, nil) || len(c.Roots) == 0 || slices.Contains(c.Roots, nil) {
		return wrong(PartChain, "there is no whole chain, or there are no roots to trust", "")
	}
	if c.Key != nil && !pemfile.SamePublicKey(c.Leaf().PublicKey, c.Key.Public()) {
		return wrong(PartKey, "the key is not the certificate's", "RFC 5280, Section 4.1.2.7")
	}
	if err := mismatch(checkOrder(c, nil, Order{}, now)); err != nil {
		return err
	}
	if err := verifyChain(c, a, false, now); err != nil {
		return wrong(PartChain, "it does not lead to the roots: "+err.Error(), "RFC 5280, Section 6.1")
	}
	return nil
}

// readBack decodes what was laid out. A certificate of the chain, byte for byte, is
// not parsed once more.
func readBack(l Layout, files Files, chain []*x509.Certificate) ([]*x509.Certificate, error) {
	shared, ok := l.(SharedDecoder)
	if !ok {
		return l.Decode(files)
	}
	return shared.DecodeBy(files, func(der []byte) (*x509.Certificate, error) {
		for _, c := range chain {
			if bytes.Equal(c.Raw, der) {
				return c, nil
			}
		}
		return x509.ParseCertificate(der)
	})
}

// LayOut gives the files of several layouts together, each read back to see that
// it holds the very chain that went in.
func LayOut(c *Credential, layouts []Layout) (Files, error) {
	all := Files{}
	for _, l := range layouts {
		files, err := l.Encode(c)
		if err != nil {
			return nil, err
		}
		back, err := readBack(l, files, c.Chain)
		if err != nil {
			return nil, fmt.Errorf("read back what was laid out: %w", err)
		}
		if !slices.EqualFunc(back, c.Chain, (*x509.Certificate).Equal) {
			return nil, errors.New("read back what was laid out: it is another chain")
		}
		for name, file := range files {
			// Layouts may share a file of the same bytes: the roots.
			if other, taken := all[name]; taken && (other.Secret != file.Secret || !bytes.Equal(other.Data, file.Data)) {
				return nil, fmt.Errorf("two layouts make a file %s", name)
			}
		}
		maps.Copy(all, files)
	}
	return all, nil
}
