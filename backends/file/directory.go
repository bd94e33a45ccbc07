// Package file keeps things on this machine's disk: sets of files in a directory,
// and the state directory with the local authorities, their keys and the ledger.
package file

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
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
	// Root is the root of the present, "" is RootName; Retired are those before it.
	Root    string   `json:"root,omitempty"`
	Retired []string `json:"retired,omitempty"`
	// Successors are by the intermediate whose place they take, or are about to take.
	Successors map[string]string `json:"successors,omitempty"`
}

// root is the name of the root of the present.
func (s Settings) root() string { return cmp.Or(s.Root, RootName) }

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
	locks    durable.Locks // of services
}

// Open finds the state directory at a path. Without one the error is ErrNoDirectory.
func Open(path string, now func() time.Time) (*Directory, error) {
	return OpenKeeping(path, "", now)
}

// OpenKeeping is Open for a directory whose ledger writes a copy of each checkpoint
// to a file elsewhere, and is held against that copy before it records anything.
func OpenKeeping(path, checkpointTo string, now func() time.Time) (*Directory, error) {
	settings, err := readSettings(path)
	if err != nil {
		return nil, err
	}
	d := &Directory{path: path, now: now, settings: settings}
	d.ledger = NewLedger(path)
	d.ledger.origin, d.ledger.copyTo = d.settings.origin(), checkpointTo
	return d, nil
}

// readSettings reads what was decided at a directory's making, and since. Without a
// directory the error is ErrNoDirectory.
func readSettings(path string) (s Settings, err error) {
	name := filepath.Join(path, settingsName)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%s: %w", path, ErrNoDirectory)
	}
	if err != nil {
		return s, err
	}
	if err := decodeWhole(data, &s); err != nil {
		return s, fmt.Errorf("%s is damaged: %w", name, err)
	}
	named := append(slices.Collect(maps.Values(s.Successors)), append(s.Retired, s.root(), s.Issuing)...)
	if s.Schema != settingsSchema || slices.ContainsFunc(named, func(n string) bool { return !ValidName(n) }) {
		return s, fmt.Errorf("%s is damaged, or of a later version of meshpki", name)
	}
	return s, nil
}

// decodeWhole reads JSON that has no unknown fields and nothing behind it.
func decodeWhole(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.InputOffset() < int64(len(bytes.TrimRight(data, "\n"))) {
		return errors.New("something stands behind the settings")
	}
	return nil
}

// Path is the directory's path, as it was given.
func (d *Directory) Path() string { return d.path }

// Settings are the directory's settings, as they were when it was opened.
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
	// Neither name has a dot in it, so no two services share a lock.
	lock, err := d.locks.Acquire(ctx, dir, namespace+"."+service)
	if !errors.Is(err, fs.ErrNotExist) {
		return lock, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return d.locks.Acquire(ctx, dir, namespace+"."+service)
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
	// Path is the file with its certificate.
	Path string
	// Stage is where a root stands that takes part in a rotation, or did: StageNew,
	// StageOld or StageRetired; "" for every other authority.
	Stage string
	// Trusted says of a root that it belongs in the bundle.
	Trusted bool
}

// What a root is in a rotation.
const (
	StageNew     = "new"
	StageOld     = "old"
	StageRetired = "retired"
)

// Root tells whether it is self-signed.
func (a Authority) Root() bool { return selfSigned(a.Certificate) }

// selfSigned tells a root from a CA that has its issuer's name and another key, as
// the names and key identifiers say.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && (len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
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
