//go:build integration && linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runServer starts a server that ends with the test.
func runServer(t *testing.T, attr *syscall.SysProcAttr, name string, args ...string) (cmd *exec.Cmd, log *bytes.Buffer) {
	t.Helper()
	cmd, log = exec.CommandContext(context.Background(), name, args...), &bytes.Buffer{}
	cmd.Env, cmd.SysProcAttr = neutralEnv(), attr
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = log, log, 10*time.Second
	must(t, cmd.Start())
	t.Cleanup(func() {
		// Kindly, so that it takes its own children along.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		hard := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer hard.Stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said\n%s", filepath.Base(name), log)
		}
	})
	return cmd, log
}

// until tries until it succeeds, for as long as a server may take on a loaded machine.
func until(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// leadsTo verifies a chain against roots in a file, without the code under test.
func leadsTo(t *testing.T, chain []*x509.Certificate, roots string) {
	t.Helper()
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, r := range certificates(t, roots) {
		o.Roots.AddCert(r)
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		t.Errorf("%s does not lead to our root: %v", chain[0].URIs, err)
	}
}

func parsePEM(t *testing.T, text string) (chain []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		t.Fatalf("no certificate in\n%s", text)
	}
	return chain
}

// TestIstioLoadsAndSigns: Istio's own CA takes both layouts and signs a workload; one
// with another's key it refuses, and so does ca import.
func TestIstioLoadsAndSigns(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	judge := pinned(t, "istio-ca")
	crl := filepath.Join(t.TempDir(), "issuing.crl")
	m.must("crl", "--out", crl)
	for i, flags := range [][]string{nil, {"--crl", crl}, {"--scheme", "kubernetes.io/tls"}} {
		out := filepath.Join(t.TempDir(), "cacerts")
		m.must(append([]string{"ca", "export", "--for", "istio", "--out", out, "--record", "istio-" + strconv.Itoa(i)}, flags...)...)
		chain := parsePEM(t, succeed(t, judge, out))
		if uris := fmt.Sprint(chain[0].URIs); uris != "[spiffe://cluster.local/ns/prod/sa/payment]" {
			t.Errorf("the workload is %s", uris)
		}
		leadsTo(t, chain, filepath.Join(m.dir, "ca", "root.crt"))
	}
	m.must("ca", "intermediate", "other")
	out, other := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	m.must("ca", "export", "issuing", "--for", "istio", "--out", out)
	m.must("ca", "export", "other", "--for", "istio", "--out", other)
	key, err := os.ReadFile(filepath.Join(other, "ca-key.pem"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(out, "ca-key.pem"), key, 0o600))
	if a := run(t, judge, out); a.code == 0 {
		t.Error("Istio takes a CA with another's key")
	}
	if a := m.run("ca", "import", "--from", "istio", out); a.code != 3 {
		t.Errorf("ca import says of it: %s", a)
	}
}

// TestCertManagerParses: cert-manager's own package reads what its CA Issuer would.
func TestCertManagerParses(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	out := filepath.Join(t.TempDir(), "out")
	m.must("ca", "export", "--for", "cert-manager", "--out", out)
	if got := succeed(t, pinned(t, "cert-manager-pki"), filepath.Join(out, "tls.crt"), filepath.Join(out, "tls.key")); got != "chain 1, ca false\n" {
		t.Errorf("cert-manager says %q", got)
	}
}

// TestDaprSentryStarts: a sentry starts on our files, leaves them as they are, and what
// it issues leads to our root. It listens everywhere, so it has a network of its own.
func TestDaprSentryStarts(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "credentials")
	m.must("ca", "export", "--for", "dapr", "--out", out)
	before, err := os.ReadFile(filepath.Join(out, "issuer.crt"))
	must(t, err)
	config := filepath.Join(dir, "config.yaml")
	writeFile(t, config, "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: daprsystem\nspec:\n  mtls:\n    enabled: true\n")
	inside := startSentry(t, out, config)
	var shown []byte
	until(t, "sentry serves", func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		shown, err = exec.CommandContext(ctx, program(t, "nsenter"), append(inside, program(t, "openssl"), "s_client", "-connect", "127.0.0.1:50001", "-showcerts")...).Output()
		if !bytes.Contains(shown, []byte("BEGIN CERTIFICATE")) {
			return fmt.Errorf("no certificate yet: %w", err)
		}
		return nil
	})
	chain := parsePEM(t, string(shown))
	if len(chain[0].URIs) != 1 || !strings.HasSuffix(chain[0].URIs[0].String(), "/dapr-sentry") {
		t.Errorf("sentry is %s", chain[0].URIs)
	}
	leadsTo(t, chain, filepath.Join(m.dir, "ca", "root.crt"))
	if after, err := os.ReadFile(filepath.Join(out, "issuer.crt")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("sentry made a CA of its own: %v", err)
	}
}

// TestStepCAStarts: step-ca serves with an intermediate that was handed out.
func TestStepCAStarts(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	m.must("ca", "export", "--for", "cert-manager", "--out", out)
	port, config := freePort(t), filepath.Join(dir, "ca.json")
	writeFile(t, config, fmt.Sprintf(`{"root": %q, "crt": %q, "key": %q, "address": "127.0.0.1:%d", "dnsNames": ["127.0.0.1"],
		"db": {"type": "badgerv2", "dataSource": %q}, "authority": {"provisioners": [{"type": "ACME", "name": "acme"}]}}`,
		filepath.Join(out, "ca.crt"), filepath.Join(out, "tls.crt"), filepath.Join(out, "tls.key"), port, filepath.Join(dir, "db")))
	runServer(t, nil, pinned(t, "stepca"), config)
	roots := x509.NewCertPool()
	roots.AddCert(certificates(t, filepath.Join(m.dir, "ca", "root.crt"))[0])
	client := http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	until(t, "step-ca answers", func() error {
		answer, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/health", port))
		if err != nil {
			return err
		}
		return answer.Body.Close()
	})
}

// TestPostgresLogsIn: a server with our files maps the common name to a user, and lets
// in nobody without a certificate.
func TestPostgresLogsIn(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.must("issue", "--service", "db", "--dns", "localhost", "--ip", "127.0.0.1", "--layout", "postgres")
	m.must("issue", "--service", "payment", "--layout", "postgres:client")
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed: run testdata/integration/install")
	}
	bin := filepath.Dir(found[0])
	dir, err := os.MkdirTemp("", "meshpki-postgres-") //nolint:usetesting // its user must get there
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		must(t, err)
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		must(t, os.Chown(dir, uid, gid))
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(t.Context(), found[0], "-D", data, "-U", "payment", "-A", "trust", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if text, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, text)
	}
	for _, name := range []string{"server.crt", "server.key", "root.crt"} {
		text, err := os.ReadFile(filepath.Join(m.dir, "services", "default", "db", name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(data, name), text, 0o600))
		if attr.Credential != nil {
			must(t, os.Chown(filepath.Join(data, name), int(attr.Credential.Uid), int(attr.Credential.Gid)))
		}
	}
	writeFile(t, filepath.Join(data, "pg_hba.conf"), "hostssl all all 127.0.0.1/32 cert\n")
	port := freePort(t)
	runServer(t, attr, filepath.Join(bin, "postgres"), "-D", data, "-c", "port="+strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+dir, "-c", "ssl=on", "-c", "ssl_ca_file=root.crt", "-c", "fsync=off")
	own := filepath.Join(m.dir, "services", "default", "payment")
	connect := func(who string, more ...string) (string, error) {
		words := append([]string{"host=localhost", "hostaddr=127.0.0.1", "port=" + strconv.Itoa(port), "user=" + who, "dbname=postgres",
			"sslmode=verify-full", "sslrootcert=" + own + "/root.crt"}, more...)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		text, err := exec.CommandContext(ctx, program(t, "psql"), "-w", "-At", "-c", "select current_user", strings.Join(words, " ")).CombinedOutput()
		return string(text), err
	}
	shown := []string{"sslcert=" + own + "/postgresql.crt", "sslkey=" + own + "/postgresql.key"}
	until(t, "PostgreSQL lets payment in", func() error {
		if text, err := connect("payment", shown...); err != nil || text != "payment\n" {
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	})
	if text, err := connect("payment", "sslcert=/dev/null", "sslkey=/dev/null"); err == nil {
		t.Errorf("without a certificate: %s", text)
	}
	if text, err := connect("postgres", shown...); err == nil {
		t.Errorf("as somebody else: %s", text)
	}
}

// TestRedisAndNginxDemand: servers with the files of a layout let in who shows our
// certificate, and nobody else.
func TestRedisAndNginxDemand(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	c := m.issue("cache", "--ip", "127.0.0.1", "--layout", "tls", "--layout", "spiffe")
	port := strconv.Itoa(freePort(t))
	runServer(t, nil, program(t, "redis-server"), "--port", "0", "--bind", "127.0.0.1", "--tls-port", port, "--save", "", "--dir", t.TempDir(),
		"--tls-cert-file", c.chain(), "--tls-key-file", c.key(), "--tls-ca-cert-file", c.roots())
	own := []string{"--cert", filepath.Join(c.dir, "svid.pem"), "--key", filepath.Join(c.dir, "svid_key.pem")}
	ask := func(with ...string) string {
		return run(t, program(t, "redis-cli"), append([]string{"-h", "127.0.0.1", "-p", port, "--tls", "--cacert", filepath.Join(c.dir, "svid_bundle.pem")}, append(with, "ping")...)...).stdout
	}
	until(t, "Redis answers", func() error {
		if got := ask(own...); got != "PONG\n" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	if got := ask(); strings.Contains(got, "PONG") {
		t.Error("Redis lets in who shows no certificate")
	}
	web := m.issue("web", "--ip", "127.0.0.1", "--layout", "nginx")
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	scratch := t.TempDir()
	conf := filepath.Join(scratch, "nginx.conf")
	writeFile(t, conf, fmt.Sprintf("daemon off; pid %[1]s/pid; error_log %[1]s/log; events {}\nhttp { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; "+
		"fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\nserver { listen %[2]s ssl; ssl_certificate %[3]s/fullchain.pem; "+
		"ssl_certificate_key %[3]s/privkey.pem; ssl_client_certificate %[3]s/ca.pem; include %[3]s/verify.conf; location / { return 200 hello; } } }\n", scratch, at, web.dir))
	runServer(t, nil, program(t, "nginx"), "-p", scratch, "-c", conf, "-e", scratch+"/log")
	call := func(with ...string) answer {
		return run(t, program(t, "curl"), append([]string{"-sS", "--cacert", filepath.Join(web.dir, "ca.pem"), "https://" + at}, with...)...)
	}
	until(t, "nginx answers", func() error {
		if got := call(own...); got.stdout != "hello" {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	if got := call(); strings.Contains(got.stdout, "hello") {
		t.Error("nginx lets in who shows no certificate")
	}
}
