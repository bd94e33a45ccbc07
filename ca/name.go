package ca

import (
	"errors"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// dnsProblem says why a text is no DNS name for a certificate: a host name of
// letters, digits, '-' and '_', with '*' for the whole first label at most
// (RFC 5280, Section 4.2.1.6; RFC 9525, Section 6.3).
func dnsProblem(s string) string {
	name := strings.TrimPrefix(s, "*.")
	switch {
	case s == "":
		return "is empty"
	case len(s) > 253:
		return "is longer than 253 bytes (RFC 1035, Section 2.3.4)"
	case !isASCII(s):
		return "must be ASCII; an international name is written in its xn-- form (RFC 5890, Section 2.3.2.1)"
	case strings.HasSuffix(s, "."):
		return "must not end with a dot (RFC 5280, Section 4.2.1.6)"
	}
	labels := strings.Split(name, ".")
	if name != s && len(labels) < 2 {
		return "has a wildcard over a whole top-level domain (RFC 9525, Section 6.3)"
	}
	for _, label := range labels {
		if !isLabel(label) {
			return "is no host name: labels of 1 to 63 letters, digits and '-' are (RFC 1123, Section 2.1)"
		}
	}
	if last := s[len(s)-1]; '0' <= last && last <= '9' { // as in every address of IPv4
		if _, err := netip.ParseAddr(s); err == nil {
			return "is an address; ask for it as one"
		}
	}
	return ""
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// emailProblem says why a text is no email address for a certificate: a mailbox
// without comments, quotes or a name before it, at a host that has one
// (RFC 5280, Section 4.2.1.6).
func emailProblem(s string) string {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || !isASCII(s) {
		return "is no address: name@example.com would be (RFC 5280, Section 4.2.1.6)"
	}
	at := strings.LastIndexByte(s, '@')
	switch host := s[at+1:]; {
	case at > 64 || len(s) > 254:
		return "is longer than 64 bytes before the '@', or than 254 in all (RFC 5321, Section 4.5.3.1)"
	case dnsProblem(host) != "" || strings.HasPrefix(host, "*"):
		return "has no host name behind the '@' (RFC 5280, Section 4.2.1.6)"
	}
	return ""
}

// maxURI is the longest URI in bytes; a SPIFFE ID may be no longer either.
const maxURI = 2048

// parseURI reads an absolute URI that comes out of a certificate as it went in
// (RFC 5280, Section 4.2.1.6). The error is a *NameError.
func parseURI(s string) (*url.URL, error) {
	wrong := func(why string) (*url.URL, error) { return nil, &NameError{Name{URI, s}, why} }
	if !isASCII(s) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return wrong("must be ASCII without blanks (RFC 5280, Section 4.2.1.6)")
	}
	if len(s) > maxURI {
		return wrong("is longer than 2048 bytes")
	}
	if strings.HasPrefix(strings.ToLower(s), spiffeid.Scheme+":") {
		id, why := parseSPIFFE(s)
		if why != "" {
			return wrong(why)
		}
		return id.URL(), nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || (u.Host == "" && u.Opaque == "" && u.Path == "") {
		return wrong("is no absolute URI: it needs a scheme and what follows it (RFC 5280, Section 4.2.1.6)")
	}
	if why := authorityProblem(s, u); why != "" {
		return wrong(why)
	}
	if u.String() != s {
		return wrong("would be written as " + quoteShort(u.String()) + "; ask for that")
	}
	return u, nil
}

// parseSPIFFE reads the SPIFFE ID of a workload, or says what is wrong with it.
func parseSPIFFE(s string) (id spiffeid.ID, why string) {
	id, err := spiffeid.Parse(s)
	switch {
	case err != nil:
		if cause := errors.Unwrap(err); cause != nil {
			err = cause // without the ID, which the error names already
		}
		return id, "is no SPIFFE ID: " + err.Error()
	case id.Path() == "":
		return id, "names a trust domain and no workload: it needs a path (X509-SVID, Section 2)"
	}
	return id, hostProblem(id.TrustDomain())
}

// hostProblem says why a trust domain cannot stand in a certificate: every name
// of dots and letters is legal as one, but not as the host of a URI.
func hostProblem(td spiffeid.TrustDomain) string {
	if strings.Contains("."+td.String()+".", "..") {
		return "has a trust domain with an empty label, which is no host (RFC 5280, Section 4.2.1.6)"
	}
	return ""
}

// authorityProblem says what is wrong with the part of a URI between "//" and the
// next '/', if it has one: it must be a host name or an address.
func authorityProblem(s string, u *url.URL) string {
	if _, rest, _ := strings.Cut(s, ":"); !strings.HasPrefix(rest, "//") {
		return ""
	}
	const noHost = "has no host name or address behind the \"//\" (RFC 5280, Section 4.2.1.6)"
	host := u.Hostname()
	switch a, err := netip.ParseAddr(host); {
	case u.User != nil:
		return "must not carry a user's name or password: certificates are public"
	case err == nil && (a.Zone() != "" || a.Is6() != strings.HasPrefix(u.Host, "[")):
		return noHost
	case err != nil && (dnsProblem(host) != "" || strings.HasPrefix(host, "*")):
		return noHost
	}
	if _, err := strconv.ParseUint(u.Port(), 10, 16); err != nil && u.Port() != "" {
		return "has a port beyond 65535 (RFC 3986, Section 3.2.3)"
	}
	return ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
