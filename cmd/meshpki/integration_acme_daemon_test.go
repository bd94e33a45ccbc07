//go:build integration && linux

package main

import (
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// boundServer is a Pebble that demands a binding, a front before it, and a directory
// with one service under care.
func boundServer(t *testing.T) (*acmeServer, *acmeFront, mesh, credential) {
	t.Helper()
	s := startPebble(t, true, "PEBBLE_VA_NOSLEEP=1")
	f := s.front()
	secret := filepath.Join(t.TempDir(), "hmac")
	must(t, os.WriteFile(secret, []byte(pebbleSecret+"\n"), 0o600))
	m := s.directoryFor(s.http(), fmt.Sprintf("      eab: {keyId: kid-1, hmacKeyFile: %q}\n", secret),
		"  - {name: payment, identity: plain, noDefaultDns: true, dns: [payment.example.com], profile: server}\n")
	return s, f, m, credential{t, filepath.Join(m.dir, "services", "default", "payment")}
}

// A daemon orders by itself, asks for renewal information as often as the server
// wants, renews at once by a window in the past and says what it replaces; no secret
// is in its log, its metrics, what it keeps or what it sends.
func TestACMEDaemon(t *testing.T) {
	t.Parallel()
	s, f, m, c := boundServer(t)
	address := local(freePort(t))
	log := filepath.Join(t.TempDir(), "daemon.log")
	out, err := os.Create(log)
	must(t, err)
	m.ordered("ledger.example.com") // makes the directory whole
	daemon := exec.Command(meshpki(t), "renew", "--daemon", "--dir", m.dir, "--metrics", address, "--log-format", "json")
	daemon.Env, daemon.Stderr, daemon.Stdout = neutralEnv(), out, out
	must(t, daemon.Start())
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait(); out.Close() })
	failed := true
	t.Cleanup(func() {
		if failed {
			t.Logf("%s", readFile(t, log))
		}
	})
	has := func() bool { _, err := os.Stat(c.chain()); return err == nil }
	patient(t, "the first certificate", has)
	first := certificates(t, c.chain())[0]
	hangup := func() { must(t, daemon.Process.Signal(syscall.SIGHUP)) }
	patient(t, "that of both", func() bool { hangup(); time.Sleep(time.Second); return f.renewals() == 2 })
	asked := f.renewals()
	for range 2 { // it has said when it wants to be asked again
		hangup()
		time.Sleep(2 * time.Second)
	}
	if n := f.renewals(); n != asked {
		t.Errorf("it was asked %d times more than it wants", n-asked)
	}
	s.suggest(c, time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))
	cached, err := filepath.Glob(filepath.Join(m.dir, "cache", "acme", "*.json"))
	must(t, err)
	for _, name := range cached { // the time is over that it wanted
		must(t, os.Remove(name))
	}
	hangup()
	patient(t, "the renewal", func() bool { return !certificates(t, c.chain())[0].Equal(first) })
	serial, err := asn1.Marshal(first.SerialNumber)
	must(t, err)
	part := base64.RawURLEncoding.EncodeToString
	id := part(first.AuthorityKeyId) + "." + part(serial[2:]) // RFC 9773, Section 4.1
	if said := f.replaced(t); !slices.Equal(said, []string{"", "", id}) {
		t.Errorf("the orders replace %q, want nothing, nothing and %q", said, id)
	}
	resp, err := http.Get("http://" + address + "/metrics")
	must(t, err)
	metrics, err := io.ReadAll(resp.Body)
	must(t, err)
	resp.Body.Close()
	must(t, daemon.Process.Signal(syscall.SIGTERM))
	if err := daemon.Wait(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	texts := filesUnder(t, m.dir)
	texts["the log"], texts["the metrics"] = string(readFile(t, log)), string(metrics)
	texts["the wire"] = strings.Join(f.posted, "\n") + strings.Join(f.asked, "\n")
	if len(texts["the log"]) == 0 || !strings.Contains(texts["the metrics"], "meshpki_") || !strings.Contains(texts["the wire"], "externalAccountBinding") {
		t.Error("the log, the metrics or the wire are empty")
	}
	noSecretOf(t, m, texts)
	failed = t.Failed()
}

// noSecretOf looks for the binding's key and the account's in texts, the account's own
// file excepted.
func noSecretOf(t *testing.T, m mesh, texts map[string]string) {
	t.Helper()
	keys, err := filepath.Glob(filepath.Join(m.dir, "keys", "acme-*.key"))
	must(t, err)
	if len(keys) != 1 {
		t.Fatalf("the account's keys are %q", keys)
	}
	body := strings.Split(string(readFile(t, keys[0])), "\n")[1]
	der, err := base64.StdEncoding.DecodeString(body[:len(body)/4*4])
	must(t, err)
	secrets := map[string]string{"the binding's key": pebbleSecret, "the account's key": body[len(body)/2:], "the account's key in DER": string(der[len(der)/2:])}
	for name, text := range texts {
		for what, secret := range secrets {
			if name != keys[0] && strings.Contains(text, secret) {
				t.Errorf("%s holds %s", name, what)
			}
		}
	}
}

// Revoked by the account that ordered it, a certificate is so at the server and here,
// and due; what another account has ordered is not revoked.
func TestACMERevokes(t *testing.T) {
	t.Parallel()
	s, _, m, c := boundServer(t)
	m.must("issue", "--file", filepath.Join(m.dir, "meshpki.yaml"))
	leaf := certificates(t, c.chain())[0]
	status := func() string {
		t.Helper()
		return s.ask(http.MethodGet, s.control+"/cert-status-by-serial/"+fmt.Sprintf("%x", leaf.SerialNumber), "", nil)
	}
	if said := status(); !strings.Contains(said, `"Valid"`) {
		t.Errorf("before: %s", said)
	}
	other := newMesh(t)
	writeFile(t, filepath.Join(other.dir, "meshpki.yaml"), string(readFile(t, filepath.Join(m.dir, "meshpki.yaml"))))
	if a := other.run("revoke", c.chain(), "--backend", "there"); a.code != 4 || !strings.Contains(strings.Join(strings.Fields(a.stderr), " "), "there is no account") {
		t.Errorf("by a stranger: %s", a)
	}
	m.must("revoke", c.chain(), "--reason", "keyCompromise")
	if said := status(); !strings.Contains(said, `"Revoked"`) || !strings.Contains(said, `"Reason": 1`) {
		t.Errorf("after: %s", said)
	}
	if said := m.must("revoke", ca.FormatSerial(leaf.SerialNumber)); !strings.Contains(said, "before") {
		t.Errorf("again: %s", said)
	}
	if a := m.run("revoke", "0123456789abcdef0123", "--backend", "there"); a.code != 2 || !strings.Contains(strings.Join(strings.Fields(a.stderr), " "), "name a file") {
		t.Errorf("by a serial number alone: %s", a)
	}
	if said := m.must("renew"); !strings.Contains(said, "1 renewed") {
		t.Errorf("what is revoked is due: %s", said)
	}
	m.must("log", "verify")
}

// Renewal information that does not come is waited for once, for seconds, and left
// alone by the runs that follow; an order is not held up by it at all.
func TestACMEBrokenRenewalInformation(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"503", "silent"} {
		_, f, m, c := boundServer(t)
		f.breaks(how)
		m.must("issue", "--file", filepath.Join(m.dir, "meshpki.yaml"))
		if n := f.renewals(); n != 0 {
			t.Errorf("%s: an order had it asked for %d times", how, n)
		}
		began := time.Now()
		m.must("renew")
		t.Logf("%s: the first pass took %s", how, time.Since(began).Round(time.Millisecond))
		began = time.Now()
		m.must("renew")
		m.must("status")
		t.Logf("%s: the second, and status, %s", how, time.Since(began).Round(time.Millisecond))
		if n := f.renewals(); n != 1 {
			t.Errorf("%s: it was asked for %d times", how, n)
		}
		m.must("renew", "--force")
		certificates(t, c.chain())
	}
}
