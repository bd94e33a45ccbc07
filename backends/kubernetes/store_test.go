package kubernetes

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/issue"
)

// start gives the way to an API server in this process.
func start(t *testing.T, k *backendtest.KubeAPI) backends.Options {
	t.Helper()
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	return backends.Options{Cluster: backends.Cluster{Kubeconfig: kubeconfigOf(t, server.URL, "")}}
}

// kubeconfigOf writes a kubeconfig with one context.
func kubeconfigOf(t *testing.T, server, user string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster: {server: \"" + server + "\"}\n" +
		"contexts:\n- name: test\n  context: {cluster: test, user: test, namespace: mesh}\nusers:\n- name: test\n  user: {" + user + "}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const secretsOf = "/api/v1/namespaces/prod/secrets/"

func TestStore(t *testing.T) {
	k := &backendtest.KubeAPI{}
	o := start(t, k)
	clusters := &Clusters{}
	n := 0
	open := func(t *testing.T) issue.Store {
		n++
		s, err := clusters.Store("prod/payment-"+string(rune('a'+n%26))+string(rune('a'+n/26)), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	backendtest.TestStore(t, open, backendtest.StoreOptions{
		Largest: 512 << 10,
		Reopen: func(t *testing.T, s issue.Store) issue.Store {
			again, err := (&Clusters{}).Store(s.String()[len("k8s://"):], o)
			if err != nil {
				t.Fatal(err)
			}
			return again
		},
		Plant: func(t *testing.T, s issue.Store, name string) {
			at := s.(*Store).at
			path := secretsOf + at.name
			object := k.Object(path)
			if object == nil {
				object = map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": at.name, "namespace": at.namespace}, "type": "Opaque"}
			}
			data, _ := object["data"].(map[string]any)
			if data == nil {
				data = map[string]any{}
			}
			data[name] = "Zm9yZWlnbg=="
			object["data"] = data
			k.Put(path, "kubectl-edit", object)
		},
	})
}
