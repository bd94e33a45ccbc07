package inspect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Endpoint is where something is served over TLS.
type Endpoint struct {
	// Scheme is how TLS begins there: at once for tls and https, and by the protocol's
	// own way for smtp, imap, pop3, ldap, postgres and mysql.
	Scheme string
	Host   string // a name, or an address without brackets
	Port   string // a number
}

// Address is the endpoint's host:port, as it is dialled.
func (e Endpoint) Address() string { return net.JoinHostPort(e.Host, e.Port) }

// String is the endpoint as ParseEndpoint reads it.
func (e Endpoint) String() string {
	// The zone of an address stands escaped in a URL (RFC 6874, Section 2).
	return e.Scheme + "://" + strings.ReplaceAll(e.Address(), "%", "%25")
}

// customaryPort is the port that a scheme has where none is given.
func customaryPort(scheme string) (port string, known bool) {
	port, known = map[string]string{
		"tls": "", "https": "443", "smtp": "25", "imap": "143", "pop3": "110", "ldap": "389", "postgres": "5432", "mysql": "3306",
	}[scheme]
	return port, known
}

// ParseEndpoint reads host:port, or a URL: tls://host:port, https://host and the
// like for smtp, imap, pop3, ldap, postgres and mysql. A path after the host is not
// gone by, and one with a user in it is refused.
func ParseEndpoint(s string) (Endpoint, error) {
	wrong := func() (Endpoint, error) {
		return Endpoint{}, fmt.Errorf("%s is no endpoint: host:port, tls://host:port or https://host is expected", quotedSafe(s))
	}
	e := Endpoint{Scheme: "tls"}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil {
			return wrong()
		}
		if u.User != nil {
			return Endpoint{}, errors.New("an endpoint with a user or a password in it: to look at what is served needs none")
		}
		e = Endpoint{u.Scheme, u.Hostname(), u.Port()}
		port, known := customaryPort(e.Scheme)
		if !known {
			return wrong()
		}
		if e.Port == "" && !strings.HasSuffix(u.Host, ":") {
			e.Port = port
		}
	} else {
		var err error
		if e.Host, e.Port, err = net.SplitHostPort(s); err != nil {
			return wrong()
		}
	}
	port, err := strconv.ParseUint(e.Port, 10, 16)
	if err != nil || port == 0 || !isHost(e.Host) {
		return wrong()
	}
	return e, nil
}

// isHost takes an address, or what may be a name: whether there is such a one the
// network knows.
func isHost(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if address, err := netip.ParseAddr(s); err == nil {
		return strings.Trim(address.Zone(), letters) == ""
	}
	return s != "" && len(s) <= 255 && strings.Trim(s, letters) == ""
}

// quotedSafe is a text from outside as a sentence has it, escaped.
func quotedSafe(s string) string { return strconv.Quote(clip(s)) }
