package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/uri"
	"go.step.sm/crypto/tpm"
	"go.step.sm/crypto/tpm/storage"

	"github.com/meshpki/meshpki/backends"
)

// connectTPM finds a TPM 2.0: the device that the URI names, or the system's. What
// is in the storage directory is of use to that TPM alone. It is go.step.sm/crypto's
// tpm without its kms/tpmkms, which links a template engine for certificates that
// nobody here asks a TPM for.
func connectTPM(ctx context.Context, ref, _ string) (device, error) {
	u, err := uri.ParseWithScheme("tpmkms", ref)
	if err != nil {
		return nil, err
	}
	for _, attribute := range []string{"ak", "attest-by", "path", "tss2", "key-scope", "enable-cng"} {
		if u.Has(attribute) {
			return nil, &backends.RefError{Ref: "tpmkms:", Problem: "has " + attribute + ", which is of no use here: name, device and storage-directory are"}
		}
	}
	options := []tpm.NewTPMOption{tpm.WithStore(storage.NewDirstore(u.Get("storage-directory")))}
	if device := u.Get("device"); device != "" {
		options = append(options, tpm.WithDeviceName(device))
	}
	t, err := tpm.New(options...)
	if err != nil {
		return nil, err
	}
	return &chip{t, ctx, u.Get("name")}, nil
}

// chip is a TPM with the name of a key in it. It is opened for each use and closed
// after it, so that others have their turn.
type chip struct {
	tpm  *tpm.TPM
	ctx  context.Context //nolint:containedctx // the interface of a device has none in its calls
	name string
}

// CreateSigner opens the key.
func (c *chip) CreateSigner(*apiv1.CreateSignerRequest) (crypto.Signer, error) {
	key, err := c.tpm.GetSigner(c.ctx, c.name)
	if errors.Is(err, tpm.ErrNotFound) {
		return nil, apiv1.NotFoundError{Message: err.Error()}
	}
	return key, err
}

// CreateKey makes the key.
func (c *chip) CreateKey(r *apiv1.CreateKeyRequest) (*apiv1.CreateKeyResponse, error) {
	config := tpm.CreateKeyConfig{}
	switch r.SignatureAlgorithm {
	case apiv1.ECDSAWithSHA256:
		config.Algorithm, config.Size = "ECDSA", 256
	case apiv1.ECDSAWithSHA384:
		config.Algorithm, config.Size = "ECDSA", 384
	case apiv1.SHA256WithRSA:
		config.Algorithm, config.Size = "RSA", r.Bits
	default:
		return nil, errors.New("a TPM has no keys of that type: ec-p256, ec-p384 and rsa-2048 are what most have")
	}
	if _, err := c.tpm.CreateKey(c.ctx, c.name, config); err != nil {
		return nil, fmt.Errorf("%s %d: %w", config.Algorithm, config.Size, err)
	}
	return &apiv1.CreateKeyResponse{Name: r.Name}, nil
}

// Close does nothing: it is closed after each use.
func (c *chip) Close() error { return nil }
