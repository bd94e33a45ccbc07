package issue

import (
	"crypto"
	"fmt"

	"go.step.sm/crypto/keyutil"

	"github.com/meshpki/meshpki/ca"
)

// NewKey makes a subject's private key.
func NewKey(kt ca.KeyType) (crypto.Signer, error) {
	switch kt {
	case ca.ECP256:
		return keyutil.GenerateSigner("EC", "P-256", 0)
	case ca.ECP384:
		return keyutil.GenerateSigner("EC", "P-384", 0)
	case ca.Ed25519:
		return keyutil.GenerateSigner("OKP", "Ed25519", 0)
	case ca.RSA2048:
		return keyutil.GenerateSigner("RSA", "", 2048)
	case ca.RSA3072:
		return keyutil.GenerateSigner("RSA", "", 3072)
	case ca.RSA4096:
		return keyutil.GenerateSigner("RSA", "", 4096)
	}
	return nil, fmt.Errorf("key type %q is not known", string(kt))
}
