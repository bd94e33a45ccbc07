package issue

import (
	"crypto/x509"
	"maps"
	"slices"
)

// Layout is the shape that a consumer wants a credential in. It is pure: it opens
// no file, and the same credential gives the same files. Safe for concurrent use.
type Layout interface {
	// Encode gives the credential as named bytes, or says why its consumer would
	// refuse it.
	Encode(c *Credential) (Files, error)
	// Decode reads back what Encode made: the chain, leaf first.
	Decode(f Files) ([]*x509.Certificate, error)
}

// File is the content of one file of a set.
type File struct {
	Data []byte
	// Secret marks bytes that only the owner may read: a private key is in them.
	Secret bool
}

// Files are the files of a set, by name. A name has no directory in it.
type Files map[string]File

// Names lists the names in order.
func (f Files) Names() []string { return slices.Sorted(maps.Keys(f)) }
