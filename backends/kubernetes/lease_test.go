package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
)

var errLost = errors.New("lost")

// way gives an API server of its own connection to each.
func way(t *testing.T, k http.Handler) *platform {
	t.Helper()
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	p, err := (&Clusters{}).Platform(backends.Options{Cluster: backends.Cluster{Kubeconfig: kubeconfigOf(t, server.URL, "")}})
	if err != nil {
		t.Fatal(err)
	}
	return p.(*platform)
}

// TestOneLeads: of three at once one works at a time; when it ends, another goes on,
// in another term.
func TestOneLeads(t *testing.T) {
	k := &backendtest.KubeAPI{}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var mu sync.Mutex
	at, terms := 0, []string{}
	var all sync.WaitGroup
	for i := range 3 {
		p := way(t, k)
		all.Go(func() {
			o := backends.Leading{Namespace: "mesh", Name: "meshpki", Identity: fmt.Sprint("replica-", i), Now: time.Now, Lost: errLost, Life: 3 * time.Second}
			err := p.Lead(ctx, o, func(_ context.Context, term backends.Term) error {
				mu.Lock()
				defer mu.Unlock()
				if at++; at > 1 {
					t.Error("two lead at once")
				}
				name, err := term(time.Second)
				if err != nil || slices.Contains(terms, name) {
					t.Errorf("term %q, %v, after %q", name, err, terms)
				}
				terms = append(terms, name)
				at--
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(terms) != 3 {
		t.Errorf("terms %q", terms)
	}
}

// TestLeaseLost: who cannot renew the lease stops before another may take it, and says
// so to the work.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	cut := false
	k := &backendtest.KubeAPI{}
	k.Before = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if cut && r.Header.Get("X-Cut") == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	}
	p := way(t, k)
	ctx, end := context.WithCancel(t.Context())
	o := backends.Leading{Namespace: "mesh", Name: "meshpki", Identity: "first", Now: time.Now, Lost: errLost, Life: 8 * time.Second}
	began, times := time.Time{}, 0
	err := p.Lead(ctx, o, func(hands context.Context, term backends.Term) error {
		if times++; times > 1 {
			end()
			return nil
		}
		mu.Lock()
		cut, began = true, time.Now()
		mu.Unlock()
		<-hands.Done()
		if !errors.Is(context.Cause(hands), errLost) {
			t.Errorf("the work ended by %v", context.Cause(hands))
		}
		if _, err := term(4 * time.Second); err == nil {
			t.Error("it may still write")
		}
		if lost := time.Since(began); lost > 8*time.Second {
			t.Errorf("the lease was given up after %s", lost)
		}
		mu.Lock()
		cut = false
		mu.Unlock()
		return nil
	})
	if err != nil || times != 2 {
		t.Errorf("%d times, %v", times, err)
	}
}

// TestLeaseForbidden: a right that is missing ends it, and the rule that grants it is named.
func TestLeaseForbidden(t *testing.T) {
	for verb, named := range map[string]string{"get": ", resourceNames: [meshpki]", "create": "", "update": ", resourceNames: [meshpki]"} {
		denied := ""
		p := way(t, &backendtest.KubeAPI{Deny: func(v, _, _, _ string) bool { return v == denied }})
		lead := func(identity string) error {
			return p.Lead(t.Context(), backends.Leading{Namespace: "mesh", Name: "meshpki", Identity: identity, Now: time.Now, Life: 150 * time.Millisecond},
				func(context.Context, backends.Term) error { return nil })
		}
		if verb == "update" { // of a Lease that is there, and given back
			if err := lead("a"); err != nil {
				t.Fatal(err)
			}
		}
		denied = verb
		want := verb + ` Lease mesh/meshpki is forbidden to test; a Role in namespace mesh with the rule would grant it: ` +
			`{apiGroups: ["coordination.k8s.io"], resources: [leases]` + named + `, verbs: [` + verb + `]}`
		if err := lead("b"); err == nil || err.Error() != want {
			t.Errorf("%v\n%s", err, want)
		}
	}
}

// TestMemory: what is remembered is there for the next process, and written by the
// version that was read.
func TestMemory(t *testing.T) {
	k := &backendtest.KubeAPI{}
	open := func() backends.Memory {
		m, err := way(t, k).Memory("mesh/meshpki-state")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := m.Write(t.Context(), fmt.Sprintf("prod.s%02d", i), []byte{byte(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	other := open()
	names, err := other.Names(t.Context())
	if err != nil || len(names) != 20 {
		t.Fatalf("%q, %v", names, err)
	}
	if data, err := other.Read(t.Context(), "prod.s07"); err != nil || len(data) != 1 || data[0] != 7 {
		t.Errorf("%v, %v", data, err)
	}
	if err := other.Remove(t.Context(), "prod.s07"); err != nil {
		t.Error(err)
	}
	if err := m.Write(t.Context(), "prod.s01", []byte("late")); err == nil {
		t.Error("what another has changed was written over")
	}
	if err := m.Write(t.Context(), "prod.s01", []byte("read again")); err != nil {
		t.Error(err)
	}
	if err := m.Write(t.Context(), "big", make([]byte, mostBytes+1)); err == nil {
		t.Error("more than a Secret holds was written")
	}
	k.Put("/api/v1/namespaces/mesh/secrets/other", "kubectl", map[string]any{"metadata": map[string]any{"name": "other"}, "type": "Opaque"})
	foreign, err := way(t, k).Memory("mesh/other")
	if err == nil {
		_, err = foreign.Names(t.Context())
	}
	if err == nil {
		t.Error("a Secret that is no state was read")
	}
}
