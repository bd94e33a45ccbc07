package layout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The plugins by which SPIRE, and NGINX Service Mesh with it, has its CA signed.
const (
	pluginDisk        = "disk"
	pluginAWSPCA      = "aws_pca"
	pluginAWSSecret   = "awssecret"
	pluginVault       = "vault"
	pluginCertManager = "cert-manager"
)

// Plugins lists them, the one for files first.
func Plugins() []string {
	return []string{pluginDisk, pluginAWSPCA, pluginAWSSecret, pluginVault, pluginCertManager}
}

// Upstream is such a plugin and its settings, by the plugin's own keys; a key of a
// way in has that before it: "approle_auth.approle_id".
type Upstream struct {
	Plugin   string
	Settings map[string]string
}

// pluginKeys are the keys of each plugin, in the order in which they are written;
// those that must be there begin with a star.
var pluginKeys = map[string][]string{
	pluginDisk:      {"*cert_file_path", "*key_file_path", "bundle_file_path"},
	pluginAWSPCA:    {"*region", "*certificate_authority_arn", "ca_signing_template_arn", "signing_algorithm", "assume_role_arn", "endpoint", "supplemental_bundle_path"},
	pluginAWSSecret: {"*region", "*cert_file_arn", "*key_file_arn", "bundle_file_arn", "assume_role_arn"},
	pluginVault: {"*vault_addr", "namespace", "pki_mount_point", "ca_cert_path",
		"cert_auth.cert_auth_mount_point", "cert_auth.cert_auth_role_name", "cert_auth.client_cert_path", "cert_auth.client_key_path",
		"approle_auth.approle_auth_mount_point", "approle_auth.approle_id",
		"k8s_auth.k8s_auth_mount_point", "k8s_auth.k8s_auth_role_name", "k8s_auth.token_path", "token_auth"},
	pluginCertManager: {"*namespace", "*issuer_name", "issuer_kind", "issuer_group", "kube_config_file"},
}

// pluginSecrets are what these plugins also take, and is never written down here.
var pluginSecrets = map[string]string{
	"token_auth.token":               "VAULT_TOKEN",
	"approle_auth.approle_secret_id": "VAULT_APPROLE_SECRET_ID",
	"access_key_id":                  "AWS_ACCESS_KEY_ID",
	"secret_access_key":              "AWS_SECRET_ACCESS_KEY",
	"secret_token":                   "AWS_SESSION_TOKEN",
}

// arn is an ARN as NGINX Service Mesh checks one.
var arn = regexp.MustCompile(`^arn:(.*:){4}.*$`)

// Validate holds the settings against the plugin's own keys.
func (u Upstream) Validate() error {
	keys, ok := pluginKeys[u.Plugin]
	if !ok {
		return fmt.Errorf("%q is no upstream authority: %s are", u.Plugin, strings.Join(Plugins(), ", "))
	}
	ways := map[string]bool{}
	for key, value := range u.Settings {
		if env, secret := pluginSecrets[key]; secret {
			return fmt.Errorf("%s is a secret, which is not written into a configuration: give it to the server as %s", key, env)
		}
		if !slices.Contains(keys, key) && !slices.Contains(keys, "*"+key) {
			return fmt.Errorf("%s has no key %q", u.Plugin, key)
		}
		if strings.HasSuffix(key, "_arn") && !arn.MatchString(value) {
			return fmt.Errorf("%s: %q is no ARN", key, value)
		}
		if way, _, in := strings.Cut(key, "."); in || key == "token_auth" {
			ways[way] = true
		}
	}
	for _, key := range keys {
		if name, must := strings.CutPrefix(key, "*"); must && u.Settings[name] == "" {
			return fmt.Errorf("%s needs %s", u.Plugin, name)
		}
	}
	if u.Plugin == pluginVault && len(ways) != 1 {
		return fmt.Errorf("%s needs one way in, and there are %d: cert_auth, approle_auth, k8s_auth or token_auth", u.Plugin, len(ways))
	}
	return nil
}

// hcl is the plugin as SPIRE's server is configured.
func (u Upstream) hcl() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "UpstreamAuthority %q {\n    plugin_data {\n", u.Plugin)
	way := ""
	end := func() {
		if way != "" {
			b.WriteString("        }\n")
		}
		way = ""
	}
	for key, value := range u.ordered() {
		block, name, inner := strings.Cut(key, ".")
		switch {
		case key == "token_auth":
			end()
			b.WriteString("        token_auth {\n            # the token is in the server's environment, VAULT_TOKEN\n        }\n")
		case inner:
			if way != block {
				end()
				way = block
				fmt.Fprintf(&b, "        %s {\n", block)
				if block == "approle_auth" {
					b.WriteString("            # the secret ID is in the server's environment, VAULT_APPROLE_SECRET_ID\n")
				}
			}
			fmt.Fprintf(&b, "            %s = %s\n", name, strconv.Quote(value))
		default:
			end()
			fmt.Fprintf(&b, "        %s = %s\n", key, strconv.Quote(value))
		}
	}
	end()
	b.WriteString("    }\n}\n")
	return b.Bytes()
}

// ordered gives the settings that there are, in the order in which they are written.
func (u Upstream) ordered() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for _, key := range pluginKeys[u.Plugin] {
			key = strings.TrimPrefix(key, "*")
			if value, ok := u.Settings[key]; ok && !yield(key, value) {
				return
			}
		}
	}
}

// variable is the environment variable in which a secret of the way into Vault is; ""
// where the way has none.
func (u Upstream) variable() string {
	if u.Plugin != pluginVault {
		return ""
	}
	for key := range u.Settings {
		switch way, _, _ := strings.Cut(key, "."); way {
		case "token_auth":
			return pluginSecrets["token_auth.token"]
		case "approle_auth":
			return pluginSecrets["approle_auth.approle_secret_id"]
		}
	}
	return ""
}

// document is the plugin as NGINX Service Mesh is given it. Its schema demands the
// secrets themselves: what stands for one names the variable that has it, for envsubst.
func (u Upstream) document() node {
	var config node
	for key, value := range u.ordered() {
		block, name, inner := strings.Cut(key, ".")
		switch {
		case key == "token_auth":
			config = append(config, entry{key, node{{"token", "${" + u.variable() + "}"}}})
		case !inner:
			config = append(config, entry{key, value})
		case len(config) > 0 && config[len(config)-1].key == block:
			config[len(config)-1].value = append(config.nested(len(config)-1), entry{name, value})
		default:
			config = append(config, entry{block, node{{name, value}}})
		}
	}
	if last := len(config) - 1; last >= 0 && config[last].key == "approle_auth" {
		config[last].value = append(config.nested(last), entry{"approle_secret_id", "${" + u.variable() + "}"})
	}
	return node{{"apiVersion", "v1"}, {"upstreamAuthority", u.Plugin}, {"config", config}}
}

// permission is what the server must be allowed at the upstream authority: a file and
// its text; "" where there is none to be given.
func (u Upstream) permission() (name string, text []byte) {
	statement := func(resources []string, actions ...string) []byte {
		data, _ := json.MarshalIndent(map[string]any{"Version": "2012-10-17", "Statement": []any{
			map[string]any{"Effect": "Allow", "Action": actions, "Resource": resources}}}, "", "  ") // texts alone
		return append(data, '\n')
	}
	switch u.Plugin {
	case pluginAWSPCA:
		return "iam-policy.json", statement([]string{u.Settings["certificate_authority_arn"]},
			"acm-pca:DescribeCertificateAuthority", "acm-pca:IssueCertificate", "acm-pca:GetCertificate")
	case pluginAWSSecret:
		var arns []string
		for _, key := range []string{"cert_file_arn", "key_file_arn", "bundle_file_arn"} {
			if v := u.Settings[key]; v != "" {
				arns = append(arns, v)
			}
		}
		return "iam-policy.json", statement(arns, "secretsmanager:GetSecretValue")
	case pluginVault:
		mount := u.Settings["pki_mount_point"]
		if mount == "" {
			mount = "pki"
		}
		return "vault-policy.hcl", fmt.Appendf(nil, "path %q {\n  capabilities = [\"update\"]\n}\n", mount+"/root/sign-intermediate")
	}
	return "", nil
}
