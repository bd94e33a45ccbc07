//go:build integration

package renew

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pemOf is a chain and its key, as HAProxy has them in a file.
func pemOf(t *testing.T, c *tls.Certificate) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, der := range c.Certificate {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	_ = pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	return out.Bytes()
}

// startHAProxy serves a certificate, and gives where, and its runtime API's sockets.
func startHAProxy(t *testing.T, crt string) (address, admin, user string) {
	t.Helper()
	dir := filepath.Dir(crt)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	admin, user = filepath.Join(dir, "admin.sock"), filepath.Join(dir, "user.sock")
	config := filepath.Join(dir, "haproxy.cfg")
	text := "global\n  stats socket " + admin + " level admin\n  stats socket " + user + " level user\n" +
		"defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n" +
		"frontend f\n  bind " + address + " ssl crt " + crt + "\n  http-request return status 200\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "haproxy", "-db", "-f", config)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("HAProxy said\n%s", &said)
		}
	})
	for range 100 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return address, admin, user
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("HAProxy did not start:\n%s", &said)
	return "", "", ""
}

// TestHAProxyTakesIt: the real HAProxy serves the new certificate without a reload,
// again and again, and refuses what it should in words that are understood.
func TestHAProxyTakesIt(t *testing.T) {
	old, was := served(t, "payment.prod")
	crt := filepath.Join(t.TempDir(), "payment.pem")
	if err := os.WriteFile(crt, pemOf(t, old), 0o600); err != nil {
		t.Fatal(err)
	}
	address, admin, user := startHAProxy(t, crt)
	look := Confirm{Endpoint: address, ServerName: "payment.prod", Answers: 3}
	if err := look.Check(t.Context(), was); err != nil {
		t.Fatal(err)
	}
	f := hookFacts()
	var now string
	for range 3 {
		fresh, fingerprint := served(t, "payment.prod")
		now = fingerprint
		f.PEM = func() ([]byte, error) { return pemOf(t, fresh), nil }
		out, err := Step{HAProxy: &HAProxy{Socket: admin, Cert: crt}}.Run(t.Context(), f)
		if err != nil || !strings.Contains(string(out), "Success!") {
			t.Fatalf("%s%v", out, err)
		}
		if err := look.Check(t.Context(), now); err != nil {
			t.Error(err)
		}
	}
	other, _ := served(t, "payment.prod")
	mixed := &tls.Certificate{Certificate: other.Certificate, PrivateKey: old.PrivateKey}
	for _, test := range []struct {
		step HAProxy
		with *tls.Certificate
		want string
	}{
		{HAProxy{admin, "/etc/none.pem"}, other, "its running configuration has no certificate"},
		{HAProxy{user, crt}, other, "the socket is not of level admin"},
		{HAProxy{admin, crt}, mixed, "it refused; it said "},
	} {
		f.PEM = func() ([]byte, error) { return pemOf(t, test.with), nil }
		out, err := Step{HAProxy: &test.step}.Run(t.Context(), f)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %s%v; want %s", test.step, out, err, test.want)
		}
		t.Logf("%v", err)
	}
	if err := look.Check(t.Context(), now); err != nil {
		t.Error(err)
	}
	// What failed left no transaction behind.
	out, err := (&HAProxy{Socket: admin, Cert: crt}).ask(t.Context(), "commit", nil, "No ongoing transaction")
	if err != nil {
		t.Errorf("%s%v", out, err)
	}
}
