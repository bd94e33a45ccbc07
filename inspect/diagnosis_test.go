package inspect_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"math/big"
	"net"
	"net/url"
	"sort"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// A fault is one way to break a chain that is good: do breaks it and gives the one
// at fault, nil where it is nobody of the chain.
type worldFault struct {
	rule string
	do   func(w *world) *one
}

// wrong changes a certificate of the chain.
func wrong(rule string, who func(*world) *one, c change) worldFault {
	return worldFault{rule, func(w *world) *one {
		member := who(w)
		member.broken = append(member.broken, c)
		return member
	}}
}

// given changes what is asked, or given beside the chain.
func given(rule string, who func(*world) *one, f func(w *world, o *inspect.Options, certs []*x509.Certificate)) worldFault {
	return worldFault{rule, func(w *world) *one {
		w.breaks = f
		if who == nil {
			return nil
		}
		return who(w)
	}}
}

// asking changes what is asked.
func asking(rule string, f func(o *inspect.Options)) worldFault {
	return given(rule, (*world).leaf, func(_ *world, o *inspect.Options, _ []*x509.Certificate) { f(o) })
}

var someExtension = pkix.Extension{Id: oidOdd, Critical: true, Value: []byte{5, 0}}

// worldFaults are the ways to break a chain.
func worldFaults(t *testing.T) map[string]worldFault {
	faults := map[string]worldFault{}
	for _, more := range []map[string]worldFault{timeFaults(), giftFaults(), caFaults(), nameFaults(t), identityFaults(), statusFaults(), formFaults()} {
		maps.Copy(faults, more)
	}
	return faults
}

func timeFaults() map[string]worldFault {
	old := func(c *x509.Certificate) { c.NotAfter = at.Add(-time.Hour); c.NotBefore = at.Add(-90 * day) }
	soon := func(c *x509.Certificate) { c.NotBefore = at.Add(time.Hour) }
	return map[string]worldFault{
		"leaf expired":               wrong("leaf-expired", (*world).leaf, old),
		"intermediate expired":       wrong("intermediate-expired", (*world).intermediate, old),
		"root expired":               wrong("root-expired", (*world).root, old),
		"leaf not yet valid":         wrong("leaf-not-yet-valid", (*world).leaf, soon),
		"intermediate not yet valid": wrong("intermediate-not-yet-valid", (*world).intermediate, soon),
		"root not yet valid":         wrong("root-not-yet-valid", (*world).root, soon),
		"ends too soon": given("remaining-too-short", (*world).leaf, func(w *world, o *inspect.Options, list []*x509.Certificate) {
			o.MinRemaining = w.first[len(list)-1].NotAfter.Sub(at) + time.Hour
		}),
	}
}

func giftFaults() map[string]worldFault {
	return map[string]worldFault{
		"issuer missing": {"issuer-missing", func(w *world) *one { w.lowest().gone = true; return w.leaf() }},
		"upper intermediate missing": {"root-unknown", func(w *world) *one {
			if len(w.chain) < 4 {
				w.root().gone = true
				w.breaks = func(w *world, o *inspect.Options, _ []*x509.Certificate) {
					o.Roots = certs(newRoot(w.t, "Stranger").Certificate)
				}
				return w.chain[1]
			}
			w.chain[1].gone = true
			return w.chain[2]
		}},
		"other roots": given("root-unknown", func(w *world) *one { return w.chain[1] }, func(w *world, o *inspect.Options, _ []*x509.Certificate) {
			o.Roots = certs(newRoot(w.t, "Stranger").Certificate)
		}),
		"root among the intermediates": given("root-unknown", (*world).root, func(w *world, o *inspect.Options, _ []*x509.Certificate) {
			o.Intermediates = append(o.Intermediates, o.Roots...)
			o.Roots = certs(newRoot(w.t, "Stranger").Certificate)
		}),
		"no roots":                 given("roots-missing", nil, func(_ *world, o *inspect.Options, _ []*x509.Certificate) { o.Roots = nil }),
		"a namesake's certificate": {"issuer-key-differs", func(w *world) *one { c := w.lowest(); c.double = newKey(w.t); return w.leaf() }},
		"a namesake as root":       {"issuer-key-differs", func(w *world) *one { w.root().double = newKey(w.t); return w.chain[1] }},
	}
}

func caFaults() map[string]worldFault {
	critical := func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, someExtension) }
	none := func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false }
	return map[string]worldFault{
		"intermediate that is no CA": wrong("issuer-not-ca", (*world).intermediate, none),
		"root that is no CA":         wrong("issuer-not-ca", (*world).root, none),
		"intermediate without basic constraints": wrong("issuer-not-ca", (*world).intermediate, func(c *x509.Certificate) {
			c.BasicConstraintsValid, c.IsCA = false, false
		}),
		"intermediate without keyCertSign": wrong("issuer-without-key-cert-sign", (*world).intermediate, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }),
		"root without keyCertSign":         wrong("issuer-without-key-cert-sign", (*world).root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }),
		"path length of the root":          wrong("path-length", (*world).root, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }),
		"critical extension of the leaf":   wrong("critical-extension-unknown", (*world).leaf, critical),
		"critical extension of a CA":       wrong("critical-extension-unknown", (*world).authority, critical),
		"policy demanded":                  {"policy-invalid", func(w *world) *one { c := w.intermediate(); c.broken = append(c.broken, demandPolicy); return nil }},
		"too deep":                         asking("path-too-deep", func(o *inspect.Options) { o.LimitDepth = true }),
		"use of the leaf": {"usage-not-allowed", func(w *world) *one {
			w.ask = func(o *inspect.Options) { o.EKU = inspect.EKUClientAuth }
			w.leaf().broken = append(w.leaf().broken, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })
			return w.leaf()
		}},
		"use of an intermediate": {"usage-not-allowed", func(w *world) *one {
			w.ask = func(o *inspect.Options) { o.EKU = inspect.EKUServerAuth }
			c := w.intermediate()
			c.broken = append(c.broken, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
			return c
		}},
	}
}

func demandPolicy(c *x509.Certificate) {
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}})
}

func nameFaults(t *testing.T) map[string]worldFault {
	net10 := &net.IPNet{IP: net.IPv4(10, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}
	net11 := &net.IPNet{IP: net.IPv4(11, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}
	narrow := func(c change) worldFault {
		return worldFault{"name-constraint", func(w *world) *one {
			ca := w.authority()
			ca.broken = append(ca.broken, func(t *x509.Certificate) {
				t.PermittedDNSDomains, t.PermittedURIDomains = nil, nil
				c(t)
			})
			return w.leaf()
		}}
	}
	return map[string]worldFault{
		"DNS name not permitted":   narrow(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"other.example"} }),
		"DNS name excluded":        narrow(func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"example"} }),
		"IP address not permitted": narrow(func(c *x509.Certificate) { c.PermittedIPRanges = []*net.IPNet{net11} }),
		"IP address excluded":      narrow(func(c *x509.Certificate) { c.ExcludedIPRanges = []*net.IPNet{net10} }),
		"email not permitted":      narrow(func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"other.example"} }),
		"email excluded":           narrow(func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{".example"} }),
		"URI not permitted":        narrow(func(c *x509.Certificate) { c.PermittedURIDomains = []string{"example.org"} }),
		"URI excluded":             narrow(func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"cluster.local"} }),
		"directory name excluded": {"name-constraint", func(w *world) *one {
			name := w.leaf().name
			w.lowest().broken = append(w.lowest().broken, func(c *x509.Certificate) {
				c.PermittedDNSDomains, c.PermittedURIDomains = nil, nil
				excludedDirectory(t, c, name)
			})
			return w.leaf()
		}},
	}
}

func identityFaults() map[string]worldFault {
	svid := func(o *inspect.Options) { o.TrustDomain = "cluster.local" }
	spoiled := func(rule string, c change) worldFault {
		return worldFault{rule, func(w *world) *one {
			w.ask = svid
			w.leaf().broken = append(w.leaf().broken, c)
			return w.leaf()
		}}
	}
	return map[string]worldFault{
		"another name":         asking("name-mismatch", func(o *inspect.Options) { o.Name = "payment.test.example" }),
		"another address":      asking("name-mismatch", func(o *inspect.Options) { o.Name = "192.0.2.1" }),
		"another email":        asking("email-mismatch", func(o *inspect.Options) { o.Email = "dev@mail.example" }),
		"another SPIFFE ID":    asking("spiffe-id-mismatch", func(o *inspect.Options) { o.SPIFFEID = "spiffe://cluster.local/ns/x/sa/y" }),
		"another trust domain": asking("trust-domain-mismatch", func(o *inspect.Options) { o.TrustDomain = "example.org" }),
		"two SPIFFE IDs": spoiled("svid-uri-count", func(c *x509.Certificate) {
			c.URIs = append(c.URIs, uri("spiffe://cluster.local/ns/a/sa/b"))
		}),
		"a malformed SPIFFE ID":          spoiled("svid-id-invalid", func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://cluster.local/ns//sa")} }),
		"an SVID that signs":             spoiled("svid-leaf-signs", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }),
		"an SVID that is no signature's": spoiled("svid-digital-signature-missing", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }),
	}
}

// lists gives CRLs of every authority of the chain, each as it is changed.
func (w *world) lists(list []*x509.Certificate, o *inspect.Options, change func(i int, l *x509.RevocationList)) {
	o.CRLCheck = inspect.CRLCheckChain
	for i := range list[:len(list)-1] {
		ca := &authority{list[i], w.chain[i].key}
		o.CRLs = append(o.CRLs, ca.list(w.t, func(l *x509.RevocationList) { change(i, l) }))
	}
}

func statusFaults() map[string]worldFault {
	last := func(list []*x509.Certificate) int { return len(list) - 1 }
	listed := func(rule string, who func(*world) *one, f func(w *world, list []*x509.Certificate, i int, l *x509.RevocationList)) worldFault {
		return given(rule, who, func(w *world, o *inspect.Options, list []*x509.Certificate) {
			w.lists(list, o, func(i int, l *x509.RevocationList) { f(w, list, i, l) })
		})
	}
	lowest := func(list []*x509.Certificate, i int) bool { return i == last(list)-1 }
	answered := func(rule string, f func(*response)) worldFault {
		return given(rule, (*world).leaf, func(w *world, o *inspect.Options, list []*x509.Certificate) {
			ca := &authority{list[last(list)-1], w.lowest().key}
			if list[last(list)].SerialNumber.Cmp(w.first[last(list)].SerialNumber) == 0 {
				o.OCSP = ca.answer(w.t, list[last(list)], ca.Certificate, ca.key, f)
			} else {
				o.OCSP = ca.answer(w.t, list[last(list)], ca.Certificate, ca.key)
			}
		})
	}
	return map[string]worldFault{
		"leaf revoked": listed("revoked", (*world).leaf, func(w *world, list []*x509.Certificate, i int, l *x509.RevocationList) {
			if lowest(list, i) {
				revokedNow(w.first[last(list)], l)
			}
		}),
		"intermediate revoked": listed("revoked", func(w *world) *one { return w.chain[1] }, func(w *world, list []*x509.Certificate, i int, l *x509.RevocationList) {
			if i == 0 {
				revokedNow(w.first[1], l)
			}
		}),
		"list out of date": listed("crl-stale", (*world).leaf, func(_ *world, list []*x509.Certificate, i int, l *x509.RevocationList) {
			if lowest(list, i) {
				l.ThisUpdate, l.NextUpdate = at.Add(-9*day), at.Add(-day)
			}
		}),
		"list from the future": listed("crl-not-yet-valid", (*world).leaf, func(_ *world, list []*x509.Certificate, i int, l *x509.RevocationList) {
			if lowest(list, i) {
				l.ThisUpdate = at.Add(time.Hour)
			}
		}),
		"list with a critical extension": listed("crl-extension-unknown", (*world).leaf, func(_ *world, list []*x509.Certificate, i int, l *x509.RevocationList) {
			if lowest(list, i) {
				l.ExtraExtensions = []pkix.Extension{someExtension}
			}
		}),
		"list missing": given("crl-missing", (*world).leaf, func(w *world, o *inspect.Options, list []*x509.Certificate) {
			w.lists(list, o, func(int, *x509.RevocationList) {})
			o.CRLs = o.CRLs[:len(o.CRLs)-1]
			if len(o.CRLs) == 0 {
				o.CRLs = append(o.CRLs, newRoot(w.t, "Stranger").list(w.t))
			}
		}),
		"list of a namesake": given("crl-signature-invalid", (*world).leaf, func(w *world, o *inspect.Options, list []*x509.Certificate) {
			w.lists(list, o, func(int, *x509.RevocationList) {})
			o.CRLs[len(o.CRLs)-1] = newRoot(w.t, w.lowest().name).list(w.t)
		}),
		"revoked by an answer": answered("revoked", func(r *response) { r.status = revoked }),
		"answer out of date":   answered("ocsp-out-of-date", func(r *response) { r.thisUpdate, r.nextUpdate = at.Add(-9*day), at.Add(-day) }),
		"answer unknown":       answered("ocsp-status-unknown", func(r *response) { r.status = unknown }),
	}
}

// revokedNow lists a certificate as revoked.
func revokedNow(c *x509.Certificate, l *x509.RevocationList) {
	l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: new(big.Int).Set(c.SerialNumber), RevocationTime: at.Add(-day), ReasonCode: 1}}
}

func formFaults() map[string]worldFault {
	bent := func(rule string, who func(*world) *one, f func(w *world, der []byte) []byte) worldFault {
		return worldFault{rule, func(w *world) *one {
			c := who(w)
			c.bend = func(der []byte) []byte { return f(w, der) }
			return c
		}}
	}
	weak := func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }
	swap := func(from, to string) func(*world, []byte) []byte {
		return func(_ *world, der []byte) []byte { return bytes.ReplaceAll(der, []byte(from), []byte(to)) }
	}
	n := new(big.Int).Lsh(big.NewInt(1), 510)
	return map[string]worldFault{
		"leaf altered":           bent("signature-invalid", (*world).leaf, swap("prod.example", "evil.example")),
		"signature damaged":      bent("signature-invalid", (*world).intermediate, func(_ *world, der []byte) []byte { der[len(der)-1] ^= 1; return der }),
		"weak signature":         wrong("signature-weak", (*world).leaf, weak),
		"weak signature of a CA": wrong("signature-weak", (*world).intermediate, weak),
		"unknown signature":      bent("signature-unsupported", (*world).leaf, swap("\x2a\x86\x48\xce\x3d\x04\x03\x02", "\x2a\x86\x48\xce\x3d\x04\x03\x09")),
		"key that is too short": wrong("key-too-short", (*world).leaf, func(c *x509.Certificate) {
			c.PublicKey = &rsa.PublicKey{N: new(big.Int).Add(n, big.NewInt(1)), E: 65537}
		}),
		"names that are none": wrong("extension-malformed", (*world).leaf, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, 17}, Value: []byte{0x30, 0}})
		}),
		"malformed leaf":         bent("certificate-malformed", (*world).leaf, swap("spiffe://cluster", "spi\xfffe://cluster")),
		"malformed intermediate": bent("certificate-malformed", (*world).intermediate, swap("\x06\x03\x55\x1d\x0f\x01\x01\xff", "\x06\x03\x55\x1d\x13\x01\x01\xff")),
	}
}

// TestDiagnosis breaks chains of random shape in one way each: the first reason that
// is named is the fault that was made, and what the fix says mends it.
func TestDiagnosis(t *testing.T) {
	var keys []*ecdsa.PrivateKey
	for range 40 {
		keys = append(keys, newKey(t))
	}
	faults := worldFaults(t)
	if len(faults) < 40 {
		t.Fatalf("%d faults", len(faults))
	}
	var names []string
	for name := range faults {
		names = append(names, name)
	}
	sort.Strings(names)
	named, mended, missed := 0, 0, map[string]int{}
	for i := range diagnoses {
		name := names[i%len(names)]
		fault := faults[name]
		w := newWorld(t, uint64(i), keys)
		if i < 100 {
			if r := w.verify(); !r.Trusted {
				t.Fatalf("%d: a good chain is refused: %+v", i, r.Findings)
			}
		}
		culprit := fault.do(w)
		r := w.verify()
		if r.Trusted {
			t.Errorf("%s: trusted (%d)", name, i)
			continue
		}
		f := r.Findings[0]
		if f.Rule == fault.rule && (culprit == nil || f.Certificate == "" || f.Certificate == culprit.name) {
			named++
		} else if missed[name]++; missed[name] == 1 {
			t.Logf("%s (%d): named %s of %q: %s", name, i, f.Rule, f.Certificate, f.Message)
		}
		understood := w.follow(f)
		if after := w.verify(); understood && after.Trusted {
			mended++
		} else if missed[name]++; missed[name] <= 2 {
			t.Logf("%s (%d): not mended by %q (understood %v): %+v", name, i, f.Fix, understood, after.Findings)
		}
	}
	t.Logf("%d faults, %d chains: %d named first, %d mended", len(names), diagnoses, named, mended)
	if named*100 < 99*diagnoses || mended*100 < 99*diagnoses {
		t.Errorf("of %d, %d were named first and %d mended", diagnoses, named, mended)
	}
}
