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
	// Entries are the backends that have settings of their own, by name.
	Entries map[string]Entry
	// Entry is the name of the entry that is opened, and Settings what stands in it: a
	// *Vault, *AWSPCA, *ACME or *Kubernetes. "" and nil where there is none.
	Entry    string
	Settings any
	// Getenv reads the environment. It may be nil, for an empty one.
	Getenv func(name string) string
	// Cluster is the way to a Kubernetes cluster, and Term, unless nil, guards what is
	// written there.
	Cluster Cluster
	Term    Term
}

// Entry is a backend with settings of its own.
type Entry struct {
	Ref      string // scheme:rest
	Settings any    // as in Options
}

// Env is a variable of the environment; "" where it is not set.
func (o Options) Env(name string) string {
	if o.Getenv == nil {
		return ""
	}
	return o.Getenv(name)
}

// resolve finds what a reference means: an entry's name, scheme:rest, or "" for local.
func (o Options) resolve(ref string) (scheme, rest string, with Options) {
	if e, ok := o.Entries[ref]; ok {
		o.Entry, o.Settings, ref = ref, e.Settings, e.Ref
	}
	if ref == "" {
		return "local", "", o
	}
	scheme, rest, _ = strings.Cut(ref, ":")
	return scheme, rest, o
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
	// Checks try every assumption about a backend; Suggests tell what settings there
	// would do. A scheme may be missing.
	Checks   map[string]func(ctx context.Context, rest string, o Options, wants []Want) ([]Check, error)
	Suggests map[string]func(rest string, o Options, wants []Want) ([]Suggestion, error)
	// Platform gives what a cluster can do besides; it may be nil.
	Platform func(o Options) (Platform, error)
	// Sources read what is to be looked at, by the scheme of a URL.
	Sources map[string]func(ctx context.Context, rest string, o Options) ([]Source, error)
}

// Source is one thing to look at: bytes, and what they are called.
type Source struct {
	Name string
	Data []byte
}

// RefError says that a reference names nothing that is known here.
type RefError struct {
	Ref, Problem string
}

func (e *RefError) Error() string { return fmt.Sprintf("%q %s", e.Ref, e.Problem) }

// Authority opens the authority of a reference: "local" where it is empty, the name
// of an entry, else scheme:rest. An unknown scheme is a *RefError.
func (r *Registry) Authority(ctx context.Context, ref string, o Options) (ca.Authority, error) {
	scheme, rest, o := o.resolve(ref)
	open, ok := r.Authorities[scheme]
	if !ok {
		return nil, r.noBackend(ref)
	}
	return open(ctx, rest, o)
}

func (r *Registry) noBackend(ref string) error {
	return &RefError{ref, "is no backend: there is " + strings.Join(keys(r.Authorities), ", ")}
}

// Outlook tells what can be expected of the authority of a reference without its
// key. ok is false where its scheme cannot tell without opening it.
func (r *Registry) Outlook(ctx context.Context, ref string, o Options) (out ca.Outlook, ok bool, err error) {
	scheme, rest, o := o.resolve(ref)
	tell, ok := r.Outlooks[scheme]
	if !ok {
		return ca.Outlook{}, false, nil
	}
	out, err = tell(ctx, rest, o)
	return out, true, err
}

// Local tells whether the authority of a reference is in the state directory.
func (r *Registry) Local(ref string, o Options) bool {
	scheme, _, _ := o.resolve(ref)
	return scheme == "local"
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
func (r *Registry) Knows(ref string, o Options) bool {
	scheme, _, _ := o.resolve(ref)
	_, ok := r.Authorities[scheme]
	return ok
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
