package layout

// certIssuer is a CA Issuer, or ClusterIssuer, of cert-manager.
func certIssuer() Consumer {
	c := Consumer{
		Name: "cert-manager", Title: "cert-manager", Schemes: []string{"cluster-issuer", "issuer"}, Namespace: "cert-manager",
		restarts: certIssuerRestarts,
		switches: func(h *Handover) []string {
			return []string{"nothing: the other issuer stays, and a Certificate is signed by this one once its issuerRef says kind " + issuerKind(h.Scheme)}
		},
	}
	p := parts{chain: "tls.crt", key: "tls.key", roots: "ca.crt"}
	c.parts = map[string]parts{"cluster-issuer": p, "issuer": p}
	c.objects = func(h *Handover) ([]node, error) {
		data, err := rendered(c, h, "tls.crt", "tls.key", "ca.crt")
		kind, namespace := issuerKind(h.Scheme), ""
		if kind == "Issuer" {
			namespace = h.Namespace
		}
		return []node{
			secret("meshpki-ca", h.Namespace, schemeTLS, nil, data),
			object("cert-manager.io/v1", kind, "meshpki", namespace, nil, spec(entry{"ca", node{{"secretName", "meshpki-ca"}}})),
		}, err
	}
	return c
}

func issuerKind(scheme string) string {
	if scheme == "issuer" {
		return "Issuer"
	}
	return "ClusterIssuer"
}

func certIssuerRestarts(_ *Handover, change Change) []string {
	switch change {
	case ChangeFirst:
		return []string{"nothing: a Certificate names the issuer meshpki from now on"}
	case ChangeIssuer:
		return []string{"nothing: what is issued or renewed from now on is signed by the other CA"}
	}
	return []string{"nothing here; but cert-manager renews no certificate because of another root, and what trusts these must have the new " +
		"roots first: meshpki ca bundle --as trust-manager, and then cmctl renew --all"}
}
