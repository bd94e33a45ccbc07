package file

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

const (
	exportsName   = "exports.json"
	exportsSchema = "meshpki/exports/v1"
)

// Export is something that was handed to somebody whose places are not under care.
type Export struct {
	// Name is whom it was handed to.
	Name string `json:"name"`
	// Authority is the CA that was handed out; "" where it was the bundle alone.
	Authority string `json:"authority,omitempty"`
	// Scheme is the form in which; "" where the consumer has one.
	Scheme string `json:"scheme,omitempty"`
	// Bundle and Chain are fingerprints of what was handed out: of the roots, and of
	// the CA's certificate with those above it.
	Bundle string    `json:"bundle"`
	Chain  string    `json:"chain,omitempty"`
	At     time.Time `json:"at"`
	// Roots are the fingerprints of the roots that were handed out.
	Roots []string `json:"roots,omitempty"`
	// Stale says that it is something else by now. It is not kept.
	Stale bool `json:"-"`
}

// exports is the file of them.
type exports struct {
	Schema  string   `json:"schema"`
	Exports []Export `json:"exports"`
}

// Handed is what was handed out besides the bundle.
type Handed struct {
	Authority string // "" is none
	Scheme    string
}

// RecordExport remembers that the bundle as it is now, and with it the chain of an
// authority if there is one, was handed to somebody, in place of what was before.
// It has to be called before the thing is handed out, with the roots that are. Error
// to branch on: ErrNoAuthority; ErrOtherPhase where the roots are others by now.
func (d *Directory) RecordExport(ctx context.Context, name string, what Handed, roots []*x509.Certificate) error {
	if !ValidExport(name) {
		return fmt.Errorf("%q is no name for whom something is handed to", name)
	}
	return d.counted(ctx, func(c *census) error {
		e := Export{Name: name, Authority: what.Authority, Scheme: what.Scheme, At: d.now().UTC().Truncate(time.Second)}
		if err := c.fingerprint(&e); err != nil {
			return err
		}
		if e.Bundle != fingerprintOf(roots) {
			return fmt.Errorf("%w: run it again", ErrOtherPhase)
		}
		for _, r := range roots {
			e.Roots = append(e.Roots, ca.Fingerprint(r))
		}
		all, err := d.readExports()
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(x Export) bool { return x.Name == name })
		all = append(all, e)
		slices.SortFunc(all, func(a, b Export) int { return strings.Compare(a.Name, b.Name) })
		data, err := json.MarshalIndent(exports{exportsSchema, all}, "", "  ")
		if err != nil {
			return err
		}
		return durable.WriteFile(filepath.Join(d.path, exportsName), append(data, '\n'), publicMode)
	})
}

// Exports lists what was handed out, by name, and tells which of it is something
// else by now.
func (d *Directory) Exports() ([]Export, error) {
	all, err := d.readExports()
	if err != nil {
		return nil, err
	}
	c, err := d.census()
	if err != nil {
		return nil, err
	}
	for i := range all {
		now := all[i]
		if err := c.fingerprint(&now); err != nil && !errors.Is(err, ErrNoAuthority) {
			return nil, err
		}
		all[i].Stale = now.Bundle != all[i].Bundle || now.Chain != all[i].Chain
	}
	return all, nil
}

// fingerprint says what bundle and chain are now.
func (c *census) fingerprint(e *Export) error {
	roots, err := c.roots()
	if err != nil {
		return err
	}
	e.Bundle, e.Chain = fingerprintOf(roots), ""
	if e.Authority == "" {
		return nil
	}
	a, err := c.pick(e.Authority)
	if err != nil {
		return err
	}
	e.Chain = fingerprintOf(slices.Concat([]*x509.Certificate{a.Certificate}, a.Above, c.behind(a)))
	return nil
}

// fingerprintOf is the SHA-256 over certificates, in hex.
func fingerprintOf(certs []*x509.Certificate) string {
	h := sha256.New()
	for _, c := range certs {
		h.Write(c.Raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (d *Directory) readExports() ([]Export, error) {
	path := filepath.Join(d.path, exportsName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var x exports
	if err := decodeWhole(data, &x); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if x.Schema != exportsSchema || slices.ContainsFunc(x.Exports, func(e Export) bool { return !ValidExport(e.Name) }) {
		return nil, fmt.Errorf("%s is damaged, or of a later version of meshpki", path)
	}
	return x.Exports, nil
}

// ValidExport tells whether a text can name whom something is handed to.
func ValidExport(name string) bool {
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return name != "" && len(name) <= 100
}
