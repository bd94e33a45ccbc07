// Package spiffeid holds SPIFFE IDs and trust domain names as opaque, validated
// values, read to the letter of the SPIFFE-ID standard: nothing is folded to
// lower case, unescaped or trimmed on the way in.
package spiffeid

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Scheme is the URI scheme of every SPIFFE ID (SPIFFE-ID, Section 2).
const Scheme = "spiffe"

const (
	// maxID is the longest SPIFFE ID in bytes (SPIFFE-ID, Section 2.3).
	maxID = 2048
	// maxTrustDomain is the longest trust domain name in bytes (SPIFFE-ID, Section 2.3).
	maxTrustDomain = 255
)

// Errors that a caller can branch on. Each names the clause that it stands for.
var (
	ErrScheme      = errors.New(`must start with "spiffe://" (SPIFFE-ID, Section 2)`)
	ErrTrustDomain = errors.New("lower-case letters, digits, '.', '-' and '_' only, 1 to 255 of them (SPIFFE-ID, Section 2.1)")
	ErrPath        = errors.New("path: segments of letters, digits, '.', '-' and '_', none empty, \".\" or \"..\" (SPIFFE-ID, Section 2.2)")
	ErrTooLong     = errors.New("longer than 2048 bytes (SPIFFE-ID, Section 2.3)")
)

// TrustDomain is the name of a trust domain, such as cluster.local. The zero
// value is no trust domain. It is comparable and safe for concurrent use.
type TrustDomain struct{ name string }

// ParseTrustDomain takes the bare name of a trust domain, or the ID of the trust
// domain itself (spiffe://cluster.local). The error wraps ErrTrustDomain.
func ParseTrustDomain(s string) (TrustDomain, error) {
	name := strings.TrimPrefix(s, Scheme+"://")
	if !validTrustDomain(name) {
		return TrustDomain{}, fmt.Errorf("%q is not a trust domain: %w", clip(s), ErrTrustDomain)
	}
	return TrustDomain{name}, nil
}

// String gives the bare name.
func (td TrustDomain) String() string { return td.name }

// IsZero reports whether this is no trust domain.
func (td TrustDomain) IsZero() bool { return td.name == "" }

// ID is the SPIFFE ID of the trust domain itself, which has no path. A signing
// certificate may carry it (X509-SVID, Section 3.2).
func (td TrustDomain) ID() ID { return ID{td: td} }

// IsAddress reports whether the name is an IPv4 address. Such a name is legal
// (SPIFFE-ID, Section 2.1) and no URI name constraint can permit it
// (RFC 5280, Section 4.2.1.10).
func (td TrustDomain) IsAddress() bool {
	_, err := netip.ParseAddr(td.name)
	return err == nil
}

// Workload is the customary ID of a workload: /ns/<namespace>/sa/<service>, each
// of them one segment of the path. The error wraps one of Parse's.
func (td TrustDomain) Workload(namespace, service string) (ID, error) {
	path := "/ns/" + namespace + "/sa/" + service
	if strings.Contains(namespace+service, "/") {
		return ID{}, fmt.Errorf("%q is not a workload's path: %w", clip(path), ErrPath)
	}
	return td.WithPath(path)
}

// WithPath is the ID of this trust domain with that path, which starts with '/'
// or is empty. The error wraps one of Parse's.
func (td TrustDomain) WithPath(path string) (ID, error) {
	if path != "" && path[0] != '/' {
		// Put behind the name it would make another trust domain of it.
		return ID{}, fmt.Errorf("%q does not start with '/': %w", clip(path), ErrPath)
	}
	return Parse(Scheme + "://" + td.name + path)
}

// ID is a SPIFFE ID. The zero value is no ID. It is comparable and safe for
// concurrent use.
type ID struct {
	td   TrustDomain
	path string
}

// Parse reads a SPIFFE ID (SPIFFE-ID, Section 2). The error wraps one of
// ErrScheme, ErrTrustDomain, ErrPath and ErrTooLong.
func Parse(s string) (ID, error) {
	if len(s) > maxID {
		return ID{}, fmt.Errorf("%q is not a SPIFFE ID: %w", clip(s), ErrTooLong)
	}
	rest, ok := strings.CutPrefix(s, Scheme+"://")
	if !ok {
		return ID{}, fmt.Errorf("%q is not a SPIFFE ID: %w", clip(s), ErrScheme)
	}
	name, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		name, path = rest[:i], rest[i:]
	}
	if !validTrustDomain(name) {
		return ID{}, fmt.Errorf("%q is not a SPIFFE ID: trust domain: %w", clip(s), ErrTrustDomain)
	}
	if !validPath(path) {
		return ID{}, fmt.Errorf("%q is not a SPIFFE ID: %w", clip(s), ErrPath)
	}
	return ID{TrustDomain{name}, path}, nil
}

// String gives the ID as a URI, or "" for the zero value.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return Scheme + "://" + id.td.name + id.path
}

// URL gives the ID as a URL for an X.509 certificate's SAN.
func (id ID) URL() *url.URL {
	return &url.URL{Scheme: Scheme, Host: id.td.name, Path: id.path}
}

// IsZero reports whether this is no ID.
func (id ID) IsZero() bool { return id == ID{} }

// TrustDomain is the trust domain that the ID belongs to.
func (id ID) TrustDomain() TrustDomain { return id.td }

// Path is the part behind the trust domain: "" or '/' and more.
func (id ID) Path() string { return id.path }

func validTrustDomain(name string) bool {
	if name == "" || len(name) > maxTrustDomain {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func validPath(path string) bool {
	if path == "" {
		return true
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
		for i := range len(segment) {
			c := segment[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// clip keeps an error short however long the text was that is at fault.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
