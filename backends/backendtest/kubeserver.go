//go:build integration || bench

package backendtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// KubeServer is a real kube-apiserver over a real etcd, on the loopback: RBAC and
// tokens of ServiceAccounts work, and nothing runs pods.
type KubeServer struct {
	// URL is where it is, CA the file with its certificate.
	URL, CA string
	dir     string
	program string
	ports   [3]string // etcd, its peers, the API server
	etcd    *exec.Cmd
	api     *exec.Cmd
	client  *http.Client
}

const kubeAdmin = "admin-token-of-this-test"

// StartKubeServer starts one, which ends with the test. The programs have to be there:
// testdata/integration/install has them.
func StartKubeServer(t testing.TB) *KubeServer {
	t.Helper()
	k := &KubeServer{dir: t.TempDir(), program: Tool(t, "kube-apiserver")}
	k.ports = freePorts(t)
	k.URL, k.CA = "https://127.0.0.1:"+k.ports[2], filepath.Join(k.dir, "certs", "apiserver.crt")
	k.keys(t)
	k.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 32}}
	t.Cleanup(func() { k.StopAPI(t); k.StopEtcd(t) })
	k.StartEtcd(t)
	k.StartAPI(t)
	return k
}

// keys makes what tokens are signed with, and the administrator's own.
func (k *KubeServer) keys(t testing.TB) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k.write(t, "sa.key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	k.write(t, "tokens.csv", []byte(kubeAdmin+",admin,admin,\"system:masters\"\n"))
}

func (k *KubeServer) write(t testing.TB, name string, data []byte) {
	t.Helper()
	file := filepath.Join(k.dir, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// StartEtcd starts the store, with what it had.
func (k *KubeServer) StartEtcd(t testing.TB) {
	t.Helper()
	at, peer := "http://127.0.0.1:"+k.ports[0], "http://127.0.0.1:"+k.ports[1]
	k.etcd = k.start(t, "etcd", "etcd", "--data-dir", filepath.Join(k.dir, "etcd"), "--listen-client-urls", at, "--advertise-client-urls", at,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--log-level", "error")
}

// StartAPI starts the API server, and waits until it is ready.
func (k *KubeServer) StartAPI(t testing.TB) {
	t.Helper()
	key := filepath.Join(k.dir, "sa.key")
	k.api = k.start(t, "kube-apiserver", k.program, "--etcd-servers=http://127.0.0.1:"+k.ports[0], "--bind-address=127.0.0.1", "--secure-port="+k.ports[2],
		"--cert-dir="+filepath.Join(k.dir, "certs"), "--authorization-mode=RBAC", "--token-auth-file="+filepath.Join(k.dir, "tokens.csv"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24",
		"--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true", "--feature-gates=ClusterTrustBundle=true", "--profiling=false", "--v=0")
	for range 600 {
		if code, _ := k.Ask(http.MethodGet, "/readyz", nil); code == http.StatusOK {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(k.dir, "kube-apiserver.log"))
	t.Fatalf("the API server does not get ready: %s", log[max(0, len(log)-4000):])
}

func (k *KubeServer) start(t testing.TB, name, program string, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(k.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// StopAPI kills the API server.
func (k *KubeServer) StopAPI(t testing.TB) { stop(t, &k.api) }

// StopEtcd kills the store.
func (k *KubeServer) StopEtcd(t testing.TB) { stop(t, &k.etcd) }

func stop(t testing.TB, cmd **exec.Cmd) {
	t.Helper()
	if *cmd == nil {
		return
	}
	_ = (*cmd).Process.Kill()
	_ = (*cmd).Wait()
	*cmd = nil
}

// Used is the CPU time that the API server and its store have had so far; zero where the
// system does not tell.
func (k *KubeServer) Used() (api, etcd time.Duration) { return used(k.api), used(k.etcd) }

func used(cmd *exec.Cmd) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	var ticks [2]int
	for i := range ticks {
		ticks[i], _ = strconv.Atoi(fields[11+i]) // utime and stime: see proc(5)
	}
	return time.Duration(ticks[0]+ticks[1]) * time.Second / 100
}

// Ask makes a request as the administrator; the code is 0 without an answer.
func (k *KubeServer) Ask(method, path string, body any) (int, []byte) {
	return k.AskAs(kubeAdmin, method, path, body)
}

// AskAs makes a request as whoever has the token; the code is 0 without an answer.
func (k *KubeServer) AskAs(token, method, path string, body any) (int, []byte) {
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, k.URL+path, bytes.NewReader(data))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
		if strings.Contains(path, "force=") {
			req.Header.Set("Content-Type", "application/apply-patch+yaml")
		}
	}
	answer, err := k.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close()
	out, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil
	}
	return answer.StatusCode, out
}

// Stream asks for what goes on and on, as the administrator: a watch.
func (k *KubeServer) Stream(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.URL+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+kubeAdmin)
	answer, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return answer.Body, nil
}

// Key is the file of the key that tokens are signed with.
func (k *KubeServer) Key() string { return filepath.Join(k.dir, "sa.key") }

// Apply applies an object in YAML by its path, by force, as the administrator.
func (k *KubeServer) Apply(t testing.TB, path, text string) {
	t.Helper()
	if code, out := k.TryApply(t, path, text); code/100 != 2 {
		t.Fatalf("apply %s: %d %s\n%s", path, code, out, text)
	}
}

// TryApply is Apply that may be refused; a field that the server does not know is.
func (k *KubeServer) TryApply(t testing.TB, path, text string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, k.URL+path+"?fieldManager=test&force=true&fieldValidation=Strict", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+kubeAdmin)
	req.Header.Set("Content-Type", "application/apply-patch+yaml")
	answer, err := k.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	out, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, out
}

// Must makes a request as the administrator that has to be granted.
func (k *KubeServer) Must(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	code, data := k.Ask(method, path, body)
	if code/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, code, data)
	}
	out := map[string]any{}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Namespace makes a namespace.
func (k *KubeServer) Namespace(t testing.TB, name string) {
	t.Helper()
	k.Must(t, http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": name}})
}

// Token makes a ServiceAccount, if need be, and a token of it that lives for ten minutes.
func (k *KubeServer) Token(t testing.TB, namespace, account string) string {
	t.Helper()
	at := "/api/v1/namespaces/" + namespace + "/serviceaccounts"
	if code, _ := k.Ask(http.MethodGet, at+"/"+account, nil); code == http.StatusNotFound {
		k.Must(t, http.MethodPost, at, map[string]any{"metadata": map[string]any{"name": account}})
	}
	answer := k.Must(t, http.MethodPost, at+"/"+account+"/token", map[string]any{"spec": map[string]any{"expirationSeconds": 600}})
	token, _ := within(answer, "status")["token"].(string)
	if token == "" {
		t.Fatal("no token came back")
	}
	return token
}

// Grant gives a ServiceAccount a Role of one rule in a namespace.
func (k *KubeServer) Grant(t testing.TB, namespace, account, role string, rules ...map[string]any) {
	t.Helper()
	at := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace
	k.Must(t, http.MethodPost, at+"/roles", map[string]any{"metadata": map[string]any{"name": role}, "rules": rules})
	k.Must(t, http.MethodPost, at+"/rolebindings", map[string]any{"metadata": map[string]any{"name": role},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": account, "namespace": namespace}}})
}

// Await waits until a ServiceAccount has a right: what is granted takes its time. The
// group may be empty, and so may namespace and name.
func (k *KubeServer) Await(t testing.TB, account, verb, group, resource, namespace, name string) {
	t.Helper()
	of := map[string]string{"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name}
	for range 600 {
		answer := k.Must(t, http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews", map[string]any{"apiVersion": "authorization.k8s.io/v1",
			"kind": "SubjectAccessReview", "spec": map[string]any{"user": "system:serviceaccount:" + account, "resourceAttributes": of}})
		if allowed, _ := within(answer, "status")["allowed"].(bool); allowed {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s may never %s %s", account, verb, resource)
}

// Kubeconfig writes the way for whoever has the token; an empty one is the
// administrator's. Server is URL unless it is given.
func (k *KubeServer) Kubeconfig(t testing.TB, token, server string) string {
	t.Helper()
	if token == "" {
		token = kubeAdmin
	}
	at := "server: \"" + k.URL + "\", certificate-authority: \"" + k.CA + "\""
	if server != "" {
		at = "server: \"" + server + "\", insecure-skip-tls-verify: true"
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster: {%s}\n"+
		"contexts:\n- name: test\n  context: {cluster: test, user: test, namespace: mesh}\nusers:\n- name: test\n  user: {token: %q}\n", at, token)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
