package inspect_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// beyondGo are the rules that crypto/x509 does not have: where one of them says no,
// it may well say yes.
var beyondGo = []string{
	"key-too-short", "issuer-without-key-cert-sign", "extension-malformed", "issuer-key-size", "critical-extension-unknown",
	"name-constraint", "policy-invalid", "path-search-limit", "signature-weak",
}

// mutated is a chain with several faults at once, or none.
func mutated(t *testing.T, seed uint64, keys []*ecdsa.PrivateKey) *world {
	w := newWorld(t, seed, keys)
	groups := []map[string]worldFault{timeFaults(), caFaults(), nameFaults(t), formFaults()}
	r := rand.New(rand.NewPCG(seed, 11))
	for range r.IntN(4) {
		group := groups[r.IntN(len(groups))]
		names := slices.Sorted(maps.Keys(group))
		group[names[r.IntN(len(names))]].do(w)
	}
	w.breaks, w.ask = nil, nil
	return w
}

// disagree compares our answer with that of crypto/x509 over the same certificates,
// and gives what is said without a named reason.
func disagree(o inspect.Options, target *x509.Certificate) string {
	r := inspect.Verify("differential", target, o)
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range o.Roots {
		roots.AddCert(c)
	}
	for _, c := range o.Intermediates {
		if len(c.Signature) > 0 {
			between.AddCert(c)
		}
	}
	if len(target.Signature) == 0 {
		if r.Trusted {
			return "trusted, and crypto/x509 cannot even read it"
		}
		return ""
	}
	_, err := target.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: o.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	named := func(rule string) bool {
		return slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Rule == rule })
	}
	switch {
	case r.Trusted && err != nil && !named("second-opinion-gap"):
		return "trusted, and crypto/x509 says: " + err.Error()
	case !r.Trusted && err == nil && !slices.ContainsFunc(beyondGo, named):
		return "not trusted, and crypto/x509 says yes: " + r.Findings[0].Rule + ": " + r.Findings[0].Message
	}
	return ""
}

// chainOf is a world as it is given to a verifier.
func (w *world) chainOf() (*x509.Certificate, inspect.Options) {
	made := w.make()
	last := len(made) - 1
	return made[last], inspect.Options{Roots: made[:1], Intermediates: append(slices.Clone(made[1:last]), w.noise...), At: at}
}

// TestDifferential: no disagreement with crypto/x509 without a named reason.
func TestDifferential(t *testing.T) {
	keys := someKeys(t, 16)
	for seed := range uint64(differentials) {
		w := mutated(t, seed, keys)
		if len(w.chain[0].broken) > 0 && w.chain[0].bend != nil {
			continue
		}
		target, o := w.chainOf()
		if said := disagree(o, target); said != "" {
			t.Errorf("seed %d: %s", seed, said)
		}
	}
}

func someKeys(t testing.TB, n int) []*ecdsa.PrivateKey {
	var keys []*ecdsa.PrivateKey
	for range n {
		keys = append(keys, newKey(t))
	}
	return keys
}

// FuzzDifferential compares over certificates whose bytes were changed.
func FuzzDifferential(f *testing.F) {
	f.Add(uint64(1), uint16(0), byte(0))
	f.Add(uint64(2), uint16(40), byte(1))
	f.Add(uint64(3), uint16(300), byte(0x80))
	keys := someKeys(f, 16)
	f.Fuzz(func(t *testing.T, seed uint64, where uint16, bits byte) {
		w := newWorld(t, seed, keys)
		target, o := w.chainOf()
		which := int(seed % uint64(len(o.Intermediates)+1))
		bend := func(c *x509.Certificate) *x509.Certificate {
			der := slices.Clone(c.Raw)
			der[int(where)%len(der)] ^= bits
			bent, err := inspect.ReadCertificate(der)
			if err != nil {
				return nil
			}
			return bent
		}
		if which == len(o.Intermediates) {
			target = bend(target)
		} else {
			o.Intermediates[which] = bend(o.Intermediates[which])
			o.Intermediates = slices.DeleteFunc(o.Intermediates, func(c *x509.Certificate) bool { return c == nil })
		}
		if target == nil {
			return
		}
		if said := disagree(o, target); said != "" {
			t.Error(said)
		}
	})
}

// FuzzStatus reads CRLs and OCSP responses that are no such thing.
func FuzzStatus(f *testing.F) {
	root := newRoot(f, "Root")
	leaf := root.leafFor(f, newKey(f).Public())
	f.Add([]byte{})
	f.Add([]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"))
	f.Add(leaf.Raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		o := inspect.Options{Roots: certs(root.Certificate), At: at}
		if lists, err := inspect.ReadCRLs(data); err == nil {
			o.CRLs = lists
		}
		if answer, err := inspect.ReadOCSP(data); err == nil {
			o.OCSP = answer
		}
		if o.CRLs == nil && o.OCSP == nil {
			return
		}
		if r := inspect.Verify("fuzz", leaf, o); r.Trusted {
			t.Error("what nobody signed was believed")
		}
	})
}
