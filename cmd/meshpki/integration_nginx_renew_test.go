//go:build integration && linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// renewals is how often a server under load gets a new certificate.
const renewals = 1000

const nginxManifest = `apiVersion: meshpki/v1
services:
  - name: gateway
    hook:
      - signal: {pidFile: %s, signal: HUP}
    confirm: {endpoint: "tls://%s", answers: 1}
`

// TestNginxUnderLoadIsRenewed: nginx answers handshakes without a pause while its
// certificate is renewed a thousand times, each time reloaded by the hook and seen
// to be served. Not one handshake fails, and a reader that resolves the directory
// once never finds files of two sets.
func TestNginxUnderLoadIsRenewed(t *testing.T) {
	m := newMesh(t)
	gateway, payment := m.issue("gateway"), m.issue("payment")
	n := startNginx(t, gateway)
	manifest := filepath.Join(m.dir, "meshpki.yaml")
	writeFile(t, manifest, fmt.Sprintf(nginxManifest, n.pid, n.address()))

	stop := make(chan struct{})
	var load sync.WaitGroup
	var handshakes, reads atomic.Int64
	failures := make(chan error, 64)
	told := func(err error) {
		select {
		case failures <- err:
		default:
		}
	}
	config := clientConfig(t, payment)
	for range 2 {
		load.Go(func() {
			for !closed(stop) {
				if err := handshake(n.address(), config); err != nil {
					told(err)
				}
				handshakes.Add(1)
			}
		})
	}
	load.Go(func() {
		for ; !closed(stop); time.Sleep(time.Millisecond) {
			if err := loadResolved(gateway.dir); err != nil {
				told(err)
			}
			reads.Add(1)
		}
	})
	serials := map[string]bool{}
	for i := range renewals {
		if a := m.run("renew", "gateway", "--force"); a.code != 0 {
			t.Errorf("renewal %d: %s", i, a)
			break
		}
		serials[certificates(t, gateway.chain())[0].SerialNumber.String()] = true
	}
	close(stop)
	load.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	t.Logf("%d renewals, %d handshakes, %d reads", len(serials), handshakes.Load(), reads.Load())
	if len(serials) != renewals || handshakes.Load() < renewals || reads.Load() < renewals {
		t.Errorf("%d certificates, %d handshakes and %d reads are too few", len(serials), handshakes.Load(), reads.Load())
	}
	m.must("log", "verify")
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// clientConfig is that of a client with a credential.
func clientConfig(t *testing.T, c credential) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(c.chain(), c.key())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for _, root := range certificates(t, c.roots()) {
		roots.AddCert(root)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: gatewayName}
}

// handshake completes one and has the server say something, for in TLS 1.3 a client
// is done before the server has judged it.
func handshake(address string, config *tls.Config) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", address, config)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	answer := make([]byte, 16)
	if k, err := conn.Read(answer); err != nil || string(answer[:min(k, 12)]) != "HTTP/1.1 200" {
		return fmt.Errorf("answer %q: %w", answer[:k], err)
	}
	return nil
}

// loadResolved resolves the directory once and loads the pair, as a careful server does.
func loadResolved(dir string) error {
	resolved, err := filepath.EvalSymlinks(filepath.Join(dir, "..data"))
	if err != nil {
		return err
	}
	_, err = tls.LoadX509KeyPair(filepath.Join(resolved, "tls.crt"), filepath.Join(resolved, "tls.key"))
	return err
}
