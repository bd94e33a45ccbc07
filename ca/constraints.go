package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// Constraints are the name constraints of a CA certificate to be made
// (RFC 5280, Section 4.2.1.10). The zero value constrains nothing.
type Constraints struct {
	DNS   []string // permitted DNS subtrees
	URI   []spiffeid.TrustDomain
	IP    []netip.Prefix
	Email []string // permitted mailboxes, hosts, or ".domain" for every host below it
	// Open leaves the types that nothing is permitted of open; otherwise they are
	// excluded whole as soon as any type is constrained.
	Open bool
}

// nobody is a host that no email address and no URI can have (RFC 2606, Section 2);
// in a URI it must be of more than one label (RFC 5280, Section 4.2.1.10). A
// subtree that permits only it excludes names of its type whole: an empty excluded
// one would say so too, but Java cannot read a certificate with it.
const nobody = "nobody.invalid"

// Empty tells whether nothing is constrained.
func (c Constraints) Empty() bool {
	return len(c.DNS)+len(c.URI)+len(c.IP)+len(c.Email) == 0
}

// Validate checks that each subtree can be written into a certificate.
func (c Constraints) Validate() error {
	for _, s := range c.DNS {
		if dnsProblem(strings.TrimPrefix(s, ".")) != "" || strings.Contains(s, "*") {
			return fmt.Errorf("permitted DNS subtree %s is no domain: example.com would be (RFC 5280, Section 4.2.1.10)", quoteShort(s))
		}
	}
	for _, td := range c.URI {
		if td.IsAddress() {
			return fmt.Errorf("trust domain %q is an IP address: no name constraint can permit it (RFC 5280, Section 4.2.1.10)", td)
		}
		if dnsProblem(td.String()) != "" {
			return fmt.Errorf("trust domain %q is no host name: no name constraint can permit it (RFC 5280, Section 4.2.1.10)", td)
		}
	}
	for _, p := range c.IP {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("permitted IP range %s is no range of addresses: 10.0.0.0/8 or fd00::/8 would be (RFC 5280, Section 4.2.1.10)", p)
		}
	}
	for _, s := range c.Email {
		domain := dnsProblem(strings.TrimPrefix(s, ".")) == "" && !strings.Contains(s, "*")
		if emailProblem(s) != "" && !domain {
			return fmt.Errorf("permitted email subtree %s is no mailbox, host or .domain (RFC 5280, Section 4.2.1.10)", quoteShort(s))
		}
	}
	return nil
}

// apply writes the constraints into a template.
func (c Constraints) apply(t *x509.Certificate) {
	if c.Empty() {
		return
	}
	t.PermittedDNSDomainsCritical = true // the whole extension, as it must be
	t.PermittedDNSDomains = c.DNS
	t.PermittedEmailAddresses = c.Email
	for _, td := range c.URI {
		t.PermittedURIDomains = append(t.PermittedURIDomains, td.String())
	}
	for _, p := range c.IP {
		t.PermittedIPRanges = append(t.PermittedIPRanges, ipNet(p))
	}
	if c.Open {
		return
	}
	if len(c.DNS) == 0 {
		t.ExcludedDNSDomains = []string{""}
	}
	if len(c.IP) == 0 {
		t.ExcludedIPRanges = []*net.IPNet{ipNet(netip.MustParsePrefix("0.0.0.0/0")), ipNet(netip.MustParsePrefix("::/0"))}
	}
	if len(c.Email) == 0 {
		t.PermittedEmailAddresses = []string{nobody}
	}
	if len(c.URI) == 0 {
		t.PermittedURIDomains = []string{nobody}
	}
}

// within refuses constraints that permit what a CA above does not: they would
// promise names that no verifier accepts.
func (c Constraints) within(above *x509.Certificate) error {
	var names []Name
	for _, s := range c.DNS {
		names = append(names, Name{DNS, inside(s)})
	}
	for _, td := range c.URI {
		names = append(names, Name{URI, td.ID().String()})
	}
	for _, p := range c.IP {
		first, last := ends(p)
		names = append(names, Name{IP, first.String()}, Name{IP, last.String()})
	}
	for _, s := range c.Email {
		if !strings.Contains(s, "@") {
			s = "anybody@" + inside(s)
		}
		names = append(names, Name{Email, s})
	}
	for _, n := range names {
		if err := judge(above, n); err != nil {
			return err
		}
	}
	return nil
}

// inside is a name that a subtree holds: of one with a leading dot, which does not
// hold its own domain, a name in that.
func inside(subtree string) string {
	if strings.HasPrefix(subtree, ".") {
		return "anything" + subtree
	}
	return subtree
}

// ends are the first and the last address of a range.
func ends(p netip.Prefix) (first, last netip.Addr) {
	first = p.Masked().Addr()
	octets := first.AsSlice()
	for i := range octets {
		host := min(max(8*(i+1)-p.Bits(), 0), 8)
		octets[i] |= byte(1<<host - 1)
	}
	last, _ = netip.AddrFromSlice(octets)
	return first, last
}

func ipNet(p netip.Prefix) *net.IPNet {
	p = p.Masked()
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// judge asks whether a CA certificate's name constraints let it sign a name; the
// error is a *Refusal that names the constraint.
func judge(issuer *x509.Certificate, n Name) error {
	why := ""
	switch n.Type {
	case DNS:
		why = subtrees(issuer.PermittedDNSDomains, issuer.ExcludedDNSDomains, n.Value, permitsDNS, excludesDNS)
	case Email:
		why = subtrees(issuer.PermittedEmailAddresses, issuer.ExcludedEmailAddresses, n.Value, permitsEmail, excludesEmail)
	case URI:
		why = judgeURI(issuer, n.Value)
	case IP:
		why = judgeIP(issuer, n.Value)
	case CommonName:
		// Verifiers that find no DNS name may take the common name for one, even one
		// of digits and dots.
		if len(issuer.PermittedDNSDomains)+len(issuer.ExcludedDNSDomains) == 0 {
			break
		}
		if _, err := netip.ParseAddr(n.Value); err == nil || dnsProblem(n.Value) == "" {
			why = subtrees(issuer.PermittedDNSDomains, issuer.ExcludedDNSDomains, n.Value, permitsDNS, excludesDNS)
		}
	}
	if why == "" {
		return nil
	}
	return &Refusal{n.String(), fmt.Sprintf("%s of %s", why, caName(issuer)), "RFC 5280, Section 4.2.1.10"}
}

// subtrees says which rule is against a name: an excluded subtree that holds it,
// or permitted ones of which none does.
func subtrees(permitted, excluded []string, name string, permits, excludes func(subtree, name string) bool) string {
	for _, s := range excluded {
		if excludes(s, name) {
			if s == "" {
				return "names of this type are excluded by the constraints"
			}
			return fmt.Sprintf("it is within %s, excluded by the constraints", quoteShort(s))
		}
	}
	if len(permitted) == 0 {
		return ""
	}
	for _, s := range permitted {
		if permits(s, name) {
			return ""
		}
	}
	if len(permitted) == 1 && permitted[0] == nobody {
		return "names of this type are excluded by the constraints"
	}
	return fmt.Sprintf("only names within %s are permitted by the constraints", strings.Join(permitted, ", "))
}

// permitsDNS tells whether a DNS name lies within a subtree: the domain itself or
// below it; with a leading dot only below it.
func permitsDNS(subtree, name string) bool {
	subtree, name = strings.ToLower(subtree), strings.ToLower(name)
	switch {
	case subtree == "":
		return true
	case strings.HasPrefix(subtree, "."):
		return strings.HasSuffix(name, subtree) && len(name) > len(subtree)
	}
	return name == subtree || strings.HasSuffix(name, "."+subtree)
}

// excludesDNS is permitsDNS, and a wildcard that covers part of the subtree too.
func excludesDNS(subtree, name string) bool {
	if permitsDNS(subtree, name) {
		return true
	}
	parent, wild := strings.CutPrefix(strings.ToLower(name), "*.")
	return wild && permitsDNS(parent, strings.TrimPrefix(strings.ToLower(subtree), "."))
}

// permitsEmail reads the standard strictly: a mailbox, one host, or a domain that
// starts with a dot.
func permitsEmail(subtree, name string) bool {
	if strings.Contains(subtree, "@") {
		return subtree == name || sameMailbox(subtree, name)
	}
	return permitsHost(subtree, name[strings.LastIndexByte(name, '@')+1:])
}

// excludesEmail reads it widely: an excluded host takes the hosts below it along,
// since verifiers differ.
func excludesEmail(subtree, name string) bool {
	return permitsEmail(subtree, name) ||
		!strings.Contains(subtree, "@") && permitsDNS(subtree, name[strings.LastIndexByte(name, '@')+1:])
}

func sameMailbox(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i >= 0 && j >= 0 && a[:i] == b[:j] && strings.EqualFold(a[i:], b[j:])
}

// permitsHost is the rule for URIs and email: one host, or with a leading dot
// every host below it.
func permitsHost(subtree, host string) bool {
	subtree, host = strings.ToLower(subtree), strings.ToLower(host)
	if strings.HasPrefix(subtree, ".") {
		return strings.HasSuffix(host, subtree) && len(host) > len(subtree)
	}
	return host == subtree
}

// judgeURI also refuses what has no host name where only other types of names
// are constrained: crypto/x509 gives up on such a URI then.
func judgeURI(issuer *x509.Certificate, value string) string {
	if !constrained(issuer) {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" {
		return "a URI without a host cannot be judged by the constraints"
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return "a URI whose host is an address cannot be judged by the constraints"
	}
	return subtrees(issuer.PermittedURIDomains, issuer.ExcludedURIDomains, u.Hostname(), permitsHost, permitsDNS)
}

// Constrained tells whether a CA certificate constrains names of any type
// (RFC 5280, Section 4.2.1.10).
func Constrained(c *x509.Certificate) bool { return constrained(c) }

// constrained tells whether a CA certificate constrains names of any type.
func constrained(c *x509.Certificate) bool {
	return len(c.PermittedDNSDomains)+len(c.ExcludedDNSDomains)+len(c.PermittedURIDomains)+len(c.ExcludedURIDomains)+
		len(c.PermittedEmailAddresses)+len(c.ExcludedEmailAddresses)+len(c.PermittedIPRanges)+len(c.ExcludedIPRanges) > 0
}

func judgeIP(issuer *x509.Certificate, value string) string {
	a, err := netip.ParseAddr(value)
	if err != nil {
		return "it is no address, for the constraints"
	}
	ip := net.IP(a.Unmap().AsSlice())
	for _, n := range issuer.ExcludedIPRanges {
		if within(n, ip) {
			if ones, _ := n.Mask.Size(); ones == 0 {
				return "names of this type are excluded by the constraints"
			}
			return fmt.Sprintf("it is within %s, excluded by the constraints", n)
		}
	}
	if len(issuer.PermittedIPRanges) == 0 {
		return ""
	}
	var all []string
	for _, n := range issuer.PermittedIPRanges {
		if len(ip) == net.IPv6len && mapped(n) {
			return "beside IPv4 ranges written as IPv6 it cannot be judged by the constraints"
		}
	}
	for _, n := range issuer.PermittedIPRanges {
		if within(n, ip) {
			return ""
		}
		all = append(all, n.String())
	}
	return fmt.Sprintf("only names within %s are permitted by the constraints", strings.Join(all, ", "))
}

// within tells whether a range holds an address of its own family: IPv4 written
// as IPv6 is IPv6 to those who verify.
func within(n *net.IPNet, ip net.IP) bool { return len(n.IP) == len(ip) && n.Contains(ip) }

// mapped tells whether a range is IPv4 written as IPv6. Where one is permitted,
// crypto/x509 may overlook the ranges of IPv6 beside it.
func mapped(n *net.IPNet) bool { return len(n.IP) == net.IPv6len && n.IP.To4() != nil }

// judgeIdentity asks every CA of a chain about every name.
func judgeIdentity(chain []*x509.Certificate, id Identity) error {
	for _, n := range id.Names() {
		for _, c := range chain {
			if err := judge(c, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// caName names a CA certificate for people.
func caName(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}

// IsRefusal tells whether an authority refused, and gives its reason.
func IsRefusal(err error) (*Refusal, bool) { return errors.AsType[*Refusal](err) }
