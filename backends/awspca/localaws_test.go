package awspca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"
	"github.com/aws/smithy-go"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/awspca/localaws"
	"github.com/meshpki/meshpki/ca"
)

// The local AWS is held here against what the service's pages say of it, by the real
// SDK: what each template keeps, drops and adds.
func TestTemplates(t *testing.T) {
	s := serve(t, &localaws.Server{})
	arn := made(t, s, localaws.Spec{CommonName: "AWS Root CA"})
	c := sdk(t, authority(t, arn, backends.AWSPCA{Rate: -1}, now))
	csr := wishful(t)
	api := &types.ApiPassthrough{Subject: &types.ASN1Subject{CommonName: aws.String("from the API")}, Extensions: &types.Extensions{
		KeyUsage: &types.KeyUsage{KeyAgreement: true}, ExtendedKeyUsage: []types.ExtendedKeyUsage{{ExtendedKeyUsageType: types.ExtendedKeyUsageTypeEmailProtection}},
		SubjectAlternativeNames: []types.GeneralName{{DnsName: aws.String("api.example")}}}}
	const ds, ke, ka = x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment, x509.KeyUsageKeyAgreement
	const sign = ds | x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	server, client, email, code := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageCodeSigning
	for _, w := range []struct {
		name      string
		api       bool
		subject   string
		dns       string
		usage     x509.KeyUsage
		extended  []x509.ExtKeyUsage
		isCA      bool
		policies  bool
		bcCrucial bool
	}{
		{"EndEntityCertificate", false, "from the CSR", "csr.example", ds | ke, []x509.ExtKeyUsage{server, client}, false, false, false},
		{"EndEntityServerAuthCertificate", false, "from the CSR", "csr.example", ds | ke, []x509.ExtKeyUsage{server}, false, false, false},
		{"EndEntityClientAuthCertificate", false, "from the CSR", "csr.example", ds | ke, []x509.ExtKeyUsage{client}, false, false, false},
		{"CodeSigningCertificate", false, "from the CSR", "csr.example", ds, []x509.ExtKeyUsage{code}, false, false, false},
		{"EndEntityCertificate_CSRPassthrough", false, "from the CSR", "csr.example", ds | ke, []x509.ExtKeyUsage{server, client}, false, true, false},
		{"EndEntityCertificate_APIPassthrough", true, "from the API", "api.example", ds | ke, []x509.ExtKeyUsage{server, client}, false, false, false},
		{"BlankEndEntityCertificate_CSRPassthrough", false, "from the CSR", "csr.example", ka | ke, []x509.ExtKeyUsage{code}, false, true, false},
		{"BlankEndEntityCertificate_APIPassthrough", true, "from the API", "api.example", ka, []x509.ExtKeyUsage{email}, false, false, false},
		{"BlankEndEntityCertificate_APICSRPassthrough", true, "from the API", "api.example", ka, []x509.ExtKeyUsage{email}, false, true, false},
		{"BlankEndEntityCertificate_APICSRPassthrough", false, "from the CSR", "csr.example", ka | ke, []x509.ExtKeyUsage{code}, false, true, false},
		{"BlankEndEntityCertificate_CriticalBasicConstraints_APIPassthrough", true, "from the API", "api.example", ka, []x509.ExtKeyUsage{email}, false, false, true},
		{"SubordinateCACertificate_PathLen1", false, "from the CSR", "", sign, nil, true, false, true},
		{"BlankSubordinateCACertificate_PathLen1_APICSRPassthrough", true, "from the API", "api.example", ka, []x509.ExtKeyUsage{email}, true, true, true},
	} {
		in := &acmpca.IssueCertificateInput{CertificateAuthorityArn: &arn, Csr: requestPEM(csr), SigningAlgorithm: types.SigningAlgorithmSha256withecdsa,
			TemplateArn: aws.String("arn:aws:acm-pca:::template/" + w.name + "/V1"), Validity: absolute(start.Add(time.Hour))}
		if w.api {
			in.ApiPassthrough = api
		}
		got := issued(t, c, in)
		if got.Subject.CommonName != w.subject || strings.Join(got.DNSNames, ",") != w.dns || got.KeyUsage != w.usage || !sameUsages(got.ExtKeyUsage, w.extended) || got.IsCA != w.isCA {
			t.Errorf("%s: %q, %q, usage %b, %v, CA %t", w.name, got.Subject.CommonName, got.DNSNames, got.KeyUsage, got.ExtKeyUsage, got.IsCA)
		}
		if !got.BasicConstraintsValid || critical(got, oidBasicConstraints) != w.bcCrucial || (len(got.PolicyIdentifiers) > 0) != w.policies || w.isCA && got.MaxPathLen != 1 {
			t.Errorf("%s: basic constraints critical %t, policies %v, path length %d", w.name, critical(got, oidBasicConstraints), got.PolicyIdentifiers, got.MaxPathLen)
		}
		if begin := start.Add(-time.Hour); !got.NotBefore.Equal(begin) || len(got.SubjectKeyId) == 0 || len(got.AuthorityKeyId) == 0 {
			t.Errorf("%s: from %s on, key identifiers %x and %x", w.name, got.NotBefore, got.SubjectKeyId, got.AuthorityKeyId)
		}
	}
}

func sdk(t *testing.T, a *Authority) *acmpca.Client {
	t.Helper()
	c, err := a.connected(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.api
}

// wishful is a request that asks for everything that may be passed through.
func wishful(t *testing.T) []byte {
	t.Helper()
	value := func(v any) []byte {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "from the CSR"}, DNSNames: []string{"csr.example"},
		ExtraExtensions: []pkix.Extension{
			{Id: oidKeyUsage, Critical: true, Value: value(asn1.BitString{Bytes: []byte{0x28}, BitLength: 5})},
			{Id: oidExtKeyUsage, Value: value([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 3}})},
			{Id: oidBasicConstraints, Value: value(struct{ CA bool }{true})},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: value([]struct{ ID asn1.ObjectIdentifier }{{asn1.ObjectIdentifier{1, 2, 3}}})},
		}}, newKey(t, ca.ECP256))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func issued(t *testing.T, c *acmpca.Client, in *acmpca.IssueCertificateInput) *x509.Certificate {
	t.Helper()
	out, err := c.IssueCertificate(t.Context(), in)
	if err != nil {
		t.Fatalf("%s: %v", *in.TemplateArn, err)
	}
	got, err := c.GetCertificate(t.Context(), &acmpca.GetCertificateInput{CertificateAuthorityArn: in.CertificateAuthorityArn, CertificateArn: out.CertificateArn})
	if err != nil {
		t.Fatalf("%s: %v", *in.TemplateArn, err)
	}
	chain, err := chainOf(got.Certificate, got.CertificateChain)
	if err != nil {
		t.Fatal(err)
	}
	return chain[0]
}

func critical(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return e.Critical
		}
	}
	return false
}

// What the service refuses, the local one does by the same names; tokens are known for
// five minutes; certificates are not there at once.
func TestLocalAWS(t *testing.T) {
	environment(t, "http://aws.example")
	synctest.Test(t, func(t *testing.T) {
		s := bubble(t, 1, localaws.Rules{InProgress: 2}, usualIssue)
		c := sdk(t, s.authority)
		arn := s.authority.arn.text
		token := "token"
		in := func() *acmpca.IssueCertificateInput {
			return &acmpca.IssueCertificateInput{CertificateAuthorityArn: &arn, Csr: requestPEM(s.requests[0].CSR), SigningAlgorithm: types.SigningAlgorithmSha256withecdsa,
				Validity: absolute(time.Now().Add(time.Hour)), IdempotencyToken: &token}
		}
		name := func() string {
			out, err := c.IssueCertificate(t.Context(), in())
			if err != nil {
				t.Fatal(err)
			}
			return *out.CertificateArn
		}
		first := name()
		time.Sleep(4 * time.Minute)
		if name() != first {
			t.Error("a token was forgotten")
		}
		time.Sleep(2 * time.Minute)
		if name() == first {
			t.Error("a token was not forgotten")
		}
		for range 3 {
			_, err := c.GetCertificate(t.Context(), &acmpca.GetCertificateInput{CertificateAuthorityArn: &arn, CertificateArn: &first})
			if err != nil && code(err) != "RequestInProgressException" {
				t.Error(err)
			}
		}
		for what, change := range map[string]func(*acmpca.IssueCertificateInput){
			"InvalidArgsException wrong family":  func(i *acmpca.IssueCertificateInput) { i.SigningAlgorithm = types.SigningAlgorithmSha256withrsa },
			"ValidationException beyond its end": func(i *acmpca.IssueCertificateInput) { i.Validity = absolute(time.Now().AddDate(40, 0, 0)) },
			"InvalidArgsException ended":         func(i *acmpca.IssueCertificateInput) { i.Validity = absolute(time.Now().Add(-time.Hour)) },
			"InvalidArgsException no template": func(i *acmpca.IssueCertificateInput) {
				i.TemplateArn = aws.String("arn:aws:acm-pca:::template/None/V1")
			},
			"InvalidArgsException other partition": func(i *acmpca.IssueCertificateInput) {
				i.TemplateArn = aws.String("arn:aws-cn:acm-pca:::template/EndEntityCertificate/V1")
			},
			"InvalidArgsException API without its right": func(i *acmpca.IssueCertificateInput) { i.ApiPassthrough = &types.ApiPassthrough{} },
			"MalformedCSRException no request":           func(i *acmpca.IssueCertificateInput) { i.Csr = []byte("nothing") },
			"InvalidArnException other ARN":              func(i *acmpca.IssueCertificateInput) { i.CertificateAuthorityArn = aws.String("arn:aws:s3:::bucket") },
			"ResourceNotFoundException nobody":           func(i *acmpca.IssueCertificateInput) { i.CertificateAuthorityArn = aws.String(arn[:len(arn)-1] + "9") },
		} {
			i := in()
			i.IdempotencyToken = nil
			change(i)
			_, err := c.IssueCertificate(t.Context(), i)
			if want, _, _ := strings.Cut(what, " "); code(err) != want {
				t.Errorf("%s: error %v", what, err)
			}
		}
	})
}

func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
