//go:build integration && linux

package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Against Pebble, which is strict, names are proved in every way, and what comes back
// is what was ordered, under the roots that were named.
func TestACMEChallenges(t *testing.T) {
	t.Parallel()
	s := startPebble(t, false, "PEBBLE_VA_NOSLEEP=1", "PEBBLE_ALTERNATE_ROOTS=1", "PEBBLE_CHAIN_LENGTH=2")
	openssl := program(t, "openssl")
	check := func(c credential) {
		t.Helper()
		succeed(t, openssl, "verify", "-CAfile", c.roots(), "-untrusted", c.chain(), "-purpose", "sslserver", c.chain())
		if n := len(certificates(t, c.chain())); n != 3 {
			t.Errorf("%s has %d certificates", c.chain(), n)
		}
	}
	check(s.directoryFor(s.http(), "", "").ordered("payment.example.com"))
	check(s.directoryFor(fmt.Sprintf("{tls: {listen: %q}}", local(s.tlsPort)), "", "").ordered("payment.example.com"))
	byDNS := s.directoryFor(fmt.Sprintf("{dns: {hook: [%q]}}", s.hook()), "", "")
	check(byDNS.ordered("*.example.com", "--dns", "example.com"))

	web := t.TempDir()
	server := &http.Server{Addr: local(s.httpPort), Handler: http.FileServer(http.Dir(web)), ReadHeaderTimeout: patience}
	go func() { _ = server.ListenAndServe() }()
	awaitPort(t, local(s.httpPort))
	check(s.directoryFor(fmt.Sprintf("{http: {webroot: %q}}", web), "", "").ordered("payment.example.com"))
	must(t, server.Close())

	short := s.directoryFor(s.http(), "      profile: shortlived\n", "").ordered("payment.example.com")
	if leaf := certificates(t, short.chain())[0]; leaf.NotAfter.Sub(leaf.NotBefore) > 7*24*time.Hour {
		t.Errorf("the profile for six days gave %s", leaf.NotAfter.Sub(leaf.NotBefore))
	}
	own := s.directoryFor(s.http(), "", "").ordered("payment.example.com", "--validity", "36h")
	if left := time.Until(certificates(t, own.chain())[0].NotAfter); left > 36*time.Hour || left < 35*time.Hour {
		t.Errorf("a validity of 36h gave %s", left)
	}
	root := certificates(t, s.roots)[1].Subject.CommonName
	other := s.directoryFor(s.http(), fmt.Sprintf("      preferredChain: %q\n", root), "").ordered("payment.example.com")
	if chain := certificates(t, other.chain()); chain[len(chain)-1].Issuer.CommonName != root {
		t.Errorf("preferring %q, the chain leads to %q", root, chain[len(chain)-1].Issuer.CommonName)
	}
	if a := s.directoryFor(s.http(), "", "").order("blocked-domain.example"); a.code != 4 || !strings.Contains(a.stderr, "rejectedIdentifier") {
		t.Errorf("a name that its policy forbids: %s", a)
	}
	if a := s.directoryFor(s.http(), "      profile: classic\n", "").order("payment.example.com"); a.code != 4 || !strings.Contains(strings.Join(strings.Fields(a.stderr), " "), "has default, shortlived") {
		t.Errorf("a profile that it has not: %s", a)
	}
}

// A window in the past renews at once, and says what it replaces; the next pass has
// nothing to do. What has been replaced already is renewed all the same.
func TestACMERenewsByItsWindow(t *testing.T) {
	t.Parallel()
	s := startPebble(t, false, "PEBBLE_VA_NOSLEEP=1")
	idle := s.directoryFor(s.http(), "", "") // a workload stands for what will be ordered
	if a := idle.run("backend", "check", "there"); a.code != 3 || !strings.Contains(a.stdout, "no SPIFFE ID") || !strings.Contains(a.stdout, "there is none yet") {
		t.Errorf("before anything is ordered: %s", a)
	}
	m := s.directoryFor(s.http(), "", "  - {name: payment, identity: plain, noDefaultDns: true, dns: [payment.example.com], profile: server}\n")
	m.must("issue", "--file", filepath.Join(m.dir, "meshpki.yaml"))
	c := credential{t, filepath.Join(m.dir, "services", "default", "payment")}
	first := certificates(t, c.chain())[0]
	if said := m.must("backend", "check", "there"); !strings.Contains(said, "it is https://") || !strings.Contains(said, "tells when to renew") {
		t.Errorf("the backend is %s", said)
	}
	s.suggest(c, time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))
	if said := m.must("renew"); !strings.Contains(said, "1 renewed") || !strings.Contains(said, "https://acme.example.com/incident") {
		t.Errorf("with a window in the past: %s", said)
	}
	second := certificates(t, c.chain())[0]
	if second.Equal(first) {
		t.Fatal("the certificate is the same")
	}
	if said := m.must("renew"); said != "" {
		t.Errorf("the next pass: %s", said)
	}
	// The one before is in use again, by mistake: the server knows that it was replaced.
	m.must("renew", "--rollback", "payment")
	cached, err := filepath.Glob(filepath.Join(m.dir, "cache", "acme", "*.json"))
	must(t, err)
	for _, name := range cached {
		must(t, os.Remove(name))
	}
	if said := m.must("renew"); !strings.Contains(said, "1 renewed") {
		t.Errorf("after it was rolled back: %s", said)
	}
	// A window to come is when it is due, of six days as of ninety.
	begin := time.Now().Add(73 * time.Hour)
	cached, err = filepath.Glob(filepath.Join(m.dir, "cache", "acme", "*.json"))
	must(t, err)
	for _, name := range cached {
		must(t, os.Remove(name))
	}
	s.suggest(c, begin, begin.Add(time.Hour))
	if said := m.must("status"); !strings.Contains(said, "in 3 d") {
		t.Errorf("with a window in three days: %s", said)
	}
	m.must("log", "verify")
}

// Half of all nonces are refused, and validations take their time: every order of a
// manifest is filled, several at once by one listener.
func TestACMEFlakyServer(t *testing.T) {
	t.Parallel()
	s := startPebble(t, false, "PEBBLE_WFE_NONCEREJECT=50", "PEBBLE_VA_SLEEPTIME=3")
	services := ""
	for i := range 8 {
		services += fmt.Sprintf("  - {name: service-%d, identity: plain, noDefaultDns: true, dns: [service-%d.example.com, www-%d.example.com], profile: server}\n", i, i, i)
	}
	m := s.directoryFor(s.http(), "", services)
	m.must("issue", "--file", filepath.Join(m.dir, "meshpki.yaml"))
	if said := m.must("renew", "--force"); !strings.Contains(said, "8 renewed") {
		t.Errorf("%s", said)
	}
	if intents := m.must("log", "show", "--pending"); strings.Contains(intents, "service-") {
		t.Errorf("the ledger has orders that came to nothing: %s", intents)
	}
}

// A name that leads elsewhere is not proved: nothing is written, the next try places
// another order, and the answer is the server's.
func TestACMERejectedChallenge(t *testing.T) {
	t.Parallel()
	s := startPebble(t, false, "PEBBLE_VA_NOSLEEP=1")
	web := t.TempDir() // somebody else's
	server := &http.Server{Addr: local(s.httpPort), Handler: http.FileServer(http.Dir(web)), ReadHeaderTimeout: patience}
	go func() { _ = server.ListenAndServe() }()
	awaitPort(t, local(s.httpPort))
	m := s.directoryFor(fmt.Sprintf("{http: {webroot: %q}}", t.TempDir()), "", "")
	if a := m.order("payment.example.com"); a.code != 4 || !strings.Contains(a.stderr, "prove payment.example.com") {
		t.Errorf("%s", a)
	}
	if _, err := os.Stat(filepath.Join(m.dir, "services", "default", "payment", "tls.crt")); err == nil {
		t.Error("something was written")
	}
	must(t, server.Close())
	writeFile(t, filepath.Join(m.dir, "meshpki.yaml"), strings.Replace(string(readFile(t, filepath.Join(m.dir, "meshpki.yaml"))), "webroot: ", "listen: \""+local(s.httpPort)+"\"} } #", 1))
	m.ordered("payment.example.com")
}

// A server that demands an external account binding gets one; no secret is anywhere
// but under keys/.
func TestACMEExternalAccountBinding(t *testing.T) {
	t.Parallel()
	s := startPebble(t, true, "PEBBLE_VA_NOSLEEP=1")
	if a := s.directoryFor(s.http(), "", "").order("payment.example.com"); a.code != 4 || !strings.Contains(a.stderr, "under eab") {
		t.Errorf("without a binding: %s", a)
	}
	secret := filepath.Join(t.TempDir(), "hmac")
	must(t, os.WriteFile(secret, []byte(pebbleSecret+"\n"), 0o600))
	m := s.directoryFor(s.http(), fmt.Sprintf("      eab: {keyId: kid-1, hmacKeyFile: %q}\n", secret), "")
	m.ordered("payment.example.com")
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	must(t, os.WriteFile(passphrase, []byte("a passphrase of the account's\n"), 0o600))
	with := s.directoryFor(s.http(), fmt.Sprintf("      eab: {keyId: kid-1, hmacKeyFile: %q}\n", secret), "")
	with.ordered("payment.example.com", "--passphrase-file", passphrase)
	if a := with.order("payment.example.com", "--force"); a.code == 0 {
		t.Errorf("the account's key is open without its passphrase: %s", a)
	}
	for _, m := range []mesh{m, with} {
		for name, data := range filesUnder(t, m.dir) {
			for _, text := range []string{pebbleSecret, "a passphrase of the account's"} {
				if strings.Contains(data, text) {
					t.Errorf("%s holds a secret", name)
				}
			}
			if key := strings.HasSuffix(name, ".key"); key && strings.Contains(name, "acme-") && strings.Contains(data, "ENCRYPTED") != (m == with) {
				t.Errorf("%s is %.40q", name, data)
			}
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	return data
}

func filesUnder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files[path] = string(readFile(t, path))
		}
		return err
	}))
	return files
}

// Killed anywhere in an order, the next run goes on with it: one certificate each
// time, and the ledger knows of no other.
func TestACMEKilled(t *testing.T) {
	t.Parallel()
	s := startPebble(t, false, "PEBBLE_VA_SLEEPTIME=1")
	for i := range 12 {
		m := s.directoryFor(s.http(), "", "")
		service := fmt.Sprintf("killed-%d", i)
		name := service + ".example.com"
		c := exec.Command(meshpki(t), "issue", "--dir", m.dir, "--service", service, "--backend", "there", "--identity", "plain", "--no-default-dns", "--dns", name, "--profile", "server")
		c.Env = neutralEnv()
		must(t, c.Start())
		after := time.Duration(i) * 120 * time.Millisecond
		time.Sleep(after)
		_ = c.Process.Kill()
		_ = c.Wait()
		a := m.order(name)
		delivered := a.code == 1 && strings.Contains(a.stderr, " has a certificate already") // between its last file and its end
		if a.code != 0 && !delivered {
			t.Errorf("killed after %s, and again: %s", after, a)
			continue
		}
		if found := m.must("log", "show"); strings.Count(found, service) < 1 {
			t.Errorf("killed after %s: the ledger has %s", after, found)
		}
		m.must("log", "verify")
	}
}
