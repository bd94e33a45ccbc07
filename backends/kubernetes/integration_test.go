//go:build integration

package kubernetes

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/issue"
)

// TestRealStore holds the place against its contract at a real API server, under a
// ServiceAccount that has the rights the documents name.
func TestRealStore(t *testing.T) {
	k := backendtest.StartKubeServer(t)
	k.Namespace(t, "prod")
	token := k.Token(t, "prod", "meshpki")
	k.Grant(t, "prod", "meshpki", "meshpki",
		map[string]any{"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": []string{"get", "create", "patch", "delete"}})
	o := backends.Options{Cluster: backends.Cluster{Kubeconfig: k.Kubeconfig(t, token, "")}}
	clusters := &Clusters{}
	var n atomic.Int32
	backendtest.TestStore(t, func(t *testing.T) issue.Store {
		s, err := clusters.Store(fmt.Sprintf("prod/place-%d", n.Add(1)), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, backendtest.StoreOptions{
		Largest: 512 << 10,
		Reopen: func(t *testing.T, s issue.Store) issue.Store {
			again, err := (&Clusters{}).Store(s.String()[len("k8s://"):], o)
			if err != nil {
				t.Fatal(err)
			}
			return again
		},
		Plant: func(t *testing.T, s issue.Store, name string) {
			at := "/api/v1/namespaces/prod/secrets"
			object := map[string]any{"metadata": map[string]any{"name": s.(*Store).at.name}, "data": map[string]any{name: "Zm9yZWlnbg=="}}
			if code, _ := k.Ask(http.MethodPatch, at+"/"+s.(*Store).at.name+"?fieldManager=kubectl-edit", object); code == http.StatusNotFound {
				k.Must(t, http.MethodPost, at+"?fieldManager=kubectl-edit", object)
			}
		},
	})
}
