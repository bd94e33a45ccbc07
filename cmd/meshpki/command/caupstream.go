package command

import (
	"strings"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/issue/layout"
)

// upstream reads how SPIRE's server gets at a CA that is kept elsewhere: the settings
// of a backend, and what --set says besides.
func (c *call) upstream(consumer string) (layout.Upstream, error) {
	u := layout.Upstream{Settings: map[string]string{}}
	spire := consumer == "spire" || consumer == "nginx-service-mesh"
	for _, flag := range []string{"backend", "set"} {
		if c.IsSet(flag) && !spire {
			return u, usagef("--%s is for --for spire and --for nginx-service-mesh", flag)
		}
	}
	if ref := c.String("backend"); ref != "" {
		if err := c.upstreamOf(&u, ref); err != nil {
			return u, err
		}
	}
	for _, pair := range c.values("set") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return u, usagef("--set %q: KEY=VALUE is expected", pair)
		}
		u.Settings[key] = value
	}
	return u, nil
}

// upstreamOf turns a backend into the plugin that reaches the same authority.
func (c *call) upstreamOf(u *layout.Upstream, ref string) error {
	if _, err := c.manifest(); err != nil {
		return err
	}
	entry, known := c.entries()[ref]
	if !known {
		entry.Ref = ref
	}
	scheme, rest, _ := strings.Cut(entry.Ref, ":")
	set := func(key, value string) {
		if value != "" {
			u.Settings[key] = value
		}
	}
	switch scheme {
	case "vault":
		u.Plugin = "vault"
		mount, _, _ := strings.Cut(rest, "/")
		if i := strings.LastIndex(rest, "/"); i > 0 {
			mount = rest[:i]
		}
		v, _ := entry.Settings.(*backends.Vault)
		if v == nil {
			v = &backends.Vault{}
		}
		set("pki_mount_point", mount)
		set("vault_addr", orElse(v.Address, c.env.Getenv("VAULT_ADDR")))
		set("namespace", orElse(v.Namespace, c.env.Getenv("VAULT_NAMESPACE")))
		set("ca_cert_path", orElse(v.CACert, c.env.Getenv("VAULT_CACERT")))
		return vaultWay(v.Auth, set)
	case "awspca":
		u.Plugin = "aws_pca"
		a, _ := entry.Settings.(*backends.AWSPCA)
		region := ""
		if parts := strings.Split(rest, ":"); len(parts) > 3 {
			region = parts[3]
		}
		if a != nil && a.Region != "" {
			region = a.Region
		}
		set("certificate_authority_arn", rest)
		set("region", region)
		return nil
	}
	return usagef("--backend: SPIRE has no upstream authority for %q: vault and awspca are backends that it reaches as well", ref)
}

// vaultWay is the one way in that the plugin is given; secrets stay where they are.
func vaultWay(a *backends.VaultAuth, set func(key, value string)) error {
	if a == nil {
		set("token_auth", "VAULT_TOKEN")
		return nil
	}
	switch a.Method {
	case "token":
		set("token_auth", "VAULT_TOKEN")
	case "approle":
		set("approle_auth.approle_auth_mount_point", a.Mount)
		set("approle_auth.approle_id", a.RoleID)
	case "kubernetes":
		set("k8s_auth.k8s_auth_mount_point", a.Mount)
		set("k8s_auth.k8s_auth_role_name", a.Role)
		set("k8s_auth.token_path", orElse(a.TokenFile, "/var/run/secrets/kubernetes.io/serviceaccount/token"))
	case "cert":
		set("cert_auth.cert_auth_mount_point", a.Mount)
		set("cert_auth.cert_auth_role_name", a.Role)
		set("cert_auth.client_cert_path", a.CertFile)
		set("cert_auth.client_key_path", a.KeyFile)
	default:
		return usagef("--backend: SPIRE has no way into Vault by %s: token, approle, kubernetes and cert are", a.Method)
	}
	return nil
}
