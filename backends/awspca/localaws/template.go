package localaws

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strconv"
	"strings"
)

// template is what the service makes of a request: an extension that it sets is its
// own, whatever API and CSR say; of the others the API's come before the CSR's.
type template struct {
	name             string
	root, authority  bool
	pathLen          int // -1: none
	critical         bool
	usage            x509.KeyUsage // 0: as passed through
	extended         []asn1.ObjectIdentifier
	extendedCritical bool
	fromCSR, fromAPI bool
	blank            bool
}

var (
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSAN              = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidSKI              = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidAKI              = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidPolicies         = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidKeyPurpose       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3}
)

const leafUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment

func isSAN(e pkix.Extension) bool { return e.Id.Equal(oidSAN) }

// purpose is an extended key usage by its last number (RFC 5280, Section 4.2.1.12).
func purpose(n int) asn1.ObjectIdentifier { return append(slices.Clone(oidKeyPurpose), n) }

// template reads the ARN of a template; none is EndEntityCertificate.
func (s *Server) template(arn string) (template, *Fault) {
	unknown := &Fault{Code: "InvalidArgsException", Message: "The template ARN is none: " + arn}
	name := "EndEntityCertificate"
	if arn != "" {
		var ok bool
		if name, ok = strings.CutPrefix(arn, "arn:"+s.partition()+":acm-pca:::template/"); !ok {
			return template{}, unknown
		}
		if name, ok = strings.CutSuffix(name, "/V1"); !ok {
			return template{}, unknown
		}
	}
	t := template{name: name, pathLen: -1}
	for suffix, set := range map[string]func(){
		"_CSRPassthrough":    func() { t.fromCSR = true },
		"_APIPassthrough":    func() { t.fromAPI = true },
		"_APICSRPassthrough": func() { t.fromAPI, t.fromCSR = true, true },
	} {
		if rest, ok := strings.CutSuffix(name, suffix); ok {
			name = rest
			set()
			break
		}
	}
	if rest, ok := strings.CutSuffix(name, "_CriticalBasicConstraints"); ok {
		name, t.critical = rest, true
	}
	if base, n, ok := strings.Cut(name, "_PathLen"); ok {
		depth, err := strconv.Atoi(n)
		if err != nil || depth < 0 || depth > 3 {
			return template{}, unknown
		}
		name, t.pathLen = base, depth
	}
	if !t.shape(name) {
		return template{}, unknown
	}
	return t, nil
}

// shape fills in what a template of that name, without its suffixes, sets.
func (t *template) shape(base string) bool {
	leaf := func(extended ...asn1.ObjectIdentifier) bool {
		t.usage, t.extended = leafUsage, extended
		return t.pathLen < 0 && !t.critical
	}
	authority := func(usage x509.KeyUsage) bool {
		t.authority, t.critical, t.usage = true, true, usage
		return true
	}
	const signs = x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch base {
	case "EndEntityCertificate":
		return leaf(purpose(1), purpose(2))
	case "EndEntityServerAuthCertificate":
		return leaf(purpose(1))
	case "EndEntityClientAuthCertificate":
		return leaf(purpose(2))
	case "CodeSigningCertificate":
		t.extendedCritical = true
		ok := leaf(purpose(3))
		t.usage = x509.KeyUsageDigitalSignature
		return ok
	case "OCSPSigningCertificate":
		t.extendedCritical = true
		ok := leaf(purpose(9))
		t.usage = x509.KeyUsageDigitalSignature
		return ok
	case "BlankEndEntityCertificate":
		t.blank = true
		return t.pathLen < 0 && (t.fromAPI || t.fromCSR)
	case "RootCACertificate":
		t.root = true
		return authority(signs) && t.pathLen < 0 && !t.fromCSR
	case "SubordinateCACertificate":
		return authority(signs) && t.pathLen >= 0
	case "BlankSubordinateCACertificate":
		t.blank = true
		return authority(0) && t.pathLen >= 0 && (t.fromAPI || t.fromCSR)
	}
	return false
}

// extensions gives what stands in a certificate, and its subject in DER.
func (t template) extensions(csr *x509.CertificateRequest, api *passthrough) ([]pkix.Extension, []byte, *Fault) {
	subject := csr.RawSubject
	if api != nil && !t.fromAPI {
		return nil, nil, invalid("ApiPassthrough goes with templates of API passthrough alone, and %s is none", t.name)
	}
	out, f := t.fixed()
	if f != nil {
		return nil, nil, f
	}
	add := func(e pkix.Extension) {
		mine := []asn1.ObjectIdentifier{oidSKI, oidAKI}
		if !slices.ContainsFunc(mine, e.Id.Equal) && !slices.ContainsFunc(out, func(o pkix.Extension) bool { return o.Id.Equal(e.Id) }) {
			out = append(out, e)
		}
	}
	if api != nil {
		if api.Subject != nil {
			if subject, f = api.Subject.encode(); f != nil {
				return nil, nil, f
			}
		}
		passed, f := api.Extensions.encode()
		if f != nil {
			return nil, nil, f
		}
		for _, e := range passed {
			add(e)
		}
	}
	for _, e := range csr.Extensions {
		if t.fromCSR || isSAN(e) && !t.blank && !t.authority {
			add(e)
		}
	}
	if len(subject) <= 2 && !slices.ContainsFunc(out, isSAN) {
		return nil, nil, invalid("the certificate would have neither a subject nor a subject alternative name")
	}
	// One certificate names its extensions in the same order as the next.
	slices.SortStableFunc(out, func(a, b pkix.Extension) int { return slices.Compare(a.Id, b.Id) })
	return out, bytes.Clone(subject), nil
}

// fixed are the extensions that the template sets.
func (t template) fixed() ([]pkix.Extension, *Fault) {
	constraints, err := asn1.Marshal(struct {
		IsCA    bool `asn1:"optional"`
		PathLen int  `asn1:"optional,default:-1"`
	}{t.authority, t.pathLen})
	if err != nil {
		return nil, internal(err)
	}
	out := []pkix.Extension{{Id: oidBasicConstraints, Critical: t.critical, Value: constraints}}
	if t.usage != 0 {
		out = append(out, usageExtension(t.usage))
	}
	if len(t.extended) > 0 {
		value, err := asn1.Marshal(t.extended)
		if err != nil {
			return nil, internal(err)
		}
		out = append(out, pkix.Extension{Id: oidExtKeyUsage, Critical: t.extendedCritical, Value: value})
	}
	return out, nil
}

// usageExtension encodes a key usage (RFC 5280, Section 4.2.1.3).
func usageExtension(usage x509.KeyUsage) pkix.Extension {
	var bits [2]byte
	last := 0
	for i := range 9 {
		if usage&(1<<i) != 0 {
			bits[i/8] |= 0x80 >> (i % 8)
			last = i
		}
	}
	value, _ := asn1.Marshal(asn1.BitString{Bytes: bits[:last/8+1], BitLength: last + 1}) // two bytes at most: it does not fail
	return pkix.Extension{Id: oidKeyUsage, Critical: true, Value: value}
}

// keyID names a key (RFC 5280, Section 4.2.1.2, method 1).
func keyID(spki []byte) []byte {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	_, _ = asn1.Unmarshal(spki, &info) // it comes from a request that was read
	sum := sha1.Sum(info.Key.RightAlign())
	return sum[:]
}
