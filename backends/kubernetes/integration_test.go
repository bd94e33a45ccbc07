//go:build integration

package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
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

// TestRealStorms: an API server that is restarted, and a store below it that is gone for
// a while, cost no set its wholeness; what was saved is there, and what was not can be
// saved afterwards.
func TestRealStorms(t *testing.T) {
	k := backendtest.StartKubeServer(t)
	k.Namespace(t, "prod")
	token := k.Token(t, "prod", "meshpki")
	k.Grant(t, "prod", "meshpki", "meshpki",
		map[string]any{"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": []string{"get", "create", "patch"}})
	s := mustStore(t, "prod/payment-tls", backends.Options{Cluster: backends.Cluster{Kubeconfig: k.Kubeconfig(t, token, "")}})
	v, err := s.Save(t.Context(), pair("0"), "")
	if err != nil {
		t.Fatal(err)
	}
	for i, storm := range []struct{ begin, end func(testing.TB) }{{k.StopAPI, k.StartAPI}, {k.StopEtcd, k.StartEtcd}} {
		storm.begin(t)
		if _, err := s.Save(t.Context(), pair(fmt.Sprint("lost-", i)), v); !errors.Is(err, ca.ErrAway) {
			t.Errorf("storm %d: %v, want ca.ErrAway", i, err)
		}
		storm.end(t)
		saved := false
		for range 100 {
			set, now, err := s.Load(t.Context())
			if err == nil {
				if now != v {
					t.Fatalf("storm %d: what was refused was written: %q", i, set.Facts)
				}
				if v, err = s.Save(t.Context(), pair(fmt.Sprint("after-", i)), now); err == nil {
					saved = true
					break
				}
				v = now
			}
			time.Sleep(200 * time.Millisecond)
		}
		if !saved {
			t.Fatalf("storm %d: nothing could be saved afterwards", i)
		}
	}
	other := mustStore(t, "elsewhere/payment-tls", s.options)
	if _, err := other.Save(t.Context(), pair("1"), ""); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another namespace: %v", err)
	}
}

// BenchmarkApply is a bare loop of the client: the same set applied with other bytes.
func BenchmarkApply(b *testing.B) { benchSave(b, false) }

// BenchmarkRenewal is what renewal asks of a place: two looks, and a write.
func BenchmarkRenewal(b *testing.B) { benchSave(b, true) }

func benchSave(b *testing.B, look bool) {
	k := backendtest.StartKubeServer(b)
	k.Namespace(b, "prod")
	o := backends.Options{Cluster: backends.Cluster{Kubeconfig: k.Kubeconfig(b, "", "")}}
	var n atomic.Int32
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		place, err := (&Clusters{}).Store(fmt.Sprintf("prod/place-%d", n.Add(1)), o)
		if err != nil {
			b.Error(err)
			return
		}
		v, err := place.Save(b.Context(), pair("0"), "")
		for i := 0; pb.Next() && err == nil; i++ {
			for range 2 {
				if look {
					_, v, err = place.Load(b.Context())
				}
			}
			if err == nil {
				v, err = place.Save(b.Context(), pair(fmt.Sprint(i)), v)
			}
		}
		if err != nil {
			b.Error(err)
		}
	})
}
