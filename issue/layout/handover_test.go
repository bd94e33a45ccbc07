package layout_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// handover is a chain of that many CAs below a root, with as many more roots.
func handover(t testing.TB, between, roots int) *layout.Handover {
	t.Helper()
	h := &layout.Handover{TrustDomain: "cluster.consul", Now: now, Mesh: "default"}
	var above *x509.Certificate
	signer, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	for i := range between + 2 {
		key, err := ca.NewKey(ca.ECP256)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: strings.Repeat("x", i+1)},
			NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), BasicConstraintsValid: true, IsCA: true, MaxPathLen: -1,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, URIs: []*url.URL{{Scheme: "spiffe", Host: h.TrustDomain}}}
		if above == nil {
			above, signer = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, above, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		if above, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		signer = key
		if i == 0 {
			h.Roots = append(h.Roots, above)
		} else {
			h.Chain = append([]*x509.Certificate{above}, h.Chain...)
		}
	}
	h.Key = signer
	for range roots {
		h.Roots = append(h.Roots, handover(t, 0, 0).Roots...)
	}
	return h
}

// What is handed to each consumer, in each of its schemes, as files or as a manifest,
// is read back as the same CA, key and roots.
func TestHandoversComeBack(t *testing.T) {
	for _, shape := range [][2]int{{0, 0}, {1, 0}, {0, 1}, {2, 2}} {
		for _, consumer := range layout.HandoverConsumers() {
			for _, scheme := range consumer.Schemes {
				h := handover(t, shape[0], shape[1])
				h.Scheme = scheme
				if consumer.Upstreams() && scheme != "disk" {
					continue
				}
				if err := consumer.Settle(h); err != nil {
					t.Fatal(err)
				}
				for _, f := range consumer.Findings(h) {
					if f.Severity == inspect.SeverityError {
						t.Errorf("%s: %s", consumer.Name, f.Message)
					}
				}
				handed, err := consumer.Hand(h, false)
				if err != nil {
					t.Fatalf("%s, %s: %v", consumer.Name, scheme, err)
				}
				comesBack(t, consumer, h, handed.Files, len(handed.Files) == 0)
				if handed.Manifest != nil && consumer.Name != "consul" {
					files, err := layout.Unpack(handed.Manifest)
					if err != nil {
						t.Fatalf("%s, %s: %v", consumer.Name, scheme, err)
					}
					comesBack(t, consumer, h, files, consumer.Keyless)
				}
			}
		}
	}
}

func comesBack(t *testing.T, consumer layout.Consumer, h *layout.Handover, files issue.Files, keyless bool) {
	t.Helper()
	back, err := consumer.Read(files)
	if err != nil {
		t.Errorf("%s, %s: %v", consumer.Name, h.Scheme, err)
		return
	}
	if !consumer.Keyless && !slices.EqualFunc(back.Chain, h.Chain, (*x509.Certificate).Equal) {
		t.Errorf("%s, %s: %d certificates of %d", consumer.Name, h.Scheme, len(back.Chain), len(h.Chain))
	}
	if !slices.EqualFunc(back.Roots, h.Roots, (*x509.Certificate).Equal) {
		t.Errorf("%s, %s: %d roots of %d", consumer.Name, h.Scheme, len(back.Roots), len(h.Roots))
	}
	if keyless || consumer.Keyless {
		return
	}
	if back.Key == nil || !pemfile.SamePublicKey(back.Key.Public(), h.Key.Public()) {
		t.Errorf("%s, %s: another key", consumer.Name, h.Scheme)
	}
	for name, f := range files {
		if f.Secret != bytes.Contains(f.Data, []byte("PRIVATE KEY")) && !strings.HasSuffix(name, "universal.yaml") && !f.Secret {
			t.Errorf("%s: %s has a key and is no secret", consumer.Name, name)
		}
		if strings.HasSuffix(name, ".pem") || strings.HasSuffix(name, ".crt") {
			readPEM(t, consumer.Name+": "+name, f.Data) // not a byte behind the last line
		}
	}
}

func TestChangeOf(t *testing.T) {
	for _, test := range []struct {
		was, is []string
		same    bool
		want    layout.Change
	}{
		{nil, []string{"a"}, false, layout.ChangeFirst},
		{[]string{"a"}, []string{"a"}, true, layout.ChangeNone},
		{[]string{"a"}, []string{"a"}, false, layout.ChangeIssuer},
		{[]string{"a"}, []string{"b", "a"}, true, layout.ChangeSuperset},
		{[]string{"a", "b"}, []string{"b"}, true, layout.ChangeSubset},
		{[]string{"a"}, []string{"b"}, true, layout.ChangeRoots},
	} {
		if got := layout.ChangeOf(test.was, test.is, test.same); got != test.want {
			t.Errorf("%q to %q: %s, want %s", test.was, test.is, got, test.want)
		}
		for _, c := range layout.HandoverConsumers() {
			for _, scheme := range c.Schemes {
				if len(c.Restarts(&layout.Handover{Scheme: scheme}, test.want)) == 0 {
					t.Errorf("%s says nothing of %s", c.Name, test.want)
				}
			}
		}
	}
}

// What has to be done where it was handed out in another scheme comes before all else,
// and everything is said of the namespace that was asked for.
func TestRestartsTellOfSchemeAndNamespace(t *testing.T) {
	for _, test := range []struct {
		consumer, before, scheme string
		change                   layout.Change
		says                     []string
	}{
		{"istio", "istio", "kubernetes.io/tls", layout.ChangeNone, []string{"delete secret cacerts -n elsewhere", "deployment istiod -n elsewhere"}},
		{"istio", "istio", "istio", layout.ChangeNone, []string{"nothing: it is what was handed out before"}},
		{"istio", "", "kubernetes.io/tls", layout.ChangeNone, []string{"nothing: it is what was handed out before"}},
		{"istio", "kubernetes.io/tls", "istio", layout.ChangeSuperset, []string{"delete secret cacerts", "istiod -n elsewhere", "ISTIO_MULTIROOT_MESH", "istiod -n elsewhere"}},
		{"istio", "istio", "istio", layout.ChangeFirst, []string{"deployment istiod -n elsewhere"}},
		{"linkerd", "linkerd.io/tls", "kubernetes.io/tls", layout.ChangeIssuer, []string{"delete secret linkerd-identity-issuer -n elsewhere", "identity.issuer.scheme=kubernetes.io/tls", "nothing"}},
		{"linkerd", "", "linkerd.io/tls", layout.ChangeFirst, []string{"identity.issuer.scheme=linkerd.io/tls", "deployment -n elsewhere"}},
		{"linkerd", "", "linkerd.io/tls", layout.ChangeSuperset, []string{"deployment -n elsewhere", "the proxies"}},
		{"dapr", "", "dapr", layout.ChangeSuperset, []string{"restart -n elsewhere deploy/dapr-sentry", "every app"}},
		{"kuma", "provided", "mesh-identity", layout.ChangeNone, []string{"permissions that go by SPIFFE IDs", "MeshTrust and the MeshIdentity", "take mtls out"}},
		{"kuma", "mesh-identity", "universal", layout.ChangeNone, []string{"permissions that go by tags", "mtls of the Mesh", "take the MeshIdentity away"}},
		{"kuma", "provided", "universal", layout.ChangeNone, []string{"nothing: it is the same CA in another form"}},
		{"kuma", "", "mesh-identity", layout.ChangeFirst, []string{"--enforce", "nothing"}},
		{"cert-manager", "cluster-issuer", "issuer", layout.ChangeNone, []string{"kind Issuer"}},
	} {
		c, err := layout.ConsumerByName(test.consumer)
		if err != nil {
			t.Fatal(err)
		}
		h := &layout.Handover{Before: test.before, Scheme: test.scheme, Namespace: "elsewhere"}
		got := strings.Join(c.Restarts(h, test.change.In(h)), "\n")
		rest := got
		for _, want := range test.says {
			_, after, found := strings.Cut(rest, want)
			if rest = after; !found {
				t.Errorf("%s, %s after %q, %s: %q is not said, or not in its turn, of\n%s", test.consumer, test.scheme, test.before, test.change, want, got)
			}
		}
	}
}

// Istio's rule for clients names the services of the cluster, whatever its domain.
func TestIstioNamesEveryHost(t *testing.T) {
	c, err := layout.ConsumerByName("istio")
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{"": `host: "*.local"`, "cluster.local": `host: "*.local"`, "k8s.example.org": `host: "*.k8s.example.org"`} {
		h := handover(t, 0, 0)
		h.ClusterDomain = domain
		if err := c.Settle(h); err != nil {
			t.Fatal(err)
		}
		handed, err := c.Hand(h, true)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(handed.Enforce[1].Text); !strings.Contains(text, want) {
			t.Errorf("%q:\n%s", domain, text)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	h := handover(f, 0, 0)
	for _, c := range layout.HandoverConsumers() {
		h.Scheme = ""
		if err := c.Settle(h); err != nil {
			f.Fatal(err)
		}
		if handed, err := c.Hand(h, true); err == nil && handed.Manifest != nil {
			f.Add(handed.Manifest)
		}
	}
	f.Add([]byte("type: Secret\ndata: LS0t\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := layout.Unpack(data)
		if err != nil {
			return
		}
		for _, c := range layout.HandoverConsumers() {
			if h, err := c.Read(files); err == nil && len(h.Chain) == 0 {
				t.Errorf("%s: a CA without a certificate", c.Name)
			}
		}
	})
}
