package ca

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Profile says what a kind of certificate may contain. It is opaque: made once,
// validated then. The zero value is no profile.
type Profile struct {
	name     string
	usage    x509.KeyUsage
	rsaUsage x509.KeyUsage // added where the key is RSA
	extended []x509.ExtKeyUsage
	validity time.Duration
	lenient  []string
	own      *custom // of a profile of one's own
}

const day = 24 * time.Hour

var profiles = []Profile{
	// A workload is both ends of a mutual-TLS connection (X509-SVID, Section 4.3 and 4.4).
	{name: "workload", usage: x509.KeyUsageDigitalSignature, validity: 30 * day,
		extended: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
	{name: "server", usage: x509.KeyUsageDigitalSignature, validity: 30 * day,
		extended: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
	{name: "client", usage: x509.KeyUsageDigitalSignature, validity: 30 * day,
		extended: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	// A peer is a member of a cluster (etcd, PostgreSQL, Kafka): both ends, and RSA
	// key transport for the older TLS stacks among them.
	{name: "peer", usage: x509.KeyUsageDigitalSignature, rsaUsage: x509.KeyUsageKeyEncipherment, validity: 30 * day,
		extended: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
}

// ProfileNames lists the built-in profiles, the default first.
func ProfileNames() []string {
	names := make([]string, 0, len(profiles))
	for _, p := range profiles {
		names = append(names, p.name)
	}
	return names
}

// UsagesProfile begins the name of a profile that is nothing but usages:
// usages:digital signature,server auth.
const UsagesProfile = "usages:"

// ProfileByName is the built-in profile of that name; "" is workload.
func ProfileByName(name string) (Profile, error) {
	if name == "" {
		return profiles[0], nil
	}
	for _, p := range profiles {
		if p.name == name {
			return p, nil
		}
	}
	if usages, ok := strings.CutPrefix(name, UsagesProfile); ok {
		return NewProfile(Policy{Name: name, Usages: strings.Split(usages, ",")})
	}
	return Profile{}, fmt.Errorf("profile %s is none of %s", quoteShort(name), strings.Join(ProfileNames(), ", "))
}

// Name is the profile's name.
func (p Profile) Name() string { return p.name }

// Validity is how long a certificate of this profile lives when nothing else is asked.
func (p Profile) Validity() time.Duration { return p.validity }

// KeyUsage is what a certificate of this profile says of a key of that type
// (RFC 5280, Section 4.2.1.3).
func (p Profile) KeyUsage(kt KeyType) x509.KeyUsage {
	if p.own != nil {
		return usageFor(p.usage|p.rsaUsage, kt)
	}
	if strings.HasPrefix(string(kt), "rsa-") {
		return p.usage | p.rsaUsage
	}
	return p.usage
}

// ExtKeyUsage is the extended key usage (RFC 5280, Section 4.2.1.12).
func (p Profile) ExtKeyUsage() []x509.ExtKeyUsage { return slices.Clone(p.extended) }

// Tolerates tells whether a difference in a part of the certificate that came back
// (see issue.Difference) is a warning and not an error.
func (p Profile) Tolerates(part string) bool { return slices.Contains(p.lenient, part) }

// Tolerating is the profile with differences in those parts tolerated as well.
func (p Profile) Tolerating(parts ...string) Profile {
	p.lenient = append(slices.Clone(p.lenient), parts...)
	return p
}

// MutualTLS tells whether the profile serves both ends of a connection, as an
// X509-SVID must (X509-SVID, Section 4.4).
func (p Profile) MutualTLS() bool {
	return slices.Contains(p.extended, x509.ExtKeyUsageServerAuth) && slices.Contains(p.extended, x509.ExtKeyUsageClientAuth)
}
