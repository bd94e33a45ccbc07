package kms

import (
	"context"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/tpmkms"
)

// connectTPM finds a TPM 2.0: the device that the URI names, or the system's. What
// is in the storage directory is of use to that TPM alone.
func connectTPM(ctx context.Context, ref, _ string) (apiv1.KeyManager, error) {
	return tpmkms.New(ctx, apiv1.Options{URI: ref})
}
