//go:build integration && linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// stormed are the services of the tests below.
const stormed = 8

// stormCluster is a CA, a manifest of several services and a way to a cluster, under a
// ServiceAccount with the rights that renewal needs and no others.
type stormCluster struct {
	t     *testing.T
	k     *backendtest.KubeServer
	way   *kubeProxy
	watch *secretsWatch
	dir   string
	prog  string
	args  []string
	now   time.Time
}

func newStormCluster(t *testing.T) *stormCluster {
	t.Helper()
	k := backendtest.StartKubeServer(t)
	k.Namespace(t, "prod")
	token := k.Token(t, "prod", "meshpki")
	c := &stormCluster{t: t, k: k, way: newKubeProxy(t, k), watch: watchSecrets(t, k, "prod"), dir: t.TempDir(), prog: asMeshpki(t), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	var text strings.Builder
	text.WriteString("apiVersion: meshpki/v1\nservices:\n")
	var names []string
	for i := range stormed {
		names = append(names, fmt.Sprintf("s%d-tls", i))
		fmt.Fprintf(&text, "- {name: s%d, namespace: prod, outputs: [{to: \"k8s://prod/s%d-tls\"}]}\n", i, i)
	}
	k.Grant(t, "prod", "meshpki", "meshpki",
		map[string]any{"apiGroups": []string{""}, "resources": []string{"secrets"}, "resourceNames": names, "verbs": []string{"get", "patch"}},
		map[string]any{"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": []string{"create"}})
	k.Await(t, "prod:meshpki", "patch", "", "secrets", "prod", names[0])
	k.Await(t, "prod:meshpki", "create", "", "secrets", "prod", "")
	writeFile(t, filepath.Join(c.dir, "meshpki.yaml"), text.String())
	c.args = []string{"--dir", filepath.Join(c.dir, "pki"), "--config", filepath.Join(c.dir, "meshpki.yaml"), "--kubeconfig", k.Kubeconfig(t, token, c.way.url)}
	c.must(0, "ca", "init", "--dir", filepath.Join(c.dir, "pki"))
	c.pass(0)
	c.expect(1)
	return c
}

// command is a run of meshpki at the present moment.
func (c *stormCluster) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.prog, args...)
	cmd.Env = append(neutralEnv(), "MESHPKI_TEST_NOW="+c.now.Format(time.RFC3339))
	return cmd
}

func (c *stormCluster) must(code int, args ...string) string {
	c.t.Helper()
	cmd := c.command(args...)
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != code {
		c.t.Fatalf("%s: exit %d, want %d\n%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), code, out)
	}
	return string(out)
}

// pass makes a pass that has to end with that code.
func (c *stormCluster) pass(code int) {
	c.t.Helper()
	c.must(code, append([]string{"renew"}, c.args...)...)
}

// passes makes passes until one has nothing left to do, and tells how many it took.
func (c *stormCluster) passes() int {
	c.t.Helper()
	var said []string
	for n := 1; n <= 12; n++ {
		cmd := c.command(append([]string{"renew"}, c.args...)...)
		out, _ := cmd.CombinedOutput()
		switch code := cmd.ProcessState.ExitCode(); code {
		case 0:
			return n
		case 5:
			said = append(said, string(out))
		default:
			c.t.Fatalf("a pass ends with exit code %d:\n%s", code, out)
		}
	}
	c.t.Fatalf("twelve passes were not enough:\n%s", strings.Join(said, "\n"))
	return 0
}

// later goes on to when everything is due again.
func (c *stormCluster) later() { c.now = c.now.AddDate(0, 0, 25) }

// expect waits until every Secret has had that many certificates: seen by the watch, which
// has judged each.
func (c *stormCluster) expect(n int) {
	c.t.Helper()
	for i := range stormed {
		name := fmt.Sprintf("s%d-tls", i)
		for try := 0; c.watch.used(name) != n; try++ {
			if try == 300 {
				c.t.Fatalf("%s has had %d certificates, want %d", name, c.watch.used(name), n)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// signed gives how many certificates were signed for each service.
func (c *stormCluster) signed() map[string]int {
	c.t.Helper()
	var log struct {
		Data []struct{ Service, Authority, Kind string }
	}
	must(c.t, json.Unmarshal([]byte(c.must(0, "log", "show", "--json", "--dir", filepath.Join(c.dir, "pki"))), &log))
	out := map[string]int{}
	for _, e := range log.Data {
		if e.Service != "" {
			out[e.Service]++
		}
	}
	return out
}

// TestClusterStorms: conflicts, throttling and failures, before and after the API server
// has done what it was asked, connections that break, and an API server that is restarted
// in the middle of a pass, cost no Secret its wholeness, and no service more than one
// certificate too many.
func TestClusterStorms(t *testing.T) {
	t.Parallel()
	c := newStormCluster(t)
	c.way.counted()
	c.pass(0)
	if gets, others := c.way.counted(); gets > stormed || others != 0 {
		t.Errorf("%d services that are not due cost %d reads and %d writes", stormed, gets, others)
	}
	c.later()
	c.pass(0)
	if gets, others := c.way.counted(); gets+others > 3*stormed {
		t.Errorf("%d services that are due cost %d reads and %d writes", stormed, gets, others)
	}
	c.expect(2)
	rounds := 2
	for _, storm := range []struct {
		name string
		code int
		late bool
	}{{"409", 409, false}, {"429", 429, false}, {"500", 500, false}, {"500, and done all the same", 500, true}, {"a broken connection", -1, false}, {"a broken connection, and done all the same", -1, true}} {
		c.later()
		n, hit := 0, 0
		c.way.set(func(r *http.Request) (int, bool) { // two of three, for a while
			if n++; n > 12*stormed || n%3 == 0 || storm.late && r.Method == http.MethodGet {
				return 0, false
			}
			hit++
			return storm.code, storm.late
		})
		passes := c.passes()
		c.way.set(nil)
		c.pass(0)
		rounds++
		c.expect(rounds)
		t.Logf("%s: %d requests hit, %d passes", storm.name, hit, passes)
	}
	c.restarted()
	c.expect(rounds + 1)
	for service, n := range c.signed() {
		if n > rounds+2 {
			t.Errorf("%s: %d certificates were signed, and %d used", service, n, rounds+1)
		}
	}
}

// restarted kills the API server when a pass has written two Secrets, and starts it again.
func (c *stormCluster) restarted() {
	c.t.Helper()
	c.later()
	reached, down := make(chan struct{}), make(chan struct{})
	var once sync.Once
	writes := 0
	c.way.set(func(r *http.Request) (int, bool) {
		if r.Method == http.MethodPatch {
			writes++
		}
		return 0, false
	})
	c.way.mu.Lock()
	c.way.before = func(*http.Request) {
		c.way.mu.Lock()
		third := writes == 3
		c.way.mu.Unlock()
		if third {
			once.Do(func() { close(reached); <-down })
		}
	}
	c.way.mu.Unlock()
	cmd := c.command(append([]string{"renew"}, c.args...)...)
	must(c.t, cmd.Start())
	select {
	case <-reached:
	case <-time.After(time.Minute):
		c.t.Error("no third write was seen")
	}
	c.k.StopAPI(c.t)
	close(down)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		c.t.Errorf("a pass without an API server ends with exit code %d", code)
	}
	c.k.StartAPI(c.t)
	c.passes()
}

// TestClusterWithoutEtcd takes the store away from under an API server for a full minute,
// while two replicas are at work and services fall due.
func TestClusterWithoutEtcd(t *testing.T) {
	t.Parallel()
	const ns = "prod"
	k := backendtest.StartKubeServer(t)
	s := startSigner(t, k)
	k.Namespace(t, ns)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "signer.pem"), s.root)
	writeFile(t, filepath.Join(dir, "meshpki.yaml"), signerManifest(dir, ns, ", validity: 10m, renewAt: 2%"))
	applyAll(t, k, succeed(t, meshpki(t), "units", "kubernetes", "--namespace", ns, "--daemon", "--dir", filepath.Join(dir, "pki"), "--config", filepath.Join(dir, "meshpki.yaml")))
	k.Await(t, ns+":meshpki", "update", "coordination.k8s.io", "leases", ns, "meshpki")
	k.Await(t, ns+":meshpki", "patch", "", "secrets", ns, "payment-tls")
	k.Await(t, ns+":meshpki", "create", "certificates.k8s.io", "certificatesigningrequests", "", "")
	w := watchSecrets(t, k, ns)
	all := &replicas{t: t}
	all.start(k, ns, dir, k.Token(t, ns, "meshpki"), 2)
	w.until("payment-tls", "")
	w.until("account-tls", "")
	k.StopEtcd(t)
	time.Sleep(time.Minute) // that is what is claimed
	payment, account := w.serial("payment-tls"), w.serial("account-tls")
	k.StartEtcd(t)
	back := time.Now()
	w.until("payment-tls", payment)
	w.until("account-tls", account)
	t.Logf("both were renewed %s after the store was back", time.Since(back).Round(time.Second))
	all.leader(nil)
	for _, name := range []string{"payment", "account"} {
		extraOf(t, s, w, name, ns, 1)
	}
}
