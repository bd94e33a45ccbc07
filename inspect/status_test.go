package inspect_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/meshpki/meshpki/inspect"
)

// list makes a CRL of an authority, as it is changed.
func (a *authority) list(t testing.TB, changes ...func(*x509.RevocationList)) *inspect.RevocationList {
	t.Helper()
	l, err := inspect.ReadCRL(a.listDER(t, changes...))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (a *authority) listDER(t testing.TB, changes ...func(*x509.RevocationList)) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: at.Add(-time.Hour), NextUpdate: at.Add(day)}
	for _, c := range changes {
		c(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.Certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// revoking lists a certificate as revoked for a reason.
func revoking(c *x509.Certificate, reason int) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: at.Add(-2 * time.Hour), ReasonCode: reason})
	}
}

// saying adds an extension to a CRL.
func saying(oid asn1.ObjectIdentifier, critical bool, value []byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
	}
}

var (
	oidScope = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidDelta = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidOdd   = asn1.ObjectIdentifier{1, 2, 3, 4}
)

// onlySome is an issuing distribution point for keyCompromise alone.
var onlySome = []byte{0x30, 4, 0x83, 2, 6, 0x40}

func brokenLists(t *testing.T, add addCase) {
	root := newRoot(t, "Root")
	leaf := root.leaf(t)
	ask := func(name, says string, lists ...*inspect.RevocationList) {
		add(name, says, leaf, inspect.Options{Roots: certs(root.Certificate), At: at, CRLs: lists})
	}
	stranger := newRoot(t, "Stranger")
	namesake := newRoot(t, "Root")
	quiet := &authority{root.Certificate, root.key}
	ask("crl-missing", `no CRL given covers "payment"`, stranger.list(t))
	ask("crl-reasons-uncovered", "cover only some reasons", root.list(t, saying(oidScope, true, onlySome)))
	ask("crl-signature-invalid", `the CRL of "Root" was not signed by`, namesake.list(t))
	ask("crl-extension-unknown", "not understood (1.2.3.4)", root.list(t, saying(oidOdd, true, []byte{5, 0})))
	ask("crl-stale", "out of date", root.list(t, func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = at.Add(-9*day), at.Add(-2*day) }))
	ask("crl-not-yet-valid", "from the future", root.list(t, func(l *x509.RevocationList) { l.ThisUpdate = at.Add(time.Hour) }))
	ask("revoked:by a list", "is revoked (keyCompromise)", quiet.list(t, revoking(leaf, 1)))
	ask("revoked:by a delta", "is revoked (superseded)", quiet.list(t),
		quiet.list(t, revoking(leaf, 4), func(l *x509.RevocationList) { l.Number = big.NewInt(9) }, saying(oidDelta, true, []byte{2, 1, 7})))
	dumb := newRoot(t, "Dumb", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	loud := *dumb.Certificate
	loud.KeyUsage |= x509.KeyUsageCRLSign
	add("crl-signer-not-allowed", "key usage does not say cRLSign", dumb.leaf(t),
		inspect.Options{Roots: certs(dumb.Certificate), At: at, CRLs: []*inspect.RevocationList{(&authority{&loud, dumb.key}).list(t)}})
	issuing := root.intermediate(t, "Issuing")
	add("revoked:an intermediate", `"Issuing" is revoked`, issuing.leaf(t), inspect.Options{
		Roots: certs(root.Certificate), Intermediates: certs(issuing.Certificate), At: at, CRLCheck: inspect.CRLCheckChain,
		CRLs: []*inspect.RevocationList{root.list(t, revoking(issuing.Certificate, 0)), issuing.list(t)},
	})
}

// TestNotRevoked asks lists that say nothing against a certificate.
func TestNotRevoked(t *testing.T) {
	root := newRoot(t, "Root")
	issuing := root.intermediate(t, "Issuing")
	leaf, other := issuing.leaf(t), issuing.leaf(t)
	complete := func(changes ...func(*x509.RevocationList)) *inspect.RevocationList {
		return issuing.list(t, changes...)
	}
	number := func(n int64) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.Number = big.NewInt(n) }
	}
	// removeFromCRL, which crypto/x509 writes as any reason.
	for name, lists := range map[string][]*inspect.RevocationList{
		"empty":                 {complete()},
		"another is revoked":    {complete(revoking(other, 1))},
		"one of several":        {root.list(t), newRoot(t, "Issuing").list(t), complete()},
		"unknown, not critical": {complete(saying(oidOdd, false, []byte{5, 0}))},
		"freed by a delta":      {complete(revoking(leaf, 6)), complete(number(9), revoking(leaf, 8), saying(oidDelta, true, []byte{2, 1, 7}))},
		"a delta too old":       {complete(), complete(number(6), revoking(leaf, 1), saying(oidDelta, true, []byte{2, 1, 5}))},
		"a delta for a later":   {complete(), complete(number(12), revoking(leaf, 1), saying(oidDelta, true, []byte{2, 1, 11}))},
		"two halves": {complete(saying(oidScope, true, onlySome)),
			complete(saying(oidScope, true, []byte{0x30, 5, 0x83, 3, 7, 0xbf, 0x80}))},
	} {
		o := inspect.Options{Roots: certs(root.Certificate), Intermediates: certs(issuing.Certificate), At: at, CRLs: lists}
		if r := inspect.Verify(name, leaf, o); !r.Trusted {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
	o := inspect.Options{Roots: certs(root.Certificate), Intermediates: certs(issuing.Certificate), At: at, CRLCheck: inspect.CRLCheckChain,
		CRLs: []*inspect.RevocationList{complete()}}
	if r := inspect.Verify("chain", leaf, o); r.Trusted || r.Findings[0].Certificate != "Issuing" {
		t.Errorf("without the root's list: %+v", r.Findings)
	}
	o.CRLs = append(o.CRLs, root.list(t))
	if r := inspect.Verify("chain", leaf, o); !r.Trusted {
		t.Errorf("with the root's list: %+v", r.Findings)
	}
}

// TestMalformedCRLs: a list that is cut or bent anywhere is no list, or another.
func TestMalformedCRLs(t *testing.T) {
	root := newRoot(t, "Root")
	template := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: at, NextUpdate: at.Add(day)}
	revoking(root.leaf(t), 1)(template)
	der, err := x509.CreateRevocationList(rand.Reader, template, root.Certificate, root.key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range der {
		if _, err := inspect.ReadCRL(der[:i]); err == nil {
			t.Errorf("cut after %d octets: read", i)
		}
	}
	if _, err := inspect.ReadCRL(append(slices.Clone(der), 0)); err == nil {
		t.Error("with an octet behind it: read")
	}
}

// response is what an OCSP responder is made to say.
type response struct {
	status                 int
	thisUpdate, nextUpdate time.Time
	odd                    bool  // with a critical extension that nobody knows
	also                   []int // statuses of more answers about the same certificate
}

// signed wraps what is to be signed with ECDSA and SHA-256 as certificates, CRLs and
// OCSP responses are.
func signed(t testing.TB, tbs []byte, key crypto.Signer, more ...byte) []byte {
	t.Helper()
	sum := sha256.Sum256(tbs)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(tbs)
			b.AddBytes(ecdsaSHA256)
			b.AddASN1BitString(signature)
			b.AddBytes(more)
		})
	})
}

var ecdsaSHA256 = []byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}

func build(t testing.TB, f func(*cryptobyte.Builder)) []byte {
	t.Helper()
	var b cryptobyte.Builder
	f(&b)
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// explicit is a context-specific tag with something in it.
func explicit(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }

// answer makes an OCSP response by a responder for a certificate of an authority.
func (a *authority) answer(t testing.TB, c, responder *x509.Certificate, key crypto.Signer, changes ...func(*response)) *inspect.OCSPResponse {
	t.Helper()
	says := response{thisUpdate: at.Add(-time.Hour), nextUpdate: at.Add(time.Hour)}
	for _, change := range changes {
		change(&says)
	}
	tbs := build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddBytes(responder.RawSubject) })
			b.AddASN1GeneralizedTime(at.Add(-time.Hour))
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				says.write(b, a.Certificate, c)
				for _, status := range says.also {
					response{status: status, thisUpdate: says.thisUpdate, nextUpdate: says.nextUpdate}.write(b, a.Certificate, c)
				}
			})
		})
	})
	var certs []byte
	if responder != a.Certificate {
		certs = build(t, func(b *cryptobyte.Builder) {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(responder.Raw) })
			})
		})
	}
	der := build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Enum(0)
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1})
					b.AddASN1OctetString(signed(t, tbs, key, certs...))
				})
			})
		})
	})
	r, err := inspect.ReadOCSP(der)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// write writes a SingleResponse.
func (r response) write(b *cryptobyte.Builder, issuer, c *x509.Certificate) {
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Bits      asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &key); err != nil {
		b.SetError(err)
	}
	nameHash, keyHash := sha1.Sum(issuer.RawSubject), sha1.Sum(key.Bits.Bytes)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}) })
			b.AddASN1OctetString(nameHash[:])
			b.AddASN1OctetString(keyHash[:])
			b.AddASN1BigInt(c.SerialNumber)
		})
		switch r.status {
		case revoked:
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
				b.AddASN1GeneralizedTime(at.Add(-2 * time.Hour))
				b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(1) })
			})
		default:
			b.AddASN1(cbasn1.Tag(uint8(r.status)).ContextSpecific(), func(*cryptobyte.Builder) {})
		}
		b.AddASN1GeneralizedTime(r.thisUpdate)
		if !r.nextUpdate.IsZero() {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(r.nextUpdate) })
		}
		if r.odd {
			odd, err := asn1.Marshal([]pkix.Extension{{Id: oidOdd, Critical: true, Value: []byte{5, 0}}})
			if err != nil {
				b.SetError(err)
			}
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddBytes(odd) })
		}
	})
}

const (
	revoked = 1
	unknown = 2
)

// numberless is a CRL without a number.
func (a *authority) numberless(t *testing.T) *inspect.RevocationList {
	t.Helper()
	id, err := asn1.Marshal([]pkix.Extension{{Id: oidOdd, Value: []byte{5, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	tbs := build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddBytes(ecdsaSHA256)
			b.AddBytes(a.RawSubject)
			b.AddASN1UTCTime(at.Add(-time.Hour))
			b.AddASN1UTCTime(at.Add(day))
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddBytes(id) })
		})
	})
	l, err := inspect.ReadCRL(signed(t, tbs, a.key))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func brokenAnswers(t *testing.T, add addCase) {
	root := newRoot(t, "Root")
	leaf, other := root.leaf(t), root.leaf(t)
	ask := func(name, says string, r *inspect.OCSPResponse, change ...func(*inspect.Options)) {
		o := inspect.Options{Roots: certs(root.Certificate), At: at, OCSP: r}
		for _, c := range change {
			c(&o)
		}
		add(name, says, leaf, o)
	}
	own := func(c *x509.Certificate, changes ...func(*response)) *inspect.OCSPResponse {
		return root.answer(t, c, root.Certificate, root.key, changes...)
	}
	stranger := newRoot(t, "Stranger")
	key := newKey(t)
	plain := root.leafFor(t, key.Public())
	ask("ocsp-issuer-differs", "is not the certificate that was given", own(leaf), func(o *inspect.Options) { o.OCSPIssuer = stranger.Certificate })
	ask("ocsp-other-certificate", "says nothing about", own(other))
	ask("ocsp-signature-invalid", "was not signed by", root.answer(t, leaf, root.Certificate, stranger.key))
	ask("ocsp-responder-not-authorized", "not for OCSP signing", root.answer(t, leaf, plain, key))
	ask("ocsp-out-of-date", "held until", own(leaf, func(r *response) { r.nextUpdate = at.Add(-time.Minute) }))
	ask("ocsp-out-of-date:future", "from the future", own(leaf, func(r *response) { r.thisUpdate = at.Add(time.Minute) }))
	ask("ocsp-out-of-date:no end", "does not say until when", own(leaf, func(r *response) { r.thisUpdate, r.nextUpdate = at.Add(-8*day), time.Time{} }))
	ask("ocsp-status-unknown", "does not know", own(leaf, func(r *response) { r.status = unknown }))
	ask("ocsp-status-unknown:among others", "does not know", own(leaf, func(r *response) { r.also = []int{unknown, 0} }))
	ask("revoked:among others", "is revoked", own(leaf, func(r *response) { r.also = []int{unknown, revoked, 0} }))
	ask("ocsp-extension-unknown", "1.2.3.4", own(leaf, func(r *response) { r.odd = true }))
	ask("revoked:by an answer", "is revoked (keyCompromise)", own(leaf, func(r *response) { r.status = revoked }))
}

// TestGood asks responders who may answer.
func TestGood(t *testing.T) {
	root := newRoot(t, "Root")
	leaf := root.leaf(t)
	key := newKey(t)
	delegated := root.leafFor(t, key.Public(), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} })
	for name, r := range map[string]*inspect.OCSPResponse{
		"the issuer":   root.answer(t, leaf, root.Certificate, root.key),
		"a delegate":   root.answer(t, leaf, delegated, key),
		"without next": root.answer(t, leaf, root.Certificate, root.key, func(r *response) { r.nextUpdate = time.Time{} }),
	} {
		o := inspect.Options{Roots: certs(root.Certificate), At: at, OCSP: r, OCSPIssuer: root.Certificate}
		if r := inspect.Verify(name, leaf, o); !r.Trusted {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}
