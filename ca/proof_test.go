package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"math/big"
	"reflect"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// signature is r and s in DER, also where they are no numbers of a signature.
func signature(r, s *big.Int) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	return b.BytesOrPanic()
}

// spoiled are a signature and what has been made of it.
func spoiled(t *testing.T, good []byte, n *big.Int) [][]byte {
	t.Helper()
	var inner cryptobyte.String
	r, s, outer := new(big.Int), new(big.Int), cryptobyte.String(good)
	if !outer.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) {
		t.Fatal("it is no signature")
	}
	one, zero := big.NewInt(1), new(big.Int)
	less, more := new(big.Int).Sub(n, one), new(big.Int).Add(n, one)
	list := [][]byte{good, nil, {}, {0x30, 0}, []byte("signature"), good[:len(good)-1], append(good[:len(good):len(good)], 0),
		signature(s, r), signature(r, new(big.Int).Sub(n, s)), // the second is as good as the first
		signature(new(big.Int).Sub(n, r), s), signature(new(big.Int).Add(r, n), s), signature(r, new(big.Int).Add(s, n)),
		signature(new(big.Int).Neg(r), s), signature(r, new(big.Int).Neg(s)),
		append([]byte{0x30, good[1] + 2, 2, 0}, good[2:]...)}
	for _, odd := range []*big.Int{zero, one, less, n, more, new(big.Int).Lsh(n, 64)} {
		list = append(list, signature(odd, s), signature(r, odd), signature(odd, odd))
	}
	for bit := range 8 * len(good) {
		if bit%7 == 0 || bit < 48 {
			flipped := append([]byte(nil), good...)
			flipped[bit/8] ^= 1 << (bit % 8)
			list = append(list, flipped)
		}
	}
	return list
}

// TestProofJudgesAlike: whoever has the private key finds the same signatures good and
// the same ones wrong as whoever has only the public one.
func TestProofJudgesAlike(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		judged, good := 0, 0
		for range 2 {
			k, stranger := must(ecdsa.GenerateKey(curve, rand.Reader)), must(ecdsa.GenerateKey(curve, rand.Reader))
			p := newProof(k, &x509.Certificate{PublicKey: k.Public()})
			if p == nil {
				t.Fatalf("%s: there is no proof", curve.Params().Name)
			}
			digest, other := make([]byte, p.hash.Size()), make([]byte, p.hash.Size())
			_, _ = rand.Read(digest)
			highest := make([]byte, len(digest)) // beyond the order
			for i := range highest {
				highest[i] = 0xff
			}
			for _, d := range [][]byte{digest, other, highest} {
				list := spoiled(t, must(ecdsa.SignASN1(rand.Reader, k, d)), p.n)
				list = append(list, must(ecdsa.SignASN1(rand.Reader, stranger, d)), must(ecdsa.SignASN1(rand.Reader, k, d[1:])))
				for n, sig := range list {
					want := ecdsa.VerifyASN1(&k.PublicKey, d, sig)
					if got := p.valid(d, sig); got != want {
						t.Errorf("%s, signature %d, %x of %x: %v by the private key, %v by the public one", curve.Params().Name, n, sig, d, got, want)
					}
					if judged++; want {
						good++
					}
				}
			}
		}
		if good < 12 || judged < 12*good {
			t.Errorf("%s: %d good ones of %d", curve.Params().Name, good, judged)
		}
	}
}

// TestProofAtTheEdges makes signatures with numbers of one's choice: 1 and n-1 are
// numbers like others, and 0, which leads to no point, is none.
func TestProofAtTheEdges(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		k := must(ecdsa.GenerateKey(curve, rand.Reader))
		p := newProof(k, &x509.Certificate{PublicKey: k.Public()})
		d := new(big.Int).SetBytes(must(k.Bytes()))
		r := new(big.Int).Mod(curve.Params().Gx, p.n)
		e := big.NewInt(7)
		for _, number := range []int64{1, -1} {
			s := new(big.Int).Mul(r, d) // s = (e + r·d) / k
			s.Mul(s.Add(s, e), big.NewInt(number)).Mod(s, p.n)
			digest := e.FillBytes(make([]byte, p.hash.Size()))
			if sig := signature(r, s); !p.valid(digest, sig) || !ecdsa.VerifyASN1(&k.PublicKey, digest, sig) {
				t.Errorf("%s: a signature with %d is called wrong", curve.Params().Name, number)
			}
		}
		nothing := new(big.Int).Mul(r, d)
		nothing.Mod(nothing.Neg(nothing), p.n)
		digest := nothing.FillBytes(make([]byte, p.hash.Size()))
		if sig := signature(r, big.NewInt(5)); p.valid(digest, sig) || ecdsa.VerifyASN1(&k.PublicKey, digest, sig) {
			t.Errorf("%s: a signature with 0 is called good", curve.Params().Name)
		}
		if p.valid(digest[1:], signature(r, e)) || p.valid(nil, signature(r, e)) {
			t.Errorf("%s: a digest of another length is signed", curve.Params().Name)
		}
	}
}

// TestNoProof: without the issuer's own private key the signature is verified with the
// public one, as everybody does.
func TestNoProof(t *testing.T) {
	k, other := must(NewKey(ECP256)), must(NewKey(ECP256))
	certified := &x509.Certificate{PublicKey: k.Public()}
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	for name, p := range map[string]*proof{
		"somewhere else":      newProof(&counter{Signer: k}, certified),
		"another's":           newProof(other, certified),
		"of another kind":     newProof(must(NewKey(Ed25519)), certified),
		"of RSA":              newProof(key(t, RSA2048), &x509.Certificate{PublicKey: key(t, RSA2048).Public()}),
		"of P-521":            newProof(p521, &x509.Certificate{PublicKey: p521.Public()}),
		"for no public key":   newProof(k, &x509.Certificate{}),
		"for an RSA key":      newProof(k, &x509.Certificate{PublicKey: key(t, RSA2048).Public()}),
		"with another number": newProof(swapped(k, other), certified),
	} {
		if p != nil {
			t.Errorf("a key %s proves signatures", name)
		}
	}
	p := newProof(k, certified)
	if !p.of(k, certified) || p.of(other, certified) || p.of(k, &x509.Certificate{PublicKey: k.Public()}) || p.of(must(NewKey(Ed25519)), certified) {
		t.Error("a proof is for its own key and certificate")
	}
}

// swapped is a key with the private half of another.
func swapped(public, private crypto.Signer) *ecdsa.PrivateKey {
	k := *public.(*ecdsa.PrivateKey)
	//lint:ignore SA1019 no proper way leads to such a key
	k.D = private.(*ecdsa.PrivateKey).D //nolint:staticcheck // no proper way leads to such a key
	return &k
}

// here makes an issuer like newIssuer's whose key is at hand.
func here(t testing.TB, kt KeyType) *Issuer {
	t.Helper()
	i := belowOf(t, newRoot(t, rootSpec()), issuingSpec(), must(NewKey(kt)))
	i.Signer = i.Signer.(*counter).Signer
	return i
}

// TestSignedHere: what is made where the key is, is what crypto/x509 reads from it, and
// it is signed by the issuer.
func TestSignedHere(t *testing.T) {
	for _, kt := range []KeyType{ECP256, ECP384} {
		issuer := here(t, kt)
		for _, of := range KeyTypes() {
			req := request(t, key(t, of))
			chain := must(issuer.Issue(t.Context(), req))
			if issuer.proof == nil {
				t.Fatalf("%s: there is no proof", string(kt))
			}
			checkLeaf(t, issuer, chain, req, key(t, of).Public())
			leaf := chain.Leaf()
			if again := must(x509.ParseCertificate(leaf.Raw)); !reflect.DeepEqual(again, leaf) {
				t.Errorf("%s for %s: read again it is another", string(kt), string(of))
			}
			if err := leaf.CheckSignatureFrom(issuer.Certificate); err != nil {
				t.Errorf("%s for %s: %v", string(kt), string(of), err)
			}
		}
	}
}

// TestSignedElsewhere: nor is what comes from other keys another when it is read again.
func TestSignedElsewhere(t *testing.T) {
	for _, kt := range KeyTypes() {
		root := newRootOf(t, rootSpec(), key(t, kt))
		below := belowOf(t, root, issuingSpec(), key(t, ECP384))
		leaf := must(root.Issue(t.Context(), workload(t))).Leaf()
		for name, c := range map[string]*x509.Certificate{"root": root.Certificate, "intermediate": below.Certificate, "leaf": leaf} {
			if again := must(x509.ParseCertificate(c.Raw)); !reflect.DeepEqual(again, c) {
				t.Errorf("%s, %s: read again it is another", string(kt), name)
			}
			if err := c.CheckSignatureFrom(root.Certificate); err != nil {
				t.Errorf("%s, %s: %v", string(kt), name, err)
			}
		}
	}
	e := &examiner{Signer: key(t, ECP256), examine: func(*x509.Certificate) error { return nil }}
	if e.completed(nil) != nil {
		t.Error("nothing was seen")
	}
	root := newRoot(t, rootSpec()).Certificate
	if _, err := e.SignMessage(rand.Reader, root.RawTBSCertificate, crypto.SHA256); err != nil || e.completed(root.Raw) != nil {
		t.Errorf("the certificate with another signature was not seen: %v", err)
	}
}

// TestWrongSignaturesHere is TestWrongSignatures where the key is at hand.
func TestWrongSignaturesHere(t *testing.T) {
	lost := errors.New("the token was pulled out")
	for _, kt := range []KeyType{ECP256, ECP384} {
		issuer := here(t, kt)
		p := newProof(issuer.Signer, issuer.Certificate)
		req := workload(t)
		csr := must(ParseCSR(req.CSR))
		for name, signer := range map[string]crypto.Signer{
			"flipped bit":     &broken{issuer.Signer, func(sig []byte) ([]byte, error) { sig[len(sig)-1] ^= 1; return sig, nil }},
			"cut":             &broken{issuer.Signer, func(sig []byte) ([]byte, error) { return sig[:len(sig)-1], nil }},
			"nothing":         &broken{issuer.Signer, func([]byte) ([]byte, error) { return nil, nil }},
			"text":            &broken{issuer.Signer, func([]byte) ([]byte, error) { return []byte("signature"), nil }},
			"an error":        &broken{issuer.Signer, func([]byte) ([]byte, error) { return nil, lost }},
			"somebody else's": must(NewKey(kt)),
		} {
			cert, err := signHere(must(issuer.draft(t.Context(), csr, req)), csr.PublicKey, signer, p)
			if cert != nil || err == nil || (name == "an error") != errors.Is(err, lost) {
				t.Errorf("%s, %s: %v", string(kt), name, err)
			}
		}
		// A private key that has been damaged since signs in the name of no one.
		chain := must(issuer.Issue(t.Context(), req))
		recorded := len(issuer.Ledger.(*memory).entries)
		damaged := issuer.Signer.(*ecdsa.PrivateKey)
		*damaged = *swapped(damaged, must(NewKey(kt)))
		if chain, err := issuer.Issue(t.Context(), req); chain != nil || err == nil || len(issuer.Ledger.(*memory).entries) != recorded {
			t.Errorf("%s: a damaged key signs: %v", string(kt), err)
		}
		if err := verify(chain, issuer.Above[0]); err != nil {
			t.Error(err)
		}
	}
}

// FuzzProof: whatever stands where a signature should, both ways judge it alike.
func FuzzProof(f *testing.F) {
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p := newProof(k, &x509.Certificate{PublicKey: k.Public()})
	digest := make([]byte, p.hash.Size())
	f.Add(must(ecdsa.SignASN1(rand.Reader, k, digest)))
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Fuzz(func(t *testing.T, sig []byte) {
		if got, want := p.valid(digest, sig), ecdsa.VerifyASN1(&k.PublicKey, digest, sig); got != want {
			t.Errorf("%x: %v by the private key, %v by the public one", sig, got, want)
		}
	})
}

// BenchmarkProof compares the two ways of judging a signature.
func BenchmarkProof(b *testing.B) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		k := must(ecdsa.GenerateKey(curve, rand.Reader))
		p := newProof(k, &x509.Certificate{PublicKey: k.Public()})
		sum := sha256.Sum256([]byte("a certificate"))
		digest := append(sum[:], make([]byte, p.hash.Size()-len(sum))...)
		sig := must(ecdsa.SignASN1(rand.Reader, k, digest))
		b.Run(curve.Params().Name+"/private", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.valid(digest, sig)
			}
		})
		b.Run(curve.Params().Name+"/public", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ecdsa.VerifyASN1(&k.PublicKey, digest, sig)
			}
		})
	}
}
