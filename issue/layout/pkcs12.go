package layout

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/meshpki/meshpki/issue"
)

// How a PKCS#12 file is locked, besides PBES2 with AES-256 and a MAC of SHA-256,
// which OpenSSL 1.1.1, Java 12 and Windows Server 2019 read.
const (
	optionLegacyDES  = "legacy-des"  // for what is older than those
	optionModern2026 = "modern-2026" // PBMAC1 (RFC 9579): OpenSSL 3.4, Java 26
)

// pkcs12Store is a keystore and a trust store (RFC 7292).
type pkcs12Store struct{ profile, password string }

const (
	pkcs12Key   = "keystore.p12"
	pkcs12Trust = "truststore.p12"
)

func (l pkcs12Store) with(password string) issue.Layout {
	l.password = password
	return l
}

// encoder is how the files are locked.
func (l pkcs12Store) encoder() *pkcs12.Encoder {
	switch l.profile {
	case optionLegacyDES:
		return pkcs12.LegacyDES
	case optionModern2026:
		return pkcs12.Modern2026
	}
	return pkcs12.Modern2023
}

// Check says what readers of keystores would refuse.
func (pkcs12Store) Check(p Plan) error {
	return refused("the reader of a PKCS#12 keystore", keystoreRefusals(p))
}

// Encode gives the key with its chain, and the roots as a trust store.
func (l pkcs12Store) Encode(c *issue.Credential) (issue.Files, error) {
	if err := l.Check(planOf(c)); err != nil {
		return nil, err
	}
	if l.password == "" {
		return nil, errLocked
	}
	random, err := salts(c.Key, l.password, pkcs12Key+" "+l.profile, c.Chain)
	if err != nil {
		return nil, err
	}
	key, err := l.encoder().WithRand(random).Encode(c.Key, c.Leaf(), c.Chain[1:], l.password)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", pkcs12Key, err)
	}
	trust, err := pkcs12Roots(l.encoder(), c.Key, l.password, c.Roots)
	if err != nil {
		return nil, err
	}
	return issue.Files{pkcs12Key: {Data: key, Secret: true}, pkcs12Trust: {Data: trust}}, nil
}

// pkcs12Roots is a trust store. Java takes for trusted what is marked so, and has a
// name of its own.
func pkcs12Roots(encoder *pkcs12.Encoder, key crypto.Signer, password string, roots []*x509.Certificate) ([]byte, error) {
	random, err := salts(key, password, pkcs12Trust, roots)
	if err != nil {
		return nil, err
	}
	var entries []pkcs12.TrustStoreEntry
	for i, r := range roots {
		entries = append(entries, pkcs12.TrustStoreEntry{Cert: r, FriendlyName: rootAlias(i)})
	}
	data, err := encoder.WithRand(random).EncodeTrustStoreEntries(entries, password)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", pkcs12Trust, err)
	}
	return data, nil
}

// open reads the keystore.
func (l pkcs12Store) open(f issue.Files) (crypto.Signer, []*x509.Certificate, error) {
	file, ok := f[pkcs12Key]
	if !ok {
		return nil, nil, fmt.Errorf("%s: %w", pkcs12Key, errNoLeaf)
	}
	if l.password == "" {
		return nil, nil, errLocked
	}
	if err := boundPKCS12(file.Data, 0); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", pkcs12Key, err)
	}
	key, leaf, above, err := pkcs12.DecodeChain(file.Data, l.password)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", pkcs12Key, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok || leaf == nil {
		return nil, nil, errors.New(pkcs12Key + ": there is no key with its certificate in it")
	}
	return signer, append([]*x509.Certificate{leaf}, above...), nil
}

// Decode gives the chain back.
func (l pkcs12Store) Decode(f issue.Files) ([]*x509.Certificate, error) {
	_, chain, err := l.open(f)
	return chain, err
}

func (l pkcs12Store) key(f issue.Files) (crypto.Signer, error) {
	key, _, err := l.open(f)
	return key, err
}
