//go:build integration

package vault

import (
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// row is one thing that a role does to what it is asked.
type row struct {
	name       string
	role       map[string]any
	names      ca.Names
	life       time.Duration
	part       string // of a mismatch
	refuse     string // of a refusal
	remedy     string
	unforeseen bool // that it may be so is foreseen, and not that it is
}

func roleRows(t *testing.T) (plain ca.Names, list []row) {
	spiffe := "spiffe://cluster.local/ns/prod/sa/payment"
	plain = ca.Names{Subject: ca.CommonNameOnly("payment"), DNS: []string{"payment.prod"}, URI: []string{spiffe}}
	subject := func(text string) pkix.RDNSequence {
		dn, err := ca.ParseDN(text)
		if err != nil {
			t.Fatal(err)
		}
		return dn
	}
	return plain, []row{
		{name: "good", role: backendtest.VaultRole()},
		{name: "defaults", role: map[string]any{}, refuse: "role requires keys of type rsa", remedy: "vault patch rows/roles/mesh key_type=any"},
		{name: "larger keys", role: backendtest.VaultRole("key_type", "ec", "key_bits", 384), refuse: "minimum of a 384-bit key", remedy: "key_bits=0"},
		{name: "keys as large", role: backendtest.VaultRole("key_type", "ec", "key_bits", 256)},
		{name: "a name that it takes for none", role: backendtest.VaultRole("use_csr_sans", false), names: ca.Names{DNS: []string{"payment.prod", "pay_ment.prod"}, URI: plain.URI}, part: issue.PartDNS, remedy: "use_csr_sans=true", unforeseen: true},
		{name: "more of a subject", role: backendtest.VaultRole(), names: ca.Names{Subject: subject("CN=payment,O=Ours,OU=Mesh"), DNS: plain.DNS, URI: plain.URI}, part: issue.PartSubject, remedy: "leave the rest of the subject out"},
		{name: "a serial number in the subject", role: backendtest.VaultRole(), names: ca.Names{Subject: subject("CN=payment,serialNumber=17"), DNS: plain.DNS, URI: plain.URI}, refuse: "serial_number 17 not allowed by this role"},
		{name: "another name without a common name", role: backendtest.VaultRole("allow_any_name", false, "allowed_domains", "example.com"), names: ca.Names{DNS: plain.DNS, URI: plain.URI}, refuse: "subject alternate name payment.prod not allowed", remedy: "allow_any_name=true"},
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
	}
}

// rows are what a role changes: each is refused or explained, never passed over.
func rows(t *testing.T, s *server) {
	s.mount("rows", backendtest.VaultRole())
	plain, list := roleRows(t)
	for _, c := range list {
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
			default:
				asVaultMakes(t, got, c.life)
			}
			// What the first certificate shows was to be foreseen.
			found := a.predict(readRole(&answer{data: s.Do("GET", "rows/roles/mesh", nil)}), backends.Want{Name: "payment", Identity: o.Identity, Profile: o.Profile, KeyType: ca.ECP256, Validity: c.life}, 0)
			failed := 0
			for _, d := range found {
				if d.state == backends.StateFailed {
					failed++
				}
			}
			if (failed > 0) != (err != nil) && !(c.unforeseen && len(found) > 0) {
				t.Errorf("foreseen: %v; it came: %v", found, err)
			}
		})
	}
}

// asVaultMakes holds a good answer against what is known of those of Vault: a life that
// begins 30 seconds back, a serial number of 20 bytes at the most, and names that are
// critical where there is no subject (RFC 5280, Section 4.2.1.6).
func asVaultMakes(t *testing.T, got *issue.Credential, life time.Duration) {
	t.Helper()
	leaf := got.Leaf()
	if len(got.Roots) != 1 || len(got.Chain) != 1 {
		t.Errorf("%d roots, a chain of %d", len(got.Roots), len(got.Chain))
	}
	if n := leaf.SerialNumber.BitLen(); n < 64 || n > 160 {
		t.Errorf("a serial number of %d bits", n)
	}
	if lives := leaf.NotAfter.Sub(leaf.NotBefore); lives < life || lives > life+31*time.Second {
		t.Errorf("it lives %s, and %s was asked", lives, life)
	}
	at := slices.IndexFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSubjectAltName) })
	if at < 0 || leaf.Extensions[at].Critical != (len(leaf.Subject.Names) == 0) {
		t.Errorf("its names stand at %d of %v", at, leaf.Extensions)
	}
}

// endOfIssuer: what an issuer does with a life beyond its own is an error, or told.
func endOfIssuer(t *testing.T, s *server) {
	s.mount("ends", backendtest.VaultRole("max_ttl", "87600h"))
	a := s.open(t, backends.Vault{Mount: "ends", Role: "mesh"})
	for _, c := range []struct {
		behaviour, part string
		refused, upTo   bool
	}{
		{behaviour: "err", refused: true}, {behaviour: "err", upTo: true}, {behaviour: "truncate", part: issue.PartEnd}, {behaviour: "truncate", upTo: true},
		{behaviour: "permit", part: issue.PartChain}, {behaviour: "permit", upTo: true, part: issue.PartChain},
	} {
		s.Do("POST", "ends/issuer/first", map[string]any{"issuer_name": "first", "leaf_not_after_behavior": c.behaviour})
		o := liveOrder(t, 5*8760*time.Hour+240*time.Hour)
		o.Validity.UpTo = c.upTo
		got, err := issue.Obtain(t.Context(), a, o, time.Now())
		m, differs := errors.AsType[*issue.Mismatch](err)
		switch {
		case c.part != "" && (!differs || m.Part != c.part):
			t.Errorf("%s, %t: %v", c.behaviour, c.upTo, err)
		case c.refused && (err == nil || differs || !strings.Contains(err.Error(), "outlive")):
			t.Errorf("%s, %t: %v", c.behaviour, c.upTo, err)
		case c.part == "" && !c.refused && (err != nil || got.Leaf().NotAfter.After(got.Roots[0].NotAfter)):
			t.Errorf("%s, %t: %v", c.behaviour, c.upTo, err)
		}
	}
	// Under a CA that may have none below it, Vault signs none (RFC 5280, Section 4.2.1.9).
	s.Do("POST", "sys/mounts/last", map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	s.Do("POST", "last/root/generate/internal", map[string]any{"common_name": "Last", "key_type": "ec", "ttl": "43800h", "max_path_length": 0})
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	spec := ca.Spec{CommonName: "Ours", NotBefore: time.Now().Add(-ca.Backdate), NotAfter: time.Now().Add(24 * time.Hour)}
	csr, err := ca.RequestCA(spec, key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.open(t, backends.Vault{Mount: "last"}).CertifyCA(t.Context(), csr, spec)
	if _, ok := ca.IsRefusal(err); !ok || !strings.Contains(err.Error(), "path length") {
		t.Errorf("below path length 0: %v", err)
	}
}
