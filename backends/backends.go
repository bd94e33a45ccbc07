// Package backends finds authorities and stores by the scheme of a reference:
// local:issuing, vault:pki/mesh, a path, k8s://namespace/secret. It knows no
// backend itself; package all lists them.
package backends

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// Options is what a backend may need besides its reference.
type Options struct {
	// Dir is the state directory.
	Dir string
	// CheckpointTo is a file for a copy of the ledger's checkpoint; "" is none.
	CheckpointTo string
	// Now tells the time; it must be set.
	Now func() time.Time
	// KeyFile holds the authority's key, where it is not in the directory; or KeyURI
	// names it in a device or a service.
	KeyFile, KeyURI string
	// OpenKey opens the key of a key URI. It may be nil.
	OpenKey KeyOpener
	// Passphrase asks for the passphrase of an encrypted key, by the key's name.
	// It may be nil.
	Passphrase func(key string) ([]byte, error)
	// URLs tells the URLs that stand in what a local authority signs. It may be nil.
	URLs func() (ca.URLs, error)
}

// KeyOpener opens the key that a key URI names, for the authority of that name, whom
// a PIN is asked for. With a key type the key is made where there is none.
type KeyOpener func(authority, uri string, create ca.KeyType) (crypto.Signer, error)

// KeyOptions is what opening the key of a URI may need besides it.
type KeyOptions struct {
	// Create is the type of the key to be made where the URI names none; empty where
	// it must exist.
	Create ca.KeyType
	// PIN asks for the device's PIN, where the URI names no file with it. It may be nil.
	PIN func() ([]byte, error)
}

// ErrNoSuchKey says that a key URI names no key that exists.
var ErrNoSuchKey = errors.New("there is no such key")

// Registry maps schemes to what opens them. Factories do no input or output until
// they are called. It is not changed once made, and then safe for concurrent use.
type Registry struct {
	Authorities map[string]func(ctx context.Context, rest string, o Options) (ca.Authority, error)
	Stores      map[string]func(rest string, o Options) (issue.Store, error)
	// Outlooks tell what can be expected of an authority without its key; a scheme
	// may be missing.
	Outlooks map[string]func(ctx context.Context, rest string, o Options) (ca.Outlook, error)
	// Keys open what key URIs name; a key is made where the options ask for one.
	Keys map[string]func(ctx context.Context, uri string, o KeyOptions) (crypto.Signer, error)
}

// RefError says that a reference names nothing that is known here.
type RefError struct {
	Ref, Problem string
}

func (e *RefError) Error() string { return fmt.Sprintf("%q %s", e.Ref, e.Problem) }

// Authority opens the authority of a reference: "local" where it is empty, else
// scheme:rest. An unknown scheme is a *RefError.
func (r *Registry) Authority(ctx context.Context, ref string, o Options) (ca.Authority, error) {
	scheme, rest, _ := strings.Cut(ref, ":")
	if ref == "" {
		scheme = "local"
	}
	open, ok := r.Authorities[scheme]
	if !ok {
		return nil, &RefError{ref, "is no backend: there is " + strings.Join(keys(r.Authorities), ", ")}
	}
	return open(ctx, rest, o)
}

// Outlook tells what can be expected of the authority of a reference. Where its
// scheme cannot tell without opening it, the roots are asked for and nothing else is
// known. An unknown scheme is a *RefError.
func (r *Registry) Outlook(ctx context.Context, ref string, o Options) (ca.Outlook, error) {
	scheme, rest, _ := strings.Cut(ref, ":")
	if ref == "" {
		scheme = "local"
	}
	if tell, ok := r.Outlooks[scheme]; ok {
		return tell(ctx, rest, o)
	}
	authority, err := r.Authority(ctx, ref, o)
	if err != nil {
		return ca.Outlook{}, err
	}
	roots, err := authority.Roots(ctx)
	return ca.Outlook{Roots: roots}, err
}

// IsKey tells a key URI from the name of a file.
func (r *Registry) IsKey(ref string) bool {
	scheme, _, found := strings.Cut(ref, ":")
	return found && r.Keys[scheme] != nil
}

// Key opens the key of a key URI. A URI that cannot be meant is a *RefError; one
// that names no key, where none is to be made, is ErrNoSuchKey.
func (r *Registry) Key(ctx context.Context, uri string, o KeyOptions) (crypto.Signer, error) {
	scheme, _, _ := strings.Cut(uri, ":")
	open, ok := r.Keys[scheme]
	if !ok {
		// Not the whole of it: there may be a secret in it.
		return nil, &RefError{scheme + ":", "is no key URI: there is " + strings.Join(keys(r.Keys), ", ")}
	}
	return open(ctx, uri, o)
}

// Knows tells whether a reference names a backend that is registered.
func (r *Registry) Knows(ref string) bool {
	scheme, _, _ := strings.Cut(ref, ":")
	_, ok := r.Authorities[scheme]
	return ok || ref == ""
}

// Canonical spells a place so that it means the same from every working directory.
func Canonical(ref string) (string, error) {
	ref = strings.TrimPrefix(ref, "file://")
	if strings.Contains(ref, "://") {
		return ref, nil
	}
	return filepath.Abs(strings.TrimPrefix(ref, "file:"))
}

// Store opens the place of a reference: scheme://rest or, for files, file:path or
// the bare path. An unknown scheme is a *RefError.
func (r *Registry) Store(ref string, o Options) (issue.Store, error) {
	scheme, rest, found := strings.Cut(ref, "://")
	if !found {
		scheme, rest = "file", strings.TrimPrefix(ref, "file:")
	}
	if rest == "" {
		return nil, &RefError{ref, "is no place: a path would be"}
	}
	open, ok := r.Stores[scheme]
	if !ok {
		return nil, &RefError{ref, "is no place: a path is, or one that begins with " + strings.Join(keys(r.Stores), ", ")}
	}
	return open(rest, o)
}

func keys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
