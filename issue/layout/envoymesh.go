package layout

import "github.com/meshpki/meshpki/issue"

// envoyMesh is what Envoy trusts: it signs nothing, and is handed no key.
func envoyMesh() Consumer {
	c := Consumer{
		Name: "envoy", Title: "Envoy", Schemes: []string{"sds"}, Namespace: "default", Keyless: true,
		parts: map[string]parts{"sds": {roots: "ca.crt", crl: "ca-crl.pem"}}, enforce: envoyEnforce, restarts: envoyRestarts,
	}
	c.extra = func(h *Handover) (issue.Files, error) {
		text, err := encodeYAML(envoyRoots(h.Roots, encodeCRLs(h.CRLs)))
		return issue.Files{envoyValidation: {Data: text}}, err
	}
	c.objects = func(h *Handover) ([]node, error) {
		text, err := encodeYAML(envoyRoots(h.Roots, encodeCRLs(h.CRLs)))
		return []node{configMap("envoy-roots", h.Namespace, nil, node{{envoyValidation, string(text)}, {"ca.crt", rootsPEM(h)}})}, err
	}
	return c
}

func envoyEnforce(*Handover) []enforcing {
	socket := func(required bool) node {
		return node{{"transport_socket", node{{"name", "envoy.transport_sockets.tls"}, {"typed_config", node{
			{"@type", "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"},
			{"require_client_certificate", required},
			{"common_tls_context", node{
				{"tls_certificate_sds_secret_configs", []any{envoySource(envoyCertName, envoyCertificate)}},
				{"validation_context_sds_secret_config", envoySource(envoyRootsName, envoyValidation)},
			}},
		}}}}}
	}
	return []enforcing{
		{"permissive: of each filter chain. Clients may show a certificate, and one that is shown must be good. Stay here until the " +
			"statistic ssl.no_certificate of the listener stays where it is.", []node{socket(false)}},
		{"strict: whoever shows no certificate does not get in.", []node{socket(true)}},
	}
}

func envoySource(name, file string) node {
	return node{{"name", name}, {"sds_config", node{{"path_config_source", node{
		{"path", "/etc/envoy/tls/" + file}, {"watched_directory", node{{"path", "/etc/envoy/tls"}}}}}}}}
}

func envoyRestarts(_ *Handover, change Change) []string {
	if change == ChangeFirst || change == ChangeSuperset || change == ChangeSubset || change == ChangeIssuer {
		return []string{"nothing: Envoy reads the file again when it is moved into the directory that it watches"}
	}
	return []string{"nothing; but clients under the old roots are refused at once: hand out old and new together first (meshpki ca rotate root start)"}
}
