package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// identifierOf works out a key identifier from the key itself, not from a
// certificate: the leftmost 160 bits of the SHA-256 of the BIT STRING's content.
func identifierOf(t *testing.T, pub crypto.PublicKey) []byte {
	t.Helper()
	var bits []byte
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		bits = must(k.Bytes())
	case *rsa.PublicKey:
		bits = x509.MarshalPKCS1PublicKey(k)
	case ed25519.PublicKey:
		bits = k
	default:
		t.Fatalf("a key of another kind: %T", pub)
	}
	sum := sha256.Sum256(bits)
	return sum[:20]
}

// checkCA holds a CA certificate against what every one of them must be.
func checkCA(t *testing.T, c, issuer *x509.Certificate, spec Spec, pub crypto.PublicKey) {
	t.Helper()
	want := map[string]bool{extBasic: true, extKeyUsage: true, extSKI: false, extAKI: false}
	if !spec.URI.IsZero() {
		want[extSAN] = false
	}
	if !spec.Constraints.Empty() {
		want[extConstraints] = true
	}
	if got := extensions(t, c); !maps.Equal(got, want) {
		t.Errorf("extensions %v; want %v", got, want)
	}
	if got := extension(c, oidKeyUsage); !bytes.Equal(got, []byte{3, 2, 1, 0b0000_0110}) {
		t.Errorf("key usage %x; want keyCertSign and cRLSign alone", got)
	}
	basic := struct {
		CA      bool
		PathLen int `asn1:"optional,default:-1"`
	}{}
	if rest, err := asn1.Unmarshal(extension(c, oidBasicConstraints), &basic); err != nil || len(rest) > 0 || !basic.CA || basic.PathLen != max(spec.MaxPathLen, -1) {
		t.Errorf("basic constraints %+v, %v; want path length %d", basic, err, spec.MaxPathLen)
	}
	if want := identifierOf(t, pub); !bytes.Equal(c.SubjectKeyId, want) {
		t.Errorf("subject key identifier %x; want %x", c.SubjectKeyId, want)
	}
	if !bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId) {
		t.Errorf("authority key identifier %x; want %x", c.AuthorityKeyId, issuer.SubjectKeyId)
	}
	if !c.NotBefore.Equal(spec.NotBefore) || !c.NotAfter.Equal(spec.NotAfter) {
		t.Errorf("valid from %s to %s; want %s to %s", c.NotBefore, c.NotAfter, spec.NotBefore, spec.NotAfter)
	}
	if c.Version != 3 || c.Subject.String() != "CN="+spec.CommonName || !bytes.Equal(c.RawIssuer, issuer.RawSubject) {
		t.Errorf("version %d, subject %s, issuer %s", c.Version, c.Subject, c.Issuer)
	}
	if n := c.SerialNumber; n.Sign() <= 0 || n.BitLen() > 159 {
		t.Errorf("serial number %d of %d bits", n, n.BitLen())
	}
	if len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses) > 0 || len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 {
		t.Error("a CA certificate with names of a server, or extended key usage")
	}
	if !spec.URI.IsZero() && (len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://"+spec.URI.String()) {
		t.Errorf("URIs %v; want the trust domain's ID", c.URIs)
	}
	if err := c.CheckSignatureFrom(issuer); err != nil {
		t.Error(err)
	}
	if sum := sha256.Sum256(c.Raw); Fingerprint(c) != fmt.Sprintf("%x", sum) {
		t.Errorf("fingerprint %s", Fingerprint(c))
	}
}

// TestCACertificates makes a root and an intermediate with every type of key and
// every path length that fits.
func TestCACertificates(t *testing.T) {
	for _, kt := range KeyTypes() {
		for _, lengths := range [][2]int{{1, 0}, {-1, -1}, {-1, 0}, {2, 1}, {5, 2}} {
			root, issuing := rootSpec(), issuingSpec()
			root.MaxPathLen, issuing.MaxPathLen = lengths[0], lengths[1]
			above := newRootOf(t, root, key(t, kt))
			other := key(t, ECP256)
			if kt == ECP256 {
				other = key(t, Ed25519)
			}
			ca := belowOf(t, above, issuing, other)
			t.Run(fmt.Sprint(string(kt), lengths), func(t *testing.T) {
				checkCA(t, above.Certificate, above.Certificate, root, key(t, kt).Public())
				checkCA(t, ca.Certificate, above.Certificate, issuing, other.Public())
				for _, i := range []*Issuer{above, ca} {
					if err := i.Validate(); err != nil {
						t.Error(err)
					}
				}
				if bytes.Equal(above.Certificate.SubjectKeyId, ca.Certificate.SubjectKeyId) {
					t.Error("two keys, one identifier")
				}
			})
		}
	}
}

func TestCAWithURIAndConstraints(t *testing.T) {
	for _, td := range []string{"cluster.local", "my_mesh", "10.0.0.5", strings.Repeat("t", 255)} {
		spec := rootSpec()
		spec.URI = trustDomain(td)
		root := newRoot(t, spec)
		checkCA(t, root.Certificate, root.Certificate, spec, root.Signer.Public())
	}
	spec := rootSpec()
	spec.URI = trustDomain("cluster.local")
	spec.Constraints = Constraints{DNS: []string{"example.com"}, URI: append(spec.Constraints.URI, spec.URI), IP: prefixes("10.0.0.0/8"), Email: []string{"example.com"}}
	root := newRoot(t, spec)
	checkCA(t, root.Certificate, root.Certificate, spec, root.Signer.Public())
	issuing := issuingSpec()
	issuing.URI = spec.URI
	ca := below(t, root, issuing)
	checkCA(t, ca.Certificate, root.Certificate, issuing, ca.Signer.Public())
}

// TestSpecRefused: what no CA certificate can be is refused before the key is used.
func TestSpecRefused(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"no name":             func(s *Spec) { s.CommonName = "" },
		"65 characters":       func(s *Spec) { s.CommonName = strings.Repeat("ü", 65) },
		"control character":   func(s *Spec) { s.CommonName = "Test\nRoot" },
		"bidi override":       func(s *Spec) { s.CommonName = "Test \u202etooR" },
		"not UTF-8":           func(s *Spec) { s.CommonName = "Test \xff" },
		"ends at its start":   func(s *Spec) { s.NotAfter = s.NotBefore },
		"ends before it":      func(s *Spec) { s.NotAfter = s.NotBefore.Add(-time.Second) },
		"no end":              func(s *Spec) { s.NotAfter = time.Time{} },
		"a year of 5 digits":  func(s *Spec) { s.NotAfter = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"less than a second":  func(s *Spec) { s.NotAfter = s.NotBefore.Add(time.Millisecond) },
		"a wrong constraint":  func(s *Spec) { s.Constraints.DNS = []string{"*.example.com"} },
		"host of empty parts": func(s *Spec) { s.URI = trustDomain("a..b") },
	} {
		spec := rootSpec()
		change(&spec)
		signer, ledger := &counter{Signer: key(t, ECP256)}, &memory{}
		cert, err := NewRoot(t.Context(), spec, signer, ledger, now)
		if err == nil || cert != nil || signer.signed.Load() > 0 || len(ledger.entries) > 0 {
			t.Errorf("%s: %v, signed %d times", name, err, signer.signed.Load())
		}
		readsWell(t, err)
		if name == "host of empty parts" || spec.CommonName != rootSpec().CommonName {
			if _, ok := errors.AsType[*NameError](err); !ok {
				t.Errorf("%s: %v; want a *NameError", name, err)
			}
		} else if !spec.NotAfter.After(spec.NotBefore) {
			asValidity(t, name, err)
		}
	}
	spec := rootSpec()
	spec.CommonName = strings.Repeat("ü", 64)
	if root := newRoot(t, spec); root.Certificate.Subject.CommonName != spec.CommonName {
		t.Errorf("64 characters became %q", root.Certificate.Subject.CommonName)
	}
}

func TestRootOfWeakKey(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	ledger := &memory{}
	cert, err := NewRoot(t.Context(), rootSpec(), weak, ledger, now)
	refusal(t, "RSA 1024", err)
	if cert != nil || len(ledger.entries) > 0 {
		t.Error("a root with a weak key is made")
	}
	root := newRoot(t, rootSpec())
	_, err = root.IssueCA(t.Context(), issuingSpec(), weak.Public())
	refusal(t, "RSA 1024", err)
	if signed(root) > 0 {
		t.Error("an intermediate with a weak key is signed")
	}
}

// TestPathLength: an intermediate is refused exactly where it would not verify,
// or would claim more than its issuer may give.
func TestPathLength(t *testing.T) {
	specOf := func(name string, length int) Spec {
		s := issuingSpec()
		s.CommonName, s.MaxPathLen = name, length
		return s
	}
	for p := -1; p <= 2; p++ {
		rootOf := rootSpec()
		rootOf.MaxPathLen = p
		root := newRoot(t, rootOf)
		for q := -1; q <= 2; q++ {
			name := fmt.Sprintf("%d under %d", q, p)
			_, err := root.IssueCA(t.Context(), specOf("first", q), key(t, ECP384).Public())
			fits := p < 0 || p >= 1 && q >= 0 && q <= p-1
			if (err == nil) != fits {
				t.Errorf("path length %s: %v", name, err)
			}
			if err != nil {
				refusal(t, name, err)
				continue
			}
			first := below(t, root, specOf("first", q))
			for r := -1; r <= 2; r++ {
				name := fmt.Sprintf("%d under %s", r, name)
				before := signed(first)
				_, err := first.IssueCA(t.Context(), specOf("second", r), key(t, ECP384).Public())
				fits := (p < 0 || p >= 2 && r >= 0 && r <= p-2) && (q < 0 || q >= 1 && r >= 0 && r <= q-1)
				if (err == nil) != fits || (signed(first) > before) != fits {
					t.Errorf("path length %s: %v", name, err)
				}
				if err != nil {
					refusal(t, name, err)
					continue
				}
				second := below(t, first, specOf("second", r))
				chain, err := second.Issue(t.Context(), workload(t))
				if err != nil {
					t.Fatal(err)
				}
				if err := verify(chain, root.Certificate); err != nil {
					t.Errorf("path length %s: a leaf below does not verify: %v", name, err)
				}
			}
		}
	}
}

// TestIntermediateNeverOutlives: the default is for the caller; what is asked is
// given whole or refused.
func TestIntermediateNeverOutlives(t *testing.T) {
	root := newRoot(t, rootSpec())
	spec := issuingSpec()
	spec.NotAfter = root.Certificate.NotAfter
	if c := below(t, root, spec).Certificate; !c.NotAfter.Equal(root.Certificate.NotAfter) {
		t.Errorf("up to the root's end became %s", c.NotAfter)
	}
	spec.NotAfter = root.Certificate.NotAfter.Add(time.Second)
	before := signed(root)
	_, err := root.IssueCA(t.Context(), spec, key(t, ECP256).Public())
	if v := asValidity(t, "beyond the root", err); !v.Limit.Equal(root.Certificate.NotAfter) || !v.NotAfter.Equal(spec.NotAfter) || v.Issuer != "Test Root CA" {
		t.Errorf("beyond the root: %+v", v)
	}
	spec = issuingSpec()
	spec.NotBefore = root.Certificate.NotBefore.Add(-time.Hour)
	if c := below(t, root, spec).Certificate; !c.NotBefore.Equal(root.Certificate.NotBefore) {
		t.Errorf("it begins %s, before its root", c.NotBefore)
	}
	if signed(root) != before+1 {
		t.Errorf("%d signatures for one certificate", signed(root)-before)
	}
}

// TestSerials draws many and looks at every bit.
func TestSerials(t *testing.T) {
	const draws, bits = 4000, 127
	seen := map[string]bool{}
	var set [bits + 8]int
	for range draws {
		n := newSerial()
		der := must(asn1.Marshal(n))
		if n.Sign() <= 0 || len(der)-2 > 20 || n.BitLen() > bits || seen[n.String()] {
			t.Fatalf("serial number %x: not positive, of more than 20 octets, or given twice", n)
		}
		seen[n.String()] = true
		for b := range set {
			set[b] += int(n.Bit(b))
		}
	}
	random := 0
	for _, n := range set {
		if n > draws*44/100 && n < draws*56/100 {
			random++
		}
	}
	if random < bits {
		t.Errorf("%d bits of %d look random: %v", random, bits, set)
	}
}

// TestIssuedSerials: they get into the certificates as they were drawn.
func TestIssuedSerials(t *testing.T) {
	issuer, seen, req := newIssuer(t), map[string]bool{}, workload(t)
	var longest int
	for range 200 {
		chain, err := issuer.Issue(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		n := chain.Leaf().SerialNumber
		longest = max(longest, n.BitLen())
		if n.Sign() <= 0 || n.BitLen() > 159 || seen[n.String()] {
			t.Fatalf("serial number %x: not positive, of more than 20 octets, or given twice", n)
		}
		seen[n.String()] = true
	}
	if longest < 120 {
		t.Errorf("the longest of 200 serial numbers has %d bits", longest)
	}
}

// TestRootIsRecordedFirst: without a record there is no root.
func TestRootIsRecordedFirst(t *testing.T) {
	broken := errors.New("disk full")
	ledger := &memory{record: func(context.Context, Entry) error { return broken }}
	cert, err := NewRoot(t.Context(), rootSpec(), key(t, ECP256), ledger, now)
	if cert != nil || !errors.Is(err, broken) {
		t.Errorf("%v beside %v", cert, err)
	}
	readsWell(t, err)
	ledger.record = nil
	if cert, err = NewRoot(t.Context(), rootSpec(), key(t, ECP256), ledger, now.Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	if len(ledger.entries) != 1 || ledger.entries[0].Kind != KindCA || !bytes.Equal(ledger.entries[0].Certificate, cert.Raw) || !ledger.entries[0].At.Equal(now) {
		t.Errorf("the record is %+v", ledger.entries)
	}
	intermediate := &Issuer{Certificate: cert, Signer: key(t, ECP256), Ledger: &memory{record: func(context.Context, Entry) error { return broken }}, Now: clock}
	if chain, err := intermediate.IssueCA(t.Context(), issuingSpec(), key(t, Ed25519).Public()); chain != nil || !errors.Is(err, broken) {
		t.Errorf("an intermediate: %v beside %v", chain, err)
	}
}

func TestFormatSerial(t *testing.T) {
	for in, want := range map[string]string{"0": "00", "1": "01", "f": "0f", "10": "10", "abc": "0abc", "ff00": "ff00", "-1": "-01", "-abc": "-0abc"} {
		n, _ := new(big.Int).SetString(in, 16)
		got := FormatSerial(n)
		if got != want {
			t.Errorf("FormatSerial(%s) = %q; want %q", in, got, want)
		}
		if back, err := ParseSerial(got); err != nil || back.Cmp(n) != 0 {
			t.Errorf("ParseSerial(%q) = %v, %v", got, back, err)
		}
	}
	for in, want := range map[string]string{"0xABC": "abc", "0X0a": "a", "AB:CD:01": "abcd01", "00ff": "ff", "7": "7", strings.Repeat("7f", 20): strings.Repeat("7f", 20)} {
		if got, err := ParseSerial(in); err != nil || got.Text(16) != want {
			t.Errorf("ParseSerial(%q) = %x, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0x", ":", "-", "xyz", "12 34", "1.5", "--1", "é", "\x00", strings.Repeat("ff", 22), strings.Repeat("f", 1<<16)} {
		got, err := ParseSerial(in)
		if err == nil || got != nil {
			t.Errorf("ParseSerial(%.20q) = %v", in, got)
		}
		readsWell(t, err)
	}
}

func TestKeyTypes(t *testing.T) {
	names := map[KeyType]string{ECP256: "EC P-256", ECP384: "EC P-384", Ed25519: "Ed25519", RSA2048: "RSA 2048", RSA3072: "RSA 3072",
		RSA4096: "RSA 4096", "ec-p521": "EC P-521", "ec-p224": "EC P-224", "rsa-1024": "RSA 1024"}
	for _, kt := range KeyTypes() {
		if got, err := ParseKeyType(string(kt)); err != nil || got != kt {
			t.Errorf("ParseKeyType(%q) = %q, %v", string(kt), string(got), err)
		}
		pub := key(t, kt).Public()
		if got := KeyTypeOf(pub); got != kt {
			t.Errorf("a key made as %s is %s", kt, got)
		}
		if err := CheckKey(pub); err != nil {
			t.Errorf("%s: %v", kt, err)
		}
		if names[kt] == "" {
			t.Errorf("%s has no name here", string(kt))
		}
	}
	for kt, want := range names {
		if kt.String() != want {
			t.Errorf("%s reads %q; want %q", string(kt), kt.String(), want)
		}
	}
	if got, err := ParseKeyType(""); err != nil || got != KeyTypes()[0] || got != ECP256 {
		t.Errorf("the default is %q, %v", string(got), err)
	}
	for _, s := range []string{"EC-P256", "ec-p521", "rsa", "rsa-1024", " ec-p256", "x\n"} {
		_, err := ParseKeyType(s)
		if err == nil {
			t.Errorf("ParseKeyType(%q) is taken", s)
		}
		readsWell(t, err)
		if _, err := NewKey(KeyType(s)); err == nil {
			t.Errorf("a key of type %q is made", s)
		}
	}
	if !slices.Equal(KeyTypes(), KeyTypes()) || KeyTypeOf("no key") != "unknown" {
		t.Error("the list changes, or no key has a type")
	}
}
