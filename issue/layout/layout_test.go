package layout_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	random "math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// maker makes credentials of many shapes: layouts never ask whether a chain
// verifies, so nothing here is signed by what it should be.
type maker struct {
	testing.TB
	*random.Rand
	keys []crypto.Signer
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	m := &maker{TB: t, Rand: random.New(random.NewPCG(1, 2))}
	for _, kt := range []ca.KeyType{ca.ECP256, ca.ECP384, ca.Ed25519, ca.RSA2048} {
		key, err := issue.NewKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		m.keys = append(m.keys, key)
	}
	return m
}

func (m *maker) certificate(key crypto.Signer) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(m.Int64()), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(m.Int64N(1<<32), 0),
		Subject: pkix.Name{CommonName: strings.Repeat("x", 1+m.IntN(63)), Organization: []string{"END CERTIFICATE-----\n"}},
		URIs:    []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/default/sa/payment"}},
	}
	for n := range m.IntN(5) {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("%d.%s.example", n, strings.Repeat("a", m.IntN(60)+1)))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		m.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		m.Fatal(err)
	}
	return cert
}

// credential has one of the keys, up to three intermediates and one to three roots.
func (m *maker) credential() *issue.Credential {
	c := &issue.Credential{Key: m.keys[m.IntN(len(m.keys))]}
	c.Chain = append(c.Chain, m.certificate(c.Key))
	for range m.IntN(4) {
		c.Chain = append(c.Chain, m.certificate(m.keys[0]))
	}
	for range 1 + m.IntN(3) {
		c.Roots = append(c.Roots, m.certificate(m.keys[0]))
	}
	return c
}

// password is one that every keystore takes.
const password = "changeit ~!"

// every lists all layouts, in all of their forms, each with its password.
func every(t testing.TB) (all []layout.Named) {
	t.Helper()
	for _, l := range layout.All() {
		for _, option := range append([]string{""}, l.Options()...) {
			named, err := layout.ByName(strings.TrimSuffix(l.Name+":"+option, ":"))
			if err == nil {
				named[0], err = named[0].With([]byte(password))
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, named[0])
		}
	}
	return all
}

func TestLayouts(t *testing.T) {
	m := newMaker(t)
	for n := range 20 {
		c := m.credential()
		for _, l := range every(t) {
			what := fmt.Sprintf("credential %d in %s", n, l.Name)
			files, err := l.Encode(c)
			if _, no := errors.AsType[*layout.RefusedError](err); no && strings.Contains("envoy pkcs1 sec1", l.Name[max(0, strings.Index(l.Name, ":")+1):]) {
				continue // not every kind of key: TestRefusals
			}
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if l.Locked() {
				wantNames(t, what, l, files)
			} else {
				wantFiles(t, what, l, c, files)
			}
			key, err := l.Key(files)
			if err != nil || !pemfile.SamePublicKey(key.Public(), c.Key.Public()) {
				t.Errorf("%s: another key is read back, %v", what, err)
			}
			chain, err := l.Decode(files)
			if err != nil || !slices.EqualFunc(chain, c.Chain, (*x509.Certificate).Equal) {
				t.Errorf("%s: read back %d certificates of %d, %v", what, len(chain), len(c.Chain), err)
			}
			again, err := l.Encode(c)
			if err != nil || !slices.Equal(again.Names(), files.Names()) {
				t.Errorf("%s: the second time files %q, %v", what, again.Names(), err)
			}
			for name, f := range again {
				if !bytes.Equal(f.Data, files[name].Data) {
					t.Errorf("%s: the second time %s is another", what, name)
				}
				clear(f.Data) // it shares nothing
			}
			if again, err := l.Decode(files); err != nil || !again[0].Equal(c.Leaf()) {
				t.Errorf("%s: what it gives it keeps: %v", what, err)
			}
		}
	}
}

// wantNames looks at what every layout must keep to.
func wantNames(t *testing.T, what string, l layout.Named, files issue.Files) {
	t.Helper()
	if want := slices.Sorted(slices.Values(l.Files)); !slices.Equal(files.Names(), want) {
		t.Fatalf("%s: files %q, announced were %q", what, files.Names(), want)
	}
}

// wantFiles looks at what every PEM layout must keep to.
func wantFiles(t *testing.T, what string, l layout.Named, c *issue.Credential, files issue.Files) {
	t.Helper()
	wantNames(t, what, l, files)
	certs, keys := 0, 0
	for name, f := range files {
		if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".conf") {
			if secret := bytes.Contains(f.Data, []byte("PRIVATE KEY")); secret != f.Secret {
				t.Errorf("%s: %s is secret: %t, has a private key: %t", what, name, f.Secret, secret)
			}
			continue
		}
		if name == "key.der" || name == "tls-combined.pem" {
			wantOnceMore(t, what, name, c, f)
			continue
		}
		blocks := readPEM(t, what+": "+name, f.Data)
		secret := false
		for _, b := range blocks {
			switch b.Type {
			case pemfile.TypeCertificate:
				certs++
			case pemfile.TypeKey, pemfile.TypeRSAKey, pemfile.TypeECKey:
				secret = true
				keys++
			default:
				t.Errorf("%s: a %s in %s", what, b.Type, name)
			}
		}
		if f.Secret != secret {
			t.Errorf("%s: %s is secret: %t, has a private key: %t", what, name, f.Secret, secret)
		}
		if name == l.Roots {
			roots, err := pemfile.Certificates(f.Data)
			if err != nil || !slices.EqualFunc(roots, c.Roots, (*x509.Certificate).Equal) {
				t.Errorf("%s: %d roots of %d in %s, %v", what, len(roots), len(c.Roots), name, err)
			}
		}
	}
	if keys != 1 || certs != len(c.Chain)+len(c.Roots) {
		t.Errorf("%s: %d keys and %d certificates are in the files", what, keys, certs)
	}
	chain, key := files[l.Files[0]].Data, files[l.Files[0]].Data
	if files[l.Files[1]].Secret {
		key = files[l.Files[1]].Data
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil || len(pair.Certificate) != len(c.Chain) {
		t.Errorf("%s: a TLS server reads %d certificates of %d, %v", what, len(pair.Certificate), len(c.Chain), err)
	}
}

// wantOnceMore looks at the files that hold the key once more, as cert-manager has them.
func wantOnceMore(t *testing.T, what, name string, c *issue.Credential, f issue.File) {
	t.Helper()
	if !f.Secret {
		t.Errorf("%s: %s is not secret", what, name)
	}
	if name == "key.der" {
		key, err := x509.ParsePKCS8PrivateKey(f.Data)
		if s, ok := key.(crypto.Signer); err != nil || !ok || !pemfile.SamePublicKey(s.Public(), c.Key.Public()) {
			t.Errorf("%s: %s is not the key: %v", what, name, err)
		}
		return
	}
	first, _ := pem.Decode(f.Data)
	pair, err := tls.X509KeyPair(f.Data, f.Data)
	if err != nil || len(pair.Certificate) != len(c.Chain) || first.Type != pemfile.TypeKey || !bytes.Contains(f.Data, []byte("KEY-----\n\n-----BEGIN CERT")) {
		t.Errorf("%s: of %s a TLS server reads %d certificates, %v", what, name, len(pair.Certificate), err)
	}
}

// readPEM reads a file that is PEM blocks and nothing else: no byte before the
// first, between two, or behind the line feed of the last END line.
func readPEM(t *testing.T, what string, data []byte) []*pem.Block {
	t.Helper()
	var blocks []*pem.Block
	var again []byte
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
		again = append(again, pem.EncodeToMemory(b)...)
	}
	if !bytes.Equal(again, data) || len(blocks) == 0 {
		t.Errorf("%s: %d bytes, of which %d are PEM blocks", what, len(data), len(again))
	}
	if !bytes.HasSuffix(data, []byte("-----\n")) || bytes.HasSuffix(data, []byte("\n\n")) || bytes.Contains(data, []byte("\r")) {
		t.Errorf("%s ends with %q", what, data[max(0, len(data)-20):])
	}
	return blocks
}

// Where somebody else has the key, the files that would hold it are missing, and a
// layout that is nothing without it refuses.
func TestLayoutsWithoutKey(t *testing.T) {
	c := newMaker(t).credential()
	c.Key = nil
	for _, l := range every(t) {
		if strings.HasSuffix(l.Name, "1") {
			continue // the form of a key
		}
		files, err := l.Encode(c)
		nothing := []string{"combined", "envoy", "traefik", "jks", "pkcs12", "tls:der", "tls:combined"}
		if slices.Contains(nothing, l.Name) || slices.Contains(nothing, strings.Split(l.Name, ":")[0]) {
			if _, ok := errors.AsType[*layout.RefusedError](err); !ok {
				t.Errorf("%s: files %q, error %v", l.Name, files.Names(), err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", l.Name, err)
		}
		for name, f := range files {
			if f.Secret || bytes.Contains(f.Data, []byte("PRIVATE")) {
				t.Errorf("%s: %s is secret", l.Name, name)
			}
		}
		if len(files) != len(l.Files)-1 {
			t.Errorf("%s: files %q", l.Name, files.Names())
		}
		if chain, err := l.Decode(files); err != nil || len(chain) != len(c.Chain) {
			t.Errorf("%s: read back %d certificates, %v", l.Name, len(chain), err)
		}
	}
}

// A key that cannot be written down, as one in hardware, is an error.
func TestLayoutsOfAKeyElsewhere(t *testing.T) {
	c := newMaker(t).credential()
	c.Key = struct{ crypto.Signer }{c.Key}
	for _, l := range every(t) {
		if files, err := l.Encode(c); err == nil {
			t.Errorf("%s: files %q", l.Name, files.Names())
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, l := range every(t) {
		for name, files := range map[string]issue.Files{
			"nothing":       nil,
			"other files":   {"x": {Data: []byte("x")}},
			"an empty file": {l.Files[0]: {}},
			"text":          {l.Files[0]: {Data: []byte("no PEM")}},
			"a broken one":  {l.Files[0]: {Data: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}},
		} {
			if chain, err := l.Decode(files); err == nil {
				t.Errorf("%s of %s: %d certificates", name, l.Name, len(chain))
			}
		}
	}
}

func TestByName(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string
		fails string
	}{
		{nil, "tls", ""},
		{[]string{"pem"}, "pem", ""},
		{[]string{"pem", "tls", "pem"}, "pem tls", ""},
		{[]string{"tls", "combined"}, "tls combined", ""}, // both have the roots in ca.crt
		{[]string{""}, "", `layout "" is none of tls, pem, combined, nginx,`},
		{[]string{"tls", "TLS"}, "", `layout "TLS" is none of tls, pem, combined, nginx,`},
		{[]string{"pem:sec1"}, "pem:sec1", ""},
		{[]string{"tls:sec1:der:combined"}, "tls:sec1:der:combined", ""},
		{[]string{"tls:sec1:pkcs1"}, "", `layout "tls:sec1:pkcs1": pkcs1 stands where no more is to be said of the key`},
		{[]string{"tls:der:x"}, "", `layout "tls:der:x": x stands where`},
		{[]string{"pem:sec1:der"}, "", `layout "pem:sec1:der": what may stand behind pem: is pkcs1, sec1`},
		{[]string{"pem:sec2"}, "", `layout "pem:sec2": what may stand behind pem: is pkcs1, sec1`},
		{[]string{"spiffe:sec1"}, "", `layout "spiffe:sec1": spiffe has no options`},
		{[]string{"pem", "pem:sec1"}, "", "layouts pem and pem:sec1 both make a file cert.pem"},
		{[]string{"a\x1b[31m"}, "", `"a\x1b[31m"`},
	} {
		got, err := layout.ByName(test.names...)
		if test.fails != "" {
			if err == nil || !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%q: error %v, want one with %q", test.names, err, test.fails)
			}
			continue
		}
		var names []string
		for _, l := range got {
			names = append(names, l.Name)
		}
		if err != nil || strings.Join(names, " ") != test.want {
			t.Errorf("%q: %q, %v; want %s", test.names, names, err, test.want)
		}
	}
}

// What layouts announce is fit to be used: names that a place takes, none twice,
// and together they make the files that they announce.
func TestAllLayouts(t *testing.T) {
	m := newMaker(t)
	c := m.credential()
	c.Key = m.keys[0]
	c.Chain[0] = m.certificate(c.Key)
	seen := map[string]bool{}
	for i, l := range layout.All() {
		if seen[l.Name] || i == 0 && l.Name != layout.Default {
			t.Errorf("layout %d is called %q", i, l.Name)
		}
		seen[l.Name] = true
		for j, f := range l.Files {
			if strings.Trim(f, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" || strings.HasPrefix(f, ".") || slices.Contains(l.Files[:j], f) {
				t.Errorf("%s makes a file %q", l.Name, f)
			}
		}
		if l.Roots != "" && !slices.Contains(l.Files, l.Roots) {
			t.Errorf("%s has its roots in %q, which it does not make", l.Name, l.Roots)
		}
		for _, other := range layout.All()[:i] {
			both, err := layout.ByName(l.Name, other.Name)
			if err != nil {
				continue
			}
			for i := range both {
				if both[i], err = both[i].With([]byte(password)); err != nil {
					t.Fatal(err)
				}
			}
			if files, err := issue.LayOut(c, []issue.Layout{both[0].Layout, both[1].Layout}); err != nil {
				t.Errorf("%s and %s together: files %q, %v", l.Name, other.Name, files.Names(), err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	m := newMaker(f)
	c := m.credential()
	c.Key = m.keys[0]
	c.Chain[0] = m.certificate(c.Key)
	for _, l := range every(f) {
		files, err := l.Encode(c)
		if strings.HasSuffix(l.Name, "pkcs1") {
			continue
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(files[l.Files[0]].Data)
		f.Add(files[l.Files[1]].Data)
	}
	all := every(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, l := range all {
			chain, err := l.Decode(issue.Files{l.Files[0]: {Data: data}})
			if (err == nil) != (len(chain) > 0) || slices.Contains(chain, nil) {
				t.Errorf("%s: %d certificates, %v", l.Name, len(chain), err)
			}
		}
	})
}
