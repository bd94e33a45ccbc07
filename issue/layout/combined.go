package layout

import (
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// combined is one file with chain and key, as HAProxy reads it (configuration
// manual, "crt"), and as suits any reader that cannot open two files of one
// generation. The whole file is secret.
type combined struct{ form string }

const combinedFile = "combined.pem"

func (combined) forms() map[string]issue.Layout {
	return map[string]issue.Layout{optionPKCS1: combined{optionPKCS1}, optionSEC1: combined{optionSEC1}}
}

// Check says what its reader would refuse.
func (l combined) Check(p Plan) error {
	found := formRefusals(l.form, p)
	if p.Foreign {
		found = append(found, noKey)
	}
	return refused("the reader of layout combined", found)
}

// noKey is for a layout that is nothing without the private key.
var noKey = Refusal{"it has the private key in one file with the chain, and somebody else has the key: choose tls or pem", "HAProxy, crt"}

// Encode gives leaf, intermediates and key in one file, and the roots beside it.
func (l combined) Encode(c *issue.Credential) (issue.Files, error) {
	if err := l.Check(planOf(c)); err != nil {
		return nil, err
	}
	key, err := encodeKey(c.Key, l.form)
	if err != nil {
		return nil, err
	}
	return issue.Files{
		combinedFile: {Data: append(pemfile.EncodeCertificates(c.Chain...), key...), Secret: true},
		"ca.crt":     {Data: pemfile.EncodeCertificates(c.Roots...)},
	}, nil
}

// Decode gives the chain back.
func (l combined) Decode(f issue.Files) ([]*x509.Certificate, error) {
	return l.DecodeBy(f, x509.ParseCertificate)
}

// DecodeBy gives the chain back.
func (combined) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	file, ok := f[combinedFile]
	if !ok {
		return nil, fmt.Errorf("%s: %w", combinedFile, errNoLeaf)
	}
	return pemfile.CertificatesBy(file.Data, parse)
}

func (combined) key(f issue.Files) (crypto.Signer, error) { return keyIn(f, combinedFile) }
