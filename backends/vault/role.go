package vault

import (
	"context"
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// role is what a role of the mount is set to.
type role struct {
	keyType                                                            string
	keyBits                                                            int64
	allowAnyName, allowBare, allowSubdomains, allowGlob, allowWildcard bool
	allowIP, allowLocalhost, enforceHostnames, requireCN               bool
	csrSANs, csrCN, basicConstraints, server, client, emailFlag        bool
	allowedDomains, allowedURIs, keyUsage                              []string
	subject                                                            []string // settings that put more into the subject
	maxTTL, notBefore                                                  time.Duration
	issuerRef                                                          string
	generateLease, noStore                                             bool
}

// readRole reads the settings of a role.
func readRole(a *answer) *role {
	span := func(name string) time.Duration { return time.Duration(a.number(name)) * time.Second }
	r := &role{
		keyType: a.text("key_type"), keyBits: a.number("key_bits"),
		allowAnyName: a.is("allow_any_name"), allowBare: a.is("allow_bare_domains"), allowSubdomains: a.is("allow_subdomains"),
		allowGlob: a.is("allow_glob_domains"), allowWildcard: a.is("allow_wildcard_certificates"), allowIP: a.is("allow_ip_sans"),
		allowLocalhost: a.is("allow_localhost"), enforceHostnames: a.is("enforce_hostnames"), requireCN: a.is("require_cn"),
		csrSANs: a.is("use_csr_sans"), csrCN: a.is("use_csr_common_name"), basicConstraints: a.is("basic_constraints_valid_for_non_ca"),
		server: a.is("server_flag"), client: a.is("client_flag"), emailFlag: a.is("email_protection_flag"),
		allowedDomains: a.list("allowed_domains"), allowedURIs: a.list("allowed_uri_sans"), keyUsage: a.list("key_usage"),
		maxTTL: span("max_ttl"), notBefore: span("not_before_duration"), issuerRef: a.text("issuer_ref"),
		generateLease: a.is("generate_lease"), noStore: a.is("no_store"),
	}
	for _, name := range []string{"ou", "organization", "country", "locality", "province", "street_address", "postal_code"} {
		if len(a.list(name)) > 0 {
			r.subject = append(r.subject, name)
		}
	}
	return r
}

// roleNow reads the role, if the policies let it be read; nil where they do not.
func (a *Authority) roleNow(ctx context.Context) *role {
	a.mu.Lock()
	known := a.role
	a.mu.Unlock()
	if known != nil || a.settings.Role == "" {
		return known
	}
	got, err := a.client.read(ctx, a.path("roles", a.settings.Role))
	if err != nil || len(got.data) == 0 {
		return nil
	}
	known = readRole(got)
	a.mu.Lock()
	a.role = known
	a.mu.Unlock()
	return known
}

// forgetRole has it read anew: it has been changed since, perhaps.
func (a *Authority) forgetRole() {
	a.mu.Lock()
	a.role = nil
	a.mu.Unlock()
}

// patch is the command that changes settings of the role and leaves the others.
func (a *Authority) patch(settings ...string) string {
	return "vault patch " + a.path("roles", firstOf(a.settings.Role, "<role>")) + " " + strings.Join(settings, " ")
}

// Explain names the setting of the role that changes a part of a certificate, and the
// command that mends it.
func (a *Authority) Explain(ctx context.Context, part string) (cause, remedy string) {
	a.forgetRole()
	r := a.roleNow(ctx)
	if a.settings.Mode == modeVerbatim && part != issue.PartEnd {
		return "the call is sign-verbatim, for which the role sets nothing but the life", ""
	}
	role := "role " + firstOf(a.settings.Role, "?")
	switch part {
	case issue.PartURI, issue.PartDNS, issue.PartIP, issue.PartEmail, issue.PartNames:
		if r != nil && r.csrSANs {
			return role + " takes the names from the request, and changed them", ""
		}
		return role + " has use_csr_sans=false: it drops what it does not take for a name, without a word", a.patch("use_csr_sans=true")
	case issue.PartSubject:
		return a.explainSubject(role, r)
	case issue.PartUsage:
		return role + " sets key_usage, whatever the request says", a.patch("key_usage=DigitalSignature")
	case issue.PartEKU:
		return role + " sets the extended key usage by its flags" + flagsOf(r), a.patch("server_flag=true", "client_flag=true", "email_protection_flag=false", "code_signing_flag=false", "ext_key_usage=", "ext_key_usage_oids=")
	case issue.PartEnd:
		if r != nil && r.maxTTL > 0 {
			return fmt.Sprintf("%s has max_ttl=%s and trims what is longer", role, span(r.maxTTL)), a.patch("max_ttl=<longer>") + ", or a shorter validity in the order"
		}
		return "the mount has a greatest life and trims what is longer", "vault secrets tune -max-lease-ttl=<longer> " + a.settings.Mount + ", or a shorter validity in the order"
	case issue.PartBegin:
		return "the clock of Vault goes before this machine's, or " + role + " has a not_before_duration below zero", a.patch("not_before_duration=30s")
	case issue.PartShape:
		return role + " has basic_constraints_valid_for_non_ca=false", a.patch("basic_constraints_valid_for_non_ca=true")
	case issue.PartChain:
		return "the mount's issuer lets a certificate outlive it, or its chain is not whole",
			"vault patch " + a.path("issuer", firstOf(a.settings.Issuer, "default")) + " leaf_not_after_behavior=err"
	}
	return "", ""
}

// span writes a time as people write it for Vault: 1h, not 1h0m0s.
func span(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}

func (a *Authority) explainSubject(role string, r *role) (cause, remedy string) {
	if r != nil && len(r.subject) > 0 {
		empty := make([]string, len(r.subject))
		for i, s := range r.subject {
			empty[i] = s + "="
		}
		return role + " puts its own " + strings.Join(r.subject, ", ") + " into the subject", a.patch(empty...)
	}
	return role + " takes nothing of a subject but the common name", "leave the rest of the subject out of the order"
}

// noShape is why sign-verbatim cannot give an X509-SVID.
func noShape() error {
	return &remedied{&ca.Refusal{What: "the SPIFFE ID", Why: "sign-verbatim gives no basic constraints, which an X509-SVID has to have", Citation: "X509-SVID, Section 4.1"},
		"mode: sign, and a role with basic_constraints_valid_for_non_ca=true"}
}

func flagsOf(r *role) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf(" (server_flag=%t, client_flag=%t)", r.server, r.client)
}

// reasons are the refusals of Vault whose setting is known: what is refused, and the
// settings that would let it pass.
var reasons = []struct {
	text, what string
	settings   []string
}{
	{`role requires (keys of type|a minimum of)`, "the key", []string{"key_type=any", "key_bits=0"}},
	{`common_name field is required`, "a request without a common name", []string{"require_cn=false"}},
	{`serial_number .* not allowed`, "the serial number in the subject", nil},
	{`URI Subject Alternative Names? (are|were|was|is)?.*not allowed|uri_sans|URI Subject Alternative Name`, "the URI SAN", []string{"allowed_uri_sans=spiffe://<trust domain>/*"}},
	{`IP Subject Alternative Names are not allowed`, "the IP address", []string{"allow_ip_sans=true"}},
	{`common name .* not allowed`, "the common name", []string{"allow_any_name=true"}},
	{`subject alternate name .* not allowed`, "the name", []string{"allow_any_name=true"}},
	{`email address .* not allowed`, "the email address", []string{"allow_any_name=true"}},
}

// reasonOf recognises a refusal, and tells what mends it.
func (a *Authority) reasonOf(_ context.Context, text string) (what, remedy string) {
	match := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(text) }
	switch {
	case match(`unknown role`):
		return "the role", "meshpki backend check " + a.String() + " --suggest prints one that would do"
	case match(`notBefore before signer's notBefore|before the CA's notBefore`):
		return "the certificate for now", "the CA of the mount is younger than 30 seconds: wait, or give a CA a notBefore a minute back"
	case match(`no issuer|no default issuer|unable to find PKI issuer`):
		return "the issuer", "vault list " + a.path("issuers") + " names those that are there"
	}
	for _, r := range reasons {
		if !match(r.text) {
			continue
		}
		if len(r.settings) == 0 {
			return r.what, ""
		}
		return r.what, a.patch(r.settings...)
	}
	return "", ""
}

// keyKind is a type of keys as Vault has it: its kind, and how many bits; 0 where the
// kind alone says it.
func keyKind(kt ca.KeyType) (kind string, bits int64) {
	kind, size, _ := strings.Cut(string(kt), "-")
	bits, _ = strconv.ParseInt(strings.TrimPrefix(size, "p"), 10, 64)
	return kind, bits
}

// covers tells whether a role signs keys of that type.
func (r *role) covers(kt ca.KeyType) string {
	kind, bits := keyKind(kt)
	switch {
	case r.keyType == "any":
		return ""
	case r.keyType != kind:
		return "it signs only keys of type " + r.keyType
	case bits > 0 && r.keyBits > bits:
		return fmt.Sprintf("it wants keys of %d bits at least", r.keyBits)
	}
	return ""
}

// permitsDNS tells whether a role lets a DNS name, or a common name, pass.
func (r *role) permitsDNS(name string) bool {
	if strings.HasPrefix(name, "*.") && !r.allowWildcard {
		return false
	}
	if r.allowAnyName || r.allowLocalhost && (name == "localhost" || name == "localdomain") {
		return true
	}
	base := strings.TrimPrefix(name, "*.")
	for _, d := range r.allowedDomains {
		switch {
		case r.allowBare && strings.EqualFold(name, d):
			return true
		case r.allowSubdomains && (strings.HasSuffix(strings.ToLower(base), "."+strings.ToLower(d)) || base != name && strings.EqualFold(base, d)):
			return true
		case r.allowGlob && strings.Contains(d, "*") && glob(strings.ToLower(d), strings.ToLower(name)):
			return true
		}
	}
	return false
}

func (r *role) permitsURI(uri string) bool {
	return slices.ContainsFunc(r.allowedURIs, func(pattern string) bool { return glob(pattern, uri) })
}

// glob is a pattern in which * stands for anything, as Vault has them.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		at := strings.Index(s, p)
		if at < 0 {
			return false
		}
		s = s[at+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

// permitsUsage tells whether what a role gives has the usages that are needed.
func (r *role) permitsUsage(want x509.KeyUsage) bool {
	return usagesOf(r.keyUsage)&want == want
}
