package ca

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// URLs say where more is to be had about a certificate that an authority signs:
// its CRL (RFC 5280, Section 4.2.1.13), an OCSP responder and the authority's own
// certificate (RFC 5280, Section 4.2.2.1). "{authority}" stands for the name of the
// authority that signs.
type URLs struct {
	CRL, OCSP, CAIssuers []string
}

// authorityMark is what stands for the signing authority's name in a URL.
const authorityMark = "{authority}"

// maxLocation is the most bytes of such a URL.
const maxLocation = 1024

// CheckCRLURL says why a URL is no CRL distribution point; "" is good.
func CheckCRLURL(s string) string { return locationProblem(s, "http", "ldap") }

// CheckOCSPURL says why a URL is no OCSP responder's; "" is good.
func CheckOCSPURL(s string) string { return locationProblem(s, "http") }

// CheckCAIssuersURL says why a URL is no place of a CA's certificate; "" is good.
func CheckCAIssuersURL(s string) string { return locationProblem(s, "http", "ldap") }

// locationProblem reads a URL that goes into certificates.
func locationProblem(s string, schemes ...string) string {
	u, err := url.Parse(strings.ReplaceAll(s, authorityMark, "a"))
	switch {
	case !isASCII(s) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return "is not ASCII without blanks (RFC 5280, Section 4.2.1.6)"
	case len(s) > maxLocation:
		return fmt.Sprintf("is longer than %d bytes", maxLocation)
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return "is no URL with a host in it: http://pki.example.com/" + authorityMark + ".crl would be"
	case u.Scheme == "https":
		return "is https, whose server's certificate may need the very answer to be judged: http is for this, and what it serves is signed (RFC 5280, Section 8)"
	case !slices.Contains(schemes, u.Scheme):
		return "must start with " + strings.Join(schemes, ":// or ") + ":// (RFC 5280, Section 4.2.1.13)"
	case u.User != nil:
		return "must not carry a user's name or password: certificates are public"
	case u.Fragment != "":
		return "has a fragment (#), which no client sends"
	case u.Scheme == "ldap" && (strings.Trim(u.Path, "/") == "" || u.RawQuery == ""):
		return "must name an entry and its attribute: ldap://host/cn=CA,dc=example?certificateRevocationList;binary (RFC 5280, Section 4.2.1.13)"
	}
	if why := authorityProblem(strings.ReplaceAll(s, authorityMark, "a"), u); why != "" {
		return why
	}
	if rest := strings.ReplaceAll(s, authorityMark, ""); strings.ContainsAny(rest, "{}") {
		return "has braces in it: only " + authorityMark + " stands for something, the name of the authority that signs"
	}
	return ""
}

// Validate checks every URL.
func (u URLs) Validate() error {
	for _, kind := range []struct {
		list  []string
		check func(string) string
	}{{u.CRL, CheckCRLURL}, {u.OCSP, CheckOCSPURL}, {u.CAIssuers, CheckCAIssuersURL}} {
		for _, s := range kind.list {
			if why := kind.check(s); why != "" {
				return fmt.Errorf("URL %s %s", quoteShort(s), why)
			}
		}
	}
	return nil
}

// For gives the URLs as they stand in what an authority of that name signs.
func (u URLs) For(authority string) URLs {
	fill := func(list []string) (out []string) {
		for _, s := range list {
			out = append(out, strings.ReplaceAll(s, authorityMark, authority))
		}
		return out
	}
	return URLs{fill(u.CRL), fill(u.OCSP), fill(u.CAIssuers)}
}

// apply writes the URLs into a template.
func (u URLs) apply(t *x509.Certificate) {
	t.CRLDistributionPoints, t.OCSPServer, t.IssuingCertificateURL = u.CRL, u.OCSP, u.CAIssuers
}

func sameURLs(a, b *x509.Certificate) bool {
	return slices.Equal(a.CRLDistributionPoints, b.CRLDistributionPoints) && slices.Equal(a.OCSPServer, b.OCSPServer) &&
		slices.Equal(a.IssuingCertificateURL, b.IssuingCertificateURL)
}
