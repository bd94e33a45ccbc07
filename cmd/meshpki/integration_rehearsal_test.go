//go:build integration && linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowest is how long a party may take to reload after its hook was run.
const slowest = 10 * time.Second

// fewest is how many handshakes make a rehearsal.
const fewest = 10_000

// rehearsal is a mesh whose root is replaced while everybody talks to everybody.
// Each party reloads when its hook is run, after a delay of its own, and never else.
type rehearsal struct {
	t       *testing.T
	m       mesh
	reloads map[string]func() error
	servers []peer

	handshakes, requests atomic.Int64
	mu                   sync.Mutex
	failures             []string
}

// peer is a server as its clients see it.
type peer struct{ name, address string }

func (r *rehearsal) failed(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) < 20 {
		r.failures = append(r.failures, fmt.Sprintf(format, args...))
	}
}

func (r *rehearsal) credential(service string) credential {
	return credential{r.t, filepath.Join(r.m.dir, "services", "default", service)}
}

// loaded is what a party has read of its files: its pair and whom it trusts.
func (r *rehearsal) loaded(service string) (tls.Certificate, *x509.CertPool, error) {
	c := r.credential(service)
	pair, err := tls.LoadX509KeyPair(c.chain(), c.key())
	if err != nil {
		return pair, nil, err
	}
	pool := x509.NewCertPool()
	for _, root := range certificates(r.t, c.roots()) {
		pool.AddCert(root)
	}
	return pair, pool, nil
}

// serve starts a server of Go's that demands client certificates.
func (r *rehearsal) serve(service string) {
	r.t.Helper()
	var now atomic.Pointer[tls.Config]
	load := func() error {
		pair, pool, err := r.loaded(service)
		if err == nil {
			now.Store(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
		}
		return err
	}
	must(r.t, load())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(r.t, err)
	s := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })}
	go func() {
		_ = s.Serve(tls.NewListener(l, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return now.Load(), nil }}))
	}()
	r.t.Cleanup(func() { _ = s.Close() })
	r.reloads[service] = load
	r.servers = append(r.servers, peer{service + ".default.svc.cluster.local", l.Addr().String()})
}

// call starts a client of Go's that calls every server, time and again: with a new
// connection each time and, beside it, over connections that it keeps in a pool.
func (r *rehearsal) call(service string, stop chan struct{}, running *sync.WaitGroup) {
	r.t.Helper()
	var now atomic.Pointer[tls.Config]
	load := func() error {
		pair, pool, err := r.loaded(service)
		if err == nil {
			now.Store(&tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool})
		}
		return err
	}
	must(r.t, load())
	r.reloads[service] = load
	for _, p := range r.servers {
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			config := now.Load().Clone()
			config.ServerName = p.name
			d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}
			conn, err := d.DialContext(ctx, network, p.address)
			if err == nil {
				r.handshakes.Add(1)
			}
			return conn, err
		}
		for _, pooled := range []bool{true, false} {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{DialTLSContext: dial, DisableKeepAlives: !pooled}}
			running.Go(func() {
				for ; !closed(stop); time.Sleep(time.Millisecond) {
					if err := get(client, "https://"+p.name+"/"); err != nil {
						r.failed("%s calls %s: %v", service, p.name, err)
					}
					r.requests.Add(1)
				}
			})
		}
	}
}

func get(client *http.Client, url string) error {
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", res.Status)
	}
	return nil
}

// rehearsalParties are the services of the mesh.
var rehearsalParties = []string{"orders", "stock", "gateway", "payment", "account", "ledger"}

// newRehearsal makes the mesh, with every hook a call to this process that comes
// back when the party has reloaded.
func newRehearsal(t *testing.T) *rehearsal {
	t.Helper()
	r := &rehearsal{t: t, m: newMesh(t), reloads: map[string]func() error{}}
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		time.Sleep(rand.N(slowest))
		reload, ok := r.reloads[strings.TrimPrefix(req.URL.Path, "/")]
		if !ok {
			http.Error(w, "no such party", http.StatusNotFound)
			return
		}
		if err := reload(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	t.Cleanup(control.Close)
	text := "apiVersion: meshpki/v1\nservices:\n"
	for _, name := range rehearsalParties {
		text += fmt.Sprintf("  - name: %s\n    hook:\n      - http: {url: %q, timeout: 60s}\n", name, control.URL+"/"+name)
	}
	writeFile(t, filepath.Join(r.m.dir, "meshpki.yaml"), text)
	r.m.must("issue", "--file", filepath.Join(r.m.dir, "meshpki.yaml"))
	return r
}

// TestRehearsalOfARootRotation replaces a root under load: servers and clients of
// Go's, nginx and Java, each reloading when it gets to it. No handshake fails.
func TestRehearsalOfARootRotation(t *testing.T) {
	r := newRehearsal(t)
	before := r.m.must("ca", "bundle")
	r.serve("orders")
	r.serve("stock")
	gateway := r.credential("gateway")
	n := startNginx(t, gateway)
	r.reloads["gateway"] = func() error { n.reload(gateway); return nil }
	r.servers = append(r.servers, peer{gatewayName, n.address()})

	stop := make(chan struct{})
	var running sync.WaitGroup
	r.call("payment", stop, &running)
	r.call("account", stop, &running)
	java := r.java("ledger")

	signed := r.leaves()
	r.m.must("ca", "rotate", "root", "start")
	for phase := range 3 {
		// Not before everybody has come along.
		if a := r.m.run("ca", "rotate", "root", "advance"); a.code != 3 {
			t.Errorf("it advances although nobody has come along: %s", a)
		}
		r.m.must("renew")
		r.await(fewest * int64(phase+1) / 3)
		r.m.must("ca", "rotate", "root", "advance")
	}
	time.Sleep(2 * time.Second)
	close(stop)
	running.Wait()
	java.end(r)

	if after := r.m.must("ca", "bundle"); after == before || strings.Count(after, "BEGIN CERTIFICATE") != 1 {
		t.Errorf("the bundle after the rotation:\n%s", after)
	}
	if more := r.leaves() - signed; more != 0 {
		t.Errorf("%d certificates were issued for it", more)
	}
	for _, failure := range r.failures {
		t.Error(failure)
	}
	t.Logf("%d handshakes, %d requests", r.handshakes.Load(), r.requests.Load())
	if r.handshakes.Load() < fewest {
		t.Errorf("%d handshakes are too few", r.handshakes.Load())
	}
	r.m.must("log", "verify")
}

// await waits until there were so many handshakes.
func (r *rehearsal) await(handshakes int64) {
	for end := time.Now().Add(2 * patience); time.Now().Before(end) && r.handshakes.Load() < handshakes; time.Sleep(20 * time.Millisecond) {
	}
}

// leaves counts the leaves in the record.
func (r *rehearsal) leaves() int {
	return strings.Count(r.m.must("log", "show", "--kind", "leaf", "--json"), `"kind": "leaf"`)
}

// TestRotationInTheWrongOrder shows what the phases keep from happening: a server
// that is moved to the new root by hand, before its clients have come to trust it,
// is refused by them; with the cross-signature beside it, it is not.
func TestRotationInTheWrongOrder(t *testing.T) {
	r := newRehearsal(t)
	_, trusted, err := r.loaded("payment") // a client that has not come along
	must(t, err)
	r.m.must("ca", "rotate", "root", "start")
	if a := r.m.run("ca", "rotate", "root", "advance"); a.code != 3 || !strings.Contains(a.stdout, "payment.default") {
		t.Errorf("advance, with nobody come along: %s", a)
	}
	pair, _, err := r.loaded("orders")
	must(t, err)
	ca := func(name string) []byte { return certificates(t, filepath.Join(r.m.dir, "ca", name+".crt"))[0].Raw }
	for _, c := range []struct {
		order string
		chain [][]byte
		want  string
	}{
		{"before", pair.Certificate, ""},
		{"the new root at once", [][]byte{pair.Certificate[0], ca("issuing.root-2")}, "unknown authority"},
		{"the new root, certified by the old", [][]byte{pair.Certificate[0], ca("issuing.root-2"), ca("root-2.root")}, ""},
	} {
		server := tls.Certificate{Certificate: c.chain, PrivateKey: pair.PrivateKey}
		err := shake(&tls.Config{Certificates: []tls.Certificate{server}}, &tls.Config{RootCAs: trusted, ServerName: "orders.default"})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.order, err, c.want)
		}
	}
}

// shake completes a handshake between the two over a pipe.
func shake(server, client *tls.Config) error {
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		_ = tls.Server(b, server).Handshake()
		_ = b.Close()
	}()
	return tls.Client(a, client).Handshake()
}
