package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/command"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Random authorities, profiles and identities: what is issued passes path validation
// by two implementations and the linter, and holds to what its profile says; what is
// refused is refused by a rule that is named. integration_property_test.go has zlint
// and OpenSSL judge the same.

// dealer draws manifests.
type dealer struct{ *rand.Rand }

func (d dealer) one(of ...string) string { return of[d.IntN(len(of))] }

// dealt is a service of such a manifest, as its own test has to see it.
type dealt struct {
	name, profile string
	dns           []string
}

// profileNames are those that manifest makes; the first four are built in.
var profileNames = []string{"workload", "server", "client", "peer", "gateway", "signer", "narrow"}

// manifest is a random one of n services.
func (d dealer) manifest(n int) (text string, services []dealt) {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: meshpki/v1\nprofiles:\n"+
		"  gateway: {from: server, keyTypes: [%s], validity: %dh, maxValidity: 30d, policies: [1.3.6.1.4.1.99999.%d], noWildcards: true}\n"+
		"  signer: {usages: [digital signature, %s, client auth, %s], subject: {add: \"O=Example %d,C=SE\"}}\n"+
		"  narrow: {allow: [{dns: %s.example.com}, {spiffe: spiffe://cluster.local/ns/prod}, {ip: 10.%d.0.0/16}], forbid: [{dnsGlob: \"*.secret.**\"}], maxValidity: 10d, urls: {crl: [\"http://pki.example.com/{authority}.crl\"]}}\n"+
		"services:\n", d.one("ec-p256, ec-p384", "ed25519, ec-p256"), 1+d.IntN(200), 1+d.IntN(99),
		d.one("content commitment", "key agreement", "key encipherment"), d.one("code signing", "email protection", "server auth"), d.IntN(100), d.one("a", "b"), d.IntN(2))
	for i := range n {
		s := dealt{name: fmt.Sprintf("s%d", i), profile: d.one(profileNames...)}
		fmt.Fprintf(&b, "  - name: %s\n    namespace: %s\n    profile: %s\n", s.name, d.one("prod", "dev"), s.profile)
		switch kind := d.one("istio", "dapr", "kuma", "consul", "linkerd", "plain", ""); kind {
		case "":
		case "consul":
			b.WriteString("    identity: consul\n    datacenter: dc1\n")
		default:
			fmt.Fprintf(&b, "    identity: %s\n", kind)
		}
		for range d.IntN(3) {
			s.dns = append(s.dns, d.one("", "", "*.")+d.one("x", "y", "secret")+"."+d.one("a", "b", "secret.a")+".example.com")
		}
		slices.Sort(s.dns)
		if s.dns = slices.Compact(s.dns); len(s.dns) > 0 {
			fmt.Fprintf(&b, "    dns: [\"%s\"]\n", strings.Join(s.dns, `", "`))
		}
		if d.IntN(3) == 0 {
			fmt.Fprintf(&b, "    ip: [10.%d.0.%d]\n", d.IntN(2), d.IntN(256))
		}
		if d.IntN(4) == 0 {
			fmt.Fprintf(&b, "    validity: %dd\n", 1+d.IntN(15))
		}
		if d.IntN(4) == 0 {
			b.WriteString(d.one("    noSubject: true\n", "    subject: \"CN=a,O=b\"\n", "    commonName: Some Thing\n"))
		}
		if d.IntN(4) == 0 {
			fmt.Fprintf(&b, "    keyType: %s\n", d.one("ec-p384", "ed25519", "ec-p256"))
		}
		services = append(services, s)
	}
	return b.String(), services
}

func (d dealer) authority() []string {
	flags := []string{"ca", "init", "--key-type", d.one("ec-p256", "ec-p384", "ed25519")}
	if d.IntN(3) == 0 {
		flags = append(flags, "--permit-dns", "example.com", "--permit-spiffe", "cluster.local", "--permit-cidr", "10.0.0.0/8")
	}
	return flags
}

// mainAt runs the real main at a time.
func mainAt(t *testing.T, now time.Time, args ...string) (stdout string, code int) {
	t.Helper()
	var out, words bytes.Buffer
	env := world(append([]string{"meshpki"}, args...), func() time.Time { return now })
	env.Stdout, env.Stderr, env.Getenv = &out, &words, func(string) string { return "" }
	env.StdinTTY, env.StdoutTTY, env.StderrTTY = false, false, false
	code = command.Main(context.Background(), env)
	if code != 0 && code != 5 {
		t.Fatalf("meshpki %s: %d %s", strings.Join(args, " "), code, words.String())
	}
	return out.String(), code
}

func TestWhatIsIssuedHolds(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	issued, refused := 0, 0
	for seed := range uint64(4) {
		d := dealer{rand.New(rand.NewPCG(seed, 7))}
		dir := filepath.Join(t.TempDir(), "pki")
		list := filepath.Join(filepath.Dir(dir), "mesh.yaml")
		text, services := d.manifest(25)
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		mainAt(t, now, append(d.authority(), "--dir", dir)...)
		out, _ := mainAt(t, now, "issue", "--file", list, "--dir", dir, "--json")
		var answer struct {
			Data []struct {
				State, Reason, NotSVID string
				Places                 []struct{ To string }
			}
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Data) != len(services) {
			t.Fatalf("%v in %s", err, out)
		}
		for i, got := range answer.Data {
			if got.State == "failed" {
				refused++
				if !strings.Contains(got.Reason, "is refused: ") && !strings.Contains(got.Reason, "leaves nothing to certify") || strings.Contains(got.Reason, "is refused: profile") && !strings.Contains(got.Reason, "mesh.yaml:") {
					t.Errorf("%s: %s, of\n%s", services[i].name, got.Reason, text)
				}
				continue
			}
			issued++
			holds(t, services[i], got.Places[0].To, got.NotSVID, now)
		}
	}
	if issued < 30 || refused < 10 {
		t.Errorf("%d were issued and %d refused: the test tries too little", issued, refused)
	}
}

// holds judges one certificate.
func holds(t *testing.T, s dealt, dir, notSVID string, now time.Time) {
	t.Helper()
	chain, roots := pemOf(t, dir, "tls.crt"), pemOf(t, dir, "ca.crt")
	leaf := chain[0]
	result := inspect.Verify(s.name, leaf, inspect.Options{Roots: roots, Intermediates: chain[1:], At: now})
	if !result.Trusted {
		t.Errorf("%s is not trusted: %+v", s.name, result.Findings)
	}
	above, below := x509.NewCertPool(), x509.NewCertPool()
	above.AddCert(roots[0])
	for _, c := range chain[1:] {
		below.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: above, Intermediates: below, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("%s: %v", s.name, err)
	}
	objects, err := inspect.Parse(leaf.Raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range inspect.DescribeAll(s.name, objects, now)[0].Findings {
		switch {
		case f.Severity != inspect.SeverityError:
		case !strings.HasPrefix(f.Rule, "svid-"):
			t.Errorf("%s: %+v", s.name, f)
		case notSVID == "":
			t.Errorf("%s is no X509-SVID, and is not called so: %+v", s.name, f)
		}
	}
	for _, name := range s.dns {
		if !slices.Contains(leaf.DNSNames, name) {
			t.Errorf("%s was asked for and is not in %s", name, s.name)
		}
	}
	life := leaf.NotAfter.Sub(now)
	switch s.profile {
	case "gateway":
		if len(leaf.Policies) != 1 || life > 30*24*time.Hour || slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return n[0] == '*' }) {
			t.Errorf("%s is no gateway's: %v %v %v", s.name, leaf.Policies, life, leaf.DNSNames)
		}
	case "signer":
		if len(leaf.Subject.Names) > 0 && len(leaf.Subject.Organization) == 0 {
			t.Errorf("%s has the subject %s", s.name, leaf.Subject)
		}
	case "narrow":
		for _, n := range leaf.DNSNames {
			if !strings.HasSuffix(n, ".example.com") || strings.Contains(n, "secret.") {
				t.Errorf("%s certifies %s", s.name, n)
			}
		}
		for _, u := range leaf.URIs {
			if !strings.HasPrefix(u.String(), "spiffe://cluster.local/ns/prod/") {
				t.Errorf("%s certifies %s", s.name, u)
			}
		}
		if slices.ContainsFunc(leaf.IPAddresses, func(ip net.IP) bool { return ip[0] != 10 }) || life > 10*24*time.Hour ||
			!slices.Equal(leaf.CRLDistributionPoints, []string{"http://pki.example.com/issuing.crl"}) {
			t.Errorf("%s has %v until %s, %v", s.name, leaf.IPAddresses, leaf.NotAfter, leaf.CRLDistributionPoints)
		}
	}
}

func pemOf(t *testing.T, dir, name string) []*x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pemfile.Certificates(data)
	if err != nil || len(certs) == 0 {
		t.Fatalf("%s in %s: %v", name, dir, err)
	}
	return certs
}
