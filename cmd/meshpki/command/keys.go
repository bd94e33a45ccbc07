package command

import (
	"crypto"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
)

// keySource says where the key of a CA comes from, as --key, the passphrase flags
// and the environment have it: every command that signs takes it from here.
func (c *call) keySource() file.KeySource {
	s := file.KeySource{Open: c.openKey, Passphrase: c.passphraseFor}
	if key := c.optional("key"); c.env.Registry.IsKey(key) {
		s.URI = key
	} else {
		s.File = key
	}
	return s
}

// openKey opens the key of a key URI, or makes one of a type.
func (c *call) openKey(authority, uri string, create ca.KeyType) (crypto.Signer, error) {
	return c.env.Registry.Key(c.Context.Context, uri, backends.KeyOptions{
		Create: create, PIN: func() ([]byte, error) { return c.pinFor(authority) },
	})
}

// pinFor finds the PIN of the device that has an authority's key: from the file
// that MESHPKI_PIN_FILE names, or from where a passphrase would come.
func (c *call) pinFor(authority string) ([]byte, error) {
	if f := c.env.Getenv("MESHPKI_PIN_FILE"); f != "" {
		return c.readSecret(f)
	}
	return c.secretFor(authority, "PIN for the key of %q: ")
}
