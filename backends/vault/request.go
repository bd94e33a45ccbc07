package vault

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// check refuses what need not be asked. Vault takes names from the request itself, so
// those that it states have to be the ones that were ordered.
func check(req ca.Request, now time.Time) error {
	if !req.Own {
		if err := checkCSR(req); err != nil {
			return err
		}
	}
	if req.Profile.Name() == "" {
		return &ca.Refusal{What: "the request", Why: "it has no profile"}
	}
	if !req.Validity.NotAfter.After(now.Add(time.Second)) {
		return &ca.ValidityError{NotAfter: req.Validity.NotAfter, Problem: "a certificate must end in the future"}
	}
	return nil
}

// checkCSR is check for a request of unknown origin.
func checkCSR(req ca.Request) error {
	csr, err := x509.ParseCertificateRequest(req.CSR)
	if err != nil {
		_, err = ca.ParseCSR(req.CSR)
		return err
	}
	// That the sender holds the key is for Vault to verify, and it does.
	if err := ca.CheckKey(csr.PublicKey); err != nil {
		return err
	}
	if !stated(csr, req.Identity) {
		return &ca.Refusal{What: "the certificate request", Why: "it states other names than were ordered, and Vault would certify them", Citation: "RFC 2986, Section 4.1"}
	}
	for _, e := range csr.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			return &ca.Refusal{What: "the certificate request", Why: "it asks for extensions besides its names, and Vault may certify them", Citation: "RFC 2986, Section 4.1"}
		}
	}
	return nil
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// stated tells whether a request states the names of an identity and no others.
func stated(csr *x509.CertificateRequest, id ca.Identity) bool {
	same := func(a, b []string) bool {
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(slices.Compact(a), slices.Compact(b))
	}
	ips, uris, wantURIs := []string{}, []string{}, []string{}
	for _, ip := range csr.IPAddresses {
		ips = append(ips, ip.String())
	}
	for _, u := range csr.URIs {
		uris = append(uris, u.String())
	}
	for _, u := range id.URIs() {
		wantURIs = append(wantURIs, u.String())
	}
	return csr.Subject.CommonName == id.CommonName() && same(slices.Clone(csr.DNSNames), id.DNS()) &&
		same(slices.Clone(csr.EmailAddresses), id.Emails()) && same(ips, addresses(id)) && same(uris, wantURIs)
}

func addresses(id ca.Identity) []string {
	var out []string
	for _, ip := range id.IPs() {
		out = append(out, ip.String())
	}
	return out
}

// body is what the signing call is given. The names stand beside the request, for a
// role that does not take them from it. The life is a ttl, which the role's max_ttl
// bounds: not_after would pass it by. What is Vault's default, the format and that roots
// stay in the chain, is not said: each field costs Vault time.
func (a *Authority) body(req ca.Request, now time.Time) map[string]any {
	id := req.Identity
	var uris []string
	for _, u := range id.URIs() {
		uris = append(uris, u.String())
	}
	body := map[string]any{
		"csr": string(pem.EncodeToMemory(&pem.Block{Type: pemfile.TypeRequest, Bytes: req.CSR})),
		"ttl": seconds(req.Validity.NotAfter.Sub(now)),
	}
	if a.settings.Mode == modeVerbatim {
		kt := ca.KeyType("")
		if csr, err := x509.ParseCertificateRequest(req.CSR); err == nil {
			kt = ca.KeyTypeOf(csr.PublicKey)
		}
		body["key_usage"] = usageNames(req.Profile.KeyUsage(kt))
		body["ext_key_usage"] = extendedNames(req.Profile.ExtKeyUsage())
		return body
	}
	body["exclude_cn_from_sans"] = true
	for name, list := range map[string][]string{"alt_names": slices.Concat(id.DNS(), id.Emails()), "ip_sans": addresses(id), "uri_sans": uris} {
		if len(list) > 0 {
			body[name] = strings.Join(list, ",")
		}
	}
	if cn := id.CommonName(); cn != "" {
		body["common_name"] = cn
	}
	return body
}

// seconds is a time as a ttl; a part of a second is a whole one.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10) + "s"
}

// usages are the key usages that Vault calls as crypto/x509 does.
var usages = map[x509.KeyUsage]string{
	x509.KeyUsageDigitalSignature: "DigitalSignature", x509.KeyUsageContentCommitment: "ContentCommitment",
	x509.KeyUsageKeyEncipherment: "KeyEncipherment", x509.KeyUsageDataEncipherment: "DataEncipherment",
	x509.KeyUsageKeyAgreement: "KeyAgreement", x509.KeyUsageCertSign: "CertSign", x509.KeyUsageCRLSign: "CRLSign",
}

func usageNames(u x509.KeyUsage) []string {
	names := []string{}
	for bit := x509.KeyUsageDigitalSignature; bit <= x509.KeyUsageCRLSign; bit <<= 1 {
		if name, ok := usages[bit]; ok && u&bit != 0 {
			names = append(names, name)
		}
	}
	return names
}

// usagesOf reads names as a role keeps them: in any case, with or without KeyUsage before.
func usagesOf(names []string) (u x509.KeyUsage) {
	for bit, name := range usages {
		if slices.ContainsFunc(names, func(s string) bool {
			return strings.EqualFold(strings.TrimPrefix(strings.TrimSpace(s), "KeyUsage"), name)
		}) {
			u |= bit
		}
	}
	return u
}

var extended = map[x509.ExtKeyUsage]string{x509.ExtKeyUsageServerAuth: "ServerAuth", x509.ExtKeyUsageClientAuth: "ClientAuth"}

func extendedNames(list []x509.ExtKeyUsage) []string {
	names := []string{}
	for _, u := range list {
		names = append(names, extended[u])
	}
	return names
}
