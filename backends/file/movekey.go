package file

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Errors that a caller can branch on.
var (
	// ErrInDevice says that a key is where it cannot be taken from.
	ErrInDevice = errors.New("its key is in a device or a service, which does not give it out")
	// ErrSameFile says that a key would be moved to where it is.
	ErrSameFile = errors.New("is the file that has the key now")
	// ErrOtherKey says that a key is not that of the certificate.
	ErrOtherKey = errors.New("the key does not belong to the certificate")
)

// MoveKey takes the key of an authority to a file elsewhere, which must not exist
// unless it has this very key already. The key is read back from there and held
// against the certificate before it is taken from where it was; interrupted
// anywhere, it is in one of the two places or in both, and doing it again does the
// rest. It gives the file that it was in. Errors to branch on: ErrNoAuthority,
// ErrNoKey, ErrInDevice, ErrSameFile, ErrKeyFile, ErrOtherKey, and those of Issuer.
func (d *Directory) MoveKey(ctx context.Context, name string, from KeySource, to string) (string, error) {
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return "", err
	}
	defer lock.Release()
	a, path, err := d.keyFile(name, from)
	if err != nil {
		return "", err
	}
	from.Passphrase = once(from.Passphrase)
	data, err := readMatching(a, path, from)
	if err != nil {
		return "", err
	}
	if same, err := sameFile(path, to); err != nil || same {
		return "", errors.Join(err, fmt.Errorf("%s %w", to, ErrSameFile))
	}
	if err := place(to, data); err != nil {
		return "", err
	}
	there, err := readMatching(a, to, from)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(there, data) {
		return "", fmt.Errorf("%s: %w", to, ErrKeyFile)
	}
	return path, d.remove(path)
}

// MoveKeyToDevice makes the directory find an authority's key by a key URI, once
// what is there has signed something for the key of the certificate. A file with
// the key in the directory is taken away; its path is given. The device must have
// the key already: this gives out none. Errors to branch on: ErrNoAuthority,
// ErrOtherKey, backends.ErrNoSuchKey.
func (d *Directory) MoveKeyToDevice(ctx context.Context, name string, from KeySource, uri string) (string, error) {
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return "", err
	}
	defer lock.Release()
	a, err := d.Authority(name)
	if err != nil {
		return "", err
	}
	if from.Open == nil {
		return "", fmt.Errorf("%s: %w", uri, errNoOpener)
	}
	key, err := from.Open(a.Name, uri, "")
	if err != nil {
		return "", err
	}
	if err := proves(key, a.Certificate); err != nil {
		return "", fmt.Errorf("%s: %w", uri, err)
	}
	if err := d.writeURI(a.Name, uri); err != nil {
		return "", err
	}
	if a.KeyPath == "" {
		return "", nil
	}
	return a.KeyPath, d.remove(a.KeyPath)
}

// ChangePassphrase encrypts the file of an authority's key anew; with an empty
// passphrase it is left unencrypted. It gives the file. Errors to branch on are
// those of MoveKey.
func (d *Directory) ChangePassphrase(ctx context.Context, name string, from KeySource, passphrase []byte) (string, error) {
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return "", err
	}
	defer lock.Release()
	a, path, err := d.keyFile(name, from)
	if err != nil {
		return "", err
	}
	// A link on the way keeps its place; what it leads to is written.
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	key, err := readKey(path, a.Name, from.Passphrase)
	if err != nil {
		return "", err
	}
	if !pemfile.SamePublicKey(key.Public(), a.Certificate.PublicKey) {
		return "", fmt.Errorf("%s: %w", path, ErrOtherKey)
	}
	data, err := encodeKey(key, passphrase)
	if err != nil {
		return "", err
	}
	again, err := pemfile.ParseKey(data, func() ([]byte, error) { return passphrase, nil })
	if err != nil || !pemfile.SamePublicKey(again.Public(), a.Certificate.PublicKey) {
		return "", errors.Join(fmt.Errorf("%s: the key could not be read back; it is as it was", path), err)
	}
	return path, durable.WriteFile(resolved, data, secretMode)
}

// keyFile finds the file that has the key of an authority now.
func (d *Directory) keyFile(name string, from KeySource) (Authority, string, error) {
	a, err := d.Authority(name)
	switch {
	case err != nil:
		return a, "", err
	case from.File != "":
		return a, from.File, nil
	case a.KeyPath != "":
		return a, a.KeyPath, nil
	case a.KeyURI != "" || from.URI != "":
		return a, "", fmt.Errorf("%s: %w", a.Name, ErrInDevice)
	}
	return a, "", fmt.Errorf("%s: %w", a.Name, ErrNoKey)
}

// readMatching reads a key file whole, and sees that it has the key of an
// authority's certificate.
func readMatching(a Authority, path string, from KeySource) ([]byte, error) {
	data, err := pemfile.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := readKey(path, a.Name, from.Passphrase)
	if err != nil {
		return nil, err
	}
	if !pemfile.SamePublicKey(key.Public(), a.Certificate.PublicKey) {
		return nil, fmt.Errorf("%s: %w", path, ErrOtherKey)
	}
	return data, nil
}

// place writes a new file for the owner alone, durably; one that is there already
// is left as it is, for the caller to look into, unless it is the beginning of that
// file: then this was interrupted before.
func place(path string, data []byte) error {
	dir, err := durable.OpenDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(path)
	if begun, _, err := dir.ReadFile(name, int64(len(data))-1, nil); err == nil && bytes.HasPrefix(data, begun) {
		if err := dir.Remove(name); err != nil {
			return err
		}
	}
	if err := dir.Create(name, data, secretMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return dir.Sync()
}

// sameFile tells whether two names lead to one file, by whatever links.
func sameFile(a, b string) (bool, error) {
	first, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	second, err := os.Stat(b)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(first, second), err
}

// once asks for a passphrase a single time, however often it is wanted.
func once(ask func(string) ([]byte, error)) func(string) ([]byte, error) {
	if ask == nil {
		return nil
	}
	var answer []byte
	return func(name string) ([]byte, error) {
		if answer != nil {
			return answer, nil
		}
		var err error
		answer, err = ask(name)
		return answer, err
	}
}

// proves has a key sign something, and holds the signature against a certificate:
// a device may list a public key whose private half it does not have.
func proves(key crypto.Signer, c *x509.Certificate) error {
	if !pemfile.SamePublicKey(key.Public(), c.PublicKey) {
		return ErrOtherKey
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return fmt.Errorf("sign with it: %w", err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	return request.CheckSignature()
}
