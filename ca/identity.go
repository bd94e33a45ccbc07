package ca

import (
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// NameType is a type of name that a certificate can certify.
type NameType string

// The types of subject alternative names that are issued
// (RFC 5280, Section 4.2.1.6), and the common name beside them.
const (
	DNS        NameType = "DNS name"
	IP         NameType = "IP address"
	Email      NameType = "email address"
	URI        NameType = "URI"
	CommonName NameType = "common name"
)

// Name is one name of an identity.
type Name struct {
	Type  NameType
	Value string
}

func (n Name) String() string { return string(n.Type) + " " + quoteShort(n.Value) }

// NameError says that a text is no name of its type.
type NameError struct {
	Name Name
	Why  string
}

func (e *NameError) Error() string { return e.Name.String() + " " + e.Why }

// Names is an identity in the making: what somebody asked for, unchecked.
type Names struct {
	Subject pkix.RDNSequence // may be empty
	DNS     []string
	IP      []string
	Email   []string
	URI     []string
}

// Identity is the names to be certified, validated. The zero value has none. It
// does not change once made.
type Identity struct {
	subject pkix.RDNSequence
	dns     []string
	ips     []netip.Addr
	emails  []string
	uris    []*url.URL
	svid    spiffeid.ID
}

// maxNames is more than any TLS library is happy to read.
const maxNames = 1000

// NewIdentity validates names. The first that is not well-formed is a
// *NameError. Names given twice are kept once. What it returns shares nothing
// with n.
func NewIdentity(n Names) (Identity, error) {
	if total := len(n.DNS) + len(n.IP) + len(n.Email) + len(n.URI); total > maxNames {
		return Identity{}, fmt.Errorf("%d names: at most %d fit one certificate", total, maxNames)
	}
	id := Identity{subject: cloneSubject(n.Subject)}
	if err := checkSubject(id.subject); err != nil {
		return Identity{}, err
	}
	for _, s := range n.DNS {
		if why := dnsProblem(s); why != "" {
			return Identity{}, &NameError{Name{DNS, s}, why}
		}
		id.dns = appendNew(id.dns, s)
	}
	for _, s := range n.IP {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return Identity{}, &NameError{Name{IP, s}, "is no address: 10.0.0.5 or fd00::5 would be"}
		}
		id.ips = appendNew(id.ips, a.Unmap())
	}
	for _, s := range n.Email {
		if why := emailProblem(s); why != "" {
			return Identity{}, &NameError{Name{Email, s}, why}
		}
		id.emails = appendNew(id.emails, s)
	}
	for _, s := range n.URI {
		u, err := parseURI(s)
		if err != nil {
			return Identity{}, err
		}
		if !slices.ContainsFunc(id.uris, func(o *url.URL) bool { return o.String() == u.String() }) {
			id.uris = append(id.uris, u)
		}
	}
	id.svid = svidOf(id.uris)
	return id, nil
}

// svidOf is the SPIFFE ID of a workload, if its URIs are exactly one and that is
// one (X509-SVID, Section 2).
func svidOf(uris []*url.URL) spiffeid.ID {
	if len(uris) != 1 {
		return spiffeid.ID{}
	}
	id, err := spiffeid.Parse(uris[0].String())
	if err != nil {
		return spiffeid.ID{}
	}
	return id
}

// SPIFFEID is the SPIFFE ID of this identity; the zero ID where it has none, or
// several URIs.
func (id Identity) SPIFFEID() spiffeid.ID { return id.svid }

// Subject is the distinguished name, empty where the names say it all.
func (id Identity) Subject() pkix.RDNSequence { return cloneSubject(id.subject) }

// SubjectDER is the distinguished name as it is certified (RFC 5280, Section 4.1.2.6).
func (id Identity) SubjectDER() ([]byte, error) { return encodeSubject(id.subject) }

// DNS are the DNS names, in the order that they were given.
func (id Identity) DNS() []string { return slices.Clone(id.dns) }

// Emails are the email addresses, in the order that they were given.
func (id Identity) Emails() []string { return slices.Clone(id.emails) }

// IPs are the addresses, in the order that they were given.
func (id Identity) IPs() []net.IP {
	var out []net.IP
	for _, a := range id.ips {
		out = append(out, a.AsSlice())
	}
	return out
}

// URIs are the URIs, in the order that they were given.
func (id Identity) URIs() []*url.URL {
	var out []*url.URL
	for _, u := range id.uris {
		c := *u // no part of it is shared: there is no Userinfo, and strings do not change
		out = append(out, &c)
	}
	return out
}

// Names lists every name: URIs, DNS names, addresses, and the common name last.
func (id Identity) Names() []Name {
	var out []Name
	for _, u := range id.uris {
		out = append(out, Name{URI, u.String()})
	}
	for _, s := range id.dns {
		out = append(out, Name{DNS, s})
	}
	for _, a := range id.ips {
		out = append(out, Name{IP, a.String()})
	}
	for _, s := range id.emails {
		out = append(out, Name{Email, s})
	}
	if cn := id.CommonName(); cn != "" {
		out = append(out, Name{CommonName, cn})
	}
	return out
}

// CommonName is the subject's common name, or "".
func (id Identity) CommonName() string {
	for _, rdn := range id.subject {
		for _, a := range rdn {
			if s, ok := a.Value.(string); ok && a.Type.Equal(oidCommonName) {
				return s
			}
		}
	}
	return ""
}

// CommonNameOnly is the subject that has a common name and nothing else.
func CommonNameOnly(cn string) pkix.RDNSequence {
	return pkix.RDNSequence{{{Type: slices.Clone(oidCommonName), Value: cn}}}
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// quoteShort quotes a text for an error, in ASCII, and keeps it short.
func quoteShort(s string) string {
	const most = 120
	if len(s) <= most {
		return strconv.QuoteToASCII(s)
	}
	return strings.TrimSuffix(strconv.QuoteToASCII(s[:most]), `"`) + `…"`
}
