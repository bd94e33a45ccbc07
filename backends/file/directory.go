// Package file keeps things on this machine's disk: sets of files in a directory,
// and the state directory with the local authorities, their keys and the ledger.
package file

import (
	"bytes"
	"context"
	"crypto/x509"
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
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Parts of a state directory.
const (
	settingsName = "directory.json"
	keysDir      = "keys"
	caDir        = "ca"
	logDir       = "log"
	cacheDir     = "cache"
	servicesDir  = "services"
	// RootName is the name of the root among the authorities.
	RootName = "root"
)

// Errors that a caller can branch on.
var (
	// ErrNoDirectory says that there is no state directory at a path.
	ErrNoDirectory = errors.New("there is no meshpki directory")
	// ErrNoAuthority says that the directory has no authority of a name.
	ErrNoAuthority = errors.New("there is no authority of that name")
	// ErrNoKey says that the key of an authority is not in the directory.
	ErrNoKey = errors.New("its key is not in this directory")
)

// Settings are what was decided at the directory's making.
type Settings struct {
	Schema        string `json:"schema"`
	Name          string `json:"name"`
	TrustDomain   string `json:"trustDomain"`
	ClusterDomain string `json:"clusterDomain"`
	Issuing       string `json:"issuing"` // the intermediate that "local" means
}

const settingsSchema = "meshpki/directory/v1"

// Directory is a state directory that exists. Safe for concurrent use.
type Directory struct {
	// URLs, if set, tells the URLs that stand in what the authorities sign. It is not
	// changed once the directory is in use.
	URLs func() (ca.URLs, error)

	path     string
	settings Settings
	now      func() time.Time
	ledger   *Ledger
}

// Open finds the state directory at a path. Without one the error is ErrNoDirectory.
func Open(path string, now func() time.Time) (*Directory, error) {
	return OpenKeeping(path, "", now)
}

// OpenKeeping is Open for a directory whose ledger writes a copy of each checkpoint
// to a file elsewhere, and is held against that copy before it records anything.
func OpenKeeping(path, checkpointTo string, now func() time.Time) (*Directory, error) {
	data, err := os.ReadFile(filepath.Join(path, settingsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrNoDirectory)
	}
	if err != nil {
		return nil, err
	}
	d := &Directory{path: path, now: now}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d.settings); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", filepath.Join(path, settingsName), err)
	}
	if dec.InputOffset() < int64(len(bytes.TrimRight(data, "\n"))) {
		return nil, fmt.Errorf("%s is damaged: something stands behind the settings", filepath.Join(path, settingsName))
	}
	if d.settings.Schema != settingsSchema || !ValidName(d.settings.Issuing) {
		return nil, fmt.Errorf("%s is damaged, or of a later version of meshpki", filepath.Join(path, settingsName))
	}
	d.ledger = NewLedger(path)
	d.ledger.origin, d.ledger.copyTo = d.settings.origin(), checkpointTo
	return d, nil
}

// Path is the directory's path, as it was given.
func (d *Directory) Path() string { return d.path }

// Settings are the directory's settings.
func (d *Directory) Settings() Settings { return d.settings }

// Ledger is the record of everything signed here.
func (d *Directory) Ledger() *Ledger { return d.ledger }

// ServicePath is where the files of a service are kept by default.
func (d *Directory) ServicePath(namespace, service string) string {
	return filepath.Join(d.path, servicesDir, namespace, service)
}

// LockService keeps a service for one process at a time, until the lock is released.
func (d *Directory) LockService(ctx context.Context, namespace, service string) (*durable.Lock, error) {
	if filepath.Base(namespace) != namespace || filepath.Base(service) != service {
		return nil, fmt.Errorf("%q in namespace %q is no service's name", service, namespace)
	}
	dir := filepath.Join(d.path, cacheDir, "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// Neither name has a dot in it, so no two services share a lock.
	return durable.Acquire(ctx, filepath.Join(dir, namespace+"."+service+".lock"))
}

// Authority is one CA of the directory.
type Authority struct {
	Name        string
	Certificate *x509.Certificate
	// Above are the CA certificates over it that the directory knows, the root last.
	Above []*x509.Certificate
	// KeyPath is where its key is kept; empty where the key is elsewhere.
	KeyPath string
	// Encrypted tells whether that file is encrypted.
	Encrypted bool
	// Crosses are the certificates that other authorities gave the same CA.
	Crosses []Cross
	// KeyURI names its key in a device or a service; empty where it is in a file.
	KeyURI string
}

// Root tells whether it is self-signed.
func (a Authority) Root() bool { return selfSigned(a.Certificate) }

// selfSigned tells a root from a CA that has its issuer's name and another key, as
// the names and key identifiers say.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && (len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}

// Authorities lists the CAs: the root first, then by name.
func (d *Directory) Authorities() ([]Authority, error) {
	all, err := d.authorities()
	for i := range all {
		all[i].Encrypted = IsEncrypted(all[i].KeyPath)
	}
	return all, err
}

// IsEncrypted looks into a key file. Anyone may look at the certificates; who may
// not read the key still sees where it is.
func IsEncrypted(path string) bool {
	if path == "" {
		return false
	}
	data, err := os.ReadFile(path)
	return err == nil && bytes.Contains(data, []byte(pemfile.TypeEncryptedKey))
}

// authorities is Authorities without a look into the keys.
func (d *Directory) authorities() ([]Authority, error) {
	dir := filepath.Join(d.path, caDir)
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []Authority
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".crt")
		if !ok || !ValidName(name) {
			continue
		}
		a, err := d.readAuthority(name)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	if err := d.readCrosses(files, all); err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Above = above(all[i].Certificate, all)
		for n := range all[i].Crosses {
			all[i].Crosses[n].Above = above(all[i].Crosses[n].Certificate, all)
		}
	}
	slices.SortStableFunc(all, func(a, b Authority) int {
		if a.Root() != b.Root() {
			if a.Root() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

func (d *Directory) readAuthority(name string) (Authority, error) {
	path := filepath.Join(d.path, caDir, name+".crt")
	data, err := pemfile.ReadFile(path)
	if err != nil {
		return Authority{}, err
	}
	certs, err := pemfile.Certificates(data)
	if err != nil {
		return Authority{}, fmt.Errorf("%s: %w", path, err)
	}
	if !certs[0].IsCA || !certs[0].BasicConstraintsValid {
		return Authority{}, fmt.Errorf("%s: it is no CA certificate (RFC 5280, Section 4.2.1.9)", path)
	}
	a := Authority{Name: name, Certificate: certs[0]}
	a.KeyPath, a.KeyURI, err = d.keyPlace(name)
	return a, err
}

// above finds the CAs over a certificate, nearest first.
func above(c *x509.Certificate, all []Authority) []*x509.Certificate {
	var chain []*x509.Certificate
	for len(chain) < 10 && !selfSigned(c) {
		i := slices.IndexFunc(all, func(p Authority) bool {
			return bytes.Equal(p.Certificate.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(p.Certificate) == nil
		})
		if i < 0 {
			break
		}
		c = all[i].Certificate
		chain = append(chain, c)
	}
	return chain
}

// CertificatePath is the file with an authority's certificate.
func (d *Directory) CertificatePath(name string) string {
	return filepath.Join(d.path, caDir, name+".crt")
}

// Authority finds a CA by its name; "" is the issuing intermediate.
func (d *Directory) Authority(name string) (Authority, error) {
	all, err := d.authorities()
	if err != nil {
		return Authority{}, err
	}
	a, err := d.pick(all, name)
	a.Encrypted = IsEncrypted(a.KeyPath)
	return a, err
}

func (d *Directory) pick(all []Authority, name string) (Authority, error) {
	if name == "" {
		name = d.settings.Issuing
	}
	for _, a := range all {
		if a.Name == name {
			return a, nil
		}
	}
	if _, err := os.Lstat(d.RequestPath(name)); ValidName(name) && err == nil {
		return Authority{}, fmt.Errorf("%q: %w", name, ErrPending)
	}
	return Authority{}, fmt.Errorf("%q: %w", name, ErrNoAuthority)
}

// Bundle is the roots to be trusted.
func (d *Directory) Bundle() ([]*x509.Certificate, error) {
	all, err := d.authorities()
	if err != nil {
		return nil, err
	}
	return d.roots(all)
}

func (d *Directory) roots(all []Authority) ([]*x509.Certificate, error) {
	var roots []*x509.Certificate
	for _, a := range all {
		if a.Root() {
			roots = append(roots, a.Certificate)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%s holds no root", filepath.Join(d.path, caDir))
	}
	return roots, nil
}

// ValidName tells whether a text can name an authority: a lower-case label, which
// is a safe file name too. "log" cannot: keys/log.key is the ledger's.
func ValidName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' && i > 0) {
			return false
		}
	}
	return s != "" && len(s) <= 63 && s != logName
}

// readDir gives the names of the directories in a directory, in order; none where
// it does not exist.
func readDir(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
