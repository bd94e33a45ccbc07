package layout

// dapr is its sentry.
func dapr() Consumer {
	c := Consumer{
		Name: "dapr", Title: "Dapr", Schemes: []string{"dapr"}, Namespace: "dapr-system",
		parts:    map[string]parts{"dapr": {chain: "issuer.crt", key: "issuer.key", roots: "ca.crt"}},
		enforce:  daprEnforce,
		restarts: daprRestarts,
	}
	c.objects = func(h *Handover) ([]node, error) {
		data, err := rendered(c, h, "ca.crt", "issuer.crt", "issuer.key")
		labels := node{{"app", "dapr-sentry"}}
		// Where the two differ, or one is missing, sentry makes a CA of its own.
		return []node{
			secret("dapr-trust-bundle", h.Namespace, "Opaque", labels, data),
			configMap("dapr-trust-bundle", h.Namespace, labels, node{{"ca.crt", rootsPEM(h)}}),
		}, err
	}
	return c
}

func daprEnforce(h *Handover) []enforcing {
	configuration := func(name string, mtls node) node {
		return object("dapr.io/v1alpha1", "Configuration", name, h.Namespace, nil, spec(entry{"mtls", mtls}))
	}
	access := object("dapr.io/v1alpha1", "Configuration", "appconfig", "<namespace>", nil, spec(
		entry{"accessControl", node{{"defaultAction", "deny"}, {"trustDomain", h.TrustDomain}, {"policies", []any{node{
			{"appId", "<caller>"}, {"defaultAction", "allow"}, {"trustDomain", h.TrustDomain}, {"namespace", "<namespace>"}}}}}}))
	return []enforcing{
		{"mutual TLS between sidecars: on for all of them, or for none; there is no permissive mode. Every sidecar has to be " +
			"restarted after it, and those that are not cannot speak with those that are.",
			[]node{configuration("daprsystem", node{{"enabled", true}, {"workloadCertTTL", "24h"}, {"allowedClockSkew", "15m"},
				{"controlPlaneTrustDomain", h.TrustDomain}})}},
		{"who may call whom: without such a list every certificate of the trust domain gets in.", []node{access}},
	}
}

func daprRestarts(h *Handover, change Change) []string {
	system := "kubectl rollout restart -n " + h.Namespace + " deploy/dapr-sentry deploy/dapr-sidecar-injector deploy/dapr-operator " +
		"statefulset/dapr-placement-server"
	const apps = "then every app: kubectl rollout restart deployment -n <namespace>"
	switch change {
	case ChangeFirst:
		return []string{"before Dapr is installed: nothing", "after: " + system, apps}
	case ChangeIssuer:
		return []string{"nothing: sentry sees other files, and reads them"}
	case ChangeSuperset, ChangeSubset:
		return []string{system, apps}
	}
	return []string{"sidecars with the old roots refuse those with the new ones: hand out old and new together first " +
		"(meshpki ca rotate root start)", system, apps}
}
