package layout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/issue"
)

const (
	spireChain  = "upstream.crt"
	spireKey    = "upstream.key"
	spireBundle = "upstream-bundle.crt"
	spireConf   = "upstream-authority.conf"
	nginxConf   = "upstream-ca.yaml"
	// spireDir is where the Secret of these files is mounted.
	spireDir = "/run/spire/upstream/"
)

var spireParts = map[string]parts{pluginDisk: {chain: spireChain, key: spireKey, roots: spireBundle}}

// spire is SPIRE's server, which has a CA of its own signed by an upstream authority.
func spire() Consumer {
	c := Consumer{
		Name: "spire", Title: "SPIRE", Schemes: Plugins(), Namespace: "spire-server", parts: spireParts, restarts: spireRestarts,
	}
	c.unpack = upstreamUnpack
	c.extra = func(h *Handover) (issue.Files, error) {
		u := h.upstream()
		if err := u.Validate(); err != nil {
			return nil, err
		}
		return u.files(spireConf, u.hcl()), nil
	}
	c.objects = func(h *Handover) ([]node, error) {
		u := h.upstream()
		if err := u.Validate(); err != nil {
			return nil, err
		}
		docs := []node{configMap("spire-upstream-authority", h.Namespace, nil, node{{spireConf, string(u.hcl())}})}
		if u.Plugin != pluginDisk {
			return docs, nil
		}
		data, err := rendered(c, h, spireChain, spireKey, spireBundle)
		return append(docs, secret("spire-upstream-ca", h.Namespace, "Opaque", nil, data)), err
	}
	return c
}

// nginxMesh is NGINX Service Mesh, which runs a SPIRE server.
func nginxMesh() Consumer {
	c := Consumer{
		Name: "nginx-service-mesh", Title: "NGINX Service Mesh", Schemes: Plugins(), Namespace: "nginx-mesh", parts: spireParts,
		enforce: nginxMeshEnforce, restarts: nginxMeshRestarts,
	}
	c.unpack = upstreamUnpack
	c.extra = func(h *Handover) (issue.Files, error) {
		u := h.upstream()
		if err := refused(c.Title, nginxMeshRefusals(u)); err != nil {
			return nil, err
		}
		if err := u.Validate(); err != nil {
			return nil, err
		}
		text, err := encodeYAML(u.document())
		return u.files(nginxConf, text), err
	}
	return c
}

// nginxMeshRefusals are what its schema of the file has against settings that SPIRE
// itself would take.
func nginxMeshRefusals(u Upstream) (found []Refusal) {
	no := func(what string) {
		found = append(found, Refusal{what, "NGINX Service Mesh, upstream CA"})
	}
	ways := map[string][]string{"cert_auth.": {"client_cert_path", "client_key_path"}, "approle_auth.": {"approle_id"}}
	for _, key := range slices.Sorted(maps.Keys(u.Settings)) {
		switch way, name, _ := strings.Cut(key, "."); {
		case u.Plugin == pluginAWSSecret && key == "bundle_file_arn":
			no("awssecret has no key bundle_file_arn there: what is signed leads to the root in cert_file_arn")
		case u.Plugin == pluginVault && way == "k8s_auth":
			no("there is no way into Vault by " + key + ": by cert_auth, approle_auth and token_auth")
		case u.Plugin == pluginVault && ways[way+"."] != nil:
			for _, need := range ways[way+"."] {
				if u.Settings[way+"."+need] == "" && name != need {
					no(way + " needs " + need)
				}
			}
		}
	}
	for _, key := range []string{"namespace", "ca_cert_path"} {
		if u.Plugin == pluginVault && u.Settings[key] == "" {
			no("vault needs " + key)
		}
	}
	slices.SortFunc(found, func(a, b Refusal) int { return strings.Compare(a.What, b.What) })
	return slices.Compact(found)
}

// upstreamUnpack says of a CA that is kept elsewhere where that is.
func upstreamUnpack(f issue.Files) (issue.Files, error) {
	if f[spireChain].Data != nil {
		return f, nil
	}
	for name, before := range map[string]string{spireConf: `UpstreamAuthority "`, nginxConf: "upstreamAuthority: "} {
		_, rest, _ := strings.Cut(string(f[name].Data), before)
		plugin := rest[:max(0, strings.IndexAny(rest, "\"\n"))]
		if plugin != pluginDisk && slices.Contains(Plugins(), plugin) {
			return nil, fmt.Errorf("the CA is kept elsewhere: %s has the plugin %s sign, and no CA is in these files", name, plugin)
		}
	}
	return f, nil
}

// upstream is how the server gets at its CA: for files, by the names that they have here.
func (h *Handover) upstream() Upstream {
	u := h.Upstream
	if u.Plugin == "" {
		u.Plugin = h.Scheme
	}
	if u.Plugin != pluginDisk {
		return u
	}
	settings := map[string]string{"cert_file_path": spireDir + spireChain, "key_file_path": spireDir + spireKey, "bundle_file_path": spireDir + spireBundle}
	maps.Copy(settings, u.Settings)
	return Upstream{u.Plugin, settings}
}

// files are the configuration, and what the server must be allowed.
func (u Upstream) files(name string, text []byte) issue.Files {
	files := issue.Files{name: {Data: text}}
	if more, policy := u.permission(); more != "" {
		files[more] = issue.File{Data: policy}
	}
	return files
}

func nginxMeshEnforce(*Handover) []enforcing {
	values := func(mode string) node { return node{{"mtls", node{{"mode", mode}}}} }
	return []enforcing{
		{"permissive: values for helm upgrade, or nginx-meshctl deploy --mtls-mode permissive. Sidecars take mutual TLS and plain text. " +
			"Stay here until every workload has a sidecar.", []node{values("permissive")}},
		{"strict: sidecars refuse plain text; the annotation config.nsm.nginx.com/mtls-mode of single workloads counts no more.", []node{values("strict")}},
	}
}

// nginxMeshRestarts: the mesh is told of its upstream authority when it is deployed.
func nginxMeshRestarts(h *Handover, change Change) []string {
	file := nginxConf
	if h.upstream().variable() != "" {
		file = "/dev/shm/" + nginxConf
	}
	deploy := "nginx-meshctl deploy --mtls-upstream-ca-conf " + file + ", for the upstream authority is told when the mesh is deployed"
	switch {
	case h.upstream().variable() != "":
		return []string{"first the secret, which is in no file here, but in " + h.upstream().variable() + " of the environment:",
			"envsubst < " + nginxConf + " > " + file, "then " + deploy, "then every workload with a sidecar; and remove " + file}
	case h.Scheme != pluginDisk:
		return []string{deploy, "then every workload with a sidecar"}
	case change == ChangeFirst:
		return []string{"the files belong in " + spireDir + ", or where --set cert_file_path=… and its like say", deploy, "then every workload with a sidecar"}
	}
	return spireRestarts(h, change)
}

func spireRestarts(h *Handover, change Change) []string {
	if h.Scheme != pluginDisk {
		return []string{"the SPIRE server, for it reads its configuration when it starts"}
	}
	switch change {
	case ChangeFirst:
		return []string{"the files belong in " + spireDir + " of the SPIRE server, or where --set cert_file_path=… and its like say",
			"then the SPIRE server, for it reads its configuration when it starts"}
	case ChangeIssuer:
		return []string{"nothing: the files are read again when SPIRE prepares its next CA"}
	case ChangeSuperset, ChangeSubset:
		return []string{"nothing: the files are read again when SPIRE prepares its next CA, and agents are told the bundle"}
	}
	return []string{"nothing; but agents and federated trust domains must have the new bundle before a CA under it signs: hand out old and " +
		"new together first (meshpki ca rotate root start)"}
}
