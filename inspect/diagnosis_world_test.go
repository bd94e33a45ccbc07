package inspect_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// one is a certificate of a world: as it should be, and what was done to it.
type one struct {
	name   string
	key    *ecdsa.PrivateKey
	serial int64
	good   change
	broken []change            // what was made wrong in it
	bend   func([]byte) []byte // what was done to its bytes afterwards
	gone   bool                // it is not given
	double *ecdsa.PrivateKey   // another of its name and this key is given in its place
}

// world is a chain of random shape, root first, and what is asked about it.
type world struct {
	t      *testing.T
	r      *rand.Rand
	chain  []*one
	ask    func(*inspect.Options)
	breaks func(w *world, o *inspect.Options, certs []*x509.Certificate) // of what was asked, or given beside
	first  []*x509.Certificate                                           // as the chain was when it was first verified
	noise  []*x509.Certificate
}

var (
	worldNames = []string{"payment", "account", "ledger", "gateway", "search", "mail"}
	worldPlace = []string{"prod", "dev", "stage"}
)

// newWorld makes a chain of a root, one to three intermediates and a leaf that
// nothing is wrong with, of random names, constraints and lives.
func newWorld(t *testing.T, seed uint64, keys []*ecdsa.PrivateKey) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7))}
	pick := func() *ecdsa.PrivateKey { return keys[w.r.IntN(len(keys)-2)] }
	between := 1 + w.r.IntN(3)
	used := map[*ecdsa.PrivateKey]bool{}
	fresh := func() *ecdsa.PrivateKey {
		for {
			if k := pick(); !used[k] {
				used[k] = true
				return k
			}
		}
	}
	w.chain = append(w.chain, &one{name: fmt.Sprintf("Root %d", w.r.IntN(99)), key: fresh(), good: w.life(1000, 4000, func(*x509.Certificate) {})})
	for i := range between {
		left := between - 1 - i
		limited, narrow := w.r.IntN(2) == 0, w.r.IntN(3) == 0
		w.chain = append(w.chain, &one{name: fmt.Sprintf("Issuing %d-%d", i, w.r.IntN(99)), key: fresh(), good: w.life(100, 900, func(c *x509.Certificate) {
			if limited {
				c.MaxPathLen, c.MaxPathLenZero = left, left == 0
			}
			if narrow {
				c.PermittedDNSDomainsCritical, c.PermittedDNSDomains, c.PermittedURIDomains = true, []string{"svc.example", "prod.example"}, []string{"cluster.local"}
			}
		})})
	}
	name, place := worldNames[w.r.IntN(len(worldNames))], worldPlace[w.r.IntN(len(worldPlace))]
	w.chain = append(w.chain, &one{name: name, key: fresh(), good: w.life(10, 90, func(c *x509.Certificate) {
		c.DNSNames = []string{name + "." + place + ".svc.example", name + ".prod.example"}
		c.IPAddresses = []net.IP{net.IPv4(10, 0, byte(seed), 5)}
		c.EmailAddresses = []string{"ops@mail.example"}
		c.URIs = []*url.URL{uri("spiffe://cluster.local/ns/" + place + "/sa/" + name)}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		c.KeyUsage = x509.KeyUsageDigitalSignature
	})})
	for _, c := range w.chain {
		c.serial = 1000 + w.r.Int64N(1<<40)
	}
	if w.r.IntN(2) == 0 {
		w.noise = certs(newRoot(t, "Other mesh").Certificate)
	}
	return w
}

func (w *world) life(least, most int, f change) change {
	before, after := time.Duration(1+w.r.IntN(30))*day, time.Duration(least+w.r.IntN(most-least))*day
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = at.Add(-before), at.Add(after)
		f(c)
	}
}

func (w *world) leaf() *one         { return w.chain[len(w.chain)-1] }
func (w *world) root() *one         { return w.chain[0] }
func (w *world) lowest() *one       { return w.chain[len(w.chain)-2] }
func (w *world) intermediate() *one { return w.chain[1+w.r.IntN(len(w.chain)-2)] }
func (w *world) authority() *one    { return w.chain[w.r.IntN(len(w.chain)-1)] }

// template is a certificate as it should be, and as it was broken.
func (w *world) template(c *one, below bool) *x509.Certificate {
	pub := &c.key.PublicKey
	t := caTemplate(c.name, pub)
	if below {
		t.IsCA, t.MaxPathLen, t.KeyUsage = false, 0, 0
		t.SubjectKeyId = nil
	}
	t.SerialNumber = big.NewInt(c.serial)
	c.good(t)
	for _, change := range c.broken {
		change(t)
	}
	if !t.IsCA { // of several changes, another may have set it
		t.MaxPathLen, t.MaxPathLenZero = 0, false
	}
	t.ExtraExtensions = onceEach(t.ExtraExtensions)
	return t
}

// onceEach keeps the last of several extensions of a kind, where several changes
// have each added one: a certificate has one at the most (RFC 5280, Section 4.2).
func onceEach(list []pkix.Extension) []pkix.Extension {
	var out []pkix.Extension
	for i, e := range list {
		if !slices.ContainsFunc(list[i+1:], func(later pkix.Extension) bool { return later.Id.Equal(e.Id) }) {
			out = append(out, e)
		}
	}
	return out
}

// make signs every certificate of the chain, root first.
func (w *world) make() []*x509.Certificate {
	var made []*x509.Certificate
	var above *authority
	for i, c := range w.chain {
		t := w.template(c, i == len(w.chain)-1)
		issuer := above
		if issuer == nil {
			issuer = &authority{t, c.key}
		}
		var pub any = &c.key.PublicKey
		if t.PublicKey != nil {
			pub = t.PublicKey
		}
		t.PublicKey = nil
		cert := sign(w.t, t, pub, issuer)
		above = &authority{cert, c.key}
		if c.bend != nil {
			der := c.bend(bytes.Clone(cert.Raw))
			bent, err := inspect.ReadCertificate(der)
			if err != nil {
				objects, _ := inspect.Parse(der)
				if len(objects) == 0 || objects[0].Damaged == nil {
					w.t.Fatalf("%s: not even damaged: %v", c.name, err)
				}
				bent = objects[0].Damaged
			}
			cert = bent
		}
		if c.double != nil {
			same := caTemplate(c.name, &c.double.PublicKey)
			cert = sign(w.t, same, &c.double.PublicKey, &authority{same, c.double})
		}
		made = append(made, cert)
	}
	return made
}

// verify asks about the world as it is now.
func (w *world) verify() inspect.Result {
	made := w.make()
	if w.first == nil {
		w.first = made
	}
	last := len(made) - 1
	o := inspect.Options{At: at}
	for i, c := range made[:last] {
		switch {
		case w.chain[i].gone:
		case i == 0:
			o.Roots = append(o.Roots, c)
		default:
			o.Intermediates = append(o.Intermediates, c)
		}
	}
	o.Intermediates = append(o.Intermediates, w.noise...)
	w.r.Shuffle(len(o.Intermediates), func(i, j int) {
		o.Intermediates[i], o.Intermediates[j] = o.Intermediates[j], o.Intermediates[i]
	})
	if w.ask != nil {
		w.ask(&o)
	}
	if w.breaks != nil {
		w.breaks(w, &o, made)
	}
	return inspect.Verify("world", made[last], o)
}

// named finds a certificate by what a finding calls it.
func (w *world) named(name string) *one {
	if i := slices.IndexFunc(w.chain, func(c *one) bool { return c.name == name }); i >= 0 {
		return w.chain[i]
	}
	return nil
}

// follow does what a fix says, and nothing else. It gives false for words that it
// does not understand.
func (w *world) follow(f inspect.Finding) bool {
	quoted := ""
	if parts := strings.Split(f.Fix, `"`); len(parts) > 2 {
		quoted = parts[1]
	}
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(s string) bool { return strings.Contains(f.Fix, s) })
	}
	culprit := w.named(f.Certificate)
	switch {
	case says("--crl", "current CRL", "fetch the CRL", "CRL issued without", "responder", "ask for", "give the roots", "clocks", "allow more"):
		// What was asked or given beside the chain is asked and given as it should be.
		w.breaks, w.ask = nil, nil
		for _, c := range w.chain {
			if says("clocks") {
				c.broken = nil
			}
		}
	case says("issued with a policy in common"):
		for _, c := range w.chain[1:] {
			c.broken = append(c.broken, func(t *x509.Certificate) {
				t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, 32}, Value: []byte{0x30, 6, 0x30, 4, 6, 2, 42, 3}})
			})
		}
	case says("if that is a root"):
		w.give(w.chain[slices.Index(w.chain, culprit)-1])
	case says("add the certificate of", "give the certificate of", "give it with the roots"):
		if w.named(quoted) == nil {
			return false
		}
		w.give(w.named(quoted))
	case says("fetch the certificate again"):
		culprit.bend = nil
	case says("issue a certificate for"):
		_, name, _ := strings.Cut(f.Fix, "issue a certificate for ")
		w.leaf().broken = append(w.leaf().broken, func(t *x509.Certificate) { t.EmailAddresses = append(t.EmailAddresses, name) })
	case says("renew", "issue", "replace"):
		if culprit == nil {
			return false
		}
		culprit.broken, culprit.bend = []change{func(t *x509.Certificate) { t.NotAfter = t.NotAfter.Add(90 * day) }}, nil
		culprit.serial++
		if says("by a CA whose", "nearer to") {
			for _, above := range w.chain[:len(w.chain)-1] {
				above.broken = nil
			}
		}
	default:
		return false
	}
	return true
}

// give puts a certificate where it belongs, with the rest of what was to be given.
func (w *world) give(c *one) {
	c.gone, c.double = false, nil
	if c == w.root() {
		w.breaks = nil
	}
}

// directory is a name with one common name, in DER, as the content of a directory
// name of name constraints.
func excludedDirectory(t *testing.T, c *x509.Certificate, cn string) {
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, 30}, Critical: true, Value: directoryTree(t, "CN="+cn)})
}
