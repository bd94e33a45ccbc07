//go:build integration && linux

package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// podMonitors is as much of the Prometheus operator as an API server has to know.
const podMonitors = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PodMonitor, plural: podmonitors, singular: podmonitor}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [selector, podMetricsEndpoints]
            properties:
              selector: {type: object, properties: {matchLabels: {type: object, additionalProperties: {type: string}}}}
              podMetricsEndpoints: {type: array, items: {type: object, required: [port], properties: {port: {type: string}}}}
`

// objectsInCluster applies what is printed for kustomize, with its generated ConfigMap,
// and a PodMonitor, whose selector finds the pods of the Deployment.
func objectsInCluster(t *testing.T, k *backendtest.KubeServer, _ *clusterSigner) {
	dir := t.TempDir()
	manifest := filepath.Join(dir, "meshpki.yaml")
	writeFile(t, manifest, "apiVersion: meshpki/v1\nbackend: kubernetes:"+kubeSignerName+"\nservices:\n- {name: payment, namespace: objects, outputs: [{to: \"k8s://objects/payment-tls\"}]}\n")
	k.Apply(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/podmonitors.monitoring.coreos.com", podMonitors)
	for i := 0; ; i++ {
		if code, _ := k.Ask(http.MethodGet, "/apis/monitoring.coreos.com/v1/podmonitors", nil); code == http.StatusOK {
			break
		}
		if i == 300 {
			t.Fatal("the API server does not take PodMonitors up")
		}
		time.Sleep(100 * time.Millisecond)
	}
	out := t.TempDir()
	succeed(t, meshpki(t), "units", "kubernetes", "--namespace", "objects", "--daemon", "--monitor", "--kustomize", "--config", manifest, "--dir", dir, "--out", out)
	text := func(name string) string {
		data, err := os.ReadFile(filepath.Join(out, name))
		must(t, err)
		return string(data)
	}
	// What kustomize would do: the resources as they are listed, and the ConfigMap of the file.
	kustomization := text("kustomization.yaml")
	resources, generator, ok := strings.Cut(kustomization, "configMapGenerator:")
	if !ok || !strings.Contains(generator, "files: [meshpki.yaml]") {
		t.Fatalf("no generator:\n%s", kustomization)
	}
	listed := regexp.MustCompile(`(?m)^- (\S+\.yaml)$`).FindAllStringSubmatch(resources, -1)
	for _, m := range listed {
		applyAll(t, k, text(m[1]))
	}
	if len(listed) < 6 {
		t.Errorf("only %d resources are listed", len(listed))
	}
	k.Must(t, http.MethodPost, "/api/v1/namespaces/objects/configmaps", map[string]any{"metadata": map[string]any{"name": "meshpki"}, "data": map[string]string{"meshpki.yaml": text("meshpki.yaml")}})
	deployment := k.Must(t, http.MethodGet, "/apis/apps/v1/namespaces/objects/deployments/meshpki", nil)
	monitor := k.Must(t, http.MethodGet, "/apis/monitoring.coreos.com/v1/namespaces/objects/podmonitors/meshpki", nil)
	labels, _ := under(deployment, "spec", "template", "metadata", "labels").(map[string]any)
	selector, _ := under(monitor, "spec", "selector", "matchLabels").(map[string]any)
	for name, value := range selector {
		if labels[name] != value {
			t.Errorf("the PodMonitor selects %s=%s, and the pods have %s", name, value, labels[name])
		}
	}
	if len(selector) == 0 {
		t.Error("the PodMonitor selects everything")
	}
}

// under is what is below keys.
func under(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// rootsInCluster publishes the roots under the rights that units kubernetes grants, and
// rotates the root meanwhile.
func rootsInCluster(t *testing.T, k *backendtest.KubeServer, _ *clusterSigner) {
	const ns = "roots"
	k.Namespace(t, ns)
	m := newMesh(t)
	manifest := filepath.Join(t.TempDir(), "meshpki.yaml")
	writeFile(t, manifest, "apiVersion: meshpki/v1\npublish:\n- {to: \"configmap:roots/mesh\"}\n- {to: \"clustertrustbundle:example.com:published:roots\"}\n"+
		"services:\n- {name: payment, namespace: roots, outputs: [{to: \"k8s://roots/payment-tls\"}]}\n")
	applyAll(t, k, m.must("units", "kubernetes", "--namespace", ns, "--config", manifest))
	k.Await(t, ns+":meshpki", "patch", "", "secrets", ns, "payment-tls")
	k.Await(t, ns+":meshpki", "patch", "", "configmaps", ns, "mesh")
	k.Await(t, ns+":meshpki", "attest", "certificates.k8s.io", "signers", "", "example.com/published")
	way := newKubeProxy(t, k)
	flags := []string{"--config", manifest, "--kubeconfig", k.Kubeconfig(t, k.Token(t, ns, "meshpki"), way.url)}
	pass := func() { t.Helper(); m.must(append([]string{"renew"}, flags...)...) }
	published := func() (roots int, versions string) {
		t.Helper()
		object := k.Must(t, http.MethodGet, "/api/v1/namespaces/roots/configmaps/mesh", nil)
		bundle := k.Must(t, http.MethodGet, "/apis/certificates.k8s.io/v1beta1/clustertrustbundles/example.com:published:roots", nil)
		text, _ := under(object, "data", "ca.crt").(string)
		if other, _ := under(bundle, "spec", "trustBundle").(string); pemCount(t, other) != pemCount(t, text) {
			t.Errorf("the ClusterTrustBundle has %d roots, and the ConfigMap %d", pemCount(t, other), pemCount(t, text))
		}
		return pemCount(t, text), mustJSON(t, []any{under(object, "metadata", "resourceVersion"), under(bundle, "metadata", "resourceVersion")})
	}
	pass()
	if n, _ := published(); n != 1 {
		t.Fatalf("%d roots are published, want 1", n)
	}
	m.must("ca", "rotate", "root", "start")
	if a := m.run("ca", "rotate", "root", "advance"); a.code != 3 || !strings.Contains(a.stdout, "configmap.roots.mesh") {
		t.Errorf("the rotation does not wait for what is published: %s", a)
	}
	pass()
	n, before := published()
	if n != 2 {
		t.Errorf("%d roots are published in the overlap, want 2", n)
	}
	way.counted()
	pass()
	if _, after := published(); after != before {
		t.Error("it was written although nothing has changed")
	}
	if gets, others := way.counted(); others != 0 || gets > 4 { // the Secret, the ConfigMap, the bundle in two versions of its API
		t.Errorf("a pass with nothing to do makes %d reads and %d writes", gets, others)
	}
	m.must(append([]string{"ca", "rotate", "root", "advance"}, flags...)...)
}

func pemCount(t *testing.T, text string) int {
	t.Helper()
	n := 0
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
		n++
	}
	return n
}

// containersOf are the words of the two containers of units kubernetes --pod, with what
// the kubelet would put into them.
func containersOf(t *testing.T, printed, ns, dir string) (issue, renew []string) {
	t.Helper()
	var all [][]string
	for _, m := range regexp.MustCompile(`(?m)^ +args: (\[.*\])$`).FindAllStringSubmatch(printed, -1) {
		text := strings.NewReplacer("$(POD_SERVICE_ACCOUNT)", "payment", "$(POD_NAMESPACE)", ns, "=/state", "="+dir+"/state", "=/tls", "="+dir+"/tls", "=/etc/meshpki/", "="+dir+"/").Replace(m[1])
		var args []string
		must(t, json.Unmarshal([]byte(text), &args))
		all = append(all, args)
	}
	if len(all) != 2 {
		t.Fatalf("%d containers of ours:\n%s", len(all), printed)
	}
	return all[0], all[1]
}

// sidecarInCluster runs both containers of units kubernetes --pod, with a certificate
// that lives for an hour: their clocks, and the signer's, are put forward.
func sidecarInCluster(t *testing.T, k *backendtest.KubeServer, s *clusterSigner) {
	const ns = "pods"
	k.Namespace(t, ns)
	s.publish(t, "example.com:mesh:roots")
	dir := t.TempDir()
	printed := succeed(t, meshpki(t), "units", "kubernetes", "--pod", "--namespace", ns, "--backend", "kubernetes:"+kubeSignerName, "--validity", "1h", "--dir", dir)
	applyAll(t, k, printed)
	issue, renew := containersOf(t, printed, ns, dir)
	k.Await(t, ns+":payment", "list", "certificates.k8s.io", "clustertrustbundles", "", "")
	pod := newPod(t, k, ns, k.Token(t, ns, "payment"))
	pod.run(0, "real", issue...)
	leaf := func() *x509.Certificate { return certificates(t, filepath.Join(dir, "tls", "tls.crt"))[0] }
	first := leaf()
	if got := first.NotAfter.Sub(first.NotBefore).Round(time.Minute); got != time.Hour || first.URIs[0].String() != "spiffe://cluster.local/ns/pods/sa/payment" {
		t.Fatalf("a certificate of %s for %s", got, first.URIs)
	}
	// No pass was made yet, which status complains about. Two minutes before it is due nothing happens, and a minute after it does.
	var status struct {
		Data struct{ Services []struct{ Due time.Time } }
	}
	must(t, json.Unmarshal([]byte(pod.run(3, "real", "status", "--json", "--dir", filepath.Join(dir, "state"))), &status))
	if len(status.Data.Services) != 1 {
		t.Fatalf("%d services are under care", len(status.Data.Services))
	}
	due := time.Until(status.Data.Services[0].Due)
	if due < 30*time.Minute || due > 45*time.Minute {
		t.Fatalf("it is due in %s", due)
	}
	early := func(by time.Duration) string {
		s.forward("payment."+ns, due-by)
		return "real+" + (due - by).Round(time.Second).String()
	}
	c, log := pod.daemon(early(2*time.Minute), renew...)
	for i := 0; !strings.Contains(log.String(), "msg=ready"); i++ {
		if i == 600 {
			t.Fatal("the sidecar does not get ready")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !leaf().Equal(first) {
		t.Error("it was renewed before it was due")
	}
	must(t, c.Process.Kill())
	_ = c.Wait()
	pod.daemon(early(-time.Minute), renew...)
	for i := 0; leaf().Equal(first); i++ {
		if i == 600 {
			t.Fatal("it was not renewed when it was due")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if second := leaf(); !second.NotBefore.Before(first.NotAfter) || !second.NotAfter.After(first.NotAfter) {
		t.Errorf("the next one lives from %s to %s", second.NotBefore, second.NotAfter)
	}
}
