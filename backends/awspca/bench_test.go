package awspca

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/awspca/localaws"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/issue"
)

const (
	benchOrders = 1000
	benchLanes  = 64
	benchDelay  = 300 * time.Millisecond // how long the service takes for a certificate
)

// BenchmarkOrders has 1,000 certificates made, keys and requests included, by a bare
// loop over the SDK and its own waiter, and by the authority; the quota is lifted.
func BenchmarkOrders(b *testing.B) {
	for _, c := range []struct {
		name string
		once func(b *testing.B, a *Authority) func(context.Context) error
	}{{"bare", bareOrder}, {"ours", ourOrder}} {
		b.Run(c.name, func(b *testing.B) {
			_, a := benchAuthority(b, localaws.Rules{Delay: benchDelay}, -1)
			order := c.once(b, a)
			for b.Loop() {
				inLanes(b, benchOrders, order)
			}
			b.ReportMetric(benchOrders*float64(b.N)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}

// BenchmarkQuota has 250 certificates made with the service's quota on, and tells how
// much of it was used, and how many requests were throttled.
func BenchmarkQuota(b *testing.B) {
	const n = 250
	s, a := benchAuthority(b, localaws.Rules{Delay: benchDelay, Quotas: map[string]float64{"IssueCertificate": usualIssue, "GetCertificate": usualFetch}}, usualIssue)
	order := ourOrder(b, a)
	for b.Loop() {
		inLanes(b, n, order)
	}
	calls := s.Calls("IssueCertificate")
	span := calls[len(calls)-1].At.Sub(calls[0].At).Seconds()
	b.ReportMetric(100*float64(len(calls)-1)/span/usualIssue, "%quota")
	b.ReportMetric(float64(throttled(s.Calls(""))), "throttled")
}

func benchAuthority(b *testing.B, rules localaws.Rules, rate float64) (*localaws.Server, *Authority) {
	b.Helper()
	s := &localaws.Server{Now: time.Now, Rules: rules}
	server := httptest.NewServer(s)
	b.Cleanup(server.Close)
	key := localaws.ExampleKey()
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_ACM_PCA": server.URL, "AWS_ACCESS_KEY_ID": key.ID, "AWS_SECRET_ACCESS_KEY": key.Secret,
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_CA_BUNDLE": ""} {
		b.Setenv(name, value)
	}
	arn, err := s.Make(localaws.Spec{CommonName: "AWS Root CA"})
	if err != nil {
		b.Fatal(err)
	}
	a, err := Open(arn, backends.Options{Now: time.Now, Settings: &backends.AWSPCA{Rate: rate}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := a.Roots(b.Context()); err != nil {
		b.Fatal(err)
	}
	return s, a
}

// inLanes does something n times, so many at once.
func inLanes(b *testing.B, n int, once func(context.Context) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	ended := make(chan error)
	for range benchLanes {
		guard.Go(func(any) { ended <- context.Canceled }, func() {
			for left.Add(-1) >= 0 {
				if err := once(b.Context()); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		})
	}
	for range benchLanes {
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
}

// benchCSR makes a key and a request, as every order needs them.
func benchCSR(id ca.Identity) ([]byte, error) {
	key, err := issue.NewKey(ca.ECP256)
	if err != nil {
		return nil, err
	}
	subject, err := asn1.Marshal(id.Subject())
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: subject, DNSNames: id.DNS(), URIs: id.URIs()}, key)
}

func benchIdentity(b *testing.B) ca.Identity {
	b.Helper()
	id, err := ca.NewIdentity(ca.Names{Subject: pkix.Name{CommonName: "payment"}.ToRDNSequence(), URI: []string{"spiffe://cluster.local/ns/prod/sa/payment"}})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// ourOrder is one order by the authority.
func ourOrder(b *testing.B, a *Authority) func(context.Context) error {
	b.Helper()
	id := benchIdentity(b)
	profile, err := ca.ProfileByName("workload")
	if err != nil {
		b.Fatal(err)
	}
	return func(ctx context.Context) error {
		csr, err := benchCSR(id)
		if err != nil {
			return err
		}
		end := time.Now().Add(24 * time.Hour)
		_, err = a.Issue(ctx, ca.Request{CSR: csr, Identity: id, Profile: profile, Validity: ca.Validity{NotAfter: end},
			Token: issue.TokenOf(csr, end), Pending: func([]byte) error { return nil }})
		return err
	}
}

// bareOrder is one order by the SDK, with nothing around it.
func bareOrder(b *testing.B, a *Authority) func(context.Context) error {
	b.Helper()
	id := benchIdentity(b)
	api := a.client.api
	pass := &types.ApiPassthrough{Extensions: &types.Extensions{SubjectAlternativeNames: generalNames(id), KeyUsage: apiUsage(x509.KeyUsageDigitalSignature),
		ExtendedKeyUsage: []types.ExtendedKeyUsage{{ExtendedKeyUsageType: types.ExtendedKeyUsageTypeServerAuth}, {ExtendedKeyUsageType: types.ExtendedKeyUsageTypeClientAuth}}}}
	waiter := acmpca.NewCertificateIssuedWaiter(api, func(o *acmpca.CertificateIssuedWaiterOptions) {
		o.MinDelay, o.MaxDelay = benchDelay/2, time.Second
	})
	return func(ctx context.Context) error {
		csr, err := benchCSR(id)
		if err != nil {
			return err
		}
		out, err := api.IssueCertificate(ctx, &acmpca.IssueCertificateInput{CertificateAuthorityArn: &a.arn.text, Csr: requestPEM(csr),
			SigningAlgorithm: types.SigningAlgorithmSha256withecdsa, TemplateArn: aws.String(a.arn.template(blankLeaf)),
			Validity: absolute(time.Now().Add(24 * time.Hour)), ApiPassthrough: pass})
		if err != nil {
			return err
		}
		got, err := waiter.WaitForOutput(ctx, &acmpca.GetCertificateInput{CertificateAuthorityArn: &a.arn.text, CertificateArn: out.CertificateArn}, time.Minute)
		if err != nil {
			return err
		}
		_, err = chainOf(got.Certificate, got.CertificateChain)
		return err
	}
}
