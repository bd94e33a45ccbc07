package awspca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/awspca/localaws"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/issue"
)

// The authority's time stands still where a test does not say otherwise; requests are
// signed at the real one.
var start = time.Date(2026, 11, 21, 21, 40, 0, 0, time.UTC)

func now() time.Time { return start }

// serve runs a local AWS and points the SDK at it, as a user would.
func serve(t *testing.T, s *localaws.Server) *localaws.Server {
	t.Helper()
	s.Now, s.Clock = now, time.Now
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	environment(t, server.URL)
	return s
}

// environment is that of nobody, with AWS's own example key.
func environment(t *testing.T, url string) {
	t.Helper()
	key := localaws.ExampleKey()
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_ACM_PCA": url, "AWS_ACCESS_KEY_ID": key.ID, "AWS_SECRET_ACCESS_KEY": key.Secret,
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_CA_BUNDLE": "", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "HTTP_PROXY": "", "http_proxy": ""} {
		t.Setenv(name, value)
	}
}

// within reach of a test in a bubble of its own time there is no network: requests go
// straight to the server, through all of the SDK.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	r.Host = r.URL.Host
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// hierarchy makes a root and an authority under it, for leaves.
func hierarchy(t *testing.T, s *localaws.Server, spec localaws.Spec) string {
	t.Helper()
	root := made(t, s, localaws.Spec{CommonName: "AWS Root CA"})
	spec.CommonName, spec.Under = "AWS issuing CA", root
	return made(t, s, spec)
}

func made(t *testing.T, s *localaws.Server, spec localaws.Spec) string {
	t.Helper()
	arn, err := s.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	return arn
}

func authority(t *testing.T, arn string, settings backends.AWSPCA, now func() time.Time) *Authority {
	t.Helper()
	a, err := Open(arn, backends.Options{Now: now, Settings: &settings})
	if err != nil {
		t.Fatal(err)
	}
	a.looks = looks{time.Millisecond, time.Millisecond} // what is local is there at once
	return a
}

// request is for a workload, with a key made for it unless there is one.
func request(t *testing.T, key crypto.Signer, service string) ca.Request {
	t.Helper()
	id, err := ca.NewIdentity(ca.Names{Subject: ca.CommonNameOnly(service), DNS: []string{service + ".prod"}, URI: []string{"spiffe://cluster.local/ns/prod/sa/" + service}})
	if err != nil {
		t.Fatal(err)
	}
	return requestFor(t, key, id)
}

func requestFor(t *testing.T, key crypto.Signer, id ca.Identity) ca.Request {
	t.Helper()
	if key == nil {
		key = newKey(t, ca.ECP256)
	}
	subject, err := asn1.Marshal(id.Subject())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: subject, DNSNames: id.DNS(), URIs: id.URIs(),
		EmailAddresses: id.Emails(), IPAddresses: id.IPs()}, key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.ProfileByName("workload")
	if err != nil {
		t.Fatal(err)
	}
	end := start.Add(24 * time.Hour)
	return ca.Request{CSR: csr, Identity: id, Profile: p, Validity: ca.Validity{NotAfter: end}, Token: issue.TokenOf(csr, end)}
}

func newKey(t *testing.T, kt ca.KeyType) crypto.Signer {
	t.Helper()
	key, err := issue.NewKey(kt)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// throttles tells whether one of the calls was throttled.
func throttled(calls []localaws.Call) (n int) {
	for _, c := range calls {
		if c.Code == "ThrottlingException" {
			n++
		}
	}
	return n
}

// insist asks as a daemon does: what is away is tried again later, longer each time.
func insist(ctx context.Context, a *Authority, req ca.Request) (ca.Chain, error) {
	req.Pending = func(resume []byte) error { req.Resume = resume; return nil }
	for wait := time.Minute; ; wait = min(2*wait, 10*time.Minute) {
		chain, err := a.Issue(ctx, req)
		if !errors.Is(err, ca.ErrAway) {
			return chain, err
		}
		if err := guard.Sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}
