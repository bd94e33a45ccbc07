package file

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// KeySource says where an authority's key comes from.
type KeySource struct {
	// File holds the key, or URI names it, where it is not in the directory.
	File, URI string
	// Open opens the key of a key URI. It may be nil.
	Open backends.KeyOpener
	// Passphrase is asked for an encrypted key, by the authority's name. It may be nil.
	Passphrase func(authority string) ([]byte, error)
}

// maxURI is the most bytes of a key URI in the directory.
const maxURI = 4096

var (
	errNoOpener = errors.New("keys in devices and services cannot be opened here")
	errBadURI   = errors.New("holds no key URI: one line, such as pkcs11:token=mesh;object=root;id=01")
)

// Issuer opens a CA with its key, ready to sign; "" is the issuing intermediate.
// The key is checked to belong to the certificate. Errors to branch on:
// ErrNoAuthority, ErrNoKey, pemfile.ErrKeyEncrypted, pemfile.ErrWrongPassphrase,
// backends.ErrNoSuchKey.
func (d *Directory) Issuer(name string, from KeySource) (*ca.Issuer, error) {
	c, err := d.census()
	if err != nil {
		return nil, err
	}
	return c.issuer(name, from)
}

// issuer is Issuer at one moment.
func (c *census) issuer(name string, from KeySource) (*ca.Issuer, error) {
	if name == "" {
		name = c.settings.Issuing
	}
	issuer, err := c.bare(name, from)
	if err != nil {
		return nil, err
	}
	issuer.URLs, err = c.d.urlsFor(name)
	return issuer, err
}

// urlsFor are the URLs that stand in what an authority signs.
func (d *Directory) urlsFor(name string) (ca.URLs, error) {
	if d.URLs == nil {
		return ca.URLs{}, nil
	}
	urls, err := d.URLs()
	return urls.For(name), err
}

// issuer is Issuer without the URLs that are for certificates.
func (d *Directory) issuer(name string, from KeySource) (*ca.Issuer, error) {
	c, err := d.census()
	if err != nil {
		return nil, err
	}
	return c.bare(name, from)
}

func (c *census) bare(name string, from KeySource) (*ca.Issuer, error) {
	a, err := c.pick(name)
	if err != nil {
		return nil, err
	}
	key, where, err := openKey(a, from)
	if err != nil {
		return nil, err
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	issuer := &ca.Issuer{Certificate: a.Certificate, Name: a.Name, Above: a.Above, Behind: c.behind(a), Signer: key, Ledger: c.d.Ledger(), Trusted: roots, Now: c.d.now}
	if err := issuer.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return issuer, nil
}

// openKey opens the key of an authority and says where it was: what the source
// names comes before what the directory has.
func openKey(a Authority, from KeySource) (key crypto.Signer, where string, err error) {
	path, uri := from.File, from.URI
	if path == "" && uri == "" {
		path, uri = a.KeyPath, a.KeyURI
	}
	switch {
	case path != "":
		key, err = readKey(path, a.Name, from.Passphrase)
		return key, path, err
	case uri == "":
		return nil, "", fmt.Errorf("%s: %w", a.Name, ErrNoKey)
	case from.Open == nil:
		return nil, uri, fmt.Errorf("%s: %w", uri, errNoOpener)
	}
	key, err = from.Open(a.Name, uri, "")
	return key, uri, err
}

func readKey(path, name string, passphrase func(string) ([]byte, error)) (crypto.Signer, error) {
	data, err := pemfile.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var ask func() ([]byte, error)
	if passphrase != nil {
		ask = func() ([]byte, error) { return passphrase(name) }
	}
	key, err := pemfile.ParseKey(data, ask)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func (d *Directory) keyPath(name string) string {
	return filepath.Join(d.path, keysDir, name+".key")
}

func (d *Directory) uriPath(name string) string {
	return filepath.Join(d.path, keysDir, name+".uri")
}

// keyPlace finds the key of an authority: in a file of the directory, or by a URI
// that the directory keeps. Who may not look is told of the file.
func (d *Directory) keyPlace(name string) (path, uri string, err error) {
	if _, err := os.Lstat(d.keyPath(name)); err == nil || errors.Is(err, fs.ErrPermission) {
		return d.keyPath(name), "", nil
	}
	uri, err = readURI(d.uriPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	return "", uri, err
}

// readURI reads a file with a key URI.
func readURI(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	uri := strings.TrimSuffix(string(data), "\n")
	if uri == "" || len(uri) > maxURI || !strings.Contains(uri, ":") || strings.ContainsAny(uri, "\r\n\x00") {
		return "", fmt.Errorf("%s %w", path, errBadURI)
	}
	return uri, nil
}

// LogKeyURI is the key URI of the ledger's key; "" where it is in a file.
func (d *Directory) LogKeyURI() (string, error) {
	uri, err := readURI(filepath.Join(d.path, keysDir, logURIName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return uri, err
}

// KeyPlace finds the key of an authority, also of one that is only asked for: a file
// of the directory, or a key URI; neither where it is elsewhere.
func (d *Directory) KeyPlace(name string) (path, uri string, err error) {
	if !ValidName(name) {
		return "", "", fmt.Errorf("%q %w", name, errBadCAName)
	}
	return d.keyPlace(name)
}

// writeURI keeps a key's URI, whole or not at all.
func (d *Directory) writeURI(name, uri string) error {
	return durable.WriteFile(d.uriPath(name), []byte(uri+"\n"), secretMode)
}
