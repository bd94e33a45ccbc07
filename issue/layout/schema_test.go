package layout_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/meshpki/meshpki/issue/layout"
)

// Which fields there are, by the schemas that Kuma (2.12 to 3.0) and NGINX Service Mesh
// publish: of each kind the paths that may be there, and behind = the values of those
// that take few. A list's items have their list's path; a star ends a path below which
// anything may be.
var published = map[string][]string{
	"MeshIdentity": {"selector.dataplane.matchLabels.*", "spiffeID.trustDomain", "spiffeID.path", "provider.type=Bundled Spire Extension",
		"provider.bundled.meshTrustCreation=Enabled Disabled", "provider.bundled.certificateParameters.expiry", "provider.bundled.insecureAllowSelfSigned",
		"provider.bundled.autogenerate.enabled", "provider.bundled.ca.certificate.type=File Secret EnvVar InsecureInline",
		"provider.bundled.ca.certificate.secretRef.kind=Secret", "provider.bundled.ca.certificate.secretRef.name",
		"provider.bundled.ca.privateKey.type=File Secret EnvVar InsecureInline", "provider.bundled.ca.privateKey.secretRef.kind=Secret",
		"provider.bundled.ca.privateKey.secretRef.name"},
	"MeshTrust": {"trustDomain", "caBundles.type=Pem", "caBundles.pem.value"},
	"MeshTLS":   {"rules.default.mode=Permissive Strict", "rules.default.tlsVersion.*"},
	"MeshTrafficPermission": {"targetRef.kind=Mesh Dataplane", "from.targetRef.kind=Mesh MeshSubset MeshService", "from.default.action=Allow Deny AllowWithShadowDeny",
		"rules.default.allow.spiffeID.type=Exact Prefix", "rules.default.allow.spiffeID.value"},
	"disk":      {"cert_file_path", "key_file_path", "bundle_file_path"},
	"aws_pca":   {"region", "certificate_authority_arn", "ca_signing_template_arn", "signing_algorithm", "assume_role_arn", "endpoint", "supplemental_bundle_path"},
	"awssecret": {"region", "cert_file_arn", "key_file_arn", "assume_role_arn"},
	"vault": {"vault_addr", "namespace", "pki_mount_point", "ca_cert_path", "insecure_skip_verify", "cert_auth.cert_auth_mount_point", "cert_auth.cert_auth_role_name",
		"cert_auth.client_cert_path", "cert_auth.client_key_path", "token_auth.token", "approle_auth.approle_auth_mount_point", "approle_auth.approle_id",
		"approle_auth.approle_secret_id"},
	"cert-manager": {"namespace", "issuer_name", "issuer_kind", "issuer_group", "kube_config_file"},
}

// unpublished lists the fields of a value that its schema has not.
func unpublished(kind string, value any) (wrong []string) {
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, sub := range v {
				walk(strings.TrimPrefix(path+"."+key, "."), sub)
			}
			if len(v) > 0 {
				return
			}
		case []any:
			for _, item := range v {
				walk(path, item)
			}
			return
		}
		if !slices.ContainsFunc(published[kind], func(field string) bool {
			name, values, few := strings.Cut(field, "=")
			below, open := strings.CutSuffix(name, ".*")
			return open && strings.HasPrefix(path, below) || path == name && (!few || slices.Contains(strings.Fields(values), fmt.Sprint(v)))
		}) {
			wrong = append(wrong, fmt.Sprintf("%s: %v", path, v))
		}
	}
	walk("", value)
	return wrong
}

// What Kuma is handed has the fields that its schemas have, and no others.
func TestKumaKnowsEveryField(t *testing.T) {
	c, err := layout.ConsumerByName("kuma")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, scheme := range c.Schemes {
		h := handover(t, 0, 0)
		h.Scheme = scheme
		if err := c.Settle(h); err != nil {
			t.Fatal(err)
		}
		handed, err := c.Hand(h, true)
		if err != nil {
			t.Fatal(err)
		}
		text := string(handed.Manifest)
		for _, step := range handed.Enforce {
			text += "---\n" + string(step.Text)
		}
		for doc := range strings.SplitSeq(text, "\n---\n") {
			var o struct {
				Kind, Type string
				Spec       map[string]any
			}
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				t.Fatal(err)
			}
			if o.Kind == "" {
				o.Kind = o.Type
			}
			if published[o.Kind] == nil {
				continue // a Mesh has no schema, a Secret Kubernetes' own
			}
			seen[o.Kind] = true
			for _, wrong := range unpublished(o.Kind, o.Spec) {
				t.Errorf("%s, %s: its schema has no %s", scheme, o.Kind, wrong)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(seen)); len(got) != 4 {
		t.Errorf("only %q were looked at", got)
	}
	if len(unpublished("MeshTLS", map[string]any{"rules": []any{map[string]any{"default": map[string]any{"mode": "STRICT"}}}})) != 1 {
		t.Error("a wrong value passes")
	}
}

// The upstream file of NGINX Service Mesh has the fields that its schema has, or is
// refused; a secret in it is a variable's name.
func TestNginxMeshKnowsEveryField(t *testing.T) {
	c, err := layout.ConsumerByName("nginx-service-mesh")
	if err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:a:b:1:c"
	vault := func(more ...string) map[string]string {
		s := map[string]string{"vault_addr": "https://v", "namespace": "n", "ca_cert_path": "/ca", "pki_mount_point": "pki"}
		for i := 0; i < len(more); i += 2 {
			s[more[i]] = more[i+1]
		}
		return s
	}
	for _, test := range []struct {
		plugin   string
		settings map[string]string
		refuses  string
		restarts string
	}{
		{"disk", nil, "", "nginx-meshctl deploy --mtls-upstream-ca-conf upstream-ca.yaml"},
		{"aws_pca", map[string]string{"region": "r", "certificate_authority_arn": arn, "signing_algorithm": "SHA256WITHECDSA"}, "", "upstream-ca.yaml"},
		{"awssecret", map[string]string{"region": "r", "cert_file_arn": arn, "key_file_arn": arn}, "", "upstream-ca.yaml"},
		{"awssecret", map[string]string{"region": "r", "cert_file_arn": arn, "key_file_arn": arn, "bundle_file_arn": arn}, "no key bundle_file_arn", ""},
		{"vault", vault("token_auth", "x"), "", "in VAULT_TOKEN of the environment:\nenvsubst < upstream-ca.yaml > /dev/shm/upstream-ca.yaml\nthen nginx-meshctl"},
		{"vault", vault("approle_auth.approle_id", "i", "approle_auth.approle_auth_mount_point", "m"), "", "in VAULT_APPROLE_SECRET_ID of"},
		{"vault", vault("cert_auth.client_cert_path", "c", "cert_auth.client_key_path", "k"), "", "upstream-ca.yaml"},
		{"vault", vault("cert_auth.client_cert_path", "c"), "cert_auth needs client_key_path", ""},
		{"vault", vault("approle_auth.approle_auth_mount_point", "m"), "approle_auth needs approle_id", ""},
		{"vault", vault("k8s_auth.k8s_auth_role_name", "r"), "no way into Vault by k8s_auth", ""},
		{"vault", vault("token_auth", "x", "namespace", ""), "vault needs namespace", ""},
		{"cert-manager", map[string]string{"namespace": "n", "issuer_name": "i"}, "", "upstream-ca.yaml"},
	} {
		h := handover(t, 0, 0)
		h.Scheme, h.Upstream = test.plugin, layout.Upstream{Plugin: test.plugin, Settings: test.settings}
		if err := c.Settle(h); err != nil {
			t.Fatal(err)
		}
		handed, err := c.Hand(h, false)
		if test.refuses != "" {
			if err == nil || !strings.Contains(err.Error(), test.refuses) {
				t.Errorf("%s %v: %v, want %s", test.plugin, test.settings, err, test.refuses)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %v: %v", test.plugin, test.settings, err)
			continue
		}
		var doc struct {
			APIVersion        string         `yaml:"apiVersion"`
			UpstreamAuthority string         `yaml:"upstreamAuthority"`
			Config            map[string]any `yaml:"config"`
		}
		if err := yaml.UnmarshalWithOptions(handed.Files["upstream-ca.yaml"].Data, &doc, yaml.DisallowUnknownField()); err != nil {
			t.Fatal(err)
		}
		if wrong := unpublished(test.plugin, doc.Config); doc.APIVersion != "v1" || doc.UpstreamAuthority != test.plugin || len(wrong) > 0 {
			t.Errorf("%s: %+v has %q", test.plugin, doc, wrong)
		}
		for _, secret := range [][2]string{{"token_auth", "token"}, {"approle_auth", "approle_secret_id"}} {
			if way, ok := doc.Config[secret[0]].(map[string]any); ok && !strings.HasPrefix(fmt.Sprint(way[secret[1]]), "${VAULT_") {
				t.Errorf("%s is %v", secret[1], way[secret[1]])
			}
		}
		if said := strings.Join(c.Restarts(h, layout.ChangeFirst), "\n"); !strings.Contains(said, test.restarts) {
			t.Errorf("%s: %s", test.plugin, said)
		}
	}
}
