package kubernetes

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/issue"
)

// saved is a place with its first set, and what it is at.
func saved(t *testing.T, o backends.Options) (*Store, issue.Version) {
	t.Helper()
	s := mustStore(t, "prod/payment-tls", o)
	v, err := s.Save(t.Context(), pair("1"), "")
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

// recalled gives a place as another process has it that was told what it is like.
func recalled(t *testing.T, o backends.Options, text string) (*Store, issue.Version) {
	t.Helper()
	s := mustStore(t, "prod/payment-tls", o)
	v, ok := s.Recall(text)
	if !ok {
		t.Fatalf("%q is of no use", text)
	}
	return s, v
}

// A Secret that is as a write has left it costs the next one no look, and no value of any
// key is remembered for that.
func TestWrittenUnseen(t *testing.T) {
	k := &backendtest.KubeAPI{}
	o := start(t, k)
	s, v := saved(t, o)
	if s.Remember("made-up") != "" {
		t.Error("a version that it was never at is remembered")
	}
	text := s.Remember(v)
	for _, no := range []string{"crt 1", "key 1", "roots", "2026-12-11"} {
		if strings.Contains(text, no) {
			t.Errorf("what is remembered tells %q: %s", no, text)
		}
	}
	for _, serial := range []string{"2", "3"} {
		var at issue.Version
		var err error
		if s, at = recalled(t, o, text); at != v {
			t.Errorf("it is recalled at %q, and was at %q", at, v)
		}
		k.Calls()
		if same, err := s.Unchanged(t.Context(), at); err != nil || !same {
			t.Errorf("unchanged: %v, %v", same, err)
		}
		if err := s.Prepare(t.Context(), pair(serial)); err != nil {
			t.Error(err)
		}
		if v, err = s.Save(t.Context(), pair(serial), at); err != nil {
			t.Fatal(err)
		}
		if calls := k.Calls(); len(calls) != 1 || !strings.HasPrefix(calls[0], http.MethodPatch) {
			t.Errorf("it asks %q", calls)
		}
		text = s.Remember(v)
	}
	if set, now, err := s.Load(t.Context()); err != nil || now != v || set.Facts[issue.FactSerial] != "3" || len(set.Files) != 3 {
		t.Errorf("%q at %q, %v; saved at %q", set.Facts, now, err, v)
	}
}

// A Secret that is not in every part as it was remembered is not written, and is read
// before anything else is done about it.
func TestNotAsRemembered(t *testing.T) {
	const at = secretsOf + "payment-tls"
	edit := func(k *backendtest.KubeAPI, part, name, value string) {
		object := k.Object(at)
		of := object
		if part != "data" {
			of = object["metadata"].(map[string]any)
		}
		if of[part] == nil {
			of[part] = map[string]any{}
		}
		of[part].(map[string]any)[name] = value
		k.Put(at, "kubectl-edit", object)
	}
	for name, change := range map[string]func(k *backendtest.KubeAPI){
		"a key edited": func(k *backendtest.KubeAPI) { edit(k, "data", "tls.crt", "aGFuZA==") },
		"a key added":  func(k *backendtest.KubeAPI) { edit(k, "data", "more", "aGFuZA==") },
		"a note added": func(k *backendtest.KubeAPI) { edit(k, "annotations", "note", "hand") },
		"taken by cert-manager": func(k *backendtest.KubeAPI) {
			edit(k, "annotations", "cert-manager.io/certificate-name", "payment")
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := &backendtest.KubeAPI{}
			o := start(t, k)
			s, v := saved(t, o)
			text := s.Remember(v)
			change(k)
			before := k.Object(at)
			s, v = recalled(t, o, text)
			k.Calls()
			if _, err := s.Save(t.Context(), pair("2"), v); !errors.Is(err, issue.ErrChanged) {
				t.Errorf("saved: %v", err)
			}
			if calls := k.Calls(); len(calls) != 1 {
				t.Errorf("it asks %q", calls)
			}
			if after := k.Object(at); (before == nil) != (after == nil) || before != nil && before["metadata"].(map[string]any)["resourceVersion"] != after["metadata"].(map[string]any)["resourceVersion"] {
				t.Error("it was written all the same")
			}
			if same, err := s.Unchanged(t.Context(), v); err != nil || same {
				t.Errorf("unchanged once refused: %v, %v", same, err)
			}
		})
	}
}

// What others have a part in is not remembered, nor what no text can vouch for: it is
// looked at each time.
func TestNotRemembered(t *testing.T) {
	const at = secretsOf + "payment-tls"
	for name, change := range map[string]func(object map[string]any){
		"a key of another": func(object map[string]any) { object["data"].(map[string]any)["more"] = "aGFuZA==" },
		"a note of another": func(object map[string]any) {
			object["metadata"].(map[string]any)["annotations"].(map[string]any)["note"] = "hand"
		},
		"immutable": func(object map[string]any) { object["immutable"] = true },
		"on its way out": func(object map[string]any) {
			object["metadata"].(map[string]any)["deletionTimestamp"] = "2026-11-22T12:00:00Z"
		},
		"cert-manager's": func(object map[string]any) {
			object["metadata"].(map[string]any)["annotations"].(map[string]any)["cert-manager.io/certificate-name"] = "x"
		},
		"with a damaged note": func(object map[string]any) {
			object["metadata"].(map[string]any)["annotations"].(map[string]any)[noteSet] = "{"
		},
	} {
		k := &backendtest.KubeAPI{}
		s, _ := saved(t, start(t, k))
		object := k.Object(at)
		change(object)
		k.Put(at, "kubectl-edit", object)
		_, v, _ := s.Load(t.Context())
		if text := s.Remember(v); text != "" {
			t.Errorf("%s: %s", name, text)
		}
	}
	for _, text := range []string{"", "{", "{}", `{"schema":"meshpki/written/v2","version":"v","uid":"u","resourceVersion":"1"}`, `{"schema":"meshpki/written/v1","version":"v","uid":"","resourceVersion":"1"}`} {
		s := mustStore(t, "prod/payment-tls", backends.Options{})
		if v, ok := s.Recall(text); ok || v != "" {
			t.Errorf("%q is recalled at %q", text, v)
		}
	}
}

// A leader goes by what was read in his own term, and remembers nothing.
func TestLeaderRemembersNothing(t *testing.T) {
	k := &backendtest.KubeAPI{}
	o := start(t, k)
	s, v := saved(t, o)
	text := s.Remember(v)
	o.Term = func(time.Duration) (string, error) { return "1", nil }
	s = mustStore(t, "prod/payment-tls", o)
	if _, ok := s.Recall(text); ok || text == "" {
		t.Errorf("a leader recalls %q", text)
	}
	if _, v, err := s.Load(t.Context()); err != nil || s.Remember(v) != "" {
		t.Errorf("a leader remembers %q, %v", s.Remember(v), err)
	}
}
