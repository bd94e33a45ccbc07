package localaws

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strconv"
	"strings"
)

// subject is a distinguished name as the API writes it.
type subject struct {
	CommonName, Country, DistinguishedNameQualifier, GenerationQualifier, GivenName, Initials, Locality string `json:",omitempty"`
	Organization, OrganizationalUnit, Pseudonym, SerialNumber, State, Surname, Title                    string `json:",omitempty"`

	CustomAttributes []struct{ ObjectIdentifier, Value string } `json:",omitempty"`
}

// encode gives the name in DER: country first, as the service orders it.
func (n *subject) encode() ([]byte, *Fault) {
	var seq pkix.RDNSequence
	add := func(oid asn1.ObjectIdentifier, value string) {
		if value != "" {
			seq = append(seq, pkix.RelativeDistinguishedNameSET{{Type: oid, Value: value}})
		}
	}
	for _, a := range []struct {
		last  int
		value string
	}{
		{6, n.Country}, {10, n.Organization}, {11, n.OrganizationalUnit}, {46, n.DistinguishedNameQualifier}, {8, n.State}, {3, n.CommonName},
		{5, n.SerialNumber}, {7, n.Locality}, {12, n.Title}, {4, n.Surname}, {42, n.GivenName}, {43, n.Initials}, {65, n.Pseudonym}, {44, n.GenerationQualifier},
	} {
		add(asn1.ObjectIdentifier{2, 5, 4, a.last}, a.value)
	}
	if len(seq) > 0 && len(n.CustomAttributes) > 0 {
		return nil, invalid("CustomAttributes stand alone")
	}
	for _, a := range n.CustomAttributes {
		oid, ok := readOID(a.ObjectIdentifier)
		if !ok {
			return nil, invalid("%q is no object identifier", a.ObjectIdentifier)
		}
		add(oid, a.Value)
	}
	der, err := asn1.Marshal(seq)
	if err != nil {
		return nil, invalid("the subject cannot be encoded")
	}
	return der, nil
}

func readOID(text string) (asn1.ObjectIdentifier, bool) {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, false
		}
		oid = append(oid, n)
	}
	return oid, len(oid) >= 2
}

// passthrough is what the API passes through: ApiPassthrough.
type passthrough struct {
	Subject    *subject
	Extensions *extensions
}

type extensions struct {
	CertificatePolicies     []struct{ CertPolicyId string }
	ExtendedKeyUsage        []struct{ ExtendedKeyUsageType, ExtendedKeyUsageObjectIdentifier string }
	KeyUsage                *keyUsage
	SubjectAlternativeNames []generalName
	CustomExtensions        []struct {
		ObjectIdentifier string
		Value            []byte
		Critical         bool
	}
}

type keyUsage struct {
	DigitalSignature, NonRepudiation, KeyEncipherment, DataEncipherment, KeyAgreement, KeyCertSign, CRLSign, EncipherOnly, DecipherOnly bool
}

type generalName struct {
	DnsName, IpAddress, UniformResourceIdentifier, Rfc822Name, RegisteredId string
	DirectoryName                                                           *subject
}

// encode gives the extensions that were passed.
func (e *extensions) encode() ([]pkix.Extension, *Fault) {
	if e == nil {
		return nil, nil
	}
	var out []pkix.Extension
	if len(e.SubjectAlternativeNames) > 0 {
		san, f := encodeNames(e.SubjectAlternativeNames)
		if f != nil {
			return nil, f
		}
		out = append(out, san)
	}
	if e.KeyUsage != nil {
		out = append(out, usageExtension(e.KeyUsage.bits()))
	}
	if len(e.ExtendedKeyUsage) > 0 {
		extended, f := e.encodeExtended()
		if f != nil {
			return nil, f
		}
		out = append(out, extended)
	}
	if len(e.CertificatePolicies) > 0 {
		var policies []struct{ ID asn1.ObjectIdentifier }
		for _, p := range e.CertificatePolicies {
			oid, ok := readOID(p.CertPolicyId)
			if !ok {
				return nil, invalid("%q is no policy", p.CertPolicyId)
			}
			policies = append(policies, struct{ ID asn1.ObjectIdentifier }{oid})
		}
		value, err := asn1.Marshal(policies)
		if err != nil {
			return nil, invalid("the policies cannot be encoded")
		}
		out = append(out, pkix.Extension{Id: oidPolicies, Value: value})
	}
	for _, c := range e.CustomExtensions {
		oid, ok := readOID(c.ObjectIdentifier)
		if !ok {
			return nil, invalid("%q is no object identifier", c.ObjectIdentifier)
		}
		out = append(out, pkix.Extension{Id: oid, Critical: c.Critical, Value: c.Value})
	}
	return out, nil
}

func (u *keyUsage) bits() x509.KeyUsage {
	var out x509.KeyUsage
	for i, on := range []bool{u.DigitalSignature, u.NonRepudiation, u.KeyEncipherment, u.DataEncipherment, u.KeyAgreement, u.KeyCertSign, u.CRLSign, u.EncipherOnly, u.DecipherOnly} {
		if on {
			out |= 1 << i
		}
	}
	return out
}

func (e *extensions) encodeExtended() (pkix.Extension, *Fault) {
	byName := map[string]int{"SERVER_AUTH": 1, "CLIENT_AUTH": 2, "CODE_SIGNING": 3, "EMAIL_PROTECTION": 4, "TIME_STAMPING": 8, "OCSP_SIGNING": 9}
	var purposes []asn1.ObjectIdentifier
	for _, x := range e.ExtendedKeyUsage {
		oid, ok := readOID(x.ExtendedKeyUsageObjectIdentifier)
		if n, named := byName[x.ExtendedKeyUsageType]; named {
			oid, ok = purpose(n), x.ExtendedKeyUsageObjectIdentifier == ""
		}
		if !ok {
			return pkix.Extension{}, invalid("an extended key usage is a type or an object identifier")
		}
		purposes = append(purposes, oid)
	}
	value, err := asn1.Marshal(purposes)
	if err != nil {
		return pkix.Extension{}, invalid("the extended key usages cannot be encoded")
	}
	return pkix.Extension{Id: oidExtKeyUsage, Value: value}, nil
}

// encodeNames encodes subject alternative names (RFC 5280, Section 4.2.1.6).
func encodeNames(names []generalName) (pkix.Extension, *Fault) {
	var raw []asn1.RawValue
	for _, n := range names {
		before := len(raw)
		text := func(tag int, value string) {
			if value != "" {
				raw = append(raw, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(value)})
			}
		}
		text(1, n.Rfc822Name)
		text(2, n.DnsName)
		text(6, n.UniformResourceIdentifier)
		if n.IpAddress != "" {
			ip := net.ParseIP(n.IpAddress)
			if ip == nil {
				return pkix.Extension{}, invalid("%q is no IP address", n.IpAddress)
			}
			if four := ip.To4(); four != nil {
				ip = four
			}
			text(7, string(ip))
		}
		if n.DirectoryName != nil {
			der, f := n.DirectoryName.encode()
			if f != nil {
				return pkix.Extension{}, f
			}
			raw = append(raw, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: der})
		}
		if len(raw) != before+1 {
			return pkix.Extension{}, invalid("a general name is exactly one name of those that are known here")
		}
	}
	value, err := asn1.Marshal(raw)
	if err != nil {
		return pkix.Extension{}, invalid("the names cannot be encoded")
	}
	return pkix.Extension{Id: oidSAN, Value: value}, nil
}
