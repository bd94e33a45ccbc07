package layout

import (
	"encoding/base64"

	"github.com/meshpki/meshpki/issue"
)

// What Kuma and Kong Mesh take: a Mesh with a backend of type provided (2.x), as
// Kubernetes objects or as resources of universal mode, or a MeshIdentity and a
// MeshTrust, which take its place.
const (
	schemeProvided     = "provided"
	schemeUniversal    = "universal"
	schemeMeshIdentity = "mesh-identity"
	kumaAPI            = "kuma.io/v1alpha1"
	kumaUniversalFile  = "kuma-universal.yaml"
)

func kuma() Consumer {
	provided := parts{chain: "ca.crt", key: "ca.key", rootLast: true}
	c := Consumer{
		Name: "kuma", Title: "Kuma", Schemes: []string{schemeProvided, schemeUniversal, schemeMeshIdentity}, Namespace: "kuma-system",
		parts:    map[string]parts{schemeProvided: provided, schemeUniversal: provided, schemeMeshIdentity: {chain: "ca.crt", key: "ca.key", roots: "ca-bundle.crt"}},
		enforce:  kumaEnforce,
		restarts: kumaRestarts,
		switches: kumaSwitches,
	}
	c.objects = func(h *Handover) ([]node, error) {
		data, err := rendered(c, h, "ca.crt", "ca.key")
		if err != nil {
			return nil, err
		}
		certificate, key := data.text(0), data.text(1)
		switch h.Scheme {
		case schemeUniversal:
			return kumaUniversal(h, certificate, key, "PERMISSIVE"), nil
		case schemeMeshIdentity:
			return append(kumaSecrets(h, certificate, key), kumaIdentity(h), kumaTrust(h)), nil
		}
		return append(kumaSecrets(h, certificate, key), kumaMesh(h, "PERMISSIVE")), nil
	}
	c.extra = func(h *Handover) (issue.Files, error) {
		if h.Scheme != schemeUniversal {
			return nil, nil
		}
		docs, err := c.objects(h)
		if err != nil {
			return nil, err
		}
		text, err := encodeYAML(docs...)
		return issue.Files{kumaUniversalFile: {Data: text, Secret: true}}, err
	}
	return c
}

func kumaCertName(h *Handover) string { return h.Mesh + "-meshpki-cert" }
func kumaKeyName(h *Handover) string  { return h.Mesh + "-meshpki-key" }
func kumaLabels(h *Handover) node     { return node{{"kuma.io/mesh", h.Mesh}} }

// kumaSecrets are two: each has one field, value.
func kumaSecrets(h *Handover, certificate, key string) []node {
	const kind = "system.kuma.io/secret"
	return []node{
		secret(kumaCertName(h), h.Namespace, kind, kumaLabels(h), node{{"value", certificate}}),
		secret(kumaKeyName(h), h.Namespace, kind, kumaLabels(h), node{{"value", key}}),
	}
}

// kumaBackend is the backend of a Mesh.
func kumaBackend(h *Handover, mode string) node {
	return node{{"enabledBackend", "meshpki"}, {"backends", []any{node{
		{"name", "meshpki"}, {"type", "provided"}, {"mode", mode},
		{"dpCert", node{{"rotation", node{{"expiration", "24h"}}}}},
		{"conf", node{{"cert", node{{"secret", kumaCertName(h)}}}, {"key", node{{"secret", kumaKeyName(h)}}}}},
	}}}}
}

func kumaMesh(h *Handover, mode string) node {
	return object(kumaAPI, "Mesh", h.Mesh, "", nil, spec(entry{"mtls", kumaBackend(h, mode)}))
}

func kumaUniversal(h *Handover, certificate, key, mode string) []node {
	one := func(name, value string) node {
		return node{{"type", "Secret"}, {"mesh", h.Mesh}, {"name", name}, {"data", base64.StdEncoding.EncodeToString([]byte(value))}}
	}
	return []node{one(kumaCertName(h), certificate), one(kumaKeyName(h), key),
		{{"type", "Mesh"}, {"name", h.Mesh}, {"mtls", kumaBackend(h, mode)}}}
}

func kumaIdentity(h *Handover) node {
	source := func(name string) node {
		return node{{"type", "Secret"}, {"secretRef", node{{"kind", "Secret"}, {"name", name}}}}
	}
	return object(kumaAPI, "MeshIdentity", "meshpki", h.Namespace, append(kumaLabels(h), entry{"kuma.io/origin", "zone"}), spec(
		entry{"selector", node{{"dataplane", node{{"matchLabels", node{}}}}}},
		entry{"spiffeID", node{{"trustDomain", h.TrustDomain}, {"path", "/ns/{{ .Namespace }}/sa/{{ .ServiceAccount }}"}}},
		entry{"provider", node{{"type", "Bundled"}, {"bundled", node{
			{"meshTrustCreation", "Disabled"},
			{"certificateParameters", node{{"expiry", "24h"}}},
			{"ca", node{{"certificate", source(kumaCertName(h))}, {"privateKey", source(kumaKeyName(h))}}},
		}}}}))
}

// kumaTrust says whom to believe: the roots, and not the CA that signs.
func kumaTrust(h *Handover) node {
	return object(kumaAPI, "MeshTrust", "meshpki", h.Namespace, append(kumaLabels(h), entry{"kuma.io/origin", "zone"}), spec(
		entry{"trustDomain", h.TrustDomain},
		entry{"caBundles", []any{node{{"type", "Pem"}, {"pem", node{{"value", rootsPEM(h)}}}}}}))
}

// kumaEnforce: clients of a Mesh with a backend are told by tags, those of a MeshIdentity
// by SPIFFE IDs, and neither form of a permission means anything to the other.
func kumaEnforce(h *Handover) []enforcing {
	const before = "permissive, and the permission that must come first: with mutual TLS and without any permission nothing gets in. "
	const stay = "Stay here until every workload has a proxy; then put a list of who may call whom in the place of this permission for all."
	const strict = "strict: proxies refuse plain text."
	if h.Scheme == schemeMeshIdentity {
		anybody := entry{"rules", []any{node{{"default", node{{"allow", []any{node{{"spiffeID", node{{"type", "Prefix"}, {"value", "spiffe://" + h.TrustDomain + "/"}}}}}}}}}}}
		tls := func(mode string) node {
			return object(kumaAPI, "MeshTLS", "mutual-tls", h.Namespace, kumaLabels(h), spec(
				entry{"rules", []any{node{{"default", node{{"mode", mode}}}}}}))
		}
		return []enforcing{
			{before + "Apply this before the MeshIdentity. " + stay, []node{object(kumaAPI, "MeshTrafficPermission", "allow-mesh", h.Namespace, kumaLabels(h), spec(anybody)), tls("Permissive")}},
			{strict, []node{tls("Strict")}},
		}
	}
	whole := node{{"kind", "Mesh"}}
	anybody := spec(entry{"targetRef", whole}, entry{"from", []any{node{{"targetRef", whole}, {"default", node{{"action", "Allow"}}}}}})
	permission, mesh := object(kumaAPI, "MeshTrafficPermission", "allow-mesh", h.Namespace, kumaLabels(h), anybody), kumaMesh(h, "STRICT")
	if h.Scheme == schemeUniversal {
		permission = node{{"type", "MeshTrafficPermission"}, {"name", "allow-mesh"}, {"mesh", h.Mesh}, anybody}
		mesh = node{{"type", "Mesh"}, {"name", h.Mesh}, {"mtls", kumaBackend(h, "STRICT")}}
	}
	return []enforcing{
		{before + "The backend is handed out in mode PERMISSIVE, so apply this before it. " + stay, []node{permission}},
		{strict, []node{mesh}},
	}
}

// kumaSwitches: a Mesh's backend and a MeshIdentity name workloads differently, and from
// 2.12 on until 3.0 proxies trust both, where both are there.
func kumaSwitches(h *Handover) []string {
	const trusts = ": from Kuma 2.12 on until 3.0 proxies trust both"
	switch {
	case h.Scheme == schemeMeshIdentity:
		return []string{"first permissions that go by SPIFFE IDs, beside those that go by tags", "then the MeshTrust and the MeshIdentity, beside the mtls of the Mesh" + trusts,
			"once every proxy has a certificate by the MeshIdentity, take mtls out of the Mesh"}
	case h.Before == schemeMeshIdentity:
		return []string{"first permissions that go by tags, beside those that go by SPIFFE IDs", "then the mtls of the Mesh, beside the MeshIdentity" + trusts,
			"once that is in, take the MeshIdentity away, and its MeshTrust last"}
	}
	return nil
}

func kumaRestarts(h *Handover, change Change) []string {
	if h.Scheme == schemeMeshIdentity {
		switch change {
		case ChangeFirst:
			return []string{"first what --enforce gives as its first step: without a permission nothing gets in, and without a MeshTLS servers are strict from Kuma 3.0 on",
				"then nothing: proxies get certificates of the CA without a restart"}
		case ChangeIssuer:
			return []string{"nothing: proxies get certificates of the CA as theirs come to renewal"}
		case ChangeSuperset, ChangeSubset:
			return []string{"nothing: MeshTrust is told to every proxy; wait for it before the CA changes"}
		}
		return []string{"a MeshTrust with the old roots and the new ones first (meshpki ca rotate root start)"}
	}
	switch change {
	case ChangeFirst:
		return []string{"nothing: proxies are told; but a Mesh whose mutual TLS is on with another backend has to have it off first, and then on with this"}
	case ChangeIssuer, ChangeSuperset, ChangeSubset:
		return []string{"nothing: the control plane reads the Secrets again, and proxies get new certificates as theirs come to renewal"}
	}
	return []string{"proxies with the old roots refuse those with the new ones: hand out old and new together first " +
		"(meshpki ca rotate root start)"}
}
