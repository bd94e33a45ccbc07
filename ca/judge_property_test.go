package ca

import (
	crand "crypto/rand"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// The judge of this package and the path validation of crypto/x509 were written
// apart. A name that the judge lets pass and a verifier refuses would be a
// certificate that nobody accepts, so: over random constraints and names, never a
// yes here and a no there. The other way round is allowed: the judge also thinks
// of verifiers that read the standard otherwise.

// dice draws the parts of names and constraints from few words, so that they meet.
type dice struct{ *rand.Rand }

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

// word is a label, in any case.
func (d dice) word() string {
	s := d.one("a", "b", "com", "a-b", "example", "ab", "xn--a", "a_b", "0")
	if d.IntN(6) == 0 {
		s = strings.ToUpper(s)
	}
	return s
}

// domain is a name of one to four labels.
func (d dice) domain() string {
	labels := make([]string, 1+d.IntN(4))
	for i := range labels {
		labels[i] = d.word()
	}
	return strings.Join(labels, ".")
}

// subtree is a domain as a constraint may have it; rarely "", which is all.
func (d dice) subtree() string {
	switch d.IntN(16) {
	case 0:
		return ""
	case 1, 2, 3, 4:
		return "." + d.domain()
	}
	return d.domain()
}

func (d dice) mailbox() string {
	return d.one("a", "A", "b", "a.b", "o'b+c") + "@" + d.domain()
}

func (d dice) emailSubtree() string {
	if d.IntN(3) == 0 {
		return d.mailbox()
	}
	return d.subtree()
}

func (d dice) address() netip.Addr {
	if d.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{byte(10 + d.IntN(2)), byte(d.IntN(2)), 0, byte(d.IntN(4))})
	}
	b := [16]byte{0xfd, byte(d.IntN(2)), 15: byte(d.IntN(4))}
	if d.IntN(3) == 0 { // IPv4 in IPv6's clothes
		b = netip.AddrFrom4([4]byte{byte(10 + d.IntN(2)), 0, 0, byte(d.IntN(4))}).As16()
	}
	return netip.AddrFrom16(b)
}

// network is a range around such an address. It is not unmapped: a foreign CA
// may write IPv4 in 16 bytes.
func (d dice) network() *net.IPNet {
	a := d.address()
	bits := []int{0, 7, 8, 15, 16, 30, 31, 32}[d.IntN(8)]
	if a.Is6() {
		bits = []int{0, 8, 15, 16, 96, 104, 126, 128}[d.IntN(8)]
	}
	mask := net.CIDRMask(bits, a.BitLen())
	return &net.IPNet{IP: net.IP(a.AsSlice()).Mask(mask), Mask: mask}
}

func some[T any](d dice, draw func() T) (out []T) {
	for range []int{0, 0, 0, 1, 1, 2, 3}[d.IntN(7)] {
		out = append(out, draw())
	}
	return out
}

// constrain fills in random constraints, of few types or of many.
func (d dice) constrain(c *x509.Certificate) {
	types := 1 + d.IntN(15)
	if types&1 != 0 {
		c.PermittedDNSDomains, c.ExcludedDNSDomains = some(d, d.subtree), some(d, d.subtree)
	}
	if types&2 != 0 {
		c.PermittedURIDomains, c.ExcludedURIDomains = some(d, d.subtree), some(d, d.subtree)
	}
	if types&4 != 0 {
		c.PermittedEmailAddresses, c.ExcludedEmailAddresses = some(d, d.emailSubtree), some(d, d.emailSubtree)
	}
	if types&8 != 0 {
		c.PermittedIPRanges, c.ExcludedIPRanges = some(d, d.network), some(d, d.network)
	}
}

// name draws a name that is rather often within the constraints.
func (d dice) name(c *x509.Certificate) Names {
	near := func(lists ...[]string) string {
		if all := slices.Concat(lists...); len(all) > 0 && d.IntN(3) > 0 {
			s := strings.TrimPrefix(all[d.IntN(len(all))], ".")
			if _, after, found := strings.Cut(s, "@"); found {
				s = after
			}
			switch d.IntN(4) {
			case 0:
				return d.word() + "." + s
			case 1:
				if _, parent, found := strings.Cut(s, "."); found {
					return parent
				}
			}
			return s
		}
		return d.domain()
	}
	switch d.IntN(4) {
	case 0:
		s := near(c.PermittedDNSDomains, c.ExcludedDNSDomains)
		if d.IntN(4) == 0 {
			s = "*." + s
		}
		return Names{DNS: []string{s}}
	case 1:
		host := near(c.PermittedURIDomains, c.ExcludedURIDomains)
		return Names{URI: []string{d.one("spiffe://"+strings.ToLower(host)+"/x", "https://"+host+":8443/", "https://"+host, "urn:"+host, "https://10.0.0.5/", "https://[fd00::1]/")}}
	case 2:
		if all := slices.Concat(c.PermittedEmailAddresses, c.ExcludedEmailAddresses); len(all) > 0 && d.IntN(3) == 0 {
			if s := all[d.IntN(len(all))]; strings.Contains(s, "@") {
				return Names{Email: []string{s}}
			}
		}
		return Names{Email: []string{d.one("a", "A", "b", "a.b") + "@" + near(c.PermittedEmailAddresses, c.ExcludedEmailAddresses)}}
	}
	return Names{IP: []string{d.address().String()}}
}

// verdicts counts how the two judged.
type verdicts struct{ both, neither, stricter int }

// compare draws constraints, signs a CA with them, and lets both judge names.
func compare(t *testing.T, root *Issuer, seed uint64, names int) (v verdicts) {
	t.Helper()
	d := dice{rand.New(rand.NewPCG(seed, 1))}
	k := must(keyOf[ECP256]())
	template := must(issuingSpec().caTemplate(must(x509.MarshalPKIXPublicKey(k.Public()))))
	template.AuthorityKeyId = root.Certificate.SubjectKeyId
	d.constrain(template)
	der := must(x509.CreateCertificate(crand.Reader, template, root.Certificate, k.Public(), root.Signer))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &Issuer{Certificate: cert, Above: root.chain(), Signer: k, Now: clock}
	for range names {
		id, err := NewIdentity(d.name(cert))
		if err != nil {
			continue
		}
		n := id.Names()[0]
		no := judgeIdentity(issuer.chain(), id)
		bad := verify(signLeaf(t, issuer, id), root.Certificate)
		switch {
		case no == nil && bad != nil:
			t.Errorf("seed %d: %s is judged good, and does not verify: %v\n%s", seed, n, bad, describe(cert))
		case no == nil:
			v.both++
		case bad != nil:
			v.neither++
		default:
			v.stricter++
			wild := strings.HasPrefix(n.Value, "*")
			odd := slices.ContainsFunc(slices.Concat(cert.PermittedIPRanges, cert.ExcludedIPRanges), mapped)
			if n.Type == IP && !odd || n.Type == DNS && !wild {
				t.Errorf("seed %d: %s verifies, and is refused without need: %v\n%s", seed, n, no, describe(cert))
			}
		}
	}
	return v
}

func describe(c *x509.Certificate) string {
	return fmt.Sprintf("permitted: DNS %q URI %q email %q IP %v\nexcluded: DNS %q URI %q email %q IP %v", c.PermittedDNSDomains, c.PermittedURIDomains,
		c.PermittedEmailAddresses, c.PermittedIPRanges, c.ExcludedDNSDomains, c.ExcludedURIDomains, c.ExcludedEmailAddresses, c.ExcludedIPRanges)
}

func TestJudgeAgainstVerifier(t *testing.T) {
	root := newRoot(t, rootSpec())
	var all verdicts
	rounds := uint64(500)
	if testing.Short() {
		rounds = 50
	}
	for seed := range rounds {
		v := compare(t, root, seed, 10)
		all.both, all.neither, all.stricter = all.both+v.both, all.neither+v.neither, all.stricter+v.stricter
		if t.Failed() {
			break
		}
	}
	if sum := all.both + all.neither + all.stricter; all.both < sum/10 || all.neither < sum/10 || sum < int(rounds)*7 {
		t.Errorf("too one-sided to mean anything: %+v", all)
	}
	t.Logf("%+v", all)
}

func FuzzJudgeAgainstVerifier(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(1000 + seed)
	}
	root := newRoot(f, rootSpec())
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, root, seed, 5) })
}
