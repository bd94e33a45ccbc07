package inspect

import (
	"crypto/x509"
	"fmt"
	"time"
)

var (
	ruleRequestSignature = Rule{"request-signature-invalid", SeverityError, "RFC 2986, Section 3", "a request is signed with its own key"}
	ruleCRLStale         = Rule{"crl-stale", SeverityError, "RFC 5280, Section 5.1.2.5", "a CRL's next update is not due yet"}
	ruleCRLNotYet        = Rule{"crl-not-yet-valid", SeverityError, "RFC 5280, Section 5.1.2.4", "a CRL's own update does not lie ahead"}
)

// requestFindings judges a certificate request.
func requestFindings(r *x509.CertificateRequest, facts *RequestFacts) []Finding {
	list := keyFindings(r.PublicKey)
	if !facts.SignatureValid {
		list = append(list, ruleRequestSignature.broken("",
			"its signature was not made with its own key, or cannot be checked: it does not prove that whoever asks has the key",
			"make the request again with the key that it is for"))
	}
	return list
}

// crlFindings judges a CRL by the clock.
func crlFindings(l *x509.RevocationList, now time.Time) []Finding {
	list := []Finding{}
	if !l.NextUpdate.IsZero() && now.After(l.NextUpdate) {
		list = append(list, ruleCRLStale.broken("",
			fmt.Sprintf("its next update was due %s ago, at %s", span(seconds(l.NextUpdate, now)), moment(l.NextUpdate)),
			"fetch or publish a newer CRL of this issuer"))
	}
	if now.Before(l.ThisUpdate) {
		list = append(list, ruleCRLNotYet.broken("",
			fmt.Sprintf("it was made in the future: in %s, at %s", span(seconds(now, l.ThisUpdate)), moment(l.ThisUpdate)),
			"check the clocks of this machine and of the one that made it"))
	}
	return list
}
