package layout

const schemeLinkerd = "linkerd.io/tls"

// linkerd is its identity controller.
func linkerd() Consumer {
	c := Consumer{
		Name: "linkerd", Title: "Linkerd", Schemes: []string{schemeLinkerd, schemeTLS}, Namespace: "linkerd",
		parts: map[string]parts{
			schemeLinkerd: {chain: "crt.pem", key: "key.pem", roots: "ca-bundle.crt"},
			schemeTLS:     {chain: "tls.crt", key: "tls.key", roots: "ca.crt"},
		},
		enforce:  linkerdEnforce,
		restarts: linkerdRestarts,
		switches: linkerdSwitches,
	}
	c.objects = func(h *Handover) ([]node, error) {
		names, kind := []string{"crt.pem", "key.pem"}, "Opaque"
		if h.Scheme == schemeTLS {
			names, kind = []string{"tls.crt", "tls.key", "ca.crt"}, schemeTLS
		}
		data, err := rendered(c, h, names...)
		labels := node{{"linkerd.io/control-plane-component", "identity"}, {"linkerd.io/control-plane-ns", h.Namespace}}
		return []node{
			secret("linkerd-identity-issuer", h.Namespace, kind, labels, data),
			configMap("linkerd-identity-trust-roots", h.Namespace, labels, node{{"ca-bundle.crt", rootsPEM(h)}}),
		}, err
	}
	return c
}

func linkerdEnforce(_ *Handover) []enforcing {
	namespace := func(policy string) node {
		n := object("v1", "Namespace", "<namespace>", "", nil)
		meta := append(n.nested(2), entry{"annotations", node{{"config.linkerd.io/default-inbound-policy", policy}}})
		n[2].value = meta
		return n
	}
	return []enforcing{
		{"permissive: meshed workloads speak mutual TLS with each other by themselves; others still get in. Stay here until " +
			"linkerd viz edges shows every connection as secured.", []node{namespace("all-unauthenticated")}},
		{"strict: only meshed clients get in. Put the name of each namespace in, and restart its workloads.", []node{namespace("all-authenticated")}},
	}
}

// linkerdSwitches: the control plane is told of the scheme when it is installed, and a
// Secret keeps its type as long as it lives.
func linkerdSwitches(h *Handover) []string {
	return []string{"kubectl delete secret linkerd-identity-issuer -n " + h.Namespace + ", for its type cannot be changed, and then apply the new one",
		"helm upgrade with identity.issuer.scheme=" + h.Scheme + ", which restarts the identity controller"}
}

func linkerdRestarts(h *Handover, change Change) []string {
	control := "kubectl rollout restart deployment -n " + h.Namespace
	const data = "kubectl rollout restart deployment -n <namespace>, for each meshed namespace"
	switch change {
	case ChangeFirst:
		return []string{"before Linkerd is installed: nothing; then install it with identity.externalCA=true and identity.issuer.scheme=" + h.Scheme,
			"after: its proxies know other roots, and refuse these. Put them into the ConfigMap beside its own first, then the control plane: " + control,
			"then the proxies: " + data, "only then the issuer"}
	case ChangeIssuer:
		return []string{"nothing: the identity controller sees another issuer, and says so by the event IssuerUpdated"}
	case ChangeSuperset:
		return []string{"first the control plane: " + control, "then the proxies: " + data, "only then an issuer under the new root"}
	case ChangeSubset:
		return []string{"once no issuer and no proxy is left under the old root:", control, data}
	}
	return []string{"proxies with the old roots refuse those with the new ones: hand out old and new together first " +
		"(meshpki ca rotate root start)", control, data}
}
