//go:build integration && linux

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestEnvoyReads: Envoy's own messages, read to the letter and validated, take the files
// of layout envoy, and all that is exported for Envoy.
func TestEnvoyReads(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	judge := pinned(t, "envoy-sds")
	c := m.issue("edge", "--layout", "envoy")
	if got := succeed(t, judge, filepath.Join(c.dir, "sds-certificate.yaml"), filepath.Join(c.dir, "sds-validation.yaml")); got != "certificate: a certificate with 2 in its chain\nroots: roots, CRLs false\n" {
		t.Errorf("Envoy reads %q", got)
	}
	lists, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	m.must("crl", "--out", filepath.Join(lists, "issuing.crl"))
	m.must("crl", "root", "--out", filepath.Join(lists, "root.crl"))
	m.must("ca", "export", "--for", "envoy", "--out", out, "--enforce", "--crl", filepath.Join(lists, "issuing.crl"), "--crl", filepath.Join(lists, "root.crl"))
	if got := succeed(t, judge, filepath.Join(out, "sds-validation.yaml")); got != "roots: roots, CRLs true\n" {
		t.Errorf("Envoy reads %q", got)
	}
	// Both steps fetch the secrets under the names that the files give them.
	for step, demands := range map[string]string{"enforce-1.yaml": "false", "enforce-2.yaml": "true"} {
		got := succeed(t, judge, filepath.Join(out, step))
		if want := "certificate in /etc/envoy/tls/sds-certificate.yaml, watched /etc/envoy/tls\nroots in /etc/envoy/tls/sds-validation.yaml, watched /etc/envoy/tls\n" +
			"demands a client's certificate: " + demands + "\n"; got != want {
			t.Errorf("of %s Envoy reads %q", step, got)
		}
	}
	// What is not in its messages it does not read.
	text, err := os.ReadFile(filepath.Join(c.dir, "sds-validation.yaml"))
	must(t, err)
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	writeFile(t, wrong, strings.Replace(string(text), "trusted_ca", "trusted_cas", 1))
	if a := run(t, judge, wrong); a.code == 0 || !strings.Contains(a.stderr, "trusted_cas") {
		t.Errorf("of a wrong field: %s", a)
	}
}

// TestTraefikDemands: with the file of layout traefik, Traefik's own TLS lets in who
// shows our certificate, and nobody else.
func TestTraefikDemands(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	c := m.issue("door", "--ip", "127.0.0.1", "--layout", "traefik")
	caller, stranger := m.issue("caller"), newMesh(t).issue("stranger")
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	runServer(t, nil, pinned(t, "traefik-tls"), filepath.Join(c.dir, "traefik.yaml"), "mtls", at)
	call := func(with *credential) answer {
		words := []string{"-sS", "--max-time", "30", "--cacert", c.roots(), "https://" + at}
		if with != nil {
			words = append(words, "--cert", with.chain(), "--key", with.key())
		}
		return run(t, program(t, "curl"), words...)
	}
	until(t, "Traefik answers", func() error {
		if got := call(&caller); got.stdout != "hello" {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	for who, with := range map[string]*credential{"nobody": nil, "a stranger": &stranger} {
		if got := call(with); got.code == 0 || strings.Contains(got.stdout, "hello") {
			t.Errorf("Traefik lets in %s: %s", who, got)
		}
	}
	// A key that its configuration does not know it refuses.
	text, err := os.ReadFile(filepath.Join(c.dir, "traefik.yaml"))
	must(t, err)
	wrong := filepath.Join(t.TempDir(), "traefik.yaml")
	writeFile(t, wrong, strings.Replace(string(text), "clientAuthType", "clientAuthTyp", 1))
	if a := run(t, pinned(t, "traefik-tls"), wrong, "mtls", "127.0.0.1:0"); a.code == 0 || !strings.Contains(a.stderr, "clientAuthTyp") {
		t.Errorf("of a wrong key: %s", a)
	}
}
