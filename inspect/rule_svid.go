package inspect

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

var (
	ruleSVIDOneURI      = Rule{"svid-uri-count", SeverityError, "X509-SVID, Section 2", "an SVID has exactly one URI among its names"}
	ruleSVIDID          = Rule{"svid-id-invalid", SeverityError, "SPIFFE-ID, Section 2", "the URI of an SVID is a SPIFFE ID"}
	ruleSVIDPath        = Rule{"svid-path-missing", SeverityError, "X509-SVID, Section 3.1", "a leaf's SPIFFE ID has a path"}
	ruleSVIDCA          = Rule{"svid-leaf-is-ca", SeverityError, "X509-SVID, Section 5.2", "a leaf SVID is no CA"}
	ruleSVIDUsage       = Rule{"svid-digital-signature-missing", SeverityError, "X509-SVID, Section 4.3", "a leaf SVID's key usage says digitalSignature"}
	ruleSVIDSigning     = Rule{"svid-leaf-signs", SeverityError, "X509-SVID, Section 5.2", "a leaf SVID's key usage says neither keyCertSign nor cRLSign"}
	ruleSVIDExtUsage    = Rule{"svid-ext-key-usage", SeverityError, "X509-SVID, Section 4.4", "a leaf SVID is for servers and clients both"}
	ruleSVIDCritical    = Rule{"svid-key-usage-not-critical", SeverityWarning, "X509-SVID, Section 4.3", "an SVID's key usage is critical"}
	ruleSVIDSigningPath = Rule{"svid-signing-path", SeverityError, "X509-SVID, Section 3.2", "a signing certificate's SPIFFE ID has no path"}
)

// svidLeafChecks are the rules for a leaf that is an X509-SVID.
var svidLeafChecks = []certificateCheck{
	one(ruleSVIDOneURI, checkSVIDOneURI),
	one(ruleSVIDID, checkSVIDID),
	one(ruleSVIDPath, checkSVIDPath),
	one(ruleSVIDCA, checkSVIDCA),
	one(ruleSVIDSigning, checkSVIDSigning),
	one(ruleSVIDUsage, checkSVIDUsage),
	one(ruleSVIDExtUsage, checkSVIDExtUsage),
	one(ruleSVIDCritical, checkSVIDCritical),
}

// svidSigningChecks are the rules for a CA certificate that has a SPIFFE ID.
var svidSigningChecks = []certificateCheck{
	one(ruleSVIDOneURI, checkSVIDOneURI),
	one(ruleSVIDID, checkSVIDID),
	one(ruleSVIDSigningPath, checkSVIDSigningPath),
	one(ruleSVIDCritical, checkSVIDCritical),
}

// isSVID tells whether the certificate keeps every rule for a leaf.
func (e *examined) isSVID() bool {
	return len(e.names.URIs) == 1 && len(errorsOnly(e.svidFindings())) == 0
}

// svidFindings judges the certificate as a leaf SVID, whatever it says it is.
func (e *examined) svidFindings() []Finding { return e.judge(nil, svidLeafChecks) }

func errorsOnly(list []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(list), func(f Finding) bool { return f.Severity != SeverityError })
}

func checkSVIDOneURI(e *examined) (message, fix string) {
	switch n := len(e.names.URIs); n {
	case 1:
		return "", ""
	case 0:
		return "it has no URI among its names, so it has no SPIFFE ID", "issue it again with a SPIFFE ID"
	default:
		return fmt.Sprintf("it has %d URIs among its names (%s); an X509-SVID has exactly one", n, listed(e.names.URIs, 2)),
			"issue it again with its SPIFFE ID as the only URI"
	}
}

// spiffeID is the one URI, parsed; the zero value where another rule is broken.
func (e *examined) spiffeID() spiffeid.ID { return e.names.SPIFFEID() }

func checkSVIDID(e *examined) (message, fix string) {
	if len(e.names.URIs) != 1 {
		return "", ""
	}
	if _, err := spiffeid.Parse(e.names.URIs[0]); err != nil {
		return fmt.Sprintf("its URI %s is no SPIFFE ID: %v", quoted(e.names.URIs[0]), reason(err)), "issue it again with a well-formed SPIFFE ID"
	}
	return "", ""
}

func checkSVIDPath(e *examined) (message, fix string) {
	id := e.spiffeID()
	if id.IsZero() || id.Path() != "" {
		return "", ""
	}
	return fmt.Sprintf("its SPIFFE ID %s is that of the trust domain itself, which no workload may have", quoted(id.String())),
		"issue it again with an ID that has a path"
}

func checkSVIDCA(e *examined) (message, fix string) {
	if !e.isCA() {
		return "", ""
	}
	return "it is a CA certificate, and those do not prove who somebody is", "use a leaf that this CA has issued"
}

func checkSVIDSigning(e *examined) (message, fix string) {
	if e.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) == 0 {
		return "", ""
	}
	return "its key usage allows to sign certificates or CRLs, which a leaf must not", "issue it again without keyCertSign and cRLSign"
}

func checkSVIDUsage(e *examined) (message, fix string) {
	if e.KeyUsage&x509.KeyUsageDigitalSignature != 0 {
		return "", ""
	}
	return "its key usage does not say digitalSignature", "issue it again with digitalSignature"
}

func checkSVIDExtUsage(e *examined) (message, fix string) {
	if len(e.ExtKeyUsage)+len(e.UnknownExtKeyUsage) == 0 {
		return "", ""
	}
	if slices.Contains(e.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && slices.Contains(e.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return "", ""
	}
	return fmt.Sprintf("it is for %s; an X509-SVID that names uses is for serverAuth and clientAuth both", listed(extKeyUsages(e.Certificate), 4)),
		"issue it again for both"
}

func checkSVIDCritical(e *examined) (message, fix string) {
	if ext := extension(e.Extensions, oidKeyUsage); ext == nil || ext.Critical {
		return "", ""
	}
	return "its key usage is not marked critical", "issue it again with a critical key usage"
}

func checkSVIDSigningPath(e *examined) (message, fix string) {
	id := e.spiffeID()
	if id.Path() == "" {
		return "", ""
	}
	return fmt.Sprintf("it is a CA, and its SPIFFE ID %s has a path; a signing certificate has the ID of its trust domain, or none", quoted(id.String())),
		"issue the CA certificate again with " + quoted(id.TrustDomain().ID().String()) + ", or without a URI"
}
