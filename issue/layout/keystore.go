package layout

import (
	"crypto"
	"crypto/sha3"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// minPassword is the shortest password that keytool takes for a keystore.
const minPassword = 6

// Aliases of a keystore's entries: the key with its chain, and the roots.
const (
	aliasKey  = "certificate"
	aliasRoot = "ca"
)

// errLocked says that a keystore was to be made, or read, without its password.
var errLocked = errors.New("a keystore needs a password")

// checkPassword refuses a password that some reader would not take, or would take
// for another: beyond ASCII they differ in how a character becomes bytes.
func checkPassword(password []byte) error {
	if len(password) < minPassword {
		return fmt.Errorf("the keystore's password has %d characters: keytool takes none with less than %d", len(password), minPassword)
	}
	for _, c := range password {
		if c < ' ' || c > '~' {
			return errors.New("the keystore's password has characters beyond printable ASCII, which its readers spell differently (RFC 7292, Appendix B.1)")
		}
	}
	return nil
}

// salts gives the random bytes of a keystore: always the same for the same key,
// chain and password, so that what is laid out twice is the same, byte for byte.
// Nobody can tell them beforehand who has not the private key; where there is none,
// only public bytes go in, so that they tell nothing of the password.
func salts(key crypto.Signer, password, what string, certs []*x509.Certificate) (io.Reader, error) {
	h := sha3.NewSHAKE256()
	add := func(data []byte) {
		// A hash does not fail.
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(data))))
		_, _ = h.Write(data)
	}
	add([]byte("meshpki keystore, " + what))
	if key != nil {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("encode private key: %w", err)
		}
		add(der)
		add([]byte(password))
	}
	for _, c := range certs {
		add(c.Raw)
	}
	return h, nil
}

// rootAlias is what the nth root is called: names have to differ, for Java's stores
// keep one entry a name, and a rotation has two roots of one subject.
func rootAlias(n int) string {
	if n == 0 {
		return aliasRoot
	}
	return fmt.Sprintf("%s-%d", aliasRoot, n)
}

// keystoreRefusals are for a layout that is nothing without the private key.
func keystoreRefusals(p Plan) []Refusal {
	if !p.Foreign {
		return nil
	}
	return []Refusal{{"a keystore holds the private key, and somebody else has it: choose tls or pem", "RFC 7292, Section 4"}}
}
