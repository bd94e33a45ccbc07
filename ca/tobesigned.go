package ca

import (
	"bytes"
	"cmp"
	"crypto"
	"errors"
	"io"
)

// toBeSigned gives the bytes in DER that a function of crypto/x509 would have a key sign,
// and how: ask gets a signer with that public key that signs nothing. It is for what
// crypto/x509 encodes, and somebody else completes. Safe for concurrent use.
func toBeSigned(public crypto.PublicKey, ask func(crypto.Signer) error) (tbs []byte, opts crypto.SignerOpts, err error) {
	d := &draft{public: public}
	if err := ask(d); d.tbs == nil {
		return nil, nil, cmp.Or(err, errUnsigned)
	}
	return d.tbs, d.opts, nil
}

// draft is a signer that keeps what it is asked to sign.
type draft struct {
	public crypto.PublicKey
	tbs    []byte
	opts   crypto.SignerOpts
}

var errUnsigned = errors.New("nothing is signed yet")

// Public is the key that would sign.
func (d *draft) Public() crypto.PublicKey { return d.public }

// Sign is for signers of hashes; this one wants the bytes themselves.
func (d *draft) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errUnsigned }

// SignMessage keeps what is to be signed.
func (d *draft) SignMessage(_ io.Reader, tbs []byte, opts crypto.SignerOpts) ([]byte, error) {
	d.tbs, d.opts = bytes.Clone(tbs), opts
	return nil, errUnsigned
}
