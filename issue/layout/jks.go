package layout

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// jks is a keystore and a trust store as Java had them before version 9. What locks
// it is weak: for whatever reads PKCS#12, that is the better choice.
type jks struct{ password string }

const (
	jksKey   = "keystore.jks"
	jksTrust = "truststore.jks"
	jksX509  = "X.509"
)

func (jks) with(password string) issue.Layout { return jks{password} }

// Check says what readers of keystores would refuse.
func (jks) Check(p Plan) error {
	return refused("the reader of a Java keystore", keystoreRefusals(p))
}

// Encode gives the key with its chain, and the roots as a trust store.
func (l jks) Encode(c *issue.Credential) (issue.Files, error) {
	if err := l.Check(planOf(c)); err != nil {
		return nil, err
	}
	if l.password == "" {
		return nil, errLocked
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	random, err := salts(c.Key, l.password, jksKey, c.Chain)
	if err != nil {
		return nil, err
	}
	ks := keystore.New(keystore.WithOrderedAliases(), keystore.WithCustomRandomNumberGenerator(random))
	e := keystore.PrivateKeyEntry{CreationTime: c.Leaf().NotBefore, PrivateKey: der}
	for _, cert := range c.Chain {
		e.CertificateChain = append(e.CertificateChain, keystore.Certificate{Type: jksX509, Content: cert.Raw})
	}
	if err := ks.SetPrivateKeyEntry(aliasKey, e, []byte(l.password)); err != nil {
		return nil, fmt.Errorf("make %s: %w", jksKey, err)
	}
	key, err := l.store(ks)
	if err != nil {
		return nil, err
	}
	trust, err := jksRoots(l.password, c.Roots)
	if err != nil {
		return nil, err
	}
	return issue.Files{jksKey: {Data: key, Secret: true}, jksTrust: {Data: trust}}, nil
}

// jksRoots is a trust store.
func jksRoots(password string, roots []*x509.Certificate) ([]byte, error) {
	ks := keystore.New(keystore.WithOrderedAliases())
	for i, r := range roots {
		e := keystore.TrustedCertificateEntry{CreationTime: r.NotBefore, Certificate: keystore.Certificate{Type: jksX509, Content: r.Raw}}
		if err := ks.SetTrustedCertificateEntry(rootAlias(i), e); err != nil {
			return nil, fmt.Errorf("make %s: %w", jksTrust, err)
		}
	}
	return jks{password}.store(ks)
}

func (l jks) store(ks keystore.KeyStore) ([]byte, error) {
	var b bytes.Buffer
	if err := ks.Store(&b, []byte(l.password)); err != nil {
		return nil, fmt.Errorf("make a Java keystore: %w", err)
	}
	return b.Bytes(), nil
}

// open reads the keystore.
func (l jks) open(f issue.Files) (keystore.PrivateKeyEntry, error) {
	var e keystore.PrivateKeyEntry
	file, ok := f[jksKey]
	switch {
	case !ok:
		return e, fmt.Errorf("%s: %w", jksKey, errNoLeaf)
	case l.password == "":
		return e, errLocked
	}
	if err := boundJKS(file.Data); err != nil {
		return e, fmt.Errorf("%s: %w", jksKey, err)
	}
	ks := keystore.New()
	if err := ks.Load(bytes.NewReader(file.Data), []byte(l.password)); err != nil {
		return e, fmt.Errorf("%s: %w", jksKey, err)
	}
	e, err := ks.GetPrivateKeyEntry(aliasKey, []byte(l.password))
	if err != nil {
		return e, fmt.Errorf("%s: %w", jksKey, err)
	}
	return e, nil
}

// Decode gives the chain back.
func (l jks) Decode(f issue.Files) ([]*x509.Certificate, error) {
	return l.DecodeBy(f, x509.ParseCertificate)
}

// DecodeBy gives the chain back.
func (l jks) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	e, err := l.open(f)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, c := range e.CertificateChain {
		cert, err := parse(c.Content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", jksKey, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New(jksKey + ": the key has no certificate")
	}
	return chain, nil
}

func (l jks) key(f issue.Files) (crypto.Signer, error) {
	e, err := l.open(f)
	if err != nil {
		return nil, err
	}
	return pemfile.ParseKeyDER(e.PrivateKey)
}
