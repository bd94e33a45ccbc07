package file

import (
	"context"
	"crypto"
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

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Errors of Init that a caller can branch on.
var (
	ErrExists     = errors.New("there is an authority already")
	ErrNotEmpty   = errors.New("holds files that are not meshpki's")
	ErrKeyFile    = errors.New("the file for the root's key exists already")
	ErrRecovered  = errors.New("an earlier ca init was interrupted; it has been finished now")
	errBadCAName  = errors.New("is no name for an authority: lower-case letters, digits and '-' only, 1 to 63 of them, not \"root\" or \"log\"")
	errOneKey     = errors.New("two of the key URIs name one key, and each must have its own")
	errIncomplete = errors.New("the directory holds part of an authority and no record of how it came there")
)

// InitOptions say what a new directory is to hold.
type InitOptions struct {
	Settings Settings // Schema may be empty
	Root     ca.Spec
	Issuing  ca.Spec
	KeyType  ca.KeyType
	// Passphrases encrypt the keys; empty ones leave them in the clear.
	RootPassphrase, Passphrase []byte
	// OfflineRoot is a file outside the directory that the root's key goes to.
	OfflineRoot string
	URLs        ca.URLs // stand in the intermediate
	// RootKeyURI and KeyURI say where the keys are made, or are already, if not in
	// files; Open opens them.
	RootKeyURI, KeyURI string
	// LogKeyURI is the same for the ledger's key.
	LogKeyURI string
	Open      backends.KeyOpener
	Now       func() time.Time
}

// Everything is made in stagingName first. Its renaming to readyName is the
// moment at which the new authority exists; what remains then is to move its parts
// to their places, which a later run finishes if this one cannot.
const (
	stagingName = ".init"
	readyName   = ".init-ready"
	lockName    = ".lock"
)

// parts are what is moved out of staging, in this order: with the last one the
// directory is open for use.
var parts = []string{keysDir, caDir, logDir, cacheDir, settingsName}

// Init makes a root and an issuing intermediate in a directory that may exist and
// be empty but for a manifest. Of two at once, one wins. Errors to branch on:
// ErrExists, ErrNotEmpty, ErrKeyFile, ErrRecovered; of these only the last has
// changed anything.
func Init(ctx context.Context, path string, o InitOptions) (*Directory, error) {
	if !ValidName(o.Settings.Issuing) || IsRootName(o.Settings.Issuing) {
		return nil, fmt.Errorf("%q %w", o.Settings.Issuing, errBadCAName)
	}
	return makeDirectory(ctx, path, o.OfflineRoot, o.Now, func(root *durable.Dir) ([]byte, error) {
		return stage(ctx, root, path, o)
	})
}

// InitEmpty makes a directory without any authority: for an intermediate whose
// certificate comes from elsewhere. Errors to branch on are those of Init.
func InitEmpty(ctx context.Context, path string, s Settings, now func() time.Time) (*Directory, error) {
	if !ValidName(s.Issuing) || IsRootName(s.Issuing) {
		return nil, fmt.Errorf("%q %w", s.Issuing, errBadCAName)
	}
	return makeDirectory(ctx, path, "", now, func(root *durable.Dir) ([]byte, error) {
		return nil, errors.Join(stageDirs(root), stageSettings(root, s))
	})
}

// makeDirectory makes a state directory of what is staged, whole or not at all.
func makeDirectory(ctx context.Context, path, offlineRoot string, now func() time.Time, staged func(*durable.Dir) ([]byte, error)) (*Directory, error) {
	if err := errors.Join(ctx.Err(), survey(path, offlineRoot)); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(path, dirMode); err != nil {
		return nil, err
	}
	lock, err := durable.Acquire(ctx, filepath.Join(path, lockName))
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	root, err := durable.OpenDir(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := makeRoom(root, path); err != nil {
		return nil, err
	}
	rootKey, err := staged(root)
	if err != nil {
		return nil, errors.Join(err, root.RemoveAll(stagingName))
	}
	if err := commit(root, offlineRoot, rootKey); err != nil {
		return nil, errors.Join(err, root.RemoveAll(stagingName))
	}
	if err := root.Sync(); err != nil {
		return nil, err
	}
	if err := move(root); err != nil {
		return nil, err
	}
	return Open(path, now)
}

// survey looks before anything is touched, so that a refusal leaves no trace.
func survey(path, offlineRoot string) error {
	names, err := readNames(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if slices.Contains(names, readyName) {
		return nil // to be finished, whatever else was asked for
	}
	if _, err := foreignNames(path, names); err != nil || offlineRoot == "" {
		return err
	}
	if _, err := os.Lstat(offlineRoot); err == nil {
		return fmt.Errorf("%s: %w", offlineRoot, ErrKeyFile)
	}
	return nil
}

func readNames(path string) ([]string, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// foreignNames refuses a directory that has an authority already, or what is not
// ours; staged tells whether an interrupted Init left its staging there.
func foreignNames(path string, names []string) (staged bool, err error) {
	if slices.Contains(names, settingsName) {
		return false, fmt.Errorf("%s: %w", path, ErrExists)
	}
	var foreign []string
	for _, name := range names {
		switch name {
		case lockName, "meshpki.yaml", "lost+found":
		case stagingName:
			staged = true
		default:
			foreign = append(foreign, name)
		}
	}
	if len(foreign) > 0 {
		slices.Sort(foreign)
		return staged, fmt.Errorf("%s %w: %s", path, ErrNotEmpty, strings.Join(foreign[:min(3, len(foreign))], ", "))
	}
	return staged, nil
}

// makeRoom sees that a directory is free for a new authority: it finishes or clears
// away what an interrupted Init left, and refuses what is not ours.
func makeRoom(root *durable.Dir, path string) error {
	if _, err := root.Lstat(readyName); err == nil {
		if err := move(root); err != nil {
			return err
		}
		return fmt.Errorf("%s: %w", path, ErrRecovered)
	}
	names, err := readNames(path)
	if err != nil {
		return err
	}
	staged, err := foreignNames(path, names)
	if err == nil && staged {
		// Nothing in it was ever used.
		err = root.RemoveAll(stagingName)
	}
	return err
}

// commit makes the staged authority exist: with the renaming of the directory, and
// before it, for an offline root, with its key's own file.
func commit(root *durable.Dir, offlineRoot string, rootKey []byte) error {
	if offlineRoot == "" {
		return root.Rename(stagingName, readyName)
	}
	err := durable.CreateFile(offlineRoot, rootKey, secretMode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", offlineRoot, ErrKeyFile)
	}
	if err != nil {
		return err
	}
	if err := root.Rename(stagingName, readyName); err != nil {
		return errors.Join(err, os.Remove(offlineRoot))
	}
	return nil
}

// stage makes the whole authority beside where it will be, and syncs it. It gives
// the root's key, encoded, which is not among it where the root is offline.
func stage(ctx context.Context, root *durable.Dir, path string, o InitOptions) ([]byte, error) {
	rootKey, err := newKey(RootName, o.RootKeyURI, o)
	if err != nil {
		return nil, err
	}
	issuingKey, err := newKey(o.Settings.Issuing, o.KeyURI, o)
	if err != nil {
		return nil, err
	}
	logKey, err := newLogDevice(o)
	if err != nil {
		return nil, err
	}
	if pemfile.SamePublicKey(rootKey.Public(), issuingKey.Public()) ||
		logKey != nil && (pemfile.SamePublicKey(logKey.Public(), rootKey.Public()) || pemfile.SamePublicKey(logKey.Public(), issuingKey.Public())) {
		return nil, errOneKey
	}
	if err := stageDirs(root); err != nil {
		return nil, err
	}
	chain, err := makeCAs(ctx, filepath.Join(path, stagingName), o, rootKey, issuingKey, logKey)
	if err != nil {
		return nil, err
	}
	for i, name := range []string{RootName, o.Settings.Issuing} {
		file := filepath.Join(stagingName, caDir, name+".crt")
		if err := root.Create(file, pemfile.EncodeCertificates(chain[i]), publicMode); err != nil {
			return nil, err
		}
	}
	key, err := stageKeys(root, o, rootKey, issuingKey)
	if err != nil {
		return nil, err
	}
	return key, stageSettings(root, o.Settings)
}

// stageDirs makes the directories of a staged authority.
func stageDirs(root *durable.Dir) error {
	for _, dir := range []struct {
		name string
		mode fs.FileMode
	}{{"", 0o700}, {keysDir, 0o700}, {caDir, dirMode}, {logDir, dirMode}, {cacheDir, dirMode}} {
		made, err := root.Mkdir(filepath.Join(stagingName, dir.name), dir.mode)
		if err != nil {
			return err
		}
		if err := made.Close(); err != nil {
			return err
		}
	}
	return nil
}

// stageSettings writes the settings of a staged directory, its last part, and syncs
// the whole.
func stageSettings(root *durable.Dir, s Settings) error {
	s.Schema = settingsSchema
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := root.Create(filepath.Join(stagingName, settingsName), append(data, '\n'), publicMode); err != nil {
		return err
	}
	for _, dir := range []string{keysDir, caDir, logDir, cacheDir, ""} {
		made, err := root.Open(filepath.Join(stagingName, dir))
		if err != nil {
			return err
		}
		if err := errors.Join(made.Sync(), made.Close()); err != nil {
			return err
		}
	}
	return nil
}

// makeCAs signs root and intermediate, recording both in the staged ledger.
func makeCAs(ctx context.Context, staging string, o InitOptions, rootKey, issuingKey, logKey crypto.Signer) ([2]*x509.Certificate, error) {
	var made [2]*x509.Certificate
	ledger := NewLedger(staging)
	ledger.origin = o.Settings.origin()
	ledger.OpenKey, ledger.device, ledger.deviceURI = o.Open, logKey, o.LogKeyURI
	root, err := ca.NewRoot(ctx, o.Root, rootKey, ledger, o.Now())
	if err != nil {
		return made, err
	}
	issuer := &ca.Issuer{Certificate: root, Signer: rootKey, Ledger: ledger, Now: o.Now, URLs: o.URLs.For(RootName)}
	chain, err := issuer.IssueCA(ctx, o.Issuing, issuingKey.Public())
	if err != nil {
		return made, err
	}
	return [2]*x509.Certificate{root, chain.Leaf()}, nil
}

// newLogDevice opens or makes the ledger's key where it is to be elsewhere; nil where
// it is a file.
func newLogDevice(o InitOptions) (crypto.Signer, error) {
	if o.LogKeyURI == "" {
		return nil, nil
	}
	o.KeyType = ca.ECP256
	key, err := newKey(logName, o.LogKeyURI, o)
	if err == nil {
		_, err = logVerifierKey(o.Settings.origin(), key.Public())
	}
	return key, err
}

// newKey makes the key of an authority, or opens it where a key URI says.
func newKey(name, uri string, o InitOptions) (crypto.Signer, error) {
	switch {
	case uri == "":
		return ca.NewKey(o.KeyType)
	case o.Open == nil:
		return nil, fmt.Errorf("%s: %w", uri, errNoOpener)
	}
	return o.Open(name, uri, o.KeyType)
}

// stageKeys writes the keys, or the URIs of those that are in a device; that of an
// offline root it gives instead.
func stageKeys(root *durable.Dir, o InitOptions, rootKey, issuingKey crypto.Signer) ([]byte, error) {
	if _, err := stageKey(root, o.Settings.Issuing, o.KeyURI, issuingKey, o.Passphrase, false); err != nil {
		return nil, err
	}
	return stageKey(root, RootName, o.RootKeyURI, rootKey, o.RootPassphrase, o.OfflineRoot != "")
}

// stageKey writes one key, or its URI, and gives it encoded; what is elsewhere is
// not written.
func stageKey(root *durable.Dir, name, uri string, key crypto.Signer, passphrase []byte, elsewhere bool) ([]byte, error) {
	if uri != "" {
		return nil, root.Create(filepath.Join(stagingName, keysDir, name+".uri"), []byte(uri+"\n"), secretMode)
	}
	data, err := encodeKey(key, passphrase)
	if err != nil || elsewhere {
		return data, err
	}
	return data, root.Create(filepath.Join(stagingName, keysDir, name+".key"), data, secretMode)
}

func encodeKey(key crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return pemfile.EncodeKey(key)
	}
	return pemfile.EncodeEncryptedKey(key, passphrase)
}

// move takes the parts of a ready authority to their places. It can be run again
// after being interrupted anywhere.
func move(root *durable.Dir) error {
	for _, part := range parts {
		err := root.Rename(filepath.Join(readyName, part), part)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := root.Lstat(part); err != nil {
				return fmt.Errorf("%s: %w", part, errIncomplete)
			}
			continue
		}
		if err != nil {
			return err
		}
		if part == cacheDir {
			// Everything else is durable before the settings declare the directory open.
			if err := root.Sync(); err != nil {
				return err
			}
		}
	}
	if err := root.Remove(readyName); err != nil {
		return err
	}
	return root.Sync()
}
