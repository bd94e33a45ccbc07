// Package issue gets what is wanted: it makes the subject's key, asks an
// authority, holds the answer against the order, and has the credential laid out
// and stored. It alone holds a subject's private key.
package issue

import (
	"crypto"
	"crypto/x509"
)

// Credential is what a service needs to speak mutual TLS.
type Credential struct {
	// Key is the leaf's private key; nil where somebody else holds it.
	Key crypto.Signer
	// Chain is the leaf first, then the intermediates, without the root.
	Chain []*x509.Certificate
	// Roots is what the service is to trust.
	Roots []*x509.Certificate
	// Tolerated is in what the leaf is not as ordered, where the profile lets that pass.
	Tolerated []Difference
}

// Leaf is the end-entity certificate.
func (c *Credential) Leaf() *x509.Certificate { return c.Chain[0] }
