package inspect_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// server is an endpoint of a test: what it says before TLS, and its TLS.
type server struct {
	talk   func(rw io.ReadWriter) error // nil: TLS at once
	config *tls.Config                  // nil: no TLS follows
	seen   atomic.Pointer[tls.ConnectionState]
}

// listen serves every connection until the test is over, and gives the address.
func (s *server) listen(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return l.Addr().String()
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	if s.talk != nil && s.talk(conn) != nil {
		return
	}
	if s.config == nil {
		return
	}
	over := tls.Server(conn, s.config)
	if over.Handshake() == nil {
		state := over.ConnectionState()
		s.seen.Store(&state)
	}
	_, _ = io.Copy(io.Discard, over)
}

// identity is a chain and its key, as a server has them.
func identity(t testing.TB) (tls.Certificate, []*x509.Certificate) {
	t.Helper()
	key := newKey(t)
	root := newRoot(t, "Root")
	issuing := root.intermediate(t, "Issuing")
	leaf := issuing.leafFor(t, key.Public())
	chain := certs(leaf, issuing.Certificate)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, issuing.Raw}, PrivateKey: key}, chain
}

func endpoint(t testing.TB, s string) inspect.Endpoint {
	t.Helper()
	e, err := inspect.ParseEndpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func same(a, b []*x509.Certificate) bool {
	return slices.EqualFunc(a, b, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) })
}

func TestProbe(t *testing.T) {
	id, chain := identity(t)
	for _, test := range []struct {
		name   string
		change func(*tls.Config)
		want   inspect.Served
	}{
		{"TLS 1.3", func(c *tls.Config) {}, inspect.Served{Version: tls.VersionTLS13}},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, inspect.Served{Version: tls.VersionTLS12}},
		{"TLS 1.0", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, inspect.Served{Version: tls.VersionTLS10}},
		{"asks", func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }, inspect.Served{Version: tls.VersionTLS13, AsksClient: true}},
		{"demands", func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert }, inspect.Served{Version: tls.VersionTLS13, AsksClient: true}},
		{"demands in TLS 1.2", func(c *tls.Config) {
			c.ClientAuth, c.MaxVersion = tls.RequireAndVerifyClientCert, tls.VersionTLS12
		}, inspect.Served{AsksClient: true, Refused: errors.New("any")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := &tls.Config{Certificates: []tls.Certificate{id}, ClientCAs: x509.NewCertPool()}
			test.change(config)
			at := (&server{config: config}).listen(t)
			got, err := inspect.Probe(t.Context(), inspect.ProbeOptions{Endpoint: endpoint(t, at)})
			if err != nil {
				t.Fatal(err)
			}
			if !same(got.Chain, chain) || got.Version != test.want.Version || got.AsksClient != test.want.AsksClient || (got.Refused == nil) != (test.want.Refused == nil) {
				t.Errorf("%+v; want the chain and %+v", got, test.want)
			}
			if (got.CipherSuite == 0) != (got.Version == 0) {
				t.Errorf("suite %x with version %x", got.CipherSuite, got.Version)
			}
		})
	}
}

// TestProbeNames asks for a name where there is one, and never resumes.
func TestProbeNames(t *testing.T) {
	id, _ := identity(t)
	asked, resumed := make(chan string, 8), make(chan bool, 8)
	config := &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked <- h.ServerName
		return &id, nil
	}, VerifyConnection: func(s tls.ConnectionState) error {
		resumed <- s.DidResume
		return nil
	}}
	at := (&server{config: config}).listen(t)
	_, port, _ := net.SplitHostPort(at)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at)
	}
	for _, test := range []struct{ endpoint, name, want string }{
		{"mesh.example:" + port, "payment.prod", "payment.prod"},
		{"mesh.example:" + port, "payment.prod", "payment.prod"},
		{"mesh.example:" + port, "", "mesh.example"},
		{"https://mesh.example", "", "mesh.example"},
		{"127.0.0.1:" + port, "", ""},
	} {
		if _, err := inspect.Probe(t.Context(), inspect.ProbeOptions{Endpoint: endpoint(t, test.endpoint), ServerName: test.name, Dial: dial}); err != nil {
			t.Fatal(err)
		}
		if got := <-asked; got != test.want {
			t.Errorf("%s, %q: asked for %q, want %q", test.endpoint, test.name, got, test.want)
		}
		if <-resumed {
			t.Error("resumed")
		}
	}
}

// TestProbeFailures are endpoints that cannot be looked at; each error says where and why.
func TestProbeFailures(t *testing.T) {
	silent := (&server{talk: func(rw io.ReadWriter) error { _, err := io.Copy(io.Discard, rw); return err }}).listen(t)
	closed := (&server{}).listen(t)
	text := (&server{talk: func(rw io.ReadWriter) error {
		_, err := io.WriteString(rw, "HTTP/1.0 400 Bad Request\r\n\r\n")
		return err
	}}).listen(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	for _, test := range []struct{ at, want string }{
		{silent, "no answer within 100ms"},
		{"smtp://" + silent, "no answer within 100ms"},
		{closed, ""},
		{text, "tls: first record does not look like a TLS handshake"},
		{nobody, ""},
	} {
		e := endpoint(t, test.at)
		_, err := inspect.Probe(t.Context(), inspect.ProbeOptions{Endpoint: e, Timeout: 100 * time.Millisecond})
		where := "looking at " + e.String() + ": "
		// What a system says of a connection that is refused or cut is its own.
		systems := test.want == "" && err != nil && strings.HasPrefix(err.Error(), where)
		if err == nil || !systems && err.Error() != where+test.want {
			t.Errorf("%v; want %s%s", err, where, test.want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	if _, err := inspect.Probe(ctx, inspect.ProbeOptions{Endpoint: endpoint(t, silent)}); err == nil || !strings.HasSuffix(err.Error(), ": interrupted") {
		t.Error(err)
	}
}

func TestProbeUnparsable(t *testing.T) {
	id, _ := identity(t)
	id.Certificate = [][]byte{append(bytes.Clone(id.Certificate[0]), 0)}
	at := (&server{config: &tls.Config{Certificates: []tls.Certificate{id}}}).listen(t)
	if _, err := inspect.Probe(t.Context(), inspect.ProbeOptions{Endpoint: endpoint(t, at)}); err == nil || !strings.Contains(err.Error(), "x509: trailing data") {
		t.Error(err)
	}
}

func TestParseEndpoint(t *testing.T) {
	for text, want := range map[string]string{
		"a.b:8443":            "tls://a.b:8443",
		"127.0.0.1:1":         "tls://127.0.0.1:1",
		"[::1]:443":           "tls://[::1]:443",
		"tls://a:1":           "tls://a:1",
		"https://a":           "https://a:443",
		"https://a:8443/path": "https://a:8443",
		"https://[fd00::5]/":  "https://[fd00::5]:443",
		"smtp://mail":         "smtp://mail:25",
		"imap://mail":         "imap://mail:143",
		"pop3://mail":         "pop3://mail:110",
		"ldap://dir":          "ldap://dir:389",
		"postgres://db":       "postgres://db:5432",
		"mysql://db:3307":     "mysql://db:3307",
	} {
		e, err := inspect.ParseEndpoint(text)
		if err != nil || e.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, e, err, want)
		}
	}
	for _, text := range []string{"", "a", "a:0", "a:65536", "a:http", ":1", "tls://a", "https://a:", "ftp://a:1", "http://a", "smtp://", "https://u:hunter2@a", "a b:1", "a\x1b:1", "tls://a\n:1", strings.Repeat("a", 300) + ":1", "ä:1", "unix:///x", "[fe80::1%\n]:1"} {
		e, err := inspect.ParseEndpoint(text)
		if err == nil {
			t.Errorf("%q is taken for %s", text, e)
		} else if strings.Contains(err.Error(), "hunter2") || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%q: %q shows what it should not", text, err)
		}
	}
}

func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{"a:1", "https://[::1%25eth0]:1/", "tls://a@b:1", "[::1]:1", "smtp://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := inspect.ParseEndpoint(s)
		if err != nil {
			return
		}
		again, err := inspect.ParseEndpoint(e.String())
		if err != nil || again != e {
			t.Errorf("%q is %+v, which is %+v when read again, %v", s, e, again, err)
		}
	})
}
