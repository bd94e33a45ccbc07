//go:build integration && unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
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

// Real servers are looked at and probed: nginx, PostgreSQL, exim and slapd of Debian,
// and some that are none.

// startServerAs runs a server until the test is over, as another user where one is named.
func startServerAs(t *testing.T, account, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = accountOf(t, account)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if data, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s said:\n%s", name, data)
		}
		log.Close()
	})
}

// accountOf is what a process needs to be run as somebody else; nil for nobody else.
func accountOf(t *testing.T, account string) *syscall.SysProcAttr {
	t.Helper()
	if account == "" || os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup(account)
	must(t, err)
	uid, err := strconv.Atoi(u.Uid)
	must(t, err)
	gid, err := strconv.Atoi(u.Gid)
	must(t, err)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// readableBy copies a credential to where an account can read it; its key is only its own.
func readableBy(t *testing.T, account string, c credential) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "meshpki-server") //nolint:usetesting // another user has to get there
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr := accountOf(t, account)
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		data, err := os.ReadFile(filepath.Join(c.dir, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
		if attr != nil {
			must(t, os.Chown(filepath.Join(dir, name), int(attr.Credential.Uid), int(attr.Credential.Gid)))
		}
	}
	if attr != nil {
		must(t, os.Chown(dir, int(attr.Credential.Uid), int(attr.Credential.Gid)))
	}
	return dir
}

// shown waits until inspect shows a server's chain, and holds it against what the
// server was given.
func (m mesh) shown(c credential, endpoint string) string {
	m.t.Helper()
	var a answer
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if a = m.run("inspect", endpoint, "--json"); a.code == 0 {
			break
		}
	}
	var doc struct {
		Data []struct {
			Kind        string
			Certificate struct{ Serial string }
		}
	}
	if err := json.Unmarshal([]byte(a.stdout), &doc); err != nil || a.code != 0 || len(doc.Data) < 2 || doc.Data[0].Kind != "endpoint" {
		m.t.Fatalf("inspect %s: %v %s", endpoint, err, a)
	}
	if want := fmt.Sprintf("%x", certificates(m.t, c.chain())[0].SerialNumber.Bytes()); doc.Data[1].Certificate.Serial != want {
		m.t.Errorf("%s serves %s, and was given %s", endpoint, doc.Data[1].Certificate.Serial, want)
	}
	if a := m.run("verify", endpoint); a.code != 0 {
		m.t.Errorf("verify %s: %s", endpoint, a)
	}
	return a.stdout
}

func TestIntegrationProbeNginx(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	server, client := m.issue("payment", "--ip", "127.0.0.1"), m.issue("account")
	n := startNginx(t, server)
	at := fmt.Sprintf("127.0.0.1:%d", n.port)
	m.shown(server, at)
	a := m.run("probe", at, "--mint", "--cert", client.chain(), "--key", client.key(), "--roots", server.roots(), "--json")
	for _, want := range []string{`"mutualTLS": "enforced"`, `"httpStatus": 400`, `"trusted": true`} {
		if a.code != 0 || !strings.Contains(a.stdout, want) {
			t.Errorf("nginx with ssl_verify_client on: no %s in %s", want, a)
		}
	}
	if strings.Count(a.stdout, `"outcome": "refused"`) != 3 || strings.Count(a.stdout, `"sent": true`) != 4 {
		t.Errorf("not each was sent and judged: %s", a)
	}
}

func TestIntegrationProbePostgres(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	server := m.issue("postgres", "--ip", "127.0.0.1")
	dir := readableBy(t, "postgres", server)
	data := filepath.Join(dir, "data")
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(bin) == 0 {
		t.Fatal("PostgreSQL is not installed: run testdata/integration/install")
	}
	init := exec.Command(bin[0], "-D", data, "-A", "trust", "-N")
	init.SysProcAttr, init.Dir = accountOf(t, "postgres"), dir
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port := freePort(t)
	startServerAs(t, "postgres", filepath.Join(filepath.Dir(bin[0]), "postgres"), "-D", data, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", dir,
		"-c", "ssl=on", "-c", "ssl_cert_file="+dir+"/tls.crt", "-c", "ssl_key_file="+dir+"/tls.key", "-c", "ssl_ca_file="+dir+"/ca.crt")
	at := fmt.Sprintf("postgres://127.0.0.1:%d", port)
	if said := m.shown(server, at); !strings.Contains(said, `"asksForClientCertificate": true`) || !strings.Contains(said, "CN=Mesh Root CA") {
		t.Errorf("it asks for certificates of Mesh Root CA: %s", said)
	}
	// It takes none, for the line in pg_hba.conf does not say clientcert: and no stranger's.
	if a := m.run("probe", at, "--mint"); a.code != 3 || !strings.Contains(a.stdout, "a client without a certificate gets in") {
		t.Errorf("probe: %s", a)
	}
}

func TestIntegrationProbeSMTP(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	server := m.issue("smtp", "--ip", "127.0.0.1")
	const account = "Debian-exim"
	dir := readableBy(t, account, server)
	port := freePort(t)
	conf := filepath.Join(dir, "exim.conf")
	writeFile(t, conf, fmt.Sprintf("primary_hostname = localhost\nspool_directory = %[1]s\nlog_file_path = %[1]s/%%slog\npid_file_path = %[1]s/pid\n"+
		"local_interfaces = 127.0.0.1\ndaemon_smtp_ports = %[2]d\nexim_user = %[3]s\nexim_group = %[3]s\ntls_advertise_hosts = *\n"+
		"tls_certificate = %[1]s/tls.crt\ntls_privatekey = %[1]s/tls.key\n", dir, port, account))
	startServerAs(t, "", program(t, "exim4"), "-C", conf, "-bdf", "-q30m")
	at := fmt.Sprintf("smtp://127.0.0.1:%d", port)
	m.shown(server, at)
	if a := m.run("probe", at, "--mint"); a.code != 3 || !strings.Contains(a.stdout, "no certificate is asked for") {
		t.Errorf("probe: %s", a)
	}
}

func TestIntegrationProbeLDAP(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	server, client := m.issue("ldap", "--ip", "127.0.0.1"), m.issue("account")
	dir := readableBy(t, "", server)
	port := freePort(t)
	conf := filepath.Join(dir, "slapd.conf")
	writeFile(t, conf, fmt.Sprintf("pidfile %[1]s/pid\nTLSCertificateFile %[1]s/tls.crt\nTLSCertificateKeyFile %[1]s/tls.key\n"+
		"TLSCACertificateFile %[1]s/ca.crt\nTLSVerifyClient demand\n", dir))
	startServerAs(t, "", program(t, "slapd"), "-d", "0", "-f", conf, "-h", fmt.Sprintf("ldap://127.0.0.1:%d", port))
	at := fmt.Sprintf("ldap://127.0.0.1:%d", port)
	m.shown(server, at)
	a := m.run("probe", at, "--mint", "--cert", client.chain(), "--key", client.key())
	if a.code != 0 || !strings.Contains(a.stdout, "accepted") {
		t.Errorf("probe: %s", a)
	}
}

// TestIntegrationProbeNobody: servers that are slow, that talk nonsense, that close, and
// whose handshake never ends. Each ends in time and with a sentence.
func TestIntegrationProbeNobody(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	for name, talk := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { time.Sleep(patience) },
		"nonsense": func(c net.Conn) {
			_, _ = c.Write([]byte(strings.Repeat("\x1b[2Jgarbage\r\n", 100)))
		},
		"closing": func(net.Conn) {},
		"endless": func(c net.Conn) {
			for range 600 { // the head of a handshake that says it is long, byte by byte
				if _, err := c.Write([]byte{0x16}); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					talk(c)
				}()
			}
		}()
		for _, args := range [][]string{{"inspect", l.Addr().String()}, {"probe", l.Addr().String(), "--mint"}, {"verify", "smtp://" + l.Addr().String()}} {
			t.Run(name+" "+args[0], func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				a := m.run(args...)
				if a.code != 1 || !strings.Contains(a.stderr, "looking at ") || strings.Contains(a.stderr, "\x1b") {
					t.Errorf("%s", a)
				}
				if took := time.Since(start); took > 30*time.Second {
					t.Errorf("only after %s", took)
				}
			})
		}
	}
}
