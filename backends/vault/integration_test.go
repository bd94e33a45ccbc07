//go:build integration

package vault

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// A real Vault is held against the contract of every authority, and what its roles do
// is what is known of them.
func TestIntegrationVault(t *testing.T) {
	t.Parallel()
	s := &server{backendtest.StartVault(t, true, "vault-kubernetes")}
	t.Run("conformance", func(t *testing.T) {
		s.mount("conform", backendtest.VaultRole())
		a := s.open(t, backends.Vault{Mount: "conform", Role: "mesh"})
		issuers, err := a.issuers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Do("POST", "conform/roles/mesh", backendtest.VaultRole("max_ttl", "87600h"))
		backendtest.TestAuthority(t, func(t *testing.T) ca.Authority { return s.open(t, backends.Vault{Mount: "conform", Role: "mesh"}) }, backendtest.AuthorityOptions{
			Now: time.Now, Profiles: []string{"workload"}, Refused: ca.Names{URI: []string{"spiffe://other.example/x"}}, Longest: issuers[0].certificate.NotAfter})
	})
	t.Run("conformance of sign-verbatim", func(t *testing.T) {
		s.mount("verbatim", backendtest.VaultRole())
		backendtest.TestAuthority(t, func(t *testing.T) ca.Authority {
			return s.open(t, backends.Vault{Mount: "verbatim", Role: "mesh", Mode: "sign-verbatim", Issuer: "first"})
		}, backendtest.AuthorityOptions{Now: time.Now, KeyTypes: []ca.KeyType{ca.ECP256},
			Names: ca.Names{Subject: ca.CommonNameOnly("payment"), DNS: []string{"payment.prod"}, IP: []string{"10.0.0.5"}}})
		a := s.open(t, backends.Vault{Mount: "verbatim", Role: "mesh", Mode: "sign-verbatim"})
		if _, err := issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now()); !strings.Contains(fmt.Sprint(err), "X509-SVID, Section 4.1") {
			t.Errorf("a SPIFFE ID: %v", err)
		}
	})
	t.Run("roles", func(t *testing.T) { rows(t, s) })
	t.Run("revoke what is not kept", func(t *testing.T) { notKept(t, s) })
	t.Run("young CA", func(t *testing.T) { young(t, s) })
	t.Run("issuers", func(t *testing.T) { rotated(t, s) })
	t.Run("CAs", func(t *testing.T) { cas(t, s) })
	t.Run("ways in", func(t *testing.T) { waysIn(t, s) })
	t.Run("check", func(t *testing.T) { examined(t, s) })
	t.Run("suggested", func(t *testing.T) { suggested(t, s) })
}

func liveOrder(t *testing.T, life time.Duration) issue.Order {
	o := order(t, life)
	o.Validity.NotAfter = time.Now().Add(life)
	return o
}

func withNames(t *testing.T, o issue.Order, n ca.Names) issue.Order {
	id, err := ca.NewIdentity(n)
	if err != nil {
		t.Fatal(err)
	}
	o.Identity = id
	return o
}

// rows are what a role changes: each is refused or explained, never passed over.
func rows(t *testing.T, s *server) {
	s.mount("rows", backendtest.VaultRole())
	spiffe := "spiffe://cluster.local/ns/prod/sa/payment"
	plain := ca.Names{Subject: ca.CommonNameOnly("payment"), DNS: []string{"payment.prod"}, URI: []string{spiffe}}
	for _, c := range []struct {
		name   string
		role   map[string]any
		names  ca.Names
		life   time.Duration
		part   string // of a mismatch
		refuse string // of a refusal
		remedy string
	}{
		{name: "good", role: backendtest.VaultRole()},
		{name: "defaults", role: map[string]any{}, refuse: "role requires keys of type rsa", remedy: "vault patch rows/roles/mesh key_type=any"},
		{name: "larger keys", role: backendtest.VaultRole("key_type", "ec", "key_bits", 384), refuse: "minimum of a 384-bit key", remedy: "key_bits=0"},
		{name: "names beside the request", role: backendtest.VaultRole("use_csr_sans", false)},
		{name: "names beside the request, and its common name", role: backendtest.VaultRole("use_csr_sans", false, "use_csr_common_name", true)},
		{name: "its common name", role: backendtest.VaultRole("use_csr_common_name", true)},
		{name: "no common name", role: backendtest.VaultRole("require_cn", true), names: ca.Names{URI: []string{spiffe}}, refuse: "common_name field is required", remedy: "require_cn=false"},
		{name: "no common name allowed", role: backendtest.VaultRole(), names: ca.Names{URI: []string{spiffe}}},
		{name: "no URIs", role: backendtest.VaultRole("allowed_uri_sans", ""), refuse: "URI Subject Alternative Names", remedy: "allowed_uri_sans="},
		{name: "other URIs", role: backendtest.VaultRole("allowed_uri_sans", "spiffe://other/*"), refuse: "URI Subject Alternative Names", remedy: "allowed_uri_sans="},
		{name: "no addresses", role: backendtest.VaultRole("allow_ip_sans", false), names: ca.Names{DNS: plain.DNS, URI: plain.URI, IP: []string{"10.0.0.5"}}, refuse: "IP Subject Alternative Names", remedy: "allow_ip_sans=true"},
		{name: "other names", role: backendtest.VaultRole("allow_any_name", false, "allowed_domains", "example.com", "allow_subdomains", true), refuse: "not allowed by this role", remedy: "allow_any_name=true"},
		{name: "organization", role: backendtest.VaultRole("organization", "Example"), part: issue.PartSubject, remedy: "organization="},
		{name: "usage", role: backendtest.VaultRole("key_usage", "KeyAgreement"), part: issue.PartUsage, remedy: "key_usage=DigitalSignature"},
		{name: "uses", role: backendtest.VaultRole("server_flag", false), part: issue.PartEKU, remedy: "server_flag=true"},
		{name: "no basic constraints", role: backendtest.VaultRole("basic_constraints_valid_for_non_ca", false), part: issue.PartShape, remedy: "basic_constraints_valid_for_non_ca=true"},
		{name: "trimmed", role: backendtest.VaultRole("max_ttl", "1h"), life: 240 * time.Hour, part: issue.PartEnd, remedy: "max_ttl="},
		{name: "begins later", role: backendtest.VaultRole("not_before_duration", "1s")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.Do("POST", "rows/roles/mesh", c.role)
			a := s.open(t, backends.Vault{Mount: "rows", Role: "mesh"})
			if c.life == 0 {
				c.life = time.Hour
			}
			o := liveOrder(t, c.life)
			if len(c.names.URI) == 0 {
				c.names = plain
			}
			o = withNames(t, o, c.names)
			got, err := issue.Obtain(t.Context(), a, o, time.Now())
			hint := ""
			if r, ok := errors.AsType[interface {
				error
				Remedy() string
			}](err); ok {
				hint = r.Remedy()
			}
			switch {
			case c.part != "":
				m, ok := errors.AsType[*issue.Mismatch](err)
				if !ok || m.Part != c.part || !strings.Contains(hint, c.remedy) {
					t.Errorf("error %v, remedy %q", err, hint)
				}
			case c.refuse != "":
				if _, ok := ca.IsRefusal(err); !ok || !strings.Contains(err.Error(), c.refuse) || !strings.Contains(hint, c.remedy) {
					t.Errorf("error %v, remedy %q", err, hint)
				}
			case err != nil:
				t.Error(err)
			case len(got.Roots) != 1 || len(got.Chain) != 1:
				t.Errorf("%d roots, a chain of %d", len(got.Roots), len(got.Chain))
			}
			// What the first certificate shows was to be foreseen.
			found := a.predict(readRole(&answer{data: s.Do("GET", "rows/roles/mesh", nil)}), backends.Want{Name: "payment", Identity: o.Identity, Profile: o.Profile, KeyType: ca.ECP256, Validity: c.life}, 0)
			failed := 0
			for _, d := range found {
				if d.state == backends.StateFailed {
					failed++
				}
			}
			if (failed > 0) != (err != nil) {
				t.Errorf("foreseen: %v; it came: %v", found, err)
			}
		})
	}
}

func notKept(t *testing.T, s *server) {
	s.mount("unkept", backendtest.VaultRole("no_store", true))
	a := s.open(t, backends.Vault{Mount: "unkept", Role: "mesh"})
	c, err := issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Revoke(t.Context(), c.Leaf().SerialNumber, ca.Superseded); !errors.Is(err, ca.ErrUnknownSerial) {
		t.Errorf("by its serial number: %v", err)
	}
	if err := a.RevokeCertificate(t.Context(), c.Leaf(), ca.Superseded); err != nil {
		t.Errorf("by itself: %v", err)
	}
	if err := a.RevokeCertificate(t.Context(), c.Leaf(), ca.Superseded); !errors.Is(err, ca.ErrRevoked) {
		t.Errorf("twice: %v", err)
	}
}

// young: a CA that begins now signs nothing for the first 30 seconds.
func young(t *testing.T, s *server) {
	s.Do("POST", "sys/mounts/young", map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Young"}, NotBefore: now, NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var bundle bytes.Buffer
	_ = pem.Encode(&bundle, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&bundle, &pem.Block{Type: "PRIVATE KEY", Bytes: text})
	s.Do("POST", "young/config/ca", map[string]any{"pem_bundle": bundle.String()})
	s.Do("POST", "young/roles/mesh", backendtest.VaultRole())
	a := s.open(t, backends.Vault{Mount: "young", Role: "mesh"})
	_, err = issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now())
	if _, ok := ca.IsRefusal(err); !ok || !strings.Contains(err.Error(), "notBefore") {
		t.Errorf("error %v", err)
	}
	if r, ok := errors.AsType[*remedied](err); !ok || !strings.Contains(r.remedy, "30 seconds") {
		t.Errorf("remedy of %v", err)
	}
}

// rotated: another root in the mount is overlapped with the one before.
func rotated(t *testing.T, s *server) {
	s.mount("rotated", backendtest.VaultRole())
	a := s.open(t, backends.Vault{Mount: "rotated", Role: "mesh"})
	before, err := issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.Do("POST", "rotated/root/rotate/internal", map[string]any{"common_name": "Second", "key_type": "ec", "ttl": "8760h", "issuer_name": "second"})
	s.Do("POST", "rotated/root/replace", map[string]any{"default": "second"})
	after, err := issue.Obtain(t.Context(), a, liveOrder(t, time.Hour), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Roots) != 1 || len(after.Roots) != 2 || after.Leaf().Issuer.CommonName != "Second" {
		t.Errorf("%d roots, then %d; signed by %s", len(before.Roots), len(after.Roots), after.Leaf().Issuer)
	}
	pinned := s.open(t, backends.Vault{Mount: "rotated", Role: "mesh", Issuer: "first"})
	if c, err := issue.Obtain(t.Context(), pinned, liveOrder(t, time.Hour), time.Now()); err != nil || c.Leaf().Issuer.CommonName != "Root of rotated" {
		t.Errorf("by the issuer that is named: %v", err)
	}
	// Two mounts are two authorities.
	s.mount("team/pki", backendtest.VaultRole())
	other := s.open(t, backends.Vault{Mount: "team/pki", Role: "mesh"})
	if c, err := issue.Obtain(t.Context(), other, liveOrder(t, time.Hour), time.Now()); err != nil || len(c.Roots) != 1 || c.Roots[0].Equal(before.Roots[0]) {
		t.Errorf("another mount: %v", err)
	}
}

// cas: Vault's root over a CA of ours, ours over one that lives there.
func cas(t *testing.T, s *server) {
	s.mount("over", backendtest.VaultRole())
	a := s.open(t, backends.Vault{Mount: "over"})
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	spec := ca.Spec{CommonName: "Ours", NotBefore: time.Now().Add(-ca.Backdate), NotAfter: time.Now().Add(24 * time.Hour),
		Constraints: ca.Constraints{DNS: []string{"prod"}, Open: true}}
	csr, err := ca.RequestCA(spec, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.CertifyCA(t.Context(), csr, spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.CheckCA(chain.Leaf(), spec, key.Public()); err != nil {
		t.Error(err)
	}
	spec.NotAfter = time.Now().Add(4000 * 24 * time.Hour)
	if chain, err := a.CertifyCA(t.Context(), csr, spec); err == nil && chain.Leaf().NotAfter.After(time.Now().Add(43801*time.Hour)) {
		t.Error("it outlives the root")
	}
}
