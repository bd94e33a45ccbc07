package kubernetes

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
)

// recorded is what a kube-apiserver v1.34 has answered.
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestWireForms: one Secret, asked for in both forms, reads the same.
func TestWireForms(t *testing.T) {
	var fromJSON, fromProto secret
	if err := json.Unmarshal(recorded(t, "secret.json"), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := fromProto.readProto(recorded(t, "secret.pb")); err != nil {
		t.Fatal(err)
	}
	fromJSON.APIVersion, fromJSON.Kind = "", ""
	if have, want := len(fromProto.Metadata.ManagedFields), len(fromJSON.Metadata.ManagedFields); have != want {
		t.Fatalf("%d managers in one form, %d in the other", want, have)
	}
	for i := range fromJSON.Metadata.ManagedFields {
		m, other := &fromJSON.Metadata.ManagedFields[i], &fromProto.Metadata.ManagedFields[i]
		if m.Manager == manager { // its fields are ours: nobody reads them
			m.FieldsV1 = nil
			continue
		}
		var a, b any
		if json.Unmarshal(m.FieldsV1, &a) != nil || json.Unmarshal(other.FieldsV1, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("the fields of %s are %s in one form and %s in the other", m.Manager, m.FieldsV1, other.FieldsV1)
		}
		m.FieldsV1, other.FieldsV1 = nil, nil
	}
	if !reflect.DeepEqual(fromJSON, fromProto) {
		t.Errorf("JSON has   %+v\nprotobuf has %+v", fromJSON, fromProto)
	}
	if l := liveOf(&fromProto); l.holder != "payment-tls" || !l.leaving || !l.immutable {
		t.Errorf("read as %+v", l)
	}
}

// TestWireProblem: a refusal in Protocol Buffers says whose the fields are.
func TestWireProblem(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != asEither {
			t.Errorf("a Secret is asked for as %q", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", asProto)
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write(recorded(t, "conflict.pb"))
	}))
	defer server.Close()
	s := mustStore(t, "prod/payment", backends.Options{Cluster: backends.Cluster{Kubeconfig: kubeconfigOf(t, server.URL, "")}})
	c, err := s.client()
	if err != nil {
		t.Fatal(err)
	}
	err = c.do(t.Context(), call{method: http.MethodPatch, about: s.at, media: asApply}, &secret{})
	p, ok := errors.AsType[*Problem](err)
	if !ok || !p.contested() || p.Reason != "Conflict" {
		t.Fatalf("the conflict is read as %#v", err)
	}
	if e := p.conflict(); e.Manager != "kubectl-create" || !slices.Equal(e.Fields, []string{"metadata.labels." + labelManaged, "metadata.labels.team"}) {
		t.Errorf("the conflict is with %+v", e)
	}
}

// TestWireDamaged: an answer that is cut off reads as the whole Secret or not at all.
func TestWireDamaged(t *testing.T) {
	answer, whole := recorded(t, "secret.pb"), &secret{}
	if err := whole.readProto(answer); err != nil {
		t.Fatal(err)
	}
	for n := range answer {
		s := &secret{}
		if err := s.readProto(answer[:n]); err == nil && !reflect.DeepEqual(s, whole) {
			t.Errorf("the first %d of %d bytes read as a Secret", n, len(answer))
		}
	}
	if err := (&secret{}).readProto(recorded(t, "conflict.pb")); err == nil {
		t.Error("a Status reads as a Secret")
	}
}

// TestFirstAlone: of many calls that begin at once, one opens the connection.
func TestFirstAlone(t *testing.T) {
	const calls = 8
	came, hold := make(chan struct{}, calls), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		came <- struct{}{}
		<-hold
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	o := backends.Options{Cluster: backends.Cluster{Kubeconfig: kubeconfigOf(t, server.URL, "")}}
	c, err := (&Clusters{}).client(o)
	if err != nil {
		t.Fatal(err)
	}
	var began, all sync.WaitGroup
	for range calls {
		began.Add(1)
		all.Go(func() {
			began.Done()
			_ = c.do(t.Context(), call{method: http.MethodGet, about: secretAt("prod", "payment")}, &secret{})
		})
	}
	began.Wait()
	<-came
	select {
	case <-came:
		t.Error("another call is made before the first is answered")
	case <-time.After(50 * time.Millisecond): // a slow machine may miss one, and reports none that is not
	}
	close(hold)
	all.Wait()
}

func FuzzReadProto(f *testing.F) {
	f.Add(recorded(f, "secret.pb"))
	f.Add(recorded(f, "conflict.pb"))
	f.Add([]byte("k8s\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &secret{}
		if s.readProto(data) == nil {
			liveOf(s).version()
		}
		if st := (&status{}); st.readProto(data) == nil && st.Kind == "" && st.Message != "" {
			t.Errorf("an object of no kind says %q", st.Message)
		}
	})
}
