package kubernetes

import (
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// pair is a set as it would be of a service.
func pair(text string) issue.Set {
	return issue.Set{Facts: map[string]string{issue.FactSerial: text, issue.FactDue: "2026-12-11T12:00:00Z"}, Files: issue.Files{
		"tls.crt": {Data: []byte("crt " + text)}, "tls.key": {Data: []byte("key " + text), Secret: true}, "ca.crt": {Data: []byte("roots")}}}
}

func mustStore(t *testing.T, rest string, o backends.Options) *Store {
	t.Helper()
	s, err := (&Clusters{}).Store(rest, o)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Store)
}

// TestCalls: what is not due costs one GET; what is, two more; nothing new, nothing written.
func TestCalls(t *testing.T) {
	k := &backendtest.KubeAPI{}
	s := mustStore(t, "prod/payment-tls", start(t, k))
	asked := func(want ...string) {
		t.Helper()
		var got []string
		for _, c := range k.Calls() {
			method, _, _ := strings.Cut(c, " ")
			got = append(got, method)
		}
		if !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
	if _, _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context(), pair("1")); err != nil {
		t.Fatal(err)
	}
	v, err := s.Save(t.Context(), pair("1"), "")
	if err != nil {
		t.Fatal(err)
	}
	asked("GET", "POST")
	if same, err := s.Save(t.Context(), pair("1"), v); err != nil || same != v {
		t.Errorf("saved again: %q, %v", same, err)
	}
	asked()
	_, v, audit, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if found, err := audit(t.Context(), issue.Set{}); err != nil || len(found) > 0 {
		t.Errorf("audit: %q, %v", found, err)
	}
	asked("GET")
	if err := s.Prepare(t.Context(), pair("2")); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Save(t.Context(), pair("2"), v); err != nil {
		t.Fatal(err)
	}
	asked("PATCH")
}

// TestUnsure: a write whose answer is lost is found out about, and done once.
func TestUnsure(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPatch} {
		for _, lost := range []string{"request", "answer"} {
			var left atomic.Int32
			k := &backendtest.KubeAPI{}
			hit := func(r *http.Request) bool { return r.Method == method && left.Add(-1) >= 0 }
			if lost == "answer" {
				k.After = hit
			} else {
				k.Before = func(w http.ResponseWriter, r *http.Request) bool {
					if hit(r) {
						w.WriteHeader(http.StatusInternalServerError)
						return true
					}
					return false
				}
			}
			s := mustStore(t, "prod/payment-tls", start(t, k))
			v := issue.Version("")
			if method == http.MethodPatch {
				var err error
				if v, err = s.Save(t.Context(), pair("1"), ""); err != nil {
					t.Fatal(err)
				}
			}
			left.Store(2)
			v, err := s.Save(t.Context(), pair("2"), v)
			if err != nil {
				t.Errorf("%s, %s lost: %v", method, lost, err)
				continue
			}
			set, now, err := s.Load(t.Context())
			if err != nil || now != v || set.Facts[issue.FactSerial] != "2" {
				t.Errorf("%s, %s lost: %q at %q, %v; saved %q", method, lost, set.Facts, now, err, v)
			}
		}
	}
}

// TestOverloaded: an answer of 429 is waited out, and one of 500 to a read.
func TestOverloaded(t *testing.T) {
	for _, code := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusUnauthorized} {
		var left atomic.Int32
		left.Store(1)
		k := &backendtest.KubeAPI{Before: func(w http.ResponseWriter, _ *http.Request) bool {
			if left.Add(-1) >= 0 {
				w.WriteHeader(code)
				return true
			}
			return false
		}}
		s := mustStore(t, "prod/payment-tls", start(t, k))
		if _, _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: %v", code, err)
		}
		left.Store(100)
		_, _, err := s.Load(t.Context())
		if want := map[int]error{401: fs.ErrPermission}[code]; want != nil && !errors.Is(err, want) || want == nil && !errors.Is(err, ca.ErrAway) {
			t.Errorf("%d all the time: %v", code, err)
		}
	}
}

// TestTerm: nothing is written by what was read in another term of leadership, nor
// with too little time left.
func TestTerm(t *testing.T) {
	k := &backendtest.KubeAPI{}
	o := start(t, k)
	term, lost := "1", error(nil)
	o.Term = func(least time.Duration) (string, error) {
		if least < callTime {
			t.Errorf("a write may take %s, and %s are asked for", callTime, least)
		}
		return term, lost
	}
	s := mustStore(t, "prod/payment-tls", o)
	v, err := s.Save(t.Context(), pair("1"), "")
	if err != nil {
		t.Fatal(err)
	}
	term = "2"
	if _, err := s.Save(t.Context(), pair("2"), v); !errors.Is(err, issue.ErrChanged) {
		t.Errorf("in another term: %v", err)
	}
	if _, v, err = s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost = errors.New("the lease is lost")
	k.Calls()
	if _, err := s.Save(t.Context(), pair("2"), v); !errors.Is(err, lost) {
		t.Errorf("with the lease lost: %v", err)
	}
	if calls := k.Calls(); len(calls) > 0 {
		t.Errorf("with the lease lost it asks %q", calls)
	}
	lost = nil
	if _, err := s.Save(t.Context(), pair("2"), v); err != nil {
		t.Error(err)
	}
}

// TestDrift: our labels and annotations are looked after as well.
func TestDrift(t *testing.T) {
	k := &backendtest.KubeAPI{}
	s := mustStore(t, "prod/payment-tls", start(t, k))
	if _, err := s.Save(t.Context(), pair("1"), ""); err != nil {
		t.Fatal(err)
	}
	object := k.Object(secretsOf + "payment-tls")
	meta := object["metadata"].(map[string]any)
	delete(meta["labels"].(map[string]any), labelManaged)
	meta["annotations"].(map[string]any)[noteDue] = "never"
	k.Put(secretsOf+"payment-tls", "kubectl-label", object)
	found, err := s.Audit(t.Context(), issue.Set{Owner: "root"})
	if err != nil || len(found) != 3 {
		t.Errorf("audit: %q, %v", found, err)
	}
	meta["annotations"].(map[string]any)[noteSet] = "{"
	k.Put(secretsOf+"payment-tls", "kubectl-edit", object)
	set, v, err := s.Load(t.Context())
	if err == nil || v == "" || set.Facts == nil {
		t.Errorf("a damaged note: %q, %q, %v", set.Facts, v, err)
	}
	again := pair("2")
	again.Replace = true
	if _, err := s.Save(t.Context(), again, v); err != nil {
		t.Errorf("a damaged note is replaced: %v", err)
	}
}
