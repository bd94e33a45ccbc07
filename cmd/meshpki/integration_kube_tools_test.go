//go:build integration && linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// pathsOfKinds is where an API server has the objects of a kind.
var pathsOfKinds = map[string]string{
	"Namespace": "/api/v1/namespaces", "ServiceAccount": "/api/v1/namespaces/NS/serviceaccounts", "ConfigMap": "/api/v1/namespaces/NS/configmaps",
	"PersistentVolumeClaim": "/api/v1/namespaces/NS/persistentvolumeclaims", "Pod": "/api/v1/namespaces/NS/pods",
	"Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles", "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings",
	"ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles", "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	"NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/NS/networkpolicies", "CronJob": "/apis/batch/v1/namespaces/NS/cronjobs",
	"Deployment": "/apis/apps/v1/namespaces/NS/deployments", "PodMonitor": "/apis/monitoring.coreos.com/v1/namespaces/NS/podmonitors",
}

// applyAll applies every object of a stream of YAML documents to a real API server.
func applyAll(t *testing.T, k *backendtest.KubeServer, text string) {
	t.Helper()
	field := func(doc, name string) string {
		m := regexp.MustCompile(`(?m)(?:^|[ {])` + name + `: "?([^,"}\n]+)`).FindStringSubmatch(doc)
		if m == nil {
			return ""
		}
		return m[1]
	}
	for doc := range strings.SplitSeq(text, "---\n") {
		kind := field(doc, "kind")
		path, ok := pathsOfKinds[kind]
		if !ok {
			t.Fatalf("no path for %q:\n%s", kind, doc)
		}
		head := doc[strings.Index(doc, "metadata:"):]
		k.Apply(t, strings.ReplaceAll(path, "NS", field(head, "namespace"))+"/"+field(head, "name"), doc)
	}
}

const kubeSignerName = "example.com/mesh"

// clusterSigner approves and signs what is asked of a signer of the cluster, until the
// test ends, and counts it: each under its own ServiceAccount, with no more rights than
// backend check suggests for it.
type clusterSigner struct {
	k *backendtest.KubeServer
	// The tokens of who approves and of who signs.
	approver, signer string

	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	root string // in PEM

	mu     sync.Mutex
	signed map[string]int           // by service
	ahead  map[string]time.Duration // how far its clock is put forward, by service
}

func startSigner(t *testing.T, k *backendtest.KubeServer) *clusterSigner {
	t.Helper()
	const ns = "signing"
	k.Namespace(t, ns)
	s := &clusterSigner{k: k, signed: map[string]int{}, ahead: map[string]time.Duration{}}
	s.approver, s.signer = mint(t, k, ns, "mesh-approver", time.Hour), mint(t, k, ns, "mesh-signer", time.Hour)
	if code, _ := k.AskAs(s.approver, http.MethodGet, allRequests, nil); code != http.StatusForbidden {
		t.Errorf("without a right the approver is answered %d", code)
	}
	grantSigner(t, k, ns)
	k.Await(t, ns+":mesh-approver", "approve", "certificates.k8s.io", "signers", "", kubeSignerName)
	k.Await(t, ns+":mesh-signer", "sign", "certificates.k8s.io", "signers", "", kubeSignerName)
	var err error
	s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	s.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Cluster Signer"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1, 2, 3}}
	der, err := x509.CreateCertificate(rand.Reader, s.cert, s.cert, s.key.Public(), s.key)
	must(t, err)
	s.root = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				s.round()
			}
		}
	}()
	t.Cleanup(func() { close(done); <-ended })
	return s
}

func (s *clusterSigner) count(service string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed[service]
}

// forward puts its clock forward for a service.
func (s *clusterSigner) forward(service string, ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead[service] = ahead
}

const allRequests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

// signingRequest is a CertificateSigningRequest, as far as a signer needs it.
type signingRequest struct {
	Metadata struct {
		Name        string
		Annotations map[string]string
	}
	Spec struct {
		Request           []byte
		ExpirationSeconds int
	}
	Status struct{ Certificate []byte }
}

// round signs what there is to be signed.
func (s *clusterSigner) round() {
	code, data := s.k.AskAs(s.signer, http.MethodGet, allRequests, nil)
	var list struct{ Items []signingRequest }
	if code != http.StatusOK || json.Unmarshal(data, &list) != nil {
		return
	}
	for i := range list.Items {
		item := &list.Items[i]
		if len(item.Status.Certificate) == 0 && s.sign(item) {
			s.mu.Lock()
			s.signed[item.Metadata.Annotations["meshpki.github.io/service"]]++
			s.mu.Unlock()
		}
	}
}

func (s *clusterSigner) sign(item *signingRequest) bool {
	block, _ := pem.Decode(item.Spec.Request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return false
	}
	s.mu.Lock()
	now := time.Now().Add(s.ahead[item.Metadata.Annotations["meshpki.github.io/service"]])
	s.mu.Unlock()
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	leaf := &x509.Certificate{SerialNumber: serial, RawSubject: csr.RawSubject, DNSNames: csr.DNSNames, URIs: csr.URIs, NotBefore: now.Add(-time.Second),
		NotAfter: now.Add(time.Duration(item.Spec.ExpirationSeconds) * time.Second), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	made, err := x509.CreateCertificate(rand.Reader, leaf, s.cert, csr.PublicKey, s.key)
	if err != nil {
		return false
	}
	text := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}))
	return s.update(s.approver, item.Metadata.Name, "approval", "conditions", []any{map[string]any{"type": "Approved", "status": "True", "reason": "Test"}}) &&
		s.update(s.signer, item.Metadata.Name, "status", "certificate", text)
}

// update writes one field of a request's status as controllers do: the object as it was
// read, whole.
func (s *clusterSigner) update(token, name, sub, field string, value any) bool {
	at := allRequests + "/" + name
	code, data := s.k.AskAs(token, http.MethodGet, at, nil)
	object := map[string]any{}
	if code != http.StatusOK || json.Unmarshal(data, &object) != nil {
		return false
	}
	status, _ := object["status"].(map[string]any)
	if status == nil {
		status = map[string]any{}
	}
	status[field], object["status"] = value, status
	code, _ = s.k.AskAs(token, http.MethodPut, at+"/"+sub, object)
	return code == http.StatusOK
}

// publish makes a ClusterTrustBundle of the signer's root.
func (s *clusterSigner) publish(t *testing.T, name string) {
	t.Helper()
	code, data := s.k.AskAs(s.signer, http.MethodPost, "/apis/certificates.k8s.io/v1beta1/clustertrustbundles", map[string]any{
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"signerName": kubeSignerName, "trustBundle": s.root}})
	if code != http.StatusCreated {
		t.Fatalf("the signer publishes its roots: %d %s", code, data)
	}
}

// kubeProxy stands before an API server: it counts what is asked, answers in the server's
// place, and can be cut off.
type kubeProxy struct {
	url string

	mu    sync.Mutex
	calls map[string]int // by method
	// fault, unless nil, tells of each request which code is to be answered instead; late
	// has it carried out all the same. It is called with mu held.
	fault func(r *http.Request) (code int, late bool)
	// before, unless nil, sees each request first.
	before func(r *http.Request)
	gone   chan struct{} // not nil while it is cut off; closed when it no longer is
	hangs  bool          // a cut-off one: says nothing, instead of closing
}

func newKubeProxy(t *testing.T, k *backendtest.KubeServer) *kubeProxy {
	t.Helper()
	p := &kubeProxy{calls: map[string]int{}}
	to, err := url.Parse(k.URL)
	must(t, err)
	way := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:    &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 64},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { hangUp(w) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, way) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() { p.cut(false); server.CloseClientConnections(); server.Close() })
	p.url = server.URL
	return p
}

func (p *kubeProxy) serve(w http.ResponseWriter, r *http.Request, way http.Handler) {
	p.mu.Lock()
	p.calls[r.Method]++
	gone, hangs, before := p.gone, p.hangs, p.before
	code, late := 0, false
	if p.fault != nil {
		code, late = p.fault(r)
	}
	p.mu.Unlock()
	if before != nil {
		before(r)
	}
	switch {
	case gone != nil && hangs:
		select {
		case <-gone:
		case <-r.Context().Done():
		}
		hangUp(w)
		return
	case gone != nil:
		hangUp(w)
		return
	case code == 0:
		way.ServeHTTP(w, r)
		return
	case late:
		way.ServeHTTP(httptest.NewRecorder(), r)
	}
	if code < 0 {
		hangUp(w)
		return
	}
	reason := map[int]string{409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}[code]
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"a storm of the test"}`, reason, code)
}

// hangUp closes the connection without a word.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}

// cut cuts it off, or ends that.
func (p *kubeProxy) cut(off bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil {
		close(p.gone)
		p.gone = nil
	}
	if off {
		p.gone = make(chan struct{})
	}
}

func (p *kubeProxy) set(fault func(r *http.Request) (int, bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// counted gives what was asked since the last time.
func (p *kubeProxy) counted() (gets, others int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for method, n := range p.calls {
		if method == http.MethodGet {
			gets += n
		} else {
			others += n
		}
	}
	clear(p.calls)
	return gets, others
}

// secretsWatch sees every version of every Secret of a namespace, by a watch of the
// API server's own: none is ever empty, half or mismatched, and none goes back to an
// older certificate.
type secretsWatch struct {
	t  *testing.T
	k  *backendtest.KubeServer
	ns string

	mu    sync.Mutex
	began map[string]time.Time       // notBefore of the certificate in it
	now   map[string]string          // its serial number
	ends  map[string]time.Time       // its notAfter
	seen  map[string]map[string]bool // all serial numbers that ever were in it
}

func watchSecrets(t *testing.T, k *backendtest.KubeServer, ns string) *secretsWatch {
	t.Helper()
	w := &secretsWatch{t: t, k: k, ns: ns, began: map[string]time.Time{}, now: map[string]string{}, ends: map[string]time.Time{}, seen: map[string]map[string]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for version := ""; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) { // a server that is restarted ends it
			version = w.follow(ctx, version)
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
	return w
}

// follow watches from a version on, until the stream ends; it gives the last version.
func (w *secretsWatch) follow(ctx context.Context, version string) string {
	stream, err := w.k.Stream(ctx, "/api/v1/namespaces/"+w.ns+"/secrets?watch=1&resourceVersion="+version)
	if err != nil {
		return version
	}
	defer stream.Close()
	for events := json.NewDecoder(stream); ; {
		var event struct {
			Type   string
			Object struct {
				Type     string
				Metadata struct{ Name, ResourceVersion string }
				Data     map[string][]byte
			}
		}
		if events.Decode(&event) != nil {
			return version
		}
		switch event.Type {
		case "ERROR": // too old a version: from what there is now
			return ""
		case "DELETED":
			w.t.Errorf("%s/%s was deleted", w.ns, event.Object.Metadata.Name)
		default:
			version = event.Object.Metadata.ResourceVersion
			if event.Object.Type == "kubernetes.io/tls" {
				w.check(event.Object.Metadata.Name, event.Object.Data)
			}
		}
	}
}

func (w *secretsWatch) check(name string, data map[string][]byte) {
	pair, err := tls.X509KeyPair(data["tls.crt"], data["tls.key"])
	if err != nil || len(data["ca.crt"]) == 0 {
		w.t.Errorf("%s/%s is not whole: %v", w.ns, name, err)
		return
	}
	leaf := pair.Leaf
	w.mu.Lock()
	defer w.mu.Unlock()
	if leaf.NotBefore.Before(w.began[name]) {
		w.t.Errorf("%s/%s went back from a certificate of %s to one of %s", w.ns, name, w.began[name], leaf.NotBefore)
	}
	if end := w.ends[name]; !end.IsZero() && leaf.NotBefore.After(end) {
		w.t.Errorf("%s/%s has missed its date: it ended on %s, and is new from %s on", w.ns, name, end, leaf.NotBefore)
	}
	serial := leaf.SerialNumber.Text(16)
	w.began[name], w.now[name], w.ends[name] = leaf.NotBefore, serial, leaf.NotAfter
	if w.seen[name] == nil {
		w.seen[name] = map[string]bool{}
	}
	w.seen[name][serial] = true
}

// serial is what is in a Secret; "" before there is anything.
func (w *secretsWatch) serial(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now[name]
}

// used is how many certificates were ever in it.
func (w *secretsWatch) used(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen[name])
}

// until waits until the certificate is another than was.
func (w *secretsWatch) until(name, was string) string {
	w.t.Helper()
	for range 1200 {
		if now := w.serial(name); now != "" && now != was {
			return now
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatalf("%s/%s was not renewed", w.ns, name)
	return ""
}
