package layout

import "strings"

const schemeTLS = "kubernetes.io/tls"

// istio is istiod, which signs with what lies in /etc/cacerts.
func istio() Consumer {
	c := Consumer{
		Name: "istio", Title: "Istio", Schemes: []string{"istio", schemeTLS}, Namespace: "istio-system",
		parts: map[string]parts{
			"istio":   {ca: "ca-cert.pem", chain: "cert-chain.pem", key: "ca-key.pem", roots: "root-cert.pem", crl: "ca-crl.pem"},
			schemeTLS: {chain: "tls.crt", key: "tls.key", roots: "ca.crt"},
		},
		enforce:  istioEnforce,
		restarts: istioRestarts,
		switches: istioSwitches,
	}
	c.objects = func(h *Handover) ([]node, error) {
		names, kind := []string{"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem", "ca-crl.pem"}, "Opaque"
		if h.Scheme == schemeTLS {
			names, kind = []string{"tls.crt", "tls.key", "ca.crt"}, schemeTLS
		}
		data, err := rendered(c, h, names...)
		return []node{secret("cacerts", h.Namespace, kind, nil, data)}, err
	}
	return c
}

func istioEnforce(h *Handover) []enforcing {
	peers := func(mode string) node {
		return object("security.istio.io/v1", "PeerAuthentication", "default", h.Namespace, nil, spec(entry{"mtls", node{{"mode", mode}}}))
	}
	clients := object("networking.istio.io/v1", "DestinationRule", "default", h.Namespace, nil, spec(
		entry{"host", "*." + everyHost(h.ClusterDomain)}, entry{"trafficPolicy", node{{"tls", node{{"mode", "ISTIO_MUTUAL"}}}}}))
	return []enforcing{
		{"permissive: servers take mutual TLS and plain text alike; nothing breaks. Stay here until every workload has a proxy: " +
			"istio_requests_total with connection_security_policy=none counts those that do not.", []node{peers("PERMISSIVE")}},
		{"strict: servers refuse plain text, and clients do not send any.", []node{peers("STRICT"), clients}},
	}
}

// everyHost is what the names of all services end in: Istio's own examples take local,
// below which others besides the cluster's may be.
func everyHost(clusterDomain string) string {
	if clusterDomain == "" || strings.HasSuffix(clusterDomain, ".local") {
		return "local"
	}
	return clusterDomain
}

// istioSwitches: a Secret keeps its type as long as it lives, and of two layouts in one
// directory istiod reads that of tls.crt.
func istioSwitches(h *Handover) []string {
	return []string{"kubectl delete secret cacerts -n " + h.Namespace + ", for its type cannot be changed, and then apply the new one",
		"kubectl rollout restart deployment istiod -n " + h.Namespace}
}

func istioRestarts(h *Handover, change Change) []string {
	istiod := "kubectl rollout restart deployment istiod -n " + h.Namespace
	const proxies = "kubectl rollout restart deployment -n <namespace>, for each namespace with workloads"
	switch change {
	case ChangeFirst:
		return []string{istiod, proxies}
	case ChangeIssuer:
		return []string{"nothing: istiod sees another CA under the same roots within a minute"}
	case ChangeSuperset, ChangeSubset:
		return []string{"with ISTIO_MULTIROOT_MESH=true nothing; else istiod ignores other roots, and so:", istiod, proxies}
	}
	return []string{"istiod ignores roots that are neither more nor fewer of those that it has: hand out old and new together first " +
		"(meshpki ca rotate root start), or all connections between old and new workloads fail", istiod, proxies}
}
