// Package layout knows the file names and the order that consumers of
// certificates expect: one consumer a file, each a pure function of the
// credential.
package layout

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// Named is a layout with its name and the names of the files that it makes.
type Named struct {
	Name string
	// Files are all the names that Encode may give; without a private key, those
	// that hold it are missing.
	Files []string
	// Roots is the one of them that holds the roots alone, as PEM: layouts that
	// agree on its name may stand together.
	Roots string
	issue.Layout
}

// DecodeBy is the layout's Decode; its parser of certificates is parse where it can be.
func (n Named) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	if l, ok := n.Layout.(issue.SharedDecoder); ok {
		return l.DecodeBy(f, parse)
	}
	return n.Decode(f)
}

// Default is the layout where none is asked for.
const Default = "tls"

// All lists every layout, the default first.
func All() []Named {
	return []Named{
		{"tls", []string{"tls.crt", "tls.key", "ca.crt"}, "ca.crt", tls},
		{"pem", []string{"cert.pem", "key.pem", "ca.pem"}, "ca.pem", pem},
		{"combined", []string{"combined.pem", "ca.crt"}, "ca.crt", combined{}},
	}
}

// ByName finds layouts by their names, without doubles; none is the default.
func ByName(names ...string) ([]Named, error) {
	if len(names) == 0 {
		names = []string{Default}
	}
	var out []Named
	for _, name := range names {
		i := slices.IndexFunc(All(), func(l Named) bool { return l.Name == name })
		if i < 0 {
			var known []string
			for _, l := range All() {
				known = append(known, l.Name)
			}
			return nil, fmt.Errorf("layout %q is none of %s", name, strings.Join(known, ", "))
		}
		if !slices.ContainsFunc(out, func(l Named) bool { return l.Name == name }) {
			out = append(out, All()[i])
		}
	}
	return out, clash(out)
}

// clash refuses layouts that would write the same file.
func clash(layouts []Named) error {
	owner := map[string]Named{}
	for _, l := range layouts {
		for _, f := range l.Files {
			if other, taken := owner[f]; taken && (f != l.Roots || f != other.Roots) {
				return fmt.Errorf("layouts %s and %s both make a file %s: give each a place of its own", other.Name, l.Name, f)
			}
			owner[f] = l
		}
	}
	return nil
}

// errNoLeaf is what Decode says of files that hold no chain of the layout's.
var errNoLeaf = errors.New("the file of the chain is missing")

// split is a layout of three PEM files: chain, key, roots.
type split struct{ chain, key, roots string }

// Encode gives the chain (leaf, then intermediates, no root), the key as PKCS#8
// and the roots.
func (l split) Encode(c *issue.Credential) (issue.Files, error) {
	files := issue.Files{
		l.chain: {Data: pemfile.EncodeCertificates(c.Chain...)},
		l.roots: {Data: pemfile.EncodeCertificates(c.Roots...)},
	}
	if c.Key != nil {
		key, err := pemfile.EncodeKey(c.Key)
		if err != nil {
			return nil, err
		}
		files[l.key] = issue.File{Data: key, Secret: true}
	}
	return files, nil
}

// Decode gives the chain back.
func (l split) Decode(f issue.Files) ([]*x509.Certificate, error) {
	return l.DecodeBy(f, x509.ParseCertificate)
}

// DecodeBy gives the chain back.
func (l split) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	file, ok := f[l.chain]
	if !ok {
		return nil, fmt.Errorf("%s: %w", l.chain, errNoLeaf)
	}
	return pemfile.CertificatesBy(file.Data, parse)
}
