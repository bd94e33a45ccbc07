//go:build integration && linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// consulServer is a Consul with mutual TLS between services.
type consulServer struct{ at, program string }

// startConsul starts a server on loopback.
func startConsul(t *testing.T) consulServer {
	t.Helper()
	c := consulServer{program: pinned(t, "consul")}
	dir, port := t.TempDir(), freePort(t)
	c.at = fmt.Sprintf("http://127.0.0.1:%d", port)
	conf := filepath.Join(dir, "agent.json")
	writeFile(t, conf, fmt.Sprintf(`{"server": true, "bootstrap": true, "data_dir": %q, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
		"ports": {"http": %d, "server": %d, "serf_lan": %d, "serf_wan": -1, "dns": -1, "grpc": -1, "grpc_tls": -1, "https": -1},
		"connect": {"enabled": true}, "disable_update_check": true, "log_level": "warn", "performance": {"raft_multiplier": 1}}`,
		filepath.Join(dir, "data"), port, freePort(t), freePort(t)))
	runServer(t, nil, c.program, "agent", "-config-file", conf)
	return c
}

// ask asks the API; what it refuses is an error.
func (c consulServer) ask(method, path string, body []byte, into any) error {
	request, err := http.NewRequest(method, c.at+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Timeout: patience}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return errors.Join(err, fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// TestConsulSigns: a Consul takes what is exported for it by the command that is said,
// signs for services with it, and goes on to another CA; what is no CA it refuses. What makes mutual TLS mandatory is made of entries that it knows.
func TestConsulSigns(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	var roots struct{ TrustDomain string }
	until(t, "Consul has a CA", func() error {
		if err := c.ask(http.MethodGet, "/v1/connect/ca/roots", nil, &roots); err != nil || roots.TrustDomain == "" {
			return fmt.Errorf("no trust domain: %w", err)
		}
		return nil
	})
	dir := t.TempDir()
	m := newMesh(t, "--for", "consul", "--trust-domain", roots.TrustDomain)
	m.must("ca", "intermediate", "second", "--for", "consul")
	set := func(out string) answer {
		return run(t, c.program, "connect", "ca", "set-config", "-http-addr="+c.at, "-config-file", filepath.Join(out, "connect-ca.json"))
	}
	for _, name := range []string{"issuing", "second"} {
		out := filepath.Join(dir, name)
		if said := m.must("ca", "export", name, "--for", "consul", "--out", out); !strings.Contains(said, "consul connect ca set-config -config-file connect-ca.json") {
			t.Errorf("the export says\n%s", said)
		}
		if a := set(out); a.code != 0 {
			t.Fatal(a)
		}
		var leaf struct{ CertPEM, ServiceURI string }
		must(t, c.ask(http.MethodGet, "/v1/agent/connect/ca/leaf/for-"+name, nil, &leaf))
		if want := "spiffe://" + roots.TrustDomain + "/ns/default/dc/dc1/svc/for-" + name; leaf.ServiceURI != want {
			t.Errorf("the service is %s, want %s", leaf.ServiceURI, want)
		}
		leadsTo(t, parsePEM(t, leaf.CertPEM), filepath.Join(out, "ca.crt"))
	}
	// Consul does not ask whether a key is the CA's; we do.
	text, err := os.ReadFile(filepath.Join(dir, "second", "connect-ca.json"))
	must(t, err)
	other, err := os.ReadFile(filepath.Join(dir, "issuing", "ca.key"))
	must(t, err)
	for field, wrong := range map[string]string{"PrivateKey": string(other), "RootCert": "nothing"} {
		var conf map[string]any
		must(t, json.Unmarshal(text, &conf))
		conf["Config"].(map[string]any)[field] = wrong
		data, err := json.Marshal(conf)
		must(t, err)
		mixed := t.TempDir()
		writeFile(t, filepath.Join(mixed, "connect-ca.json"), string(data))
		if a := m.run("ca", "import", "--from", "consul", mixed); a.code == 0 {
			t.Errorf("with another %s ca import says %s", field, a)
		}
		if a := set(mixed); a.code == 0 && field == "RootCert" {
			t.Errorf("Consul takes a CA that is none: %s", a)
		}
	}
	c.enforces(t, m)
}

// enforces gives Consul the objects of --enforce as the entries that its controller
// makes of them: their spec, under their kind.
func (c consulServer) enforces(t *testing.T, m mesh) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	m.must("ca", "export", "second", "--for", "consul", "--out", out, "--enforce")
	kinds := map[string]string{"Mesh": "mesh", "ProxyDefaults": "proxy-defaults", "ServiceIntentions": "service-intentions"}
	for _, step := range []string{"enforce-1.yaml", "enforce-2.yaml"} {
		text, err := os.ReadFile(filepath.Join(out, step))
		must(t, err)
		dec := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var o struct {
				Kind     string
				Metadata struct{ Name string }
				Spec     map[string]any
			}
			if err := dec.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			entry := o.Spec
			if to, ok := entry["destination"].(map[string]any); ok {
				o.Metadata.Name = fmt.Sprint(to["name"])
				delete(entry, "destination")
			}
			if entry["kind"] = kinds[o.Kind]; o.Kind != "Mesh" { // of which there is one
				entry["name"] = o.Metadata.Name
			}
			body, err := json.Marshal(entry)
			must(t, err)
			if err := c.ask(http.MethodPut, "/v1/config", body, nil); err != nil {
				t.Errorf("%s: %v", step, err)
			}
		}
	}
	if err := c.ask(http.MethodPut, "/v1/config", []byte(`{"kind": "proxy-defaults", "name": "global", "mutualTLSMod": "strict"}`), nil); err == nil {
		t.Error("Consul takes a key that there is none of: the test cannot fail")
	}
}
