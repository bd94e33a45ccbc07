package inspect_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"maps"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// beyondGo are the rules that crypto/x509 does not have, each with what must be so,
// found out in another way than ours, where it says no and crypto/x509 yes.
func beyondGo() map[string]func(f inspect.Finding, c *x509.Certificate, all []*x509.Certificate) bool {
	return map[string]func(f inspect.Finding, c *x509.Certificate, all []*x509.Certificate) bool{
		// It judges the keys of CAs, by their signatures, and not that of the target.
		"key-too-short": func(_ inspect.Finding, c *x509.Certificate, all []*x509.Certificate) bool {
			k, ok := c.PublicKey.(*rsa.PublicKey)
			return ok && k.N.BitLen() < 1024 && c == all[0]
		},
		// It reads some extensions no further than it needs them.
		"extension-malformed": func(f inspect.Finding, c *x509.Certificate, _ []*x509.Certificate) bool {
			return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool {
				malformed, known := loose[e.Id.String()]
				return known && strings.Contains(f.Message, "("+malformed.name+")") && malformed.is(e.Value)
			})
		},
		// It compares the ends of names that are none.
		"name-constraint": func(f inspect.Finding, c *x509.Certificate, all []*x509.Certificate) bool {
			odd := slices.ContainsFunc(c.DNSNames, func(s string) bool { return !hostForm.MatchString(s) })
			return odd && strings.Contains(f.Message, "no constraint can be held to it") &&
				slices.ContainsFunc(all[1:], func(ca *x509.Certificate) bool { return len(ca.PermittedDNSDomains)+len(ca.ExcludedDNSDomains) > 0 })
		},
	}
}

var hostForm = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?$`)

// loose are the extensions that crypto/x509 does not read strictly, by their OID.
var loose = map[string]struct {
	name string
	is   func(value []byte) bool // malformed
}{
	"2.5.29.17": {"subjectAltName", func(value []byte) bool {
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(value, &names); err != nil || len(rest) > 0 || len(names) == 0 {
			return true
		}
		return slices.ContainsFunc(names, func(n asn1.RawValue) bool {
			compound := n.Tag == 0 || n.Tag == 3 || n.Tag == 4 || n.Tag == 5
			return n.Class != asn1.ClassContextSpecific || n.Tag > 8 || n.IsCompound != compound
		})
	}},
	"2.5.29.30": {"nameConstraints", func(value []byte) bool {
		type subtree struct{ Base asn1.RawValue } // and nothing behind it
		return !staysAs(value, new(struct {
			Permitted []subtree `asn1:"optional,tag:0"`
			Excluded  []subtree `asn1:"optional,tag:1"`
		}))
	}},
	"2.5.29.31": {"cRLDistributionPoints", func(value []byte) bool {
		return !staysAs(value, new([]struct {
			Name    asn1.RawValue  `asn1:"optional,tag:0"`
			Reasons asn1.BitString `asn1:"optional,tag:1"`
			Issuer  asn1.RawValue  `asn1:"optional,tag:2"`
		}))
	}},
	"2.5.29.36": {"policyConstraints", func(value []byte) bool {
		return !staysAs(value, new(struct {
			Explicit int `asn1:"optional,tag:0,default:-1"`
			Mapping  int `asn1:"optional,tag:1,default:-1"`
		}))
	}},
}

// staysAs tells whether DER is the same after it was read into a shape and written again.
func staysAs(value []byte, shape any) bool {
	if rest, err := asn1.Unmarshal(value, shape); err != nil || len(rest) > 0 {
		return false
	}
	again, err := asn1.Marshal(reflect.ValueOf(shape).Elem().Interface())
	return err == nil && bytes.Equal(again, value)
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
	err := askGo(target, o)
	if len(target.Signature) == 0 {
		if r.Trusted {
			return "trusted, and crypto/x509 cannot even read it"
		}
		return ""
	}
	switch {
	case r.Trusted && err != nil && !slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Rule == "second-opinion-gap" }):
		return "trusted, and crypto/x509 says: " + err.Error()
	case !r.Trusted && err == nil && !excused(r, o, target):
		return "not trusted, and crypto/x509 says yes: " + r.Findings[0].Rule + ": " + r.Findings[0].Message
	}
	return ""
}

// excused tells whether each reason for our no is one that crypto/x509 does not have.
func excused(r inspect.Result, o inspect.Options, target *x509.Certificate) bool {
	all := slices.Concat([]*x509.Certificate{target}, o.Intermediates, o.Roots)
	for _, f := range r.Findings {
		if f.Severity != inspect.SeverityError {
			continue
		}
		i := slices.IndexFunc(all, func(c *x509.Certificate) bool { return f.Certificate == c.Subject.CommonName })
		beyond := beyondGo()[f.Rule]
		if f.Rule == "name-constraint" {
			i = 0 // which is told about the names of the target, here
		}
		if beyond == nil || i < 0 || !beyond(f, all[i], all) {
			return false
		}
	}
	return true
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

// FuzzDifferential compares over chains of which one certificate was changed in what
// was signed, and signed again.
func FuzzDifferential(f *testing.F) {
	f.Add(uint64(1), uint16(0), byte(0))
	f.Add(uint64(2), uint16(40), byte(1))
	f.Add(uint64(3), uint16(300), byte(0x80))
	keys := someKeys(f, 16)
	f.Fuzz(func(t *testing.T, seed uint64, where uint16, bits byte) {
		w := newWorld(t, seed, keys)
		made := w.resigned(int(seed%uint64(len(w.chain))), int(where), bits)
		if made == nil {
			return
		}
		last := len(made) - 1
		if said := disagree(inspect.Options{Roots: made[:1], Intermediates: made[1:last], At: at}, made[last]); said != "" {
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
