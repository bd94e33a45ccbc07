package kubernetes

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Signer is an authority that a cluster knows by name: whoever signs for it answers
// CertificateSigningRequests. It is safe for concurrent use.
type Signer struct {
	clusters *Clusters
	options  backends.Options
	settings backends.Kubernetes
	name     string
	now      func() time.Time
	// patience is how long a request is waited for; it is gone on with later.
	patience time.Duration
}

var (
	_ ca.Authority = (*Signer)(nil)
	_ ca.Explainer = (*Signer)(nil)
)

const (
	usualPatience = 30 * time.Second
	// shortest is the shortest life that can be asked for.
	shortest = 10 * time.Minute
)

// Authority opens the signer of a name: example.com/mesh. Nothing is asked yet.
func (c *Clusters) Authority(_ context.Context, name string, o backends.Options) (ca.Authority, error) {
	if !regexp.MustCompile(`^[a-z0-9.-]+/[A-Za-z0-9._-]+$`).MatchString(name) || len(name) > 571 {
		return nil, &backends.RefError{Ref: "kubernetes:" + name, Problem: "names no signer: kubernetes:example.com/mesh would"}
	}
	s := &Signer{clusters: c, options: o, name: name, now: o.Now, patience: usualPatience}
	if set, ok := o.Settings.(*backends.Kubernetes); ok && set != nil {
		s.settings = *set
		if set.Kubeconfig != "" || set.Context != "" {
			s.options.Cluster = backends.Cluster{Kubeconfig: set.Kubeconfig, Context: set.Context}
		}
	}
	return s, nil
}

// request is a CertificateSigningRequest.
type request struct {
	APIVersion string        `json:"apiVersion,omitempty"`
	Kind       string        `json:"kind,omitempty"`
	Metadata   meta          `json:"metadata"`
	Spec       requestSpec   `json:"spec"`
	Status     requestStatus `json:"status,omitzero"`
}

type requestSpec struct {
	Request []byte   `json:"request"`
	Signer  string   `json:"signerName"`
	Usages  []string `json:"usages"`
	Seconds int      `json:"expirationSeconds,omitempty"`
}

type requestStatus struct {
	Certificate []byte      `json:"certificate,omitempty"`
	Conditions  []condition `json:"conditions,omitempty"`
}

type condition struct {
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func requestAt(name string) thing {
	return thing{group: "certificates.k8s.io", version: "v1", resource: "certificatesigningrequests", kind: "CertificateSigningRequest", name: name}
}

// Issue hands a request in under a name made of the token, waits for whoever approves and
// signs, and takes the request away. One that nobody has answered in time is ca.ErrAway,
// and gone on with by the next try; one that is denied, or has failed, is a *ca.Refusal.
func (s *Signer) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	c, err := s.clusters.client(s.options)
	if err != nil {
		return nil, err
	}
	csr, err := ca.ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	name := string(req.Resume)
	if name == "" {
		name = "meshpki-" + strings.ToLower(rand.Text())
		if req.Token != [32]byte{} {
			name = "meshpki-" + hex.EncodeToString(req.Token[:16])
		}
	}
	if err := s.handIn(ctx, c, name, req, csr); err != nil {
		return nil, err
	}
	if req.Pending != nil {
		if err := req.Pending([]byte(name)); err != nil {
			return nil, err
		}
	}
	answer, err := s.wait(ctx, c, name)
	if err != nil && !isRefusal(err) {
		return nil, forbidden("the answer to the request "+name, err)
	}
	// It has served; a right to take it away that is missing hurts nobody: the cluster does so.
	_ = c.do(ctx, call{method: http.MethodDelete, about: requestAt(name)}, nil)
	if err != nil {
		return nil, err
	}
	return s.chain(answer)
}

// forbidden makes a right that is missing a refusal of what was wanted by it.
func forbidden(what string, err error) error {
	if p, ok := asProblem(err); ok && p.Code == http.StatusForbidden {
		return &ca.Refusal{What: what, Why: p.Error()}
	}
	return err
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*ca.Refusal](err)
	return ok
}

// handIn makes the request, unless an earlier try has.
func (s *Signer) handIn(ctx context.Context, c *client, name string, req ca.Request, csr *x509.CertificateRequest) error {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: req.CSR})
	seconds := max(int(req.Validity.NotAfter.Sub(s.now())/time.Second), int(shortest/time.Second))
	body := request{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest", Metadata: meta{Name: name, Labels: map[string]string{labelManaged: "true"},
		Annotations: map[string]string{domain + "service": req.Service + "." + req.Namespace}},
		Spec: requestSpec{Request: text, Signer: s.name, Usages: usages(req.Profile, csr), Seconds: seconds}}
	err := c.do(ctx, call{method: http.MethodPost, about: requestAt(name), media: asJSON, body: body, query: url.Values{"fieldManager": {manager}}}, nil)
	p, ok := asProblem(err)
	if ok && p.Code == http.StatusConflict {
		return nil // what is there is looked at next
	}
	if ok && (p.Code == http.StatusUnprocessableEntity || p.Code == http.StatusForbidden) {
		return &ca.Refusal{What: "the certificate request", Why: p.Error()}
	}
	return err
}

// usages are the profile's, in the words of the API.
func usages(p ca.Profile, csr *x509.CertificateRequest) []string {
	var out []string
	for _, u := range []struct {
		bit  x509.KeyUsage
		name string
	}{{x509.KeyUsageDigitalSignature, "digital signature"}, {x509.KeyUsageKeyEncipherment, "key encipherment"}, {x509.KeyUsageKeyAgreement, "key agreement"}} {
		if p.KeyUsage(ca.KeyTypeOf(csr.PublicKey))&u.bit != 0 {
			out = append(out, u.name)
		}
	}
	for _, u := range p.ExtKeyUsage() {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			out = append(out, "server auth")
		case x509.ExtKeyUsageClientAuth:
			out = append(out, "client auth")
		case x509.ExtKeyUsageEmailProtection:
			out = append(out, "email protection")
		case x509.ExtKeyUsageCodeSigning:
			out = append(out, "code signing")
		}
	}
	return out
}

// wait asks for the answer until there is one, or patience ends.
func (s *Signer) wait(ctx context.Context, c *client, name string) (*request, error) {
	approved := false
	pause := 200 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		have := &request{}
		if err := c.do(ctx, call{method: http.MethodGet, about: requestAt(name)}, have); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("the request %s is gone: %w", name, ca.ErrAway)
			}
			return nil, err
		}
		for _, cond := range have.Status.Conditions {
			switch cond.Type {
			case "Denied", "Failed":
				return nil, &ca.Refusal{What: "the request " + name, Why: strings.ToLower(cond.Type) + " by " + s.name + ": " + orWords(cond.Message, cond.Reason)}
			case "Approved":
				approved = true
			}
		}
		if len(have.Status.Certificate) > 0 {
			return have, nil
		}
		if waited >= s.patience {
			why := "nobody has approved it yet: kubectl certificate approve " + name + ", or an approver with the verb approve on the signer " + s.name
			if approved {
				why = "it is approved, and nobody signs for " + s.name
			}
			return nil, fmt.Errorf("the request %s: %s: %w", name, why, ca.ErrAway)
		}
		pause = min(2*pause, 3*time.Second)
		if err := guard.Sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

func orWords(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return "without a reason"
}

// chain is the answer without the root.
func (s *Signer) chain(answer *request) (ca.Chain, error) {
	certs, err := pemfile.Certificates(answer.Status.Certificate)
	if err != nil {
		return nil, fmt.Errorf("what %s signed: %w", s.name, err)
	}
	if n := len(certs); n > 1 && certs[n-1].CheckSignatureFrom(certs[n-1]) == nil {
		certs = certs[:n-1]
	}
	return certs, nil
}

// Roots reads what the signer's certificates are trusted by: a file, a ClusterTrustBundle
// by name, or all of the signer's.
func (s *Signer) Roots(ctx context.Context) ([]*x509.Certificate, error) {
	if s.settings.CACert != "" {
		data, err := os.ReadFile(s.settings.CACert)
		if err != nil {
			return nil, err
		}
		return pemfile.Certificates(data)
	}
	c, err := s.clusters.client(s.options)
	if err != nil {
		return nil, err
	}
	var last error
	for _, version := range bundleVersions {
		roots, err := s.bundles(ctx, c, version)
		if len(roots) > 0 || err != nil && !noResource(err) {
			return roots, forbidden("a look at the roots of "+s.name, err)
		}
		last = err
	}
	hint := "caCert or trustBundle of its entry under backends says where they are"
	if last != nil {
		return nil, fmt.Errorf("the roots of %s are not known: this cluster has no ClusterTrustBundles; %s", s.name, hint)
	}
	return nil, fmt.Errorf("the roots of %s are not known: it has no ClusterTrustBundle; %s", s.name, hint)
}

// noResource tells that the cluster has nothing of a kind.
func noResource(err error) bool {
	p, ok := asProblem(err)
	return ok && p.Code == http.StatusNotFound && strings.Contains(p.Message, "could not find the requested resource")
}

func (s *Signer) bundles(ctx context.Context, c *client, version string) ([]*x509.Certificate, error) {
	type bundle struct {
		Spec struct {
			Signer string `json:"signerName"`
			Bundle string `json:"trustBundle"`
		} `json:"spec"`
	}
	at := bundleAt(version, s.settings.TrustBundle)
	var items struct {
		Items []bundle `json:"items"`
	}
	if at.name != "" {
		items.Items = make([]bundle, 1)
		if err := c.do(ctx, call{method: http.MethodGet, about: at}, &items.Items[0]); err != nil {
			return nil, err
		}
	} else if err := c.do(ctx, call{method: http.MethodGet, about: at, query: url.Values{"fieldSelector": {"spec.signerName=" + s.name}}}, &items); err != nil {
		return nil, err
	}
	var roots []*x509.Certificate
	for _, b := range items.Items {
		if at.name == "" && b.Spec.Signer != s.name {
			continue
		}
		certs, err := pemfile.Certificates([]byte(b.Spec.Bundle))
		if err != nil {
			return nil, fmt.Errorf("a trust bundle of %s: %w", s.name, err)
		}
		roots = append(roots, certs...)
	}
	return roots, nil
}

// Explain tells who decides what a signer of a cluster certifies.
func (s *Signer) Explain(_ context.Context, part string) (cause, remedy string) {
	switch part {
	case "notAfter":
		return "the signer " + s.name + " need not keep to expirationSeconds", "set validity to what it gives"
	case "uri", "dns", "ip", "email", "subject", "ekus", "usage":
		return "the signer " + s.name + " decides what of a request it takes over", "see how it is configured"
	}
	return "", ""
}
