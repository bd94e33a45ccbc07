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
	t.Run("issuer's end", func(t *testing.T) { endOfIssuer(t, s) })
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
