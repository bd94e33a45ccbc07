package kms

import (
	"context"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/awskms"
)

// connectAWS makes a client of AWS KMS; credentials, region and endpoint come from
// AWS's own environment variables and files, and from the URI. It asks nobody yet.
func connectAWS(ctx context.Context, ref, _ string) (device, error) {
	return awskms.New(ctx, apiv1.Options{URI: ref})
}
