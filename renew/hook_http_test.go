package renew

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHTTP(t *testing.T) {
	var asked *http.Request
	var body []byte
	mux := http.NewServeMux()
	mux.HandleFunc("/reload", func(w http.ResponseWriter, r *http.Request) {
		asked = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "reloaded")
	})
	mux.HandleFunc("/no", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "not\x1b now\n")
	})
	mux.HandleFunc("/none", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/much", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(zeros{}, 10<<20))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/reload", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/reload", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/round", http.StatusTemporaryRedirect)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	host := server.URL
	for _, test := range []struct {
		step     HTTP
		out, err string
	}{
		{HTTP{URL: "/reload"}, "reloaded", ""},
		{HTTP{URL: "/reload", Method: "GET"}, "reloaded", ""},
		{HTTP{URL: "/none"}, "", ""},
		{HTTP{URL: "/here"}, "reloaded", ""},
		{HTTP{URL: "/no"}, "not\x1b now\n", "POST " + host + `/no: the answer is 503, and not 2xx; it said "not\x1b now"`},
		{HTTP{URL: "/nowhere", Method: "GET"}, "404 page not found\n", "GET " + host + `/nowhere: the answer is 404, and not 2xx; it said "404 page not found"`},
		{HTTP{URL: "/there"}, "", "POST " + host + "/there: it redirects to http://elsewhere.invalid, which is not followed"},
		{HTTP{URL: "/round"}, "", "POST " + host + "/round: more than 5 redirects"},
		{HTTP{URL: "/slow"}, "", "POST " + host + "/slow: not done within 300ms"},
	} {
		test.step.URL = host + test.step.URL
		out, err := Step{HTTP: &test.step, Timeout: 300 * time.Millisecond}.Run(t.Context(), hookFacts())
		if string(out) != test.out || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%s: %q, %v; want %q, %s", test.step.URL, out, err, test.out, test.err)
		}
		if asked != nil && (asked.Method != test.step.method() || len(body) > 0) {
			t.Errorf("%s: asked with %s and %d bytes", test.step.URL, asked.Method, len(body))
		}
		asked = nil
	}
	out, err := Step{HTTP: &HTTP{URL: host + "/much"}}.Run(t.Context(), hookFacts())
	if err != nil || len(out) != OutputLimit {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestHTTPProxy: meshpki's environment has no say unless it is asked.
func TestHTTPProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	for proxy, want := range map[bool]bool{false: false, true: true} {
		client, err := (&HTTP{URL: "http://a/", Proxy: proxy}).client()
		if err != nil {
			t.Fatal(err)
		}
		if got := client.Transport.(*http.Transport).Proxy != nil; got != want {
			t.Errorf("proxy %v: %v", proxy, got)
		}
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		roots: "", "": "certificate signed by unknown authority", empty: "holds no certificate", empty + "x": "reading its roots: open ",
	} {
		_, err := Step{HTTP: &HTTP{URL: server.URL, Roots: name}}.Run(t.Context(), hookFacts())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("roots %q: %v; want %s", name, err, want)
		}
	}
}
