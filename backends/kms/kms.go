// Package kms opens keys that are kept in devices and services: PKCS#11 tokens,
// TPM 2.0, AWS KMS. A key URI names one, in the form of go.step.sm/crypto, which
// that of RFC 7512 has grown into. No key leaves its device.
package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/uri"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
)

// scheme is one kind of device.
type scheme struct {
	// need are sets of attributes of which a URI has to have one each.
	need [][]string
	// make tells what a URI must have for a key to be made by it; nil where none is made.
	make []string
	// connect opens the device; pin may be empty.
	connect func(ctx context.Context, ref, pin string) (device, error)
	// pin tells whether the device has one.
	pin bool
}

// device is as much of an apiv1.KeyManager as is asked for here.
type device interface {
	CreateSigner(r *apiv1.CreateSignerRequest) (crypto.Signer, error)
	CreateKey(r *apiv1.CreateKeyRequest) (*apiv1.CreateKeyResponse, error)
	Close() error
}

// Schemes gives what opens the keys of each scheme. A key that has been opened
// stays open for the life of the process, or until it fails to sign. Safe for
// concurrent use.
func Schemes() map[string]func(context.Context, string, backends.KeyOptions) (crypto.Signer, error) {
	d := &devices{open: map[string]crypto.Signer{}}
	out := map[string]func(context.Context, string, backends.KeyOptions) (crypto.Signer, error){}
	for name, s := range map[string]scheme{
		"pkcs11": {need: [][]string{{"token", "serial", "slot-id"}, {"object", "id"}}, make: []string{"object", "id"}, connect: connectPKCS11, pin: true},
		"tpmkms": {need: [][]string{{"name"}, {"storage-directory"}}, make: []string{}, connect: connectTPM},
		"awskms": {need: [][]string{{"key-id"}}, connect: connectAWS},
	} {
		out[name] = func(ctx context.Context, ref string, o backends.KeyOptions) (crypto.Signer, error) {
			return d.key(ctx, name, s, ref, o)
		}
	}
	return out
}

// devices remembers the keys that are open, by their URIs.
type devices struct {
	mu   sync.Mutex
	open map[string]crypto.Signer
}

// key opens the key of a URI, or makes it.
func (d *devices) key(ctx context.Context, name string, s scheme, ref string, o backends.KeyOptions) (crypto.Signer, error) {
	u, err := s.check(name, ref)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if key, ok := d.open[ref]; ok {
		return key, checkType(ref, key, o.Create)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	pin, err := s.findPIN(u, o)
	if err != nil {
		return nil, err
	}
	device, err := s.connect(ctx, ref, pin)
	if err != nil {
		return nil, told(ref, err)
	}
	key, err := s.find(device, u, ref, o.Create)
	if errors.Is(err, backends.ErrNoSuchKey) && s.pin && pin == "" && !u.Has("pin-source") {
		err = fmt.Errorf("%w, or it is not shown without the PIN", err)
	}
	if err != nil {
		return nil, errors.Join(err, device.Close())
	}
	if err := checkType(ref, key, o.Create); err != nil {
		return nil, errors.Join(err, device.Close())
	}
	d.open[ref] = &signer{key, func() { d.forget(ref) }}
	return d.open[ref], nil
}

func (d *devices) forget(ref string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, ref)
}

// signer is a key in a device; when it fails, it is opened anew the next time: a
// device may have been taken out, and a session with it may have ended.
type signer struct {
	crypto.Signer
	failed func()
}

// Sign lets the device sign.
func (s *signer) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := s.Signer.Sign(r, digest, opts)
	if err != nil {
		s.failed()
	}
	return sig, err
}

const maxURI = 4096

// check sees that a URI can be meant. A secret in it is refused, and not repeated.
func (s scheme) check(name, ref string) (*uri.URI, error) {
	refuse := func(problem string) (*uri.URI, error) {
		return nil, &backends.RefError{Ref: name + ":", Problem: problem}
	}
	if len(ref) > maxURI || strings.ContainsFunc(ref, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return refuse("is no key URI: it has control characters, or is longer than 4096 bytes")
	}
	u, err := uri.ParseWithScheme(name, ref)
	if err != nil {
		return refuse("is no key URI: " + name + ":name=value;name=value would be")
	}
	if u.Has("pin-value") || u.Has("pin-prompt") || strings.Contains(strings.ToLower(ref), "pin-value") {
		return refuse("has a PIN in it, where others can read it: pin-source=FILE or MESHPKI_PIN_FILE names a file with it")
	}
	for _, one := range s.need {
		found := false
		for _, attribute := range one {
			found = found || u.Get(attribute) != ""
		}
		if !found {
			return refuse("is no key URI without " + strings.Join(one, ", ") + ": " + name + " needs one of them")
		}
	}
	return u, nil
}

// findPIN finds the PIN of a device that has one: in the file that the URI names,
// or by asking.
func (s scheme) findPIN(u *uri.URI, o backends.KeyOptions) (string, error) {
	if !s.pin {
		return "", nil
	}
	if source := u.Get("pin-source"); source != "" {
		// It is read again where it is used, but there an error would not be told.
		if _, err := os.ReadFile(source); err != nil {
			return "", fmt.Errorf("PIN: %w", err)
		}
		return "", nil
	}
	if o.PIN == nil {
		return "", nil
	}
	pin, err := o.PIN()
	return string(pin), err
}

// find opens a key of a device, or makes it.
func (s scheme) find(device device, u *uri.URI, ref string, create ca.KeyType) (crypto.Signer, error) {
	key, err := device.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: ref})
	switch {
	case err == nil:
		return key, nil
	case !absent(err):
		return nil, told(ref, err)
	case create == "":
		return nil, fmt.Errorf("%s: %w", ref, backends.ErrNoSuchKey)
	case s.make == nil:
		return nil, fmt.Errorf("%s: %w, and none is made there from here", ref, backends.ErrNoSuchKey)
	}
	for _, attribute := range s.make {
		if u.Get(attribute) == "" {
			return nil, fmt.Errorf("%s: %w, and none is made without %s", ref, backends.ErrNoSuchKey, strings.Join(s.make, " and "))
		}
	}
	request, err := creation(ref, create)
	if err != nil {
		return nil, err
	}
	if _, err := device.CreateKey(request); err != nil {
		return nil, told(ref, fmt.Errorf("make the key: %w", err))
	}
	key, err = device.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: ref})
	if err != nil {
		return nil, told(ref, err)
	}
	return key, nil
}

// creation asks for a key of a type.
func creation(ref string, kt ca.KeyType) (*apiv1.CreateKeyRequest, error) {
	r := &apiv1.CreateKeyRequest{Name: ref}
	switch kt {
	case ca.ECP256:
		r.SignatureAlgorithm = apiv1.ECDSAWithSHA256
	case ca.ECP384:
		r.SignatureAlgorithm = apiv1.ECDSAWithSHA384
	case ca.Ed25519:
		r.SignatureAlgorithm = apiv1.PureEd25519
	case ca.RSA2048, ca.RSA3072, ca.RSA4096:
		r.SignatureAlgorithm = apiv1.SHA256WithRSA
		if _, err := fmt.Sscanf(string(kt), "rsa-%d", &r.Bits); err != nil {
			return nil, fmt.Errorf("key type %s: %w", kt, err)
		}
	default:
		return nil, fmt.Errorf("key type %q is not made in a device", kt)
	}
	return r, nil
}

// checkType refuses a key that is there and is of another type than was wanted.
func checkType(ref string, key crypto.Signer, want ca.KeyType) error {
	if is := ca.KeyTypeOf(key.Public()); want != "" && is != want {
		return fmt.Errorf("%s: there is a key of type %s, and %s is wanted", ref, is, want)
	}
	return nil
}

// absent tells that there is no key of that name from everything else that can go
// wrong.
func absent(err error) bool {
	if errors.Is(err, apiv1.NotFoundError{}) {
		return true
	}
	coded, ok := errors.AsType[interface {
		error
		ErrorCode() string
	}](err)
	return ok && coded.ErrorCode() == "NotFoundException"
}

// told is a device's error with the key that it is about.
func told(ref string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "CKR_PIN_INCORRECT"):
		return fmt.Errorf("%s: wrong PIN", ref)
	case strings.Contains(text, "CKR_PIN_LOCKED"):
		return fmt.Errorf("%s: the PIN is locked after too many wrong ones", ref)
	}
	return fmt.Errorf("%s: %w", ref, err)
}
