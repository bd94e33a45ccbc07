//go:build integration && linux

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// acmeFront stands before an ACME server: it notes what is asked, and can break the
// renewal information.
type acmeFront struct {
	mu     sync.Mutex
	asked  []string // paths of what was asked for with GET
	posted []string // what was signed, decoded
	made   []string // what was signed, and something was made for: a nonce may be refused, and it is sent again
	broken string   // "", "503" or "silent"
}

// front has a server asked through such a one.
func (s *acmeServer) front() *acmeFront {
	s.t.Helper()
	f := &acmeFront{}
	behind, err := url.Parse(s.directory)
	must(s.t, err)
	proxy := &httputil.ReverseProxy{
		// The server makes its URLs from the name that it was called by.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = behind.Scheme, behind.Host
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch f.note(r, body) {
		case "503":
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "silent":
			<-r.Context().Done()
		default:
			proxy.ServeHTTP(&making{w, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.made = append(f.made, payloadOf(body))
			}}, r)
		}
	}))
	s.t.Cleanup(server.Close)
	s.caCert = filepath.Join(s.t.TempDir(), "front.pem")
	writeFile(s.t, s.caCert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	s.directory = server.URL + behind.Path
	return f
}

// note writes down what is asked, and tells how it is to be broken.
func (f *acmeFront) note(r *http.Request, body []byte) (broken string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method != http.MethodPost {
		f.asked = append(f.asked, r.URL.Path)
		if strings.Contains(r.URL.Path, "renewalInfo") {
			return f.broken
		}
		return ""
	}
	f.posted = append(f.posted, r.URL.Path+" "+payloadOf(body))
	return ""
}

// payloadOf is what was signed in a request; "" where nothing was.
func payloadOf(body []byte) string {
	var signed struct{ Payload string }
	if json.Unmarshal(body, &signed) != nil {
		return ""
	}
	payload, _ := base64.RawURLEncoding.DecodeString(signed.Payload)
	return string(payload)
}

// making tells of an answer that something was made.
type making struct {
	http.ResponseWriter
	made func()
}

func (m *making) WriteHeader(code int) {
	if code == http.StatusCreated {
		m.made()
	}
	m.ResponseWriter.WriteHeader(code)
}

func (m *making) Unwrap() http.ResponseWriter { return m.ResponseWriter }

func (f *acmeFront) breaks(how string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = how
}

// renewals counts the requests for renewal information; replaced lists what the
// orders that were made said that they replace.
func (f *acmeFront) renewals() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range f.asked {
		if strings.Contains(path, "renewalInfo") {
			n++
		}
	}
	return n
}

func (f *acmeFront) replaced(t *testing.T) (out []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, payload := range f.made {
		var order struct {
			Identifiers []any
			Replaces    string
		}
		if json.Unmarshal([]byte(payload), &order) == nil && len(order.Identifiers) > 0 {
			out = append(out, order.Replaces)
		}
	}
	return out
}
