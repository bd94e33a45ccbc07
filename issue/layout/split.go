package layout

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	encoding "encoding/pem"
	"fmt"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// The older forms of a private key, for consumers that insist on one.
const (
	optionPKCS1  = "pkcs1" // RFC 8017, Appendix A.1.2
	optionSEC1   = "sec1"  // RFC 5915
	optionClient = "client"
)

// split is a layout of three PEM files: chain, key, roots.
type split struct {
	chain, secret, roots string
	form                 string // of the key; "" is PKCS#8
	// consumer, unless "", is who refuses what, and refuses says what.
	consumer string
	refuses  func(Plan) []Refusal
	// more, unless nil, makes further files, none of them secret.
	more func(c *issue.Credential) map[string]string
}

// forms are the layout with the older forms of a key.
func (l split) forms() map[string]issue.Layout {
	a, b := l, l
	a.form, b.form = optionPKCS1, optionSEC1
	return map[string]issue.Layout{optionPKCS1: a, optionSEC1: b}
}

func (l split) names() []string { return []string{l.chain, l.secret, l.roots} }

// Check says what the consumer would refuse.
func (l split) Check(p Plan) error {
	found := formRefusals(l.form, p)
	if l.refuses != nil {
		found = append(found, l.refuses(p)...)
	}
	return refused(l.consumer, found)
}

// Encode gives the chain (leaf, then intermediates, no root), the key and the roots.
func (l split) Encode(c *issue.Credential) (issue.Files, error) {
	if err := l.Check(planOf(c)); err != nil {
		return nil, err
	}
	files := issue.Files{
		l.chain: {Data: pemfile.EncodeCertificates(c.Chain...)},
		l.roots: {Data: pemfile.EncodeCertificates(c.Roots...)},
	}
	if c.Key != nil {
		key, err := encodeKey(c.Key, l.form)
		if err != nil {
			return nil, err
		}
		files[l.secret] = issue.File{Data: key, Secret: true}
	}
	if l.more != nil {
		for name, text := range l.more(c) {
			files[name] = issue.File{Data: []byte(text)}
		}
	}
	return files, nil
}

// Decode gives the chain back.
func (l split) Decode(f issue.Files) ([]*x509.Certificate, error) {
	return l.DecodeBy(f, x509.ParseCertificate)
}

// DecodeBy gives the chain back.
func (l split) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	file, ok := f[l.chain]
	if !ok {
		return nil, fmt.Errorf("%s: %w", l.chain, errNoLeaf)
	}
	return pemfile.CertificatesBy(file.Data, parse)
}

func (l split) key(f issue.Files) (crypto.Signer, error) { return keyIn(f, l.secret) }

// keyIn reads the private key of a PEM file.
func keyIn(f issue.Files, name string) (crypto.Signer, error) {
	file, ok := f[name]
	if !ok {
		return nil, errNoKey
	}
	key, err := pemfile.ParseKey(file.Data, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// encodeKey gives a private key in that form.
func encodeKey(key crypto.Signer, form string) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if form == optionPKCS1 {
			return encoding.EncodeToMemory(&encoding.Block{Type: pemfile.TypeRSAKey, Bytes: x509.MarshalPKCS1PrivateKey(k)}), nil
		}
	case *ecdsa.PrivateKey:
		if form == optionSEC1 {
			der, err := x509.MarshalECPrivateKey(k)
			if err != nil {
				return nil, fmt.Errorf("encode private key: %w", err)
			}
			return encoding.EncodeToMemory(&encoding.Block{Type: pemfile.TypeECKey, Bytes: der}), nil
		}
	}
	return pemfile.EncodeKey(key)
}

// formRefusals are for a key that has no such form.
func formRefusals(form string, p Plan) []Refusal {
	switch {
	case form == optionPKCS1 && !p.KeyType.RSA():
		return []Refusal{{What: "a key of type " + string(p.KeyType) + " has no PKCS#1 form: it is for RSA keys", Citation: "RFC 8017, Appendix A.1.2"}}
	case form == optionSEC1 && !p.KeyType.EC():
		return []Refusal{{What: "a key of type " + string(p.KeyType) + " has no SEC 1 form: it is for EC keys", Citation: "RFC 5915, Section 3"}}
	}
	return nil
}
