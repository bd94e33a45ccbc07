package layout

// spiffe is what spiffe-helper writes for a workload: one X509-SVID.
var spiffe = split{chain: "svid.pem", secret: "svid_key.pem", roots: "svid_bundle.pem", consumer: "a SPIFFE workload", refuses: svidRefusals}

func svidRefusals(p Plan) []Refusal {
	var found []Refusal
	if !p.SPIFFE {
		found = append(found, Refusal{"the certificate has not exactly one URI that is a SPIFFE ID, so it is not an X509-SVID", "X509-SVID, Section 2"})
	}
	if !p.Server || !p.Client {
		found = append(found, Refusal{"the certificate is not for servers and clients both, as an SVID is", "X509-SVID, Section 4.4"})
	}
	return found
}
