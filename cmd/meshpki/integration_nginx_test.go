//go:build integration

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nginx is a real one, on a loopback port of its own.
type nginx struct {
	t    *testing.T
	port int
	pid  string // its pid file
	cmd  *exec.Cmd
}

// nginxConf is what a user would write: the files straight from where meshpki
// keeps them. Its arguments: a user line, a scratch directory, the port, the
// credential's directory.
const nginxConf = `
%[1]s
daemon off;
worker_processes 1;
pid %[2]s/nginx.pid;
error_log %[2]s/error.log info;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	server {
		listen 127.0.0.1:%[3]d ssl;
		ssl_certificate        %[4]s/tls.crt;
		ssl_certificate_key    %[4]s/tls.key;
		ssl_client_certificate %[4]s/ca.crt;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_verify_client on;
		ssl_verify_depth 2;
		location / { return 200 "hello $ssl_client_s_dn\n"; }
	}
}
`

// startNginx serves with a credential's files and demands client certificates.
func startNginx(t *testing.T, c credential) *nginx {
	t.Helper()
	n := &nginx{t: t, port: freePort(t)}
	scratch := t.TempDir()
	n.pid = filepath.Join(scratch, "nginx.pid")
	user := "" // whom the workers run as; only root can choose
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	conf := filepath.Join(scratch, "nginx.conf")
	writeFile(t, conf, fmt.Sprintf(nginxConf, user, scratch, n.port, c.dir))
	errors := filepath.Join(scratch, "error.log")
	n.cmd = exec.Command(program(t, "nginx"), "-p", scratch, "-c", conf, "-e", errors)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- n.cmd.Wait() }()
	t.Cleanup(func() {
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = n.cmd.Process.Kill()
			<-ended
		}
		if text, err := os.ReadFile(errors); err == nil && t.Failed() {
			t.Logf("nginx's log:\n%s", text)
		}
	})
	n.await("answers", func() bool {
		conn, err := net.DialTimeout("tcp", n.address(), time.Second)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return n
}

// freePort finds a port of the loopback interface that nobody uses.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (n *nginx) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// await tries for ten seconds until it is so.
func (n *nginx) await(what string, so func() bool) {
	n.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
	}
	n.t.Fatalf("nginx: not so after 10 s: %s", what)
}

// reload has nginx read its files again, and waits until it serves that leaf.
func (n *nginx) reload(c credential) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
	want := certificates(n.t, c.chain())[0].SerialNumber
	n.await("the new certificate is served", func() bool {
		served := n.serial()
		return served != nil && served.Cmp(want) == 0
	})
}

// serial is that of the certificate served, nil if none is. It looks only, so it verifies nothing.
func (n *nginx) serial() *big.Int {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := d.DialContext(n.t.Context(), "tcp", n.address())
	if err != nil {
		return nil
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber
}

const gatewayName = "gateway.default.svc.cluster.local"

// curl calls the gateway with a credential, or without one, and gives the
// status and the body.
func (n *nginx) curl(roots string, c *credential, flags ...string) (status string, said string) {
	n.t.Helper()
	args := []string{
		"--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--cacert", roots,
		"--resolve", fmt.Sprintf("%s:%d:127.0.0.1", gatewayName, n.port), "--write-out", "\n%{http_code}",
	}
	if c != nil {
		args = append(args, "--cert", c.chain(), "--key", c.key())
	}
	args = append(args, flags...)
	a := run(n.t, program(n.t, "curl"), append(args, "https://"+net.JoinHostPort(gatewayName, strconv.Itoa(n.port))+"/")...)
	body, status, _ := cutLast(strings.TrimSpace(a.stdout), "\n")
	return status, body + a.stderr
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}

// TestNginxDemandsCertificates serves with our files: payment gets in, the rest does not.
func TestNginxDemandsCertificates(t *testing.T) {
	m, elsewhere := newMesh(t), newMesh(t)
	gateway := m.issue("gateway")
	old := m.issue("old", "--validity", "3s")
	n := startNginx(t, gateway)
	waitForExpiry(t, old)

	payment, server, stranger := m.issue("payment"), m.issue("server", "--profile", "server"), elsewhere.issue("payment")
	for _, c := range []struct {
		who        string
		credential *credential
		status     string
		says       string
	}{
		{"payment", &payment, "200", "hello CN=payment"},
		{"nobody", nil, "400", "No required SSL certificate was sent"},
		{"a stranger", &stranger, "400", "The SSL certificate error"},
		{"an expired one", &old, "400", "The SSL certificate error"},
		{"one for servers only", &server, "400", "The SSL certificate error"},
	} {
		status, said := n.curl(payment.roots(), c.credential)
		if status != c.status || !strings.Contains(said, c.says) {
			t.Errorf("%s: want %s and %q, got %s:\n%s", c.who, c.status, c.says, status, said)
		}
	}
	if status, said := n.curl(stranger.roots(), &payment); status != "000" || !strings.Contains(said, "certificate") {
		t.Errorf("curl trusts a server of a CA that it was not told of: %s\n%s", status, said)
	}
}

// TestNginxReloads: a certificate issued anew is served after a reload, of every
// key type, to curl and to Go's client, in TLS 1.2 and 1.3.
func TestNginxReloads(t *testing.T) {
	m := newMesh(t)
	gateway := m.issue("gateway")
	n := startNginx(t, gateway)
	for _, keyType := range keyTypes {
		before := certificates(t, gateway.chain())[0].SerialNumber
		gateway = m.issue("gateway", "--force", "--key-type", keyType)
		payment := m.issue("payment", "--force", "--key-type", keyType)
		if status, said := n.curl(payment.roots(), &payment); status != "200" {
			t.Errorf("%s: between issue and reload: %s %s", keyType, status, said)
		}
		if after := certificates(t, gateway.chain())[0].SerialNumber; after.Cmp(before) == 0 {
			t.Errorf("%s: issued anew with the same serial %d", keyType, after)
		}
		n.reload(gateway)
		for _, version := range []string{"1.2", "1.3"} {
			status, said := n.curl(payment.roots(), &payment, "--tlsv"+version, "--tls-max", version)
			if status != "200" {
				t.Errorf("%s: curl over TLS %s: %s %s", keyType, version, status, said)
			}
		}
		checkGoClient(t, n, payment)
	}
}

// checkGoClient calls nginx as a Go program would that was handed the three files.
func checkGoClient(t *testing.T, n *nginx, c credential) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(c.chain(), c.key())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for _, root := range certificates(t, c.roots()) {
		roots.AddCert(root)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, n.address())
			},
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: version, MaxVersion: version},
		}}
		res, err := client.Get("https://" + gatewayName + "/")
		if err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), "CN=payment") {
			t.Errorf("%s: %s, %v, %s", tls.VersionName(version), res.Status, err, body)
		}
	}
}
