package layout

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// consulFile is what consul connect ca set-config reads.
const consulFile = "connect-ca.json"

// consul is its own provider, with a CA that it is given for its root.
func consul() Consumer {
	c := Consumer{
		Name: "consul", Title: "Consul", Schemes: []string{"consul"}, Namespace: "consul",
		parts:    map[string]parts{"consul": {chain: "ca.crt", key: "ca.key", roots: "ca-bundle.crt"}},
		enforce:  consulEnforce,
		restarts: consulRestarts,
	}
	c.unpack = consulUnpack
	c.extra = func(h *Handover) (issue.Files, error) {
		text, err := consulConfig(h)
		return issue.Files{consulFile: {Data: text, Secret: true}}, err
	}
	c.objects = func(h *Handover) ([]node, error) {
		text, err := consulConfig(h)
		return []node{secret("consul-connect-ca", h.Namespace, "Opaque", nil, node{{consulFile, string(text)}})}, err
	}
	return c
}

// consulUnpack takes the CA out of the configuration, where that is all there is: Consul
// takes it for its root.
func consulUnpack(f issue.Files) (issue.Files, error) {
	if f["ca.crt"].Data != nil || f[consulFile].Data == nil {
		return f, nil
	}
	var set struct {
		Config struct{ PrivateKey, RootCert string }
	}
	if err := json.Unmarshal(f[consulFile].Data, &set); err != nil {
		return nil, fmt.Errorf("%s: %w", consulFile, err)
	}
	if set.Config.RootCert == "" {
		return nil, fmt.Errorf("%s: there is no Config.RootCert in it", consulFile)
	}
	out := issue.Files{"ca.crt": {Data: []byte(set.Config.RootCert)}, "ca-bundle.crt": {Data: []byte(set.Config.RootCert)}}
	if set.Config.PrivateKey != "" {
		out["ca.key"] = issue.File{Data: []byte(set.Config.PrivateKey), Secret: true}
	}
	return out, nil
}

// consulConfig has the key in it: Consul takes it in no other way.
func consulConfig(h *Handover) ([]byte, error) {
	if h.Key == nil {
		return nil, errNoKey
	}
	key, err := pemfile.EncodeKey(h.Key)
	if err != nil {
		return nil, fmt.Errorf("the CA's key cannot be handed out: %w", err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(struct {
		Provider                 string
		Config                   map[string]string
		ForceWithoutCrossSigning bool
	}{"consul", map[string]string{
		"PrivateKey": string(key), "RootCert": string(pemfile.EncodeCertificates(h.Chain[0])), "LeafCertTTL": "72h",
	}, false})
	return b.Bytes(), err
}

func consulEnforce(h *Handover) []enforcing {
	defaults := func(mode string) node {
		return object("consul.hashicorp.com/v1alpha1", "ProxyDefaults", "global", h.Namespace, nil, spec(entry{"mutualTLSMode", mode}))
	}
	mesh := func(permissive bool) node {
		return object("consul.hashicorp.com/v1alpha1", "Mesh", "mesh", h.Namespace, nil, spec(entry{"allowEnablingPermissiveMutualTLS", permissive}))
	}
	deny := object("consul.hashicorp.com/v1alpha1", "ServiceIntentions", "deny-all", h.Namespace, nil, spec(
		entry{"destination", node{{"name", "*"}}}, entry{"sources", []any{node{{"name", "*"}, {"action", "deny"}}}}))
	return []enforcing{
		{"permissive: proxies take mutual TLS and plain text. Stay here until every service has a proxy.", []node{mesh(true), defaults("permissive")}},
		{"strict, and nobody may call anybody until an intention says so: write those first.", []node{defaults("strict"), mesh(false), deny}},
	}
}

func consulRestarts(_ *Handover, change Change) []string {
	const set = "consul connect ca set-config -config-file " + consulFile
	switch change {
	case ChangeFirst, ChangeSuperset, ChangeRoots, ChangeIssuer:
		return []string{set, "nothing else: Consul has its old root sign the new one, and keeps both until no leaf of the old one is left"}
	}
	return []string{set}
}
