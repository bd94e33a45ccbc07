//go:build integration && linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSPIREMints: SPIRE's own upstream authority `disk` takes what is exported, with the
// configuration that is exported with it; the CA of a server under it passes SPIRE's
// validator, and what that signs leads to our root. A CA that SPIRE would not take is
// refused by both.
func TestSPIREMints(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	judge := pinned(t, "spire-disk")
	m.must("ca", "intermediate", "spire", "--for", "spire")
	m.must("ca", "intermediate", "uri", "--for", "spire", "--spiffe-uri")
	export := func(name string, more ...string) (out string, a answer) {
		out = filepath.Join(t.TempDir(), "out")
		return out, m.run(append([]string{"ca", "export", name, "--for", "spire", "--out", out, "--set", "cert_file_path=" + out + "/upstream.crt",
			"--set", "key_file_path=" + out + "/upstream.key", "--set", "bundle_file_path=" + out + "/upstream-bundle.crt"}, more...)...)
	}
	for _, name := range []string{"spire", "uri"} {
		out, a := export(name)
		if a.code != 0 {
			t.Fatal(a)
		}
		chain := parsePEM(t, succeed(t, judge, filepath.Join(out, "upstream-authority.conf"), "cluster.local"))
		if len(chain) != 3 || fmt.Sprint(chain[0].URIs) != "[spiffe://cluster.local/ns/prod/sa/payment]" {
			t.Errorf("the workload has %d certificates and is %s", len(chain), chain[0].URIs)
		}
		leadsTo(t, chain, filepath.Join(m.dir, "ca", "root.crt"))
	}
	// One with no room below it: we refuse it, and so does SPIRE where it is had otherwise.
	if _, a := export("issuing"); a.code != 3 || !strings.Contains(a.stderr, "spire-path-length") {
		t.Errorf("a CA with path length 0: %s", a)
	}
	tight := filepath.Join(t.TempDir(), "tight")
	m.must("ca", "export", "issuing", "--for", "istio", "--out", tight)
	conf := filepath.Join(tight, "disk.conf")
	writeFile(t, conf, fmt.Sprintf("UpstreamAuthority \"disk\" {\n plugin_data {\n cert_file_path = %q\n key_file_path = %q\n bundle_file_path = %q\n }\n}\n",
		tight+"/ca-cert.pem", tight+"/ca-key.pem", tight+"/root-cert.pem"))
	if a := run(t, judge, conf, "cluster.local"); a.code == 0 || !strings.Contains(a.stderr, "validate") {
		t.Errorf("SPIRE says of a CA with path length 0: %s", a)
	}
	// What we issue ourselves is an SVID by SPIRE's rules and go-spiffe's.
	svid := m.issue("payment", "--layout", "spiffe")
	succeed(t, judge, "-svid", filepath.Join(svid.dir, "svid.pem"), filepath.Join(svid.dir, "svid_bundle.pem"), "spiffe://cluster.local/ns/default/sa/payment")
	if a := run(t, judge, "-svid", filepath.Join(svid.dir, "svid.pem"), filepath.Join(svid.dir, "svid_bundle.pem"), "spiffe://cluster.local/ns/default/sa/account"); a.code == 0 {
		t.Error("SPIRE takes it for another's")
	}
}

// TestDaprSentryIssues: a sentry on our files signs for a workload, and that leads to
// our root; where the files are exchanged for others it reads them again.
func TestDaprSentryIssues(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "credentials")
	m.must("ca", "export", "--for", "dapr", "--out", out)
	config := filepath.Join(dir, "config.yaml")
	writeFile(t, config, "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: daprsystem\nspec:\n  mtls:\n    enabled: true\n")
	client := pinned(t, "dapr-client")
	inside := startSentry(t, out, config)
	ask := func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return exec.CommandContext(ctx, program(t, "nsenter"), append(inside, client, "127.0.0.1:50001", filepath.Join(out, "ca.crt"),
			"spiffe://cluster.local/ns/default/dapr-sentry", "cluster.local", "prod", "payment")...).Output()
	}
	issuedBy := func(name string) func() error {
		return func() error {
			text, err := ask()
			if err != nil {
				return err
			}
			chain := parsePEM(t, string(text))
			if got := fmt.Sprint(chain[0].URIs); got != "[spiffe://cluster.local/ns/prod/payment]" {
				t.Fatalf("the workload is %s", got)
			}
			leadsTo(t, chain, filepath.Join(m.dir, "ca", "root.crt"))
			if got := chain[0].Issuer.CommonName; got != name {
				return fmt.Errorf("it is signed by %q", got)
			}
			return nil
		}
	}
	until(t, "sentry issues", issuedBy("Mesh issuing CA"))
	m.must("ca", "intermediate", "dapr", "--for", "dapr")
	if said := m.must("ca", "export", "dapr", "--for", "dapr", "--out", out, "--force"); !strings.Contains(said, "another CA under the same roots") {
		t.Errorf("the export says\n%s", said)
	}
	until(t, "sentry issues with the other CA", issuedBy(certificates(t, filepath.Join(m.dir, "ca", "dapr.crt"))[0].Subject.CommonName))
}

// startSentry starts a sentry in a network of its own, for it listens everywhere, and
// gives the words by which nsenter gets there.
func startSentry(t *testing.T, credentials, config string) (inside []string) {
	t.Helper()
	cmd, _ := runServer(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}, pinned(t, "sentry"),
		"--issuer-credentials", credentials, "--trust-domain", "cluster.local", "--config", config)
	inside = []string{"-t", strconv.Itoa(cmd.Process.Pid), "-n"}
	until(t, "the network of sentry", func() error {
		return exec.Command(program(t, "nsenter"), append(inside, program(t, "ip"), "link", "set", "lo", "up")...).Run()
	})
	return inside
}

// TestHAProxyDemands: HAProxy with our file of layout combined lets in who shows our
// certificate, and nobody else.
func TestHAProxyDemands(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	c := m.issue("web", "--ip", "127.0.0.1", "--layout", "combined")
	caller := m.issue("caller")
	stranger := newMesh(t).issue("stranger")
	scratch := t.TempDir()
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	conf := filepath.Join(scratch, "haproxy.cfg")
	writeFile(t, conf, fmt.Sprintf("global\n  maxconn 50\ndefaults\n  mode http\n  timeout client 30s\n  timeout connect 30s\n  timeout server 30s\nfrontend tls\n"+
		"  bind %s ssl crt %s/combined.pem ca-file %s/ca.crt verify required\n  http-request return status 200 content-type text/plain string hello\n", at, c.dir, c.dir))
	succeed(t, program(t, "haproxy"), "-c", "-f", conf)
	runServer(t, nil, program(t, "haproxy"), "-db", "-f", conf)
	call := func(with *credential) answer {
		words := []string{"-sS", "--max-time", "30", "--cacert", filepath.Join(c.dir, "ca.crt"), "https://" + at}
		if with != nil {
			words = append(words, "--cert", with.chain(), "--key", with.key())
		}
		return run(t, program(t, "curl"), words...)
	}
	until(t, "HAProxy answers", func() error {
		if got := call(&caller); got.stdout != "hello" {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	for who, with := range map[string]*credential{"nobody": nil, "a stranger": &stranger} {
		if got := call(with); got.code == 0 || strings.Contains(got.stdout, "hello") {
			t.Errorf("HAProxy lets in %s: %s", who, got)
		}
	}
	// The file alone leads a Go program to the same end.
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, "combined.pem"), filepath.Join(c.dir, "combined.pem"))
	must(t, err)
	if leaf, err := x509.ParseCertificate(pair.Certificate[0]); err != nil || time.Now().After(leaf.NotAfter) {
		t.Errorf("%v in combined.pem", err)
	}
}
