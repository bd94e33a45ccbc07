//go:build integration && unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
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
	"Deployment": "/apis/apps/v1/namespaces/NS/deployments",
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

// signRequests approves and signs what is asked of the signer, until the test ends, and
// counts it.
func signRequests(t *testing.T, k *backendtest.KubeServer) (root string, signed *atomic.Int32) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Cluster Signer"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1, 2, 3}}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	must(t, err)
	signed = &atomic.Int32{}
	const all = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	once := func() {
		code, data := k.Ask(http.MethodGet, all, nil)
		var list struct {
			Items []struct {
				Metadata struct{ Name string }
				Spec     struct {
					Request           []byte
					ExpirationSeconds int
				}
				Status struct{ Certificate []byte }
			}
		}
		if code != http.StatusOK || json.Unmarshal(data, &list) != nil {
			return
		}
		for _, item := range list.Items {
			if len(item.Status.Certificate) > 0 {
				continue
			}
			block, _ := pem.Decode(item.Spec.Request)
			csr, err := x509.ParseCertificateRequest(block.Bytes)
			if err != nil {
				continue
			}
			serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
			leaf := &x509.Certificate{SerialNumber: serial, RawSubject: csr.RawSubject, DNSNames: csr.DNSNames, URIs: csr.URIs, NotBefore: time.Now().Add(-time.Second),
				NotAfter: time.Now().Add(time.Duration(item.Spec.ExpirationSeconds) * time.Second), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
				ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
			made, err := x509.CreateCertificate(rand.Reader, leaf, ca, csr.PublicKey, key)
			if err != nil {
				continue
			}
			approve := map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Approved", "status": "True", "reason": "Test"}}}}
			if code, _ := k.Ask(http.MethodPatch, all+"/"+item.Metadata.Name+"/approval", approve); code != http.StatusOK {
				continue
			}
			text := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}))
			if code, _ := k.Ask(http.MethodPatch, all+"/"+item.Metadata.Name+"/status", map[string]any{"status": map[string]any{"certificate": text}}); code == http.StatusOK {
				signed.Add(1)
			}
		}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				once()
			}
		}
	}()
	t.Cleanup(func() { close(done); <-ended })
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), signed
}

// watchedSecret is a Secret that is looked at all the time: it is never empty, never half, and
// never goes back to an older certificate.
type watchedSecret struct {
	t    *testing.T
	k    *backendtest.KubeServer
	path string
	last time.Time
	seen map[string]bool
}

func (w *watchedSecret) look() (serial string) {
	w.t.Helper()
	code, data := w.k.Ask(http.MethodGet, w.path, nil)
	if code != http.StatusOK {
		return ""
	}
	var secret struct{ Data map[string][]byte }
	must(w.t, json.Unmarshal(data, &secret))
	pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
	if err != nil || len(secret.Data["ca.crt"]) == 0 {
		w.t.Fatalf("%s is not whole: %v", w.path, err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	must(w.t, err)
	if leaf.NotBefore.Before(w.last) {
		w.t.Fatalf("%s went back from a certificate of %s to one of %s", w.path, w.last, leaf.NotBefore)
	}
	w.last = leaf.NotBefore
	w.seen[leaf.SerialNumber.Text(16)] = true
	return leaf.SerialNumber.Text(16)
}

// until looks until the certificate is another than was.
func (w *watchedSecret) until(was string, within time.Duration) string {
	w.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if now := w.look(); now != "" && now != was {
			return now
		}
	}
	w.t.Fatalf("%s was not renewed within %s", w.path, within)
	return ""
}

// replica is one of several daemons.
type replica struct {
	cmd *exec.Cmd
	log *output
}

func (r *replica) leads() bool {
	return strings.Count(r.log.String(), "msg=leading") > strings.Count(r.log.String(), "the lease is lost")
}

// TestClusterReplicas has the objects of units kubernetes applied to a real API server,
// and three replicas run under their ServiceAccount, with the rights of its Roles and no
// others. The leader is killed, and the next one stopped past its lease and woken up.
func TestClusterReplicas(t *testing.T) {
	k := backendtest.StartKubeServer(t)
	dir := t.TempDir()
	root, signed := signRequests(t, k)
	k.Namespace(t, "prod")
	writeFile(t, filepath.Join(dir, "signer.pem"), root)
	manifest := filepath.Join(dir, "meshpki.yaml")
	writeFile(t, manifest, "apiVersion: meshpki/v1\nbackend: cluster\nbackends:\n  cluster:\n    kubernetes: {signerName: "+kubeSignerName+", caCert: "+filepath.Join(dir, "signer.pem")+"}\n"+
		"services:\n  - {name: payment, namespace: prod, validity: 10m, renewAt: 2%, outputs: [{to: \"k8s://prod/payment-tls\"}]}\n")
	succeed(t, meshpki(t), "ca", "init", "--dir", filepath.Join(dir, "pki"))
	for _, kind := range [][]string{nil, {"--pod"}, {"--daemon"}} { // every shape; the last has more rights
		applyAll(t, k, succeed(t, meshpki(t), append([]string{"units", "kubernetes", "--dir", filepath.Join(dir, "pki"), "--config", manifest}, kind...)...))
	}
	way := k.Kubeconfig(t, k.Token(t, "meshpki", "meshpki"), "")
	start := func(name string) *replica {
		r := &replica{log: &output{}}
		r.cmd = exec.Command(meshpki(t), "renew", "--daemon", "--leader-elect", "--lease", "meshpki/meshpki", "--state", "k8s://meshpki/meshpki-state",
			"--dir", filepath.Join(dir, name), "--config", manifest, "--kubeconfig", way)
		r.cmd.Env = append(neutralEnv(), "MESHPKI_TEST_NOW=real")
		r.cmd.Stderr, r.cmd.Stdout = r.log, r.log
		must(t, r.cmd.Start())
		t.Cleanup(func() {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			if t.Failed() {
				t.Logf("%s:\n%s", name, r.log)
			}
		})
		return r
	}
	replicas := []*replica{start("a"), start("b"), start("c")}
	leader := func() *replica {
		t.Helper()
		for range 600 {
			var leads []*replica
			for _, r := range replicas {
				if r.leads() {
					leads = append(leads, r)
				}
			}
			if len(leads) == 1 {
				return leads[0]
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatal("nobody leads")
		return nil
	}
	w := &watchedSecret{t: t, k: k, path: "/api/v1/namespaces/prod/secrets/payment-tls", seen: map[string]bool{}}
	serial := w.until("", 60*time.Second)
	first := leader()
	must(t, first.cmd.Process.Kill())
	_ = first.cmd.Wait()
	for i, r := range replicas {
		if r == first {
			replicas = append(replicas[:i:i], replicas[i+1:]...)
			break
		}
	}
	serial = w.until(serial, 60*time.Second)
	second := leader()
	must(t, second.cmd.Process.Signal(syscall.SIGSTOP))
	for _, r := range replicas {
		if r != second {
			replicas = []*replica{r}
		}
	}
	serial = w.until(serial, 60*time.Second)
	leader()
	must(t, second.cmd.Process.Signal(syscall.SIGCONT))
	w.until(serial, 60*time.Second)
	if n, used := int(signed.Load()), len(w.seen); n > used+3 {
		t.Errorf("%d certificates were signed, and %d were used: more than one extra for each change of leader", n, used)
	}
	state := k.Must(t, http.MethodGet, "/api/v1/namespaces/meshpki/secrets/meshpki-state", nil)
	if !strings.Contains(mustJSON(t, state), `"pass"`) {
		t.Error("no pass is remembered")
	}
	_ = os.Remove(way)
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return string(data)
}
