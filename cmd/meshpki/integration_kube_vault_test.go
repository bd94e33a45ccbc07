//go:build integration && linux

package main

import (
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// podsVault is a Vault to which pods log in with their own tokens, as a role of its
// Kubernetes method, which has the API server review them.
func podsVault(t *testing.T, k *backendtest.KubeServer, ns string, accounts ...string) *realVault {
	t.Helper()
	v := startVault(t, "vault-kubernetes")
	v.mount("pki", true)
	const at = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
	k.Must(t, http.MethodPost, at, map[string]any{"metadata": map[string]any{"name": ns + "-reviewer"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "vault", "namespace": ns}}})
	reviewer := k.Token(t, ns, "vault")
	k.Await(t, ns+":vault", "create", "authentication.k8s.io", "tokenreviews", "", "")
	roots, err := os.ReadFile(k.CA)
	must(t, err)
	v.Do("PUT", "sys/policies/acl/pods", map[string]any{"policy": `path "pki/sign/mesh" { capabilities = ["update"] }`})
	v.Do("POST", "sys/auth/kubernetes", map[string]any{"type": "vault-kubernetes"})
	v.Do("POST", "auth/kubernetes/config", map[string]any{"kubernetes_host": k.URL, "kubernetes_ca_cert": string(roots), "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true})
	v.Do("POST", "auth/kubernetes/role/meshpki", map[string]any{"bound_service_account_names": accounts, "bound_service_account_namespaces": ns, "token_policies": "pods", "token_ttl": "10m"})
	return v
}

// vaultInCluster runs what units kubernetes --backend vault: prints: the daemon of the
// Deployment, by the manifest of the ConfigMap, and both containers of a pod that keeps
// a certificate of its own. Both log in with the token of their ServiceAccount.
func vaultInCluster(t *testing.T, k *backendtest.KubeServer, _ *clusterSigner) {
	const ns = "vaulted"
	k.Namespace(t, ns)
	v := podsVault(t, k, ns, "meshpki", "payment")
	dir := t.TempDir()
	manifest := filepath.Join(dir, "own.yaml")
	writeFile(t, manifest, "apiVersion: meshpki/v1\nservices:\n- {name: payment, namespace: vaulted, validity: 1m, outputs: [{to: \"k8s://vaulted/payment-tls\"}]}\n")
	units := func(flags ...string) string {
		t.Helper()
		c := exec.Command(meshpki(t), append([]string{"units", "kubernetes", "--namespace", ns, "--backend", "vault:pki/mesh", "--dir", dir}, flags...)...)
		c.Env = append(neutralEnv(), "VAULT_ADDR="+v.proxy)
		c.Stderr = os.Stderr
		out, err := c.Output()
		must(t, err)
		return string(out)
	}
	applyAll(t, k, units("--daemon", "--config", manifest))
	k.Await(t, ns+":meshpki", "update", "coordination.k8s.io", "leases", ns, "meshpki")
	k.Await(t, ns+":meshpki", "patch", "", "secrets", ns, "payment-tls")
	w := watchSecrets(t, k, ns)
	pod := newPod(t, k, ns, k.Token(t, ns, "meshpki"))
	inPod := func(p *podAt, name string) string { // by the manifest that is in the cluster, with the token of this pod
		text, _ := under(k.Must(t, http.MethodGet, "/api/v1/namespaces/vaulted/configmaps/"+name, nil), "data", "meshpki.yaml").(string)
		file := filepath.Join(p.dir, "meshpki.yaml")
		writeFile(t, file, strings.ReplaceAll(text, "{role: meshpki}", "{role: meshpki, tokenFile: "+filepath.Join(p.account(), "token")+"}"))
		return file
	}
	pod.daemon("real", "renew", "--dir="+filepath.Join(pod.dir, "state"), "--config="+inPod(pod, "meshpki"), "--state=k8s://vaulted/meshpki-state", "--daemon", "--leader-elect", "--lease=vaulted/meshpki")
	// The other shape.
	printed := units("--pod", "--validity", "1m")
	applyAll(t, k, printed)
	sidecar := newPod(t, k, ns, k.Token(t, ns, "payment"))
	inPod(sidecar, "payment")
	issue, renew := containersOf(t, printed, ns, sidecar.dir)
	sidecar.run(0, "real", issue...)
	leaf := func() *x509.Certificate {
		return certificates(t, filepath.Join(sidecar.dir, "tls", "tls.crt"))[0]
	}
	first := leaf()
	if first.URIs[0].String() != "spiffe://cluster.local/ns/vaulted/sa/payment" {
		t.Errorf("it is for %s", first.URIs)
	}
	sidecar.daemon("real", renew...)
	for serial, i := w.until("payment-tls", ""), 0; i < 2; i++ {
		serial = w.until("payment-tls", serial)
	}
	second := leaf()
	if second.Equal(first) || second.NotBefore.After(first.NotAfter) {
		t.Errorf("the sidecar's was renewed too late, or not: %s, then %s", first.NotAfter, second.NotBefore)
	}
	if n := v.count("/v1/auth/kubernetes/login"); n < 2 || n > 6 {
		t.Errorf("%d logins", n)
	}
}
