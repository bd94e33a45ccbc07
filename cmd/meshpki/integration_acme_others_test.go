//go:build integration && linux

package main

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mutual is an order for both ends of a connection.
func (m mesh) mutual(name string) credential {
	m.t.Helper()
	m.must("issue", "--service", "payment", "--backend", "there", "--identity", "plain", "--no-default-dns", "--dns", name)
	return credential{m.t, filepath.Join(m.dir, "services", "default", "payment")}
}

// checkMutual also has OpenSSL judge it.
func checkMutual(t *testing.T, c credential) {
	t.Helper()
	leaf := certificates(t, c.chain())[0]
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if !slices.Contains(leaf.ExtKeyUsage, use) {
			t.Errorf("usage %v is missing", use)
		}
	}
	for _, purpose := range []string{"sslserver", "sslclient"} {
		succeed(t, program(t, "openssl"), "verify", "-CAfile", c.roots(), "-untrusted", c.chain(), "-purpose", purpose, c.chain())
	}
}

const stepConfig = `{"root": %q, "crt": %q, "key": %q, "address": %q, "insecureAddress": "", "dnsNames": ["localhost", "127.0.0.1"],
 "logger": {"format": "text"}, "db": {"type": "badgerv2", "dataSource": %q},
 "authority": {"provisioners": [{"type": "ACME", "name": "acme", "claims": {"defaultTLSCertDuration": "48h", "maxTLSCertDuration": "240h"}},
  {"type": "ACME", "name": "bound", "requireEAB": false}]}}`

// step-ca, over an authority of ours, is a server as good as Pebble: http-01 and
// tls-alpn-01, an end of one's own choosing, mutual TLS, renewal.
func TestACMEStepCA(t *testing.T) {
	t.Parallel()
	s := newACMEServer(t)
	over := newMesh(t, "--name", "Step")
	listen, scratch := freePort(t), t.TempDir()
	config := filepath.Join(scratch, "ca.json")
	key := filepath.Join(over.dir, "keys", "issuing.key")
	writeFile(t, config, fmt.Sprintf(stepConfig, filepath.Join(over.dir, "ca", "root.crt"), filepath.Join(over.dir, "ca", "issuing.crt"), key, local(listen), filepath.Join(scratch, "db")))
	background(t, []string{"STEPPATH=" + scratch}, pinned(t, "stepca"), "--resolver", s.dns, "--insecure", "--acme-http-port", fmt.Sprint(s.httpPort), "--acme-tls-port", fmt.Sprint(s.tlsPort), config)
	awaitPort(t, local(listen))
	s.directory = "https://" + local(listen) + "/acme/acme/directory"
	s.caCert = filepath.Join(over.dir, "ca", "root.crt")
	s.roots = s.caCert

	m := s.directoryFor(s.http(), "", "")
	checkMutual(t, m.mutual("payment.example.com"))
	m.must("renew", "--force")
	m.must("log", "verify")
	byTLS := s.directoryFor(fmt.Sprintf("{tls: {listen: %q}}", local(s.tlsPort)), "", "")
	checkMutual(t, byTLS.mutual("payment.example.com"))
	byDNS := s.directoryFor(fmt.Sprintf("{dns: {hook: [%q]}}", s.hook()), "", "")
	checkMutual(t, byDNS.mutual("*.example.com"))
	own := s.directoryFor(s.http(), "", "")
	own.must("issue", "--service", "payment", "--backend", "there", "--identity", "plain", "--no-default-dns", "--dns", "payment.example.com", "--validity", "36h")
	// Its template gives both usages: a certificate for servers alone is not to be had.
	if a := own.order("ledger.example.com"); a.code == 0 || !strings.Contains(a.stderr, "extended key usage") {
		t.Errorf("%s", a)
	}
	// Without a file of roots they are those that the server itself is trusted by.
	s.roots = ""
	learned := s.directoryFor(s.http(), "", "")
	checkMutual(t, learned.mutual("payment.example.com"))
}
