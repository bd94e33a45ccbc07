package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"time"
)

// NewRoot makes a self-signed CA certificate for a key (RFC 5280, Section 3.2)
// and records it in the ledger before it returns. now is the time of the record.
func NewRoot(ctx context.Context, spec Spec, signer crypto.Signer, ledger Ledger, now time.Time) (*x509.Certificate, error) {
	if err := CheckKey(signer.Public()); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	template, err := spec.caTemplate(spki)
	if err != nil {
		return nil, err
	}
	template.AuthorityKeyId = template.SubjectKeyId
	root, err := sign(template, template, signer.Public(), signer)
	if err != nil {
		return nil, err
	}
	if err := ledger.Record(ctx, EntryOf(KindCA, root, now)); err != nil {
		return nil, fmt.Errorf("record the root: %w", err)
	}
	return root, nil
}
