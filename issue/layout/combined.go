package layout

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// combined is one file with chain and key, as HAProxy reads it (configuration
// manual, "crt"), and as suits any reader that cannot open two files of one
// generation. The whole file is secret.
type combined struct{}

const combinedFile = "combined.pem"

// Encode gives leaf, intermediates and key in one file, and the roots beside it.
func (combined) Encode(c *issue.Credential) (issue.Files, error) {
	if c.Key == nil {
		return nil, errors.New("layout combined holds the private key, and somebody else has it: choose tls or pem")
	}
	key, err := pemfile.EncodeKey(c.Key)
	if err != nil {
		return nil, err
	}
	return issue.Files{
		combinedFile: {Data: append(pemfile.EncodeCertificates(c.Chain...), key...), Secret: true},
		"ca.crt":     {Data: pemfile.EncodeCertificates(c.Roots...)},
	}, nil
}

// Decode gives the chain back.
func (c combined) Decode(f issue.Files) ([]*x509.Certificate, error) {
	return c.DecodeBy(f, x509.ParseCertificate)
}

// DecodeBy gives the chain back.
func (combined) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	file, ok := f[combinedFile]
	if !ok {
		return nil, fmt.Errorf("%s: %w", combinedFile, errNoLeaf)
	}
	return pemfile.CertificatesBy(file.Data, parse)
}
