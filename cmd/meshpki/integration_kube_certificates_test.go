//go:build integration && linux

package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// consumersCRDs are the definitions that consumers install, where they lie in the
// source of the versions that are pinned.
var consumersCRDs = []struct{ tool, module, file, only string }{
	{"istio-ca", "istio.io/istio", "manifests/charts/base/files/crd-all.gen.yaml", "peerauthentications.security.istio.io destinationrules.networking.istio.io"},
	{"sentry", "github.com/dapr/dapr", "charts/dapr/crds/configuration.yaml", "configurations.dapr.io"},
	{"cert-manager-pki", "github.com/cert-manager/cert-manager", "deploy/crds/cert-manager.io_clusterissuers.yaml", "clusterissuers.cert-manager.io"},
	{"cert-manager-pki", "github.com/cert-manager/cert-manager", "deploy/crds/cert-manager.io_issuers.yaml", "issuers.cert-manager.io"},
	{"cert-manager-pki", "github.com/cert-manager/cert-manager", "deploy/crds/cert-manager.io_certificates.yaml", "certificates.cert-manager.io"},
	{"trust-manager", "github.com/cert-manager/trust-manager", "deploy/crds/trust.cert-manager.io_bundles.yaml", "bundles.trust.cert-manager.io"},
}

var (
	nameLine = regexp.MustCompile(`(?m)^  name: "?([^"\n]+?)"?$`)
	spaceIn  = regexp.MustCompile(`(?m)^  namespace: "?([^"\n]+?)"?$`)
	kindLine = regexp.MustCompile(`(?m)^kind: (\w+)$`)
	apiLine  = regexp.MustCompile(`(?m)^apiVersion: (\S+)$`)
)

func lineOf(re *regexp.Regexp, doc string) string {
	if m := re.FindStringSubmatch(doc); m != nil {
		return m[1]
	}
	return ""
}

// installCRDs has the API server know the consumers' kinds.
func installCRDs(t *testing.T, k *backendtest.KubeServer) {
	t.Helper()
	for _, d := range consumersCRDs {
		text, err := os.ReadFile(filepath.Join(moduleDir(t, d.tool, d.module), filepath.FromSlash(d.file)))
		must(t, err)
		for doc := range strings.SplitSeq(string(text), "\n---") {
			name := ""
			for want := range strings.FieldsSeq(d.only) {
				if regexp.MustCompile(`(?m)^  name: "?` + regexp.QuoteMeta(want) + `"?$`).MatchString(doc) {
					name = want
				}
			}
			if name != "" {
				k.Apply(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+name, strings.TrimPrefix(doc, "---"))
			}
		}
	}
}

// applyStrictly applies every document to the API server, which knows the consumers'
// kinds: what is no field of one is refused.
func applyStrictly(t *testing.T, k *backendtest.KubeServer, what, text string) (count int) {
	t.Helper()
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		kind, api, name, namespace := lineOf(kindLine, doc), lineOf(apiLine, doc), lineOf(nameLine, doc), lineOf(spaceIn, doc)
		if kind == "" {
			continue
		}
		path := "/apis/" + api
		if api == "v1" {
			path = "/api/v1"
		}
		if namespace != "" {
			_, _ = k.Ask(http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": namespace}}) // unless it is there
			path += "/namespaces/" + namespace
		}
		plural := strings.ToLower(kind) + "s"
		until(t, what, func() error {
			if code, out := k.TryApply(t, path+"/"+plural+"/"+name, doc); code == http.StatusNotFound {
				return fmt.Errorf("%s is not served yet: %s", kind, out)
			} else if code/100 != 2 {
				t.Fatalf("%s: %s %s: %d %s", what, kind, name, code, out)
			}
			return nil
		})
		count++
	}
	return count
}

// TestClusterTakesManifests: a real API server with the consumers' own definitions takes
// each manifest that we print, and refuses what has a field too many.
func TestClusterTakesManifests(t *testing.T) {
	t.Parallel()
	k := backendtest.StartKubeServer(t)
	installCRDs(t, k)
	m := newMesh(t)
	dir := t.TempDir()
	for _, test := range []struct {
		name  string
		flags []string
		least int
	}{
		{"istio", []string{"--for", "istio", "--enforce"}, 4},
		{"istio-tls", []string{"--for", "istio", "--scheme", "kubernetes.io/tls"}, 1},
		{"linkerd", []string{"--for", "linkerd"}, 2},
		{"linkerd-tls", []string{"--for", "linkerd", "--scheme", "kubernetes.io/tls"}, 2},
		{"dapr", []string{"--for", "dapr", "--enforce"}, 4},
		{"cluster-issuer", []string{"--for", "cert-manager"}, 2},
		{"issuer", []string{"--for", "cert-manager", "--scheme", "issuer", "--namespace", "prod"}, 2},
		{"envoy", []string{"--for", "envoy"}, 1},
	} {
		out := filepath.Join(dir, test.name)
		m.must(append([]string{"ca", "export", "issuing", "--manifest", "--out", out, "--record", test.name}, test.flags...)...)
		files, err := filepath.Glob(filepath.Join(out, "*.yaml"))
		must(t, err)
		count := 0
		for _, name := range files {
			text, err := os.ReadFile(name)
			must(t, err)
			count += applyStrictly(t, k, test.name, strings.NewReplacer("<namespace>", "prod", "<caller>", "caller").Replace(string(text)))
		}
		if count < test.least {
			t.Errorf("%s: %d objects were applied", test.name, count)
		}
		if test.name == "istio-tls" || test.name == "linkerd-tls" { // a Secret's type cannot be changed
			continue
		}
		for _, s := range []string{"istio-system/secrets/cacerts", "linkerd/secrets/linkerd-identity-issuer", "prod/secrets/meshpki-ca"} {
			_, _ = k.Ask(http.MethodDelete, "/api/v1/namespaces/"+s, nil)
		}
	}
	beta := func(text string) string { // as the comment above it says of this version
		return strings.Replace(text, "certificates.k8s.io/v1\n", "certificates.k8s.io/v1beta1\n", 1)
	}
	applyStrictly(t, k, "ClusterTrustBundle", beta(m.must("ca", "bundle", "--as", "cluster-trust-bundle")))
	applyStrictly(t, k, "a signer's ClusterTrustBundle", beta(m.must("ca", "bundle", "--as", "cluster-trust-bundle", "--signer", "example.com/mesh")))
	applyStrictly(t, k, "Bundle", m.must("ca", "bundle", "--as", "trust-manager"))
	applyStrictly(t, k, "ConfigMap", m.must("ca", "bundle", "--as", "configmap", "--namespace", "prod"))
	bundle := strings.Replace(m.must("ca", "bundle", "--as", "trust-manager"), "inLine:", "inline:", 1)
	if code, _ := k.TryApply(t, "/apis/trust.cert-manager.io/v1alpha1/bundles/meshpki-roots", bundle); code/100 == 2 {
		t.Error("the API server takes a Bundle with a field that there is not")
	}
}

// clusterCertificates are as they are written for a cluster; the first is the tutorials'.
const clusterCertificates = `apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: payment-service-cert
  namespace: payment-system
spec:
  secretName: payment-service-tls
  issuerRef:
    name: letsencrypt-prod
    kind: ClusterIssuer
  duration: 2160h
  renewBefore: 360h
  commonName: payment-service.payment-system.svc
  dnsNames:
  - payment-service.payment-system.svc
  - payment-service.payment-system.svc.cluster.local
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: account
  namespace: payment-system
spec:
  secretName: account-tls
  issuerRef: {name: letsencrypt-prod, kind: ClusterIssuer}
  dnsNames: [account.payment-system.svc]
  privateKey: {algorithm: ECDSA, encoding: PKCS1, rotationPolicy: Never}
  secretTemplate:
    labels: {team: payments}
    annotations: {example.com/owner: "the team"}
  additionalOutputFormats: [{type: CombinedPEM}, {type: DER}]
  keystores:
    pkcs12: {create: true, profile: Modern2023, passwordSecretRef: {name: password, key: password}}
`

// TestClusterGetsSecrets: the same Certificates that the cluster's own definition takes
// are issued into its Secrets, with what their templates say, and kept so.
func TestClusterGetsSecrets(t *testing.T) {
	t.Parallel()
	k := backendtest.StartKubeServer(t)
	installCRDs(t, k)
	applyStrictly(t, k, "Certificates", clusterCertificates)
	m := newMesh(t)
	dir := t.TempDir()
	file, password := filepath.Join(dir, "certificates.yaml"), filepath.Join(dir, "password")
	writeFile(t, file, clusterCertificates)
	writeFile(t, password, "changeit\n")
	config := k.Kubeconfig(t, "", "")
	issue := func(more ...string) string {
		return m.must(append([]string{"issue", "--file", file, "--map-issuer", "letsencrypt-prod=local", "--out", "k8s", "--keystore-password-file", password, "--kubeconfig", config}, more...)...)
	}
	if said := issue(); !strings.Contains(said, "2 issued") {
		t.Fatal(said)
	}
	const at = "/api/v1/namespaces/payment-system/secrets/"
	read := func(name string) (typ string, labels, notes map[string]any, data map[string]any) {
		o := k.Must(t, http.MethodGet, at+name, nil)
		meta, _ := o["metadata"].(map[string]any)
		labels, _ = meta["labels"].(map[string]any)
		notes, _ = meta["annotations"].(map[string]any)
		data, _ = o["data"].(map[string]any)
		typ, _ = o["type"].(string)
		return typ, labels, notes, data
	}
	typ, labels, _, data := read("payment-service-tls")
	if typ != "kubernetes.io/tls" || len(data) != 3 || labels["team"] != nil {
		t.Errorf("the tutorial's Secret is of type %s, with %d keys and labels %v", typ, len(data), labels)
	}
	_, labels, notes, data := read("account-tls")
	if labels["team"] != "payments" || notes["example.com/owner"] != "the team" || notes["cert-manager.io/certificate-name"] != nil {
		t.Errorf("labels %v, annotations %v", labels, notes)
	}
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt", "tls-combined.pem", "key.der", "keystore.p12", "truststore.p12"} {
		if data[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	key := data["tls.key"]
	if text, _ := base64.StdEncoding.DecodeString(fmt.Sprint(key)); !strings.HasPrefix(string(text), "-----BEGIN EC PRIVATE KEY-----") {
		t.Errorf("the key is %q…", text[:min(len(text), 40)])
	}
	if said := issue(); !strings.Contains(said, "2 fresh") {
		t.Error(said)
	}
	// Somebody changes a label: it is put right. The template loses one: it goes.
	k.Must(t, http.MethodPatch, at+"account-tls", map[string]any{"metadata": map[string]any{"labels": map[string]any{"team": "others"}}})
	a := m.run("renew", "--kubeconfig", config, "--force", "account-tls.payment-system")
	if _, labels, _, _ = read("account-tls"); labels["team"] != "payments" && !strings.Contains(a.String(), "team") {
		t.Errorf("after somebody changed it the label is %v: %s", labels["team"], a)
	}
	writeFile(t, file, strings.Replace(clusterCertificates, "    annotations: {example.com/owner: \"the team\"}\n", "", 1))
	issue("--force")
	if _, labels, notes, data = read("account-tls"); labels["team"] != "payments" || notes["example.com/owner"] != nil || data["tls.key"] != key {
		t.Errorf("labels %v, annotations %v, the same key %t", labels, notes, data["tls.key"] == key)
	}
	m.must("issue", "--service", "single", "--namespace", "prod", "--out", "k8s://payment-system/single-tls", "--kubeconfig", config)
	if typ, _, _, data := read("single-tls"); typ != "kubernetes.io/tls" || len(data) != 3 {
		t.Errorf("%s with %d keys", typ, len(data))
	}
	m.must("verify", "k8s://payment-system/single-tls", "--kubeconfig", config)
}
