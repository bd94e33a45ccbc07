package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"math/big"

	"filippo.io/bigmod"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// proof tells whether an ECDSA signature is the one of a key that is in this process,
// with the private key: it finds the number that the signature was made with, and holds
// the point that belongs to it against the signature (FIPS 186-5, Section 6.4.2). For
// whoever has only the public key that point is the sum of two multiples, one of them of
// a point that no table is kept of; here it is one multiple of the base point. It is
// safe for concurrent use.
type proof struct {
	key       *ecdsa.PrivateKey
	issuer    *x509.Certificate
	curve     ecdh.Curve
	hash      crypto.Hash
	algorithm []byte // the AlgorithmIdentifier of its signatures
	order     *bigmod.Modulus
	n         *big.Int // the order, which is public
	// d is a copy of the private key, compared with the issuer's certificate when it was
	// made: where the key has been damaged in memory since, the two no longer agree.
	d *bigmod.Nat
}

// AlgorithmIdentifiers of signatures, in DER (RFC 5758, Section 3.2; RFC 8410, Section 3).
const (
	ECDSAWithSHA256 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
	ECDSAWithSHA384 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"
	PureEd25519     = "\x30\x05\x06\x03\x2b\x65\x70"
)

// newProof is for the signer of an issuer; nil where its private key is not at hand, is
// of another kind, or is not the issuer's.
func newProof(signer crypto.Signer, issuer *x509.Certificate) *proof {
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil
	}
	p := &proof{key: key, issuer: issuer}
	switch key.Curve {
	case elliptic.P256():
		p.curve, p.hash, p.algorithm = ecdh.P256(), crypto.SHA256, []byte(ECDSAWithSHA256)
	case elliptic.P384():
		p.curve, p.hash, p.algorithm = ecdh.P384(), crypto.SHA384, []byte(ECDSAWithSHA384)
	default:
		return nil
	}
	certified, ok := issuer.PublicKey.(*ecdsa.PublicKey)
	if !ok || !key.PublicKey.Equal(certified) {
		return nil
	}
	public, err := certified.Bytes()
	if err != nil {
		return nil
	}
	secret, err := key.Bytes()
	if err != nil {
		return nil
	}
	defer clear(secret)
	if point := p.point(secret); !bytes.Equal(point, public) {
		return nil
	}
	p.n = key.Curve.Params().N
	if p.order, err = bigmod.NewModulus(p.n.Bytes()); err != nil {
		return nil
	}
	if p.d, err = bigmod.NewNat().SetBytes(secret, p.order); err != nil {
		return nil
	}
	return p
}

// of tells whether this is the proof for that signer and that issuer.
func (p *proof) of(signer crypto.Signer, issuer *x509.Certificate) bool {
	if p == nil || p.issuer != issuer {
		return false
	}
	key, ok := signer.(*ecdsa.PrivateKey)
	return ok && key == p.key
}

// point is the multiple of the base point by a secret number, uncompressed (SEC 1,
// Section 2.3.3); nil for a number that is none of 1 to n-1.
func (p *proof) point(k []byte) []byte {
	// It takes the same time for every number.
	key, err := p.curve.NewPrivateKey(k)
	if err != nil {
		return nil
	}
	return key.PublicKey().Bytes()
}

// valid tells whether a signature of a digest is the key's, as ecdsa.VerifyASN1 does.
// Of what it computes with, the signature and the digest are public; the key and the
// number found from it are not, and go only through what takes the same time for all.
func (p *proof) valid(digest, signature []byte) bool {
	var inner cryptobyte.String
	var rOctets, sOctets []byte
	input := cryptobyte.String(signature)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&rOctets) || !inner.ReadASN1Integer(&sOctets) || !inner.Empty() || len(digest) != p.order.Size() {
		return false
	}
	r, err := bigmod.NewNat().SetBytes(rOctets, p.order)
	if err != nil || r.IsZero() == 1 {
		return false
	}
	s := new(big.Int).SetBytes(sOctets)
	if s.Sign() == 0 || s.Cmp(p.n) >= 0 {
		return false
	}
	inverse, err := bigmod.NewNat().SetBytes(s.ModInverse(s, p.n).FillBytes(make([]byte, p.order.Size())), p.order)
	if err != nil {
		return false
	}
	k, err := bigmod.NewNat().SetOverflowingBytes(digest, p.order)
	if err != nil {
		return false
	}
	// k = (e + r·d) / s
	product, err := bigmod.NewNat().SetBytes(rOctets, p.order)
	if err != nil {
		return false
	}
	secret := k.Add(product.Mul(p.d, p.order), p.order).Mul(inverse, p.order).Bytes(p.order)
	defer clear(secret)
	point := p.point(secret)
	if point == nil {
		return false
	}
	x, err := bigmod.NewNat().SetOverflowingBytes(point[1:1+p.order.Size()], p.order)
	return err == nil && x.Equal(r) == 1
}
