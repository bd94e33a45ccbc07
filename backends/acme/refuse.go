package acme

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

const (
	letsEncrypt = "Let's Encrypt"

	// ownInstead ends a refusal of what only an authority of one's own can certify.
	ownInstead = "; the local authority certifies it"
)

// publicName tells which of the public authorities a host belongs to; "" for none
// that is known.
func publicName(host string) string {
	host = "." + strings.ToLower(strings.TrimSuffix(host, "."))
	for suffix, name := range map[string]string{
		".api.letsencrypt.org": letsEncrypt, ".api.pki.goog": "Google Trust Services", ".acme.zerossl.com": "ZeroSSL",
		".acme.ssl.com": "SSL.com", ".api.buypass.com": "Buypass", ".acme.sectigo.com": "Sectigo", ".acme.digicert.com": "DigiCert",
	} {
		if strings.HasSuffix(host, suffix) {
			return name
		}
	}
	return ""
}

// Judge tells beforehand whether a name can be certified: over ACME DNS names and
// addresses can, by a public authority only those of the Internet.
func (a *Authority) Judge(n ca.Name) error {
	refuse := func(why, citation string) error {
		return &ca.Refusal{What: n.String(), Why: why, Citation: citation}
	}
	const only = "ACME certifies DNS names and IP addresses, and nothing else"
	switch n.Type {
	case ca.URI:
		if strings.HasPrefix(strings.ToLower(n.Value), "spiffe:") {
			return refuse(only+": no SPIFFE ID is to be had from "+a.who()+ownInstead, "RFC 8555, Section 9.7.7")
		}
		return refuse(only+ownInstead, "RFC 8555, Section 9.7.7")
	case ca.Email:
		return refuse(only+ownInstead, "RFC 8555, Section 9.7.7")
	case ca.CommonName:
		return refuse("an ACME server makes the subject itself: ask without one", "RFC 8555, Section 7.4")
	case ca.DNS:
		if wild := strings.HasPrefix(n.Value, "*."); wild && len(a.settings.DNSHook) == 0 {
			return refuse("a wildcard is proved by dns-01 alone, and no hook for it is configured", "RFC 8555, Section 7.1.3")
		}
		if why := privateDNS(n.Value); a.public != "" && why != "" {
			return refuse(fmt.Sprintf("it %s, and %s certifies names of the Internet alone%s", why, a.public, ownInstead), "CA/Browser Forum Baseline Requirements, Section 4.2.2")
		}
	case ca.IP:
		if ip := net.ParseIP(n.Value); a.public != "" && (ip == nil || !ip.IsGlobalUnicast() || ip.IsPrivate()) {
			return refuse(fmt.Sprintf("it is no address of the Internet, and %s certifies no others%s", a.public, ownInstead), "CA/Browser Forum Baseline Requirements, Section 4.2.2")
		}
		if a.public == letsEncrypt && a.settings.Profile != "shortlived" {
			return refuse("Let's Encrypt certifies addresses in its profile shortlived alone", "Let's Encrypt, Profiles")
		}
	}
	return nil
}

// who is the authority as a sentence names it.
func (a *Authority) who() string {
	if a.public != "" {
		return a.public
	}
	return "it"
}

// privateDNS says why a name is none of the Internet's; "" where it may be one.
func privateDNS(name string) string {
	name = strings.ToLower(strings.TrimPrefix(name, "*."))
	suffix, icann := publicsuffix.PublicSuffix(name)
	switch {
	case !icann && !strings.Contains(suffix, "."):
		return "ends in ." + suffix + ", which is no domain of the Internet"
	case suffix == name:
		return "is a whole public suffix"
	}
	return ""
}

// check tells beforehand what ACME, or this authority, will not certify, and reads
// the request. It asks nobody.
func (a *Authority) check(req ca.Request) (*x509.CertificateRequest, error) {
	if req.Profile.Name() == "" {
		return nil, &ca.Refusal{What: "a request without a profile", Why: "it is not known what the certificate is for"}
	}
	csr, err := ca.ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	for _, n := range req.Identity.Names() {
		if n.Type == ca.CommonName && slices.Contains(req.Identity.DNS(), n.Value) && len(req.Identity.Subject()) == 1 {
			continue // some servers make just this subject
		}
		if err := a.Judge(n); err != nil {
			return nil, err
		}
	}
	if len(req.Identity.Subject()) > 0 && req.Identity.CommonName() == "" {
		return nil, &ca.Refusal{What: "the subject", Why: "an ACME server makes the subject itself: ask without one", Citation: "RFC 8555, Section 7.4"}
	}
	if len(req.Identity.DNS())+len(req.Identity.IPs()) == 0 {
		return nil, &ca.Refusal{What: "a certificate without a DNS name or an address", Why: "over ACME there is nothing else to certify" + ownInstead, Citation: "RFC 8555, Section 9.7.7"}
	}
	if err := a.checkUse(req); err != nil {
		return nil, err
	}
	if err := a.checkEnd(req.Validity); err != nil {
		return nil, err
	}
	return csr, checkWish(csr, req.Identity)
}

// checkUse refuses client authentication where no public authority gives it: such a
// certificate serves ingress, and no mutual TLS between services.
func (a *Authority) checkUse(req ca.Request) error {
	if a.public == "" || !slices.Contains(req.Profile.ExtKeyUsage(), x509.ExtKeyUsageClientAuth) {
		return nil
	}
	why := a.public + " certifies servers alone: such a certificate serves ingress, and no mutual TLS between services; the local authority certifies both ends, and profile server is what " + a.public + " can give"
	citation := "CA/Browser Forum Baseline Requirements, Section 7.1.2.7.10"
	if a.public == letsEncrypt {
		why = "none of Let's Encrypt's profiles has it since July 2026, so that its certificates serve ingress, and no mutual TLS between services; the local authority certifies both ends, and profile server is what Let's Encrypt can give"
		citation = "Let's Encrypt, Profiles"
	}
	return &ca.Refusal{What: "client authentication, which profile " + req.Profile.Name() + " has,", Why: why, Citation: citation}
}

// checkEnd refuses an end that cannot be.
func (a *Authority) checkEnd(v ca.Validity) error {
	switch {
	case !v.NotAfter.After(a.options.Now()):
		return &ca.ValidityError{NotAfter: v.NotAfter, Problem: "a certificate must end in the future"}
	case a.public == letsEncrypt && !v.UpTo:
		return &ca.Refusal{What: "an end of one's own choosing", Why: "Let's Encrypt decides how long its certificates live, by its profile: leave the validity out", Citation: "Let's Encrypt, Profiles"}
	}
	return nil
}

// checkWish holds a request against the identity: an ACME server takes the names from
// the request, which must be those of the order (RFC 8555, Section 7.4).
func checkWish(csr *x509.CertificateRequest, id ca.Identity) error {
	refuse := func(what string) error {
		return &ca.Refusal{What: "the certificate request", Why: "its " + what + " are not those that are ordered, and an ACME server takes them from there", Citation: "RFC 8555, Section 7.4"}
	}
	var ips, asked []string
	for _, ip := range csr.IPAddresses {
		ips = append(ips, ip.String())
	}
	for _, ip := range id.IPs() {
		asked = append(asked, ip.String())
	}
	switch {
	case !sameSet(csr.DNSNames, id.DNS()):
		return refuse("DNS names")
	case !sameSet(ips, asked):
		return refuse("IP addresses")
	case len(csr.URIs)+len(csr.EmailAddresses) > 0:
		return refuse("names")
	case csr.Subject.CommonName != id.CommonName() || len(csr.Subject.Names) > 1:
		return refuse("subject's names")
	}
	for _, e := range csr.Extensions {
		if e.Id.String() != "2.5.29.17" {
			return refuse("extensions")
		}
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// Decides says that the end is the authority's where none was asked for, and so is a subject
// that says no more than the names.
func (a *Authority) Decides(req ca.Request) []string {
	parts := []string{issue.PartSubject}
	if req.Validity.UpTo {
		parts = append(parts, issue.PartEnd)
	}
	return parts
}

// checkSubject refuses a subject that says more than the names that were proved.
func checkSubject(leaf *x509.Certificate) error {
	cn := leaf.Subject.CommonName
	ip := net.ParseIP(cn)
	named := slices.Contains(leaf.DNSNames, cn) || ip != nil && slices.ContainsFunc(leaf.IPAddresses, ip.Equal)
	if n := len(leaf.Subject.Names); n > 1 || n == 1 && !named {
		return &ca.Refusal{What: "the certificate that came back", Why: fmt.Sprintf("its subject %q says more than the names in it", leaf.Subject), Citation: "RFC 8555, Section 7.4"}
	}
	return nil
}

// Explain says who decides a part over ACME.
func (a *Authority) Explain(_ context.Context, part string) (cause, remedy string) {
	switch part {
	case issue.PartEKU, issue.PartUsage:
		if mount := vaultMount(a.directory); mount != "" && part == issue.PartEKU {
			return "Vault's ACME server certifies servers alone, unless it goes by the role's usages", "vault write " + mount + "/config/acme allow_role_ext_key_usage=true"
		}
		return "an ACME server decides the usages, by its profile", ""
	case issue.PartEnd:
		return "an ACME server may decide the end itself: leave the validity out, or choose another profile of the server's", ""
	}
	return "", ""
}

// vaultMount is the mount of Vault's, if a directory's URL is of one.
func vaultMount(directory string) string {
	_, path, ok := strings.Cut(directory, "/v1/")
	if !ok || !strings.HasSuffix(path, "/acme/directory") {
		return ""
	}
	mount, _, _ := strings.Cut(strings.TrimSuffix(path, "/acme/directory"), "/roles/")
	mount, _, _ = strings.Cut(mount, "/issuer/")
	return mount
}
