//go:build cgo

package kms

import (
	"context"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/pkcs11"
)

// connectPKCS11 loads the module that the URI names and logs in to its token.
func connectPKCS11(ctx context.Context, ref, pin string) (device, error) {
	return pkcs11.New(ctx, apiv1.Options{URI: ref, Pin: pin})
}
