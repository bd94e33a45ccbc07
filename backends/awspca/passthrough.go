package awspca

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// passthroughOf is what a template of API passthrough is given: names and usages of
// the order, so that those of the request do not count, and the subject where the
// request states another.
func passthroughOf(t template, req ca.Request, kt ca.KeyType, sameSubject bool) (*types.ApiPassthrough, error) {
	id := req.Identity
	p := &types.ApiPassthrough{Extensions: &types.Extensions{SubjectAlternativeNames: generalNames(id)}}
	if len(p.Extensions.SubjectAlternativeNames) == 0 && t.csr {
		if csr, err := ca.ParseCSR(req.CSR); err != nil || issue.CountNames(csr.Extensions) != 0 {
			return nil, &ca.Refusal{What: "the certificate request", Why: "it states names, and the order has none: AWS Private CA would keep them"}
		}
	}
	if !sameSubject {
		subject, err := apiSubject(id.Subject())
		if err != nil {
			return nil, err
		}
		p.Subject = subject
	}
	if t.usage == 0 {
		extended, err := apiExtended(req.Profile.ExtKeyUsage())
		if err != nil {
			return nil, err
		}
		p.Extensions.CertificatePolicies = apiPolicies(req.Profile)
		p.Extensions.KeyUsage, p.Extensions.ExtendedKeyUsage = apiUsage(req.Profile.KeyUsage(kt)), extended
	}
	return p, nil
}

func generalNames(id ca.Identity) (out []types.GeneralName) {
	for _, n := range id.DNS() {
		out = append(out, types.GeneralName{DnsName: aws.String(n)})
	}
	for _, n := range id.Emails() {
		out = append(out, types.GeneralName{Rfc822Name: aws.String(n)})
	}
	for _, n := range id.IPs() {
		out = append(out, types.GeneralName{IpAddress: aws.String(n.String())})
	}
	return append(out, uriNames(id.URIs())...)
}

func uriNames(uris []*url.URL) (out []types.GeneralName) {
	for _, n := range uris {
		out = append(out, types.GeneralName{UniformResourceIdentifier: aws.String(n.String())})
	}
	return out
}

// apiUsage is a key usage as the API has it (RFC 5280, Section 4.2.1.3).
func apiUsage(u x509.KeyUsage) *types.KeyUsage {
	return &types.KeyUsage{
		DigitalSignature: u&x509.KeyUsageDigitalSignature != 0, NonRepudiation: u&x509.KeyUsageContentCommitment != 0,
		KeyEncipherment: u&x509.KeyUsageKeyEncipherment != 0, DataEncipherment: u&x509.KeyUsageDataEncipherment != 0,
		KeyAgreement: u&x509.KeyUsageKeyAgreement != 0, KeyCertSign: u&x509.KeyUsageCertSign != 0, CRLSign: u&x509.KeyUsageCRLSign != 0,
		EncipherOnly: u&x509.KeyUsageEncipherOnly != 0, DecipherOnly: u&x509.KeyUsageDecipherOnly != 0,
	}
}

// apiExtended are extended key usages as the API has them.
func apiExtended(usages []x509.ExtKeyUsage) (out []types.ExtendedKeyUsage, err error) {
	named := map[x509.ExtKeyUsage]types.ExtendedKeyUsageType{
		x509.ExtKeyUsageServerAuth: types.ExtendedKeyUsageTypeServerAuth, x509.ExtKeyUsageClientAuth: types.ExtendedKeyUsageTypeClientAuth,
		x509.ExtKeyUsageCodeSigning: types.ExtendedKeyUsageTypeCodeSigning, x509.ExtKeyUsageEmailProtection: types.ExtendedKeyUsageTypeEmailProtection,
		x509.ExtKeyUsageTimeStamping: types.ExtendedKeyUsageTypeTimeStamping, x509.ExtKeyUsageOCSPSigning: types.ExtendedKeyUsageTypeOcspSigning,
	}
	numbered := map[x509.ExtKeyUsage]string{x509.ExtKeyUsageIPSECEndSystem: "1.3.6.1.5.5.7.3.5",
		x509.ExtKeyUsageIPSECTunnel: "1.3.6.1.5.5.7.3.6", x509.ExtKeyUsageIPSECUser: "1.3.6.1.5.5.7.3.7"}
	for _, u := range usages {
		if oid, ok := numbered[u]; ok {
			out = append(out, types.ExtendedKeyUsage{ExtendedKeyUsageObjectIdentifier: aws.String(oid)})
			continue
		}
		name, ok := named[u]
		if !ok {
			return nil, &ca.Refusal{What: fmt.Sprintf("an extended key usage (%d of Go's)", u), Why: "AWS Private CA takes none such", Citation: "RFC 5280, Section 4.2.1.12"}
		}
		out = append(out, types.ExtendedKeyUsage{ExtendedKeyUsageType: name})
	}
	return out, nil
}

// apiPolicies are the certificate policies of a profile (RFC 5280, Section 4.2.1.4).
func apiPolicies(p ca.Profile) (out []types.PolicyInformation) {
	if own := p.Own(); own != nil {
		for _, oid := range own.Policies {
			out = append(out, types.PolicyInformation{CertPolicyId: aws.String(oid)})
		}
	}
	return out
}

// apiSubject is a subject as the API has it, which orders its parts by itself: one
// that it would order otherwise, or that has a part twice, is refused.
func apiSubject(subject pkix.RDNSequence) (*types.ASN1Subject, error) {
	out := &types.ASN1Subject{}
	fields := map[string]**string{"2.5.4.3": &out.CommonName, "2.5.4.5": &out.SerialNumber, "2.5.4.6": &out.Country, "2.5.4.7": &out.Locality,
		"2.5.4.8": &out.State, "2.5.4.10": &out.Organization, "2.5.4.11": &out.OrganizationalUnit}
	refuse := func(why string) (*types.ASN1Subject, error) {
		return nil, &ca.Refusal{What: "the subject " + subject.String(), Why: why}
	}
	order := []string{"2.5.4.6", "2.5.4.10", "2.5.4.11", "2.5.4.8", "2.5.4.3", "2.5.4.5", "2.5.4.7"}
	last := -1
	for _, rdn := range subject {
		if len(rdn) != 1 {
			return refuse("AWS Private CA knows one attribute for each of its parts")
		}
		oid, text := rdn[0].Type.String(), fmt.Sprint(rdn[0].Value)
		field, ok := fields[oid]
		at := slices.Index(order, oid)
		if !ok || *field != nil || at < last {
			return refuse("AWS Private CA would not write it so: a request of the same subject would pass")
		}
		*field, last = aws.String(text), at
	}
	return out, nil
}
