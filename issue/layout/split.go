package layout

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	encoding "encoding/pem"
	"fmt"
	"slices"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// The older forms of a private key, for consumers that insist on one.
const (
	optionPKCS1  = "pkcs1" // RFC 8017, Appendix A.1.2
	optionSEC1   = "sec1"  // RFC 5915
	optionClient = "client"
)

// What cert-manager also writes where additionalOutputFormats says so: the key in DER,
// and key and chain in one file.
const (
	optionDER      = "der"
	optionCombined = "combined"
	derFile        = "key.der"
	tlsCombined    = "tls-combined.pem"
)

// split is a layout of three PEM files: chain, key, roots.
type split struct {
	chain, secret, roots string
	form                 string // of the key; "" is PKCS#8
	// der and joined are for files that hold the key once more.
	der, joined bool
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

// with is the layout with several options at once.
func (l split) with(options ...string) (issue.Layout, error) {
	for _, o := range options {
		switch {
		case (o == optionPKCS1 || o == optionSEC1) && l.form == "":
			l.form = o
		case o == optionDER && !l.der:
			l.der = true
		case o == optionCombined && !l.joined:
			l.joined = true
		default:
			return nil, fmt.Errorf("%s stands where no more is to be said of the key", o)
		}
	}
	return l, nil
}

// tlsForms are those of tls: the forms of a key, and the files beside it.
func (l split) tlsForms() map[string]issue.Layout {
	all := l.forms()
	a, b := l, l
	a.der, b.joined = true, true
	all[optionDER], all[optionCombined] = a, b
	return all
}

func (l split) names() []string {
	names := []string{l.chain, l.secret, l.roots}
	if l.der {
		names = append(names, derFile)
	}
	if l.joined {
		names = append(names, tlsCombined)
	}
	return names
}

// Check says what the consumer would refuse.
func (l split) Check(p Plan) error {
	found := formRefusals(l.form, p)
	if p.Foreign && (l.der || l.joined) {
		found = append(found, noKey)
	}
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
		if err := l.again(files, key); err != nil {
			return nil, err
		}
	}
	if l.more != nil {
		for name, text := range l.more(c) {
			files[name] = issue.File{Data: []byte(text)}
		}
	}
	return files, nil
}

// again writes the files that hold the key, in PEM as it is, once more.
func (l split) again(files issue.Files, key []byte) error {
	if l.der {
		block, _ := encoding.Decode(key)
		if block == nil {
			return errNoKey
		}
		files[derFile] = issue.File{Data: block.Bytes, Secret: true}
	}
	if l.joined {
		files[tlsCombined] = issue.File{Data: slices.Concat(key, []byte("\n"), files[l.chain].Data), Secret: true}
	}
	return nil
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
