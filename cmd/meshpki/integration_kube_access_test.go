//go:build integration && linux

package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
)

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return string(data)
}

// podAt is what a pod has: the mount of its ServiceAccount, and the environment that
// leads to the API server.
type podAt struct {
	t    *testing.T
	dir  string
	env  []string
	prog string
}

func newPod(t *testing.T, k *backendtest.KubeServer, ns, token string) *podAt {
	t.Helper()
	p := &podAt{t: t, dir: t.TempDir(), prog: asMeshpki(t)}
	at := p.account()
	must(t, os.MkdirAll(at, 0o755))
	roots, err := os.ReadFile(k.CA)
	must(t, err)
	writeFile(t, filepath.Join(at, "ca.crt"), string(roots))
	writeFile(t, filepath.Join(at, "namespace"), ns)
	p.token(token)
	to, err := url.Parse(k.URL)
	must(t, err)
	p.env = append(neutralEnv(), "HOME="+p.dir, "KUBECONFIG=", "CONTAINER_SANDBOX_MOUNT_POINT="+p.dir, "KUBERNETES_SERVICE_HOST="+to.Hostname(), "KUBERNETES_SERVICE_PORT="+to.Port())
	return p
}

func (p *podAt) account() string {
	return filepath.Join(p.dir, "var/run/secrets/kubernetes.io/serviceaccount")
}

// token is put in place as the kubelet does: at once.
func (p *podAt) token(text string) {
	p.t.Helper()
	next := filepath.Join(p.account(), "..next")
	writeFile(p.t, next, text)
	must(p.t, os.Rename(next, filepath.Join(p.account(), "token")))
}

func (p *podAt) command(now string, args ...string) *exec.Cmd {
	c := exec.Command(p.prog, args...)
	c.Env = append(slices.Clone(p.env), "MESHPKI_TEST_NOW="+now)
	return c
}

// run runs what has to end with that code.
func (p *podAt) run(code int, now string, args ...string) string {
	p.t.Helper()
	c := p.command(now, args...)
	out, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != code {
		p.t.Fatalf("%s: exit %d, want %d\n%s", strings.Join(args, " "), c.ProcessState.ExitCode(), code, out)
	}
	return string(out)
}

// daemon runs until the test ends.
func (p *podAt) daemon(now string, args ...string) (*exec.Cmd, *output) {
	p.t.Helper()
	c, log := p.command(now, args...), &output{}
	c.Stdout, c.Stderr = log, log
	must(p.t, c.Start())
	p.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if p.t.Failed() {
			p.t.Logf("%s:\n%s", strings.Join(args, " "), log)
		}
	})
	return c, log
}

// mint makes a token of a ServiceAccount that ends when it is told to: the API server
// gives none for less than ten minutes.
func mint(t *testing.T, k *backendtest.KubeServer, ns, account string, life time.Duration) string {
	t.Helper()
	k.Token(t, ns, account) // the account is there
	object := k.Must(t, http.MethodGet, "/api/v1/namespaces/"+ns+"/serviceaccounts/"+account, nil)
	about, _ := object["metadata"].(map[string]any)
	data, err := os.ReadFile(k.Key())
	must(t, err)
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	must(t, err)
	const issuer = "https://kubernetes.default.svc"
	now := time.Now()
	claims := map[string]any{"iss": issuer, "aud": []string{issuer}, "sub": "system:serviceaccount:" + ns + ":" + account, "iat": now.Unix(), "nbf": now.Unix() - 1, "exp": now.Add(life).Unix(),
		"kubernetes.io": map[string]any{"namespace": ns, "serviceaccount": map[string]any{"name": account, "uid": about["uid"]}}}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(mustJSON(t, claims)))
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	must(t, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// grantSigner gives a ServiceAccount what backend check suggests.
func grantSigner(t *testing.T, k *backendtest.KubeServer, ns string) {
	t.Helper()
	var found struct{ Data []struct{ Form, Text string } }
	must(t, json.Unmarshal([]byte(succeed(t, meshpki(t), "backend", "check", "kubernetes:"+kubeSignerName, "--suggest", "--json")), &found))
	for _, s := range found.Data {
		text := strings.TrimPrefix(s.Text, "---\n")
		for _, name := range []string{"meshpki", "mesh-approver", "mesh-signer"} { // of this test's own
			text = strings.ReplaceAll(text, "{name: "+name+"}", "{name: "+ns+"-"+name+"}")
			text = strings.ReplaceAll(text, "kind: ClusterRole, name: "+name+"}", "kind: ClusterRole, name: "+ns+"-"+name+"}")
		}
		applyAll(t, k, strings.ReplaceAll(text, "namespace: meshpki}", "namespace: "+ns+"}"))
	}
	k.Await(t, ns+":meshpki", "create", "certificates.k8s.io", "certificatesigningrequests", "", "")
}

var secretsRule = map[string]any{"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": []string{"get", "create", "patch"}}

// waysIntoCluster goes in by every way that there is, and meets what is missing on each.
func waysIntoCluster(t *testing.T, k *backendtest.KubeServer, s *clusterSigner) {
	const ns = "ways"
	k.Namespace(t, ns)
	dir := t.TempDir()
	manifest := filepath.Join(dir, "meshpki.yaml")
	writeFile(t, filepath.Join(dir, "signer.pem"), s.root)
	writeFile(t, manifest, signerManifest(dir, ns, ""))
	token := k.Token(t, ns, "meshpki")
	pod := newPod(t, k, ns, token)
	flags := []string{"--dir", filepath.Join(dir, "pki"), "--config", manifest}
	// Without a right: each is named, with the rule.
	out := pod.run(3, "real", append([]string{"backend", "check", "cluster", "--json"}, flags...)...)
	for _, word := range []string{"v1.34.4 answers at", "system:serviceaccount:ways:meshpki", "create certificatesigningrequests", `verbs: [create]}`, "kubectl certificate approve"} {
		if !strings.Contains(out, word) {
			t.Errorf("backend check does not say %q:\n%s", word, out)
		}
	}
	issue := append([]string{"issue", "--service", "payment", "--namespace", ns, "--out", "k8s://ways/payment-tls", "--force"}, flags...)
	if out := pod.run(4, "real", issue...); !strings.Contains(strings.Join(strings.Fields(out), " "), `{apiGroups: [""], resources: [secrets], resourceNames: [payment-tls], verbs: [get]}`) {
		t.Errorf("the rule is not named:\n%s", out)
	}
	k.Grant(t, ns, "meshpki", "meshpki", secretsRule)
	k.Await(t, ns+":meshpki", "patch", "", "secrets", ns, "payment-tls")
	if out := pod.run(4, "real", issue...); !strings.Contains(out, "certificatesigningrequests") {
		t.Errorf("the right to ask is not named:\n%s", out)
	}
	grantSigner(t, k, ns)
	pod.run(0, "real", append([]string{"backend", "check", "cluster"}, flags...)...)
	pod.run(0, "real", issue...) // in a pod
	// By a kubeconfig with a program that knows the token.
	script, config := filepath.Join(dir, "credential"), filepath.Join(dir, "kubeconfig")
	writeFile(t, script, "#!/bin/sh\necho '"+mustJSON(t, map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": map[string]any{"token": token}})+"'\n")
	must(t, os.Chmod(script, 0o700))
	writeFile(t, config, fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: wrong\nclusters:\n- {name: here, cluster: {server: %q, certificate-authority: %q}}\n"+
		"contexts:\n- {name: right, context: {cluster: here, user: program, namespace: ways}}\n- {name: wrong, context: {cluster: here, user: nobody}}\n"+
		"users:\n- {name: nobody, user: {}}\n- {name: program, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: %q, interactiveMode: Never}}}\n", k.URL, k.CA, script))
	cluster := []string{"--kubeconfig", config, "--context", "right"}
	succeed(t, meshpki(t), append(issue, cluster...)...)
	succeed(t, meshpki(t), append([]string{"inspect", "k8s://ways/payment-tls"}, cluster...)...)
	// As somebody else, whom the administrator may be.
	admin := []string{"--kubeconfig", k.Kubeconfig(t, "", ""), "--as", "system:serviceaccount:ways:meshpki"}
	succeed(t, meshpki(t), append(issue, admin...)...)
	if a := run(t, meshpki(t), append([]string{"issue", "--service", "x", "--out", "k8s://default/x", "--dir", filepath.Join(dir, "pki"), "--config", manifest}, admin...)...); a.code != 4 {
		t.Errorf("another namespace: %s", a)
	}
	// A namespace that is not there, and a token that nobody knows.
	missing := run(t, meshpki(t), "issue", "--service", "x", "--namespace", "nowhere", "--out", "k8s://nowhere/x", "--dir", filepath.Join(dir, "pki"), "--config", manifest, "--kubeconfig", k.Kubeconfig(t, "", ""))
	if missing.code != 1 || !strings.Contains(missing.stderr, "namespace nowhere does not exist") {
		t.Errorf("a missing namespace: %s", missing)
	}
	if a := run(t, meshpki(t), append(issue, "--kubeconfig", k.Kubeconfig(t, "nobody's", ""))...); a.code != 4 || !strings.Contains(a.stderr, "does not know who asks") {
		t.Errorf("an unknown token: %s", a)
	}
}

// tokenInCluster has a daemon in a pod whose token ends, and is replaced by the next.
func tokenInCluster(t *testing.T, k *backendtest.KubeServer, s *clusterSigner) {
	const ns, life = "tokens", 20 * time.Second
	k.Namespace(t, ns)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "signer.pem"), s.root)
	writeFile(t, filepath.Join(dir, "meshpki.yaml"), signerManifest(dir, ns, ", validity: 10m, renewAt: 2%"))
	k.Grant(t, ns, "meshpki", "meshpki", secretsRule)
	grantSigner(t, k, ns)
	w := watchSecrets(t, k, ns)
	began := time.Now()
	pod := newPod(t, k, ns, mint(t, k, ns, "meshpki", life))
	_, log := pod.daemon("real", "renew", "--daemon", "--state", "k8s://tokens/meshpki-state", "--dir", filepath.Join(dir, "state"), "--config", filepath.Join(dir, "meshpki.yaml"))
	first := w.until("payment-tls", "")
	w.until("payment-tls", first)
	// It ends, and nothing takes its place for a while; what is due meanwhile fails.
	for range 900 {
		if strings.Contains(log.String(), "does not know who asks") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if time.Since(began) < life || !strings.Contains(log.String(), "does not know who asks") {
		t.Error("the token did not end")
	}
	last := w.serial("payment-tls")
	pod.token(mint(t, k, ns, "meshpki", 10*time.Minute))
	w.until("payment-tls", last)
}
