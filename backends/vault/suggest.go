package vault

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends"
)

// Suggest gives a role and a policy that would do for what is wanted, and no more: as
// commands of Vault, and for Terraform. It asks nothing.
func Suggest(rest string, o backends.Options, wants []backends.Want) ([]backends.Suggestion, error) {
	s, err := settingsOf(rest, o)
	if err != nil {
		return nil, err
	}
	if s.Role == "" {
		s.Role = "mesh"
	}
	a := &Authority{settings: s}
	sign, err := a.signPath()
	if err != nil {
		return nil, err
	}
	role := wantedRole(wants)
	paths := []rule{
		{sign, "update", "sign"},
		{a.path("roles", s.Role), "read", "tell what the role changes"},
		{a.path("revoke"), "update", "revoke"},
		{"auth/token/renew-self", "update", "keep the token alive"},
		{"auth/token/lookup-self", "read", "see how long it lives"},
		{"sys/capabilities-self", "update", "tell what it may do"},
	}
	return []backends.Suggestion{
		{Form: "vault", Text: asCommands(a, role, paths)},
		{Form: "terraform", Text: asTerraform(a, role, paths)},
	}, nil
}

// rule is one path of a policy.
type rule struct{ path, capability, why string }

// setting is one setting of a role: a text, a truth, a number or a list.
type setting struct {
	name  string
	value any
}

// wantedRole is the narrowest role that gives what is wanted.
func wantedRole(wants []backends.Want) []setting {
	var domains, uris []string
	add := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	var longest time.Duration
	var usage x509.KeyUsage
	server, client, ips, emails, wildcards := false, false, false, false, false
	for _, w := range wants {
		for _, name := range append(w.Identity.DNS(), w.Identity.CommonName()) {
			bare := strings.TrimPrefix(name, "*.")
			wildcards = wildcards || bare != name
			switch _, parent, deep := strings.Cut(bare, "."); {
			case name == "": // no common name
			case deep && strings.Contains(parent, "."):
				add(&domains, parent)
			case bare != "":
				add(&domains, bare) // payment, payment.prod: not everything under prod
			}
		}
		for _, u := range w.Identity.URIs() {
			add(&uris, subtree(u.Scheme, u.Host))
		}
		ips, emails = ips || len(w.Identity.IPs()) > 0, emails || len(w.Identity.Emails()) > 0
		longest, usage = max(longest, w.Validity), usage|w.Profile.KeyUsage(w.KeyType)
		eku := w.Profile.ExtKeyUsage()
		server = server || slices.Contains(eku, x509.ExtKeyUsageServerAuth)
		client = client || slices.Contains(eku, x509.ExtKeyUsageClientAuth)
	}
	slices.Sort(domains)
	slices.Sort(uris)
	role := []setting{
		{"key_type", "any"}, {"key_bits", 0},
		{"use_csr_sans", true}, {"use_csr_common_name", false}, {"require_cn", false},
		{"basic_constraints_valid_for_non_ca", true},
		{"key_usage", usageNames(usage)}, {"server_flag", server}, {"client_flag", client},
		{"allowed_uri_sans", uris},
	}
	if emails {
		role = append(role, setting{"allow_any_name", true})
	} else {
		role = append(role, setting{"allowed_domains", domains}, setting{"allow_bare_domains", true}, setting{"allow_subdomains", true})
	}
	return append(role, setting{"allow_localhost", false}, setting{"allow_ip_sans", ips}, setting{"allow_wildcard_certificates", wildcards},
		setting{"max_ttl", seconds(longest)}, setting{"no_store", false})
}

func asCommands(a *Authority, role []setting, paths []rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vault write %s", a.path("roles", a.settings.Role))
	for _, s := range role {
		fmt.Fprintf(&b, " \\\n  %s=%s", s.name, word(s.value))
	}
	fmt.Fprintf(&b, "\n\nvault policy write %s - <<'EOF'\n%sEOF\n", policyName(a), policyText(paths))
	return b.String()
}

// word is a value in a shell.
func word(v any) string {
	text := fmt.Sprint(v)
	if list, ok := v.([]string); ok {
		text = strings.Join(list, ",")
	}
	if strings.ContainsAny(text, "*/ $'\"") {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}

func policyName(a *Authority) string {
	return "meshpki-" + strings.ReplaceAll(a.settings.Mount, "/", "-") + "-" + a.settings.Role
}

func policyText(paths []rule) string {
	var b strings.Builder
	for _, p := range paths {
		fmt.Fprintf(&b, "path %q { capabilities = [%q] } # %s\n", p.path, p.capability, p.why)
	}
	return b.String()
}

func asTerraform(a *Authority, role []setting, paths []rule) string {
	var b strings.Builder
	label := strings.NewReplacer(".", "_", ":", "_", "@", "_", "+", "_").Replace(a.settings.Role)
	if label[0] >= '0' && label[0] <= '9' {
		label = "_" + label // else it is no name there
	}
	for _, s := range role {
		if s.value == false && (s.name == "server_flag" || s.name == "client_flag") {
			fmt.Fprintf(&b, "# Terraform's provider does not send %s=false (its issue 1932); afterwards:\n# %s\n", s.name, a.patch(s.name+"=false"))
		}
	}
	fmt.Fprintf(&b, "resource \"vault_pki_secret_backend_role\" %q {\n", label)
	width := len("backend")
	for _, s := range role {
		width = max(width, len(s.name))
	}
	line := func(name string, value string) { fmt.Fprintf(&b, "  %-*s = %s\n", width, name, value) }
	line("backend", fmt.Sprintf("%q", a.settings.Mount))
	line("name", fmt.Sprintf("%q", a.settings.Role))
	for _, s := range role {
		switch v := s.value.(type) {
		case []string:
			quoted := make([]string, len(v))
			for i, text := range v {
				quoted[i] = fmt.Sprintf("%q", text)
			}
			line(s.name, "["+strings.Join(quoted, ", ")+"]")
		case string:
			if s.name == "max_ttl" {
				v = strings.TrimSuffix(v, "s") // a number of seconds there
			}
			line(s.name, fmt.Sprintf("%q", v))
		default:
			line(s.name, fmt.Sprint(v))
		}
	}
	fmt.Fprintf(&b, "}\n\nresource \"vault_policy\" %q {\n  name   = %q\n  policy = <<-EOT\n", label, policyName(a))
	for l := range strings.Lines(policyText(paths)) {
		b.WriteString("    " + l)
	}
	b.WriteString("  EOT\n}\n")
	return b.String()
}
