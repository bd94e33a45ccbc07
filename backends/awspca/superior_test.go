package awspca

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/awspca/localaws"
	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

func spec(t *testing.T, trustDomain string) ca.Spec {
	t.Helper()
	s := ca.Spec{CommonName: "Mesh issuing CA", NotBefore: start.Add(-ca.Backdate), NotAfter: start.AddDate(1, 0, 0)}
	if trustDomain != "" {
		td, err := spiffeid.ParseTrustDomain(trustDomain)
		if err != nil {
			t.Fatal(err)
		}
		s.URI = td
	}
	return s
}

// A CA of ours under a root there is what was asked for, its constraints and the trust
// domain's ID too; where only the plain template may be used, it can sign data besides.
func TestCertifyCA(t *testing.T) {
	blank, plain := caTemplates(0)
	constrained := spec(t, "")
	constrained.Constraints = ca.Constraints{DNS: []string{"example.com"}}
	above := func(n int) ca.Spec {
		s := spec(t, "")
		s.MaxPathLen = n
		return s
	}
	for _, c := range []struct {
		name   string
		spec   ca.Spec
		denied []string
		says   string
		extra  bool
	}{
		{"plain", spec(t, ""), nil, "", false},
		{"with the trust domain's ID", spec(t, "cluster.local"), nil, "", false},
		{"constrained", constrained, nil, "", false},
		{"only the plain template is allowed", spec(t, ""), []string{"IssueCertificate " + blank}, "", true},
		{"only the plain template, which has no constraints", constrained, []string{"IssueCertificate " + blank}, "acm-pca:TemplateArn", false},
		{"no template", spec(t, ""), []string{"IssueCertificate " + blank, "IssueCertificate " + plain}, "template/" + plain + "/V1", false},
		{"path length 1", above(1), nil, "", false},
		{"path length 2", above(2), nil, "", false},
		{"path length 3", above(3), nil, "", false},
		{"path length 4", ca.Spec{CommonName: "Mesh issuing CA", MaxPathLen: 4, NotBefore: start, NotAfter: start.AddDate(1, 0, 0)}, nil, "path lengths 0 to 3", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, &localaws.Server{Rules: localaws.Rules{Denied: c.denied}})
			a := authority(t, made(t, s, localaws.Spec{CommonName: "AWS Root CA"}), backends.AWSPCA{}, now)
			key := newKey(t, ca.ECP256)
			csr, err := ca.RequestCA(c.spec, key)
			if err != nil {
				t.Fatal(err)
			}
			chain, err := a.CertifyCA(t.Context(), csr, c.spec)
			if c.says != "" {
				if _, ok := ca.IsRefusal(err); !ok || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v, want a refusal with %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			err = ca.CheckCA(chain.Leaf(), c.spec, key.Public())
			if (err != nil) != c.extra {
				t.Errorf("what came is not what was asked for: %v", err)
			}
			if c.extra && chain.Leaf().KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
				t.Errorf("key usage %b", chain.Leaf().KeyUsage)
			}
			tolerant := c.spec
			tolerant.MayAlso, _ = a.Adds(c.spec)
			if err := ca.CheckCA(chain.Leaf(), tolerant, key.Public()); err != nil {
				t.Error(err)
			}
			roots, err := a.Roots(t.Context())
			if err != nil || len(chain) != 1 || chain[0].CheckSignatureFrom(roots[0]) != nil {
				t.Errorf("a chain of %d, error %v", len(chain), err)
			}
		})
	}
}

// A CA there is signed by a root of ours, and then signs for services.
func TestInstallCA(t *testing.T) {
	s := serve(t, &localaws.Server{})
	arn := made(t, s, localaws.Spec{CommonName: "Waiting CA", Waiting: true})
	a := authority(t, arn, backends.AWSPCA{}, now)
	if _, err := a.Roots(t.Context()); err == nil || !strings.Contains(err.Error(), "PENDING_CERTIFICATE") {
		t.Errorf("before: error %v", err)
	}
	der, err := a.RequestCA(t.Context(), ca.Spec{}, ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ca.ParseCSR(der)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t, ca.ECP256)
	ledger := &memory.Ledger{}
	root, err := ca.NewRoot(t.Context(), ca.Spec{CommonName: "Our Root CA", MaxPathLen: 1, NotBefore: start.Add(-time.Hour), NotAfter: start.AddDate(5, 0, 0)}, key, ledger, start)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &ca.Issuer{Certificate: root, Signer: key, Ledger: ledger, Now: now}
	chain, err := issuer.IssueCA(t.Context(), ca.Spec{CommonName: "Waiting CA", NotAfter: start.AddDate(2, 0, 0)}, csr.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // handed over twice it changes nothing
		if err := a.InstallCA(t.Context(), append(chain, root)); err != nil {
			t.Fatal(err)
		}
	}
	roots, err := a.Roots(t.Context())
	if err != nil || !roots[0].Equal(root) {
		t.Errorf("roots %v, error %v", roots, err)
	}
	got, err := a.Issue(t.Context(), request(t, nil, "payment"))
	if err != nil || len(got) != 2 || got[1].CheckSignatureFrom(root) != nil {
		t.Errorf("a chain of %d, error %v", len(got), err)
	}
	if _, err := authority(t, made(t, s, localaws.Spec{CommonName: "AWS Root CA"}), backends.AWSPCA{}, now).RequestCA(t.Context(), ca.Spec{}, ca.ECP256); err == nil {
		t.Error("a root would be put below another")
	}
}

// wants are certificates that will be asked for.
func wants(t *testing.T) []backends.Want {
	t.Helper()
	req := request(t, nil, "payment")
	plain, err := ca.NewIdentity(ca.Names{DNS: []string{"www.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	return []backends.Want{
		{Name: "payment.prod", Identity: req.Identity, Profile: req.Profile, KeyType: ca.ECP256, Validity: 24 * time.Hour},
		{Name: "www.prod", Identity: plain, Profile: req.Profile, KeyType: ca.RSA2048, Validity: 30 * 24 * time.Hour},
		{Name: "ed.prod", Identity: plain, Profile: req.Profile, KeyType: ca.Ed25519, Validity: time.Hour},
	}
}

// What would go wrong is said before it does, and nothing is issued for it.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name     string
		spec     localaws.Spec
		settings backends.AWSPCA
		rules    localaws.Rules
		wants    []string // states and names, as "failed key type"
	}{
		{"good", localaws.Spec{}, backends.AWSPCA{}, localaws.Rules{}, []string{"ok access", "ok status", "ok validity", "ok template " + blankLeaf + " may be signed by",
			"ok template EndEntityCertificate may be signed by", "ok fetching the right is there", "ok revoking the right is there", "failed key", "warning revocation", "ok quota"}},
		{"short-lived", localaws.Spec{Mode: localaws.ShortLived}, backends.AWSPCA{}, localaws.Rules{}, []string{"warning lifetime", "ok mode", "ok revocation"}},
		{"ends soon", localaws.Spec{Life: 20 * 24 * time.Hour}, backends.AWSPCA{}, localaws.Rules{}, []string{"warning validity", "warning lifetime"}},
		{"no right to the template", localaws.Spec{}, backends.AWSPCA{}, localaws.Rules{Denied: []string{"IssueCertificate " + blankLeaf}},
			[]string{"failed template", "ok template EndEntityCertificate may be signed by"}},
		{"no right to fetch or revoke", localaws.Spec{}, backends.AWSPCA{}, localaws.Rules{Denied: []string{"GetCertificate", "RevokeCertificate"}},
			[]string{"failed fetching", "warning revoking"}},
		{"no right at all", localaws.Spec{}, backends.AWSPCA{}, localaws.Rules{Denied: []string{"DescribeCertificateAuthority"}}, []string{"failed access"}},
		{"a template that drops", localaws.Spec{}, backends.AWSPCA{Template: "EndEntityServerAuthCertificate"}, localaws.Rules{}, []string{"failed drops"}},
		{"a template that adds", localaws.Spec{}, backends.AWSPCA{Template: "EndEntityCertificate"}, localaws.Rules{}, []string{"ok adds"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, &localaws.Server{Rules: c.rules})
			checks, err := Check(t.Context(), hierarchy(t, s, c.spec), backends.Options{Now: now, Settings: &c.settings}, wants(t))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, check := range checks {
				got = append(got, string(check.State)+" "+check.Name, string(check.State)+" "+check.Name+" "+check.Says)
				if check.Says == "" || check.State == backends.StateFailed && check.Remedy == "" && check.Name != "access" && check.Name != "names" {
					t.Errorf("%+v says too little", check)
				}
			}
			for _, want := range c.wants {
				if !slices.Contains(got, want) {
					t.Errorf("%q is missing in %q", want, got)
				}
			}
			if n := len(s.Certificates()); n != 0 {
				t.Errorf("%d certificates were issued", n)
			}
		})
	}
}

func TestSuggest(t *testing.T) {
	got, err := Suggest("arn:aws-us-gov:acm-pca:us-gov-west-1:111122223333:certificate-authority/a", backends.Options{Now: now}, wants(t)[:2])
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	for _, want := range []string{"arn:aws-us-gov:acm-pca:::template/" + blankLeaf + "/V1", "arn:aws-us-gov:acm-pca:::template/EndEntityCertificate/V1", "acm-pca:GetCertificate"} {
		for _, s := range got {
			if !strings.Contains(s.Text, want) {
				t.Errorf("%s: %q is missing", s.Form, want)
			}
		}
	}
	if _, err := Suggest("arn:aws:s3:::b", backends.Options{}, nil); !errors.As(err, new(*backends.RefError)) {
		t.Errorf("error %v", err)
	}
}
