package inspect_test

import (
	"crypto/x509"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/meshpki/meshpki/inspect"
)

// resigned is a chain of which some bits of what was signed of one certificate were
// turned, and which was signed again, so that the signatures hold; nil where that
// certificate cannot be read any more. Root first.
func (w *world) resigned(which, where int, bits byte) []*x509.Certificate {
	made := w.make()
	c := made[which]
	tbs := slices.Clone(c.RawTBSCertificate)
	tbs[where%len(tbs)] ^= bits
	var inner, algorithm cryptobyte.String
	if input := cryptobyte.String(tbs); !input.ReadASN1(&inner, cbasn1.SEQUENCE) || !input.Empty() {
		return nil
	}
	if !inner.SkipOptionalASN1(explicit(0)) || !inner.SkipASN1(cbasn1.INTEGER) || !inner.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!slices.Equal(algorithm, ecdsaSHA256) {
		return nil
	}
	key := w.chain[max(which-1, 0)].key
	bent, err := inspect.ReadCertificate(signed(w.t, tbs, key))
	if err != nil {
		return nil
	}
	made[which] = bent
	return made
}
