package issue

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
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

// SharedDecoder is implemented by a Layout whose chain is made of certificates in DER;
// it is found by assertion.
type SharedDecoder interface {
	// DecodeBy is Decode with another parser of certificates: one that remembers the CAs
	// that many chains have in common.
	DecodeBy(f Files, parse func(der []byte) (*x509.Certificate, error)) ([]*x509.Certificate, error)
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

// Digest is a SHA-256 over names and contents, in hexadecimal: equal for equal files.
func (f Files) Digest() string {
	h := sha256.New()
	var head []byte
	for _, name := range f.Names() {
		head = append(binary.BigEndian.AppendUint64(head[:0], uint64(len(name))), name...)
		h.Write(binary.BigEndian.AppendUint64(head, uint64(len(f[name].Data))))
		h.Write(f[name].Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// RootsDigest is a SHA-256 over a bundle of roots, whatever their order.
func RootsDigest(roots []*x509.Certificate) string {
	sums := make([]string, 0, len(roots))
	for _, r := range roots {
		sum := sha256.Sum256(r.Raw)
		sums = append(sums, string(sum[:]))
	}
	slices.Sort(sums)
	h := sha256.New()
	for _, sum := range slices.Compact(sums) {
		h.Write([]byte(sum))
	}
	return hex.EncodeToString(h.Sum(nil))
}
