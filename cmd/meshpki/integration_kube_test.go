//go:build integration && linux

package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// TestCluster has what runs in a cluster run at a real API server, each under its own
// ServiceAccount, with the rights that units kubernetes or backend check print.
func TestCluster(t *testing.T) {
	t.Parallel()
	k := backendtest.StartKubeServer(t)
	s := startSigner(t, k)
	for name, test := range map[string]func(*testing.T, *backendtest.KubeServer, *clusterSigner){
		"two replicas":   func(t *testing.T, k *backendtest.KubeServer, s *clusterSigner) { replicasInCluster(t, k, s, 2) },
		"three replicas": func(t *testing.T, k *backendtest.KubeServer, s *clusterSigner) { replicasInCluster(t, k, s, 3) },
		"ways in":        waysIntoCluster, "rotating token": tokenInCluster, "roots": rootsInCluster, "objects": objectsInCluster,
		"sidecar": sidecarInCluster, "vault": vaultInCluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, k, s)
		})
	}
}

// replica is one of several daemons, with a way to the API server of its own.
type replica struct {
	cmd *exec.Cmd
	way *kubeProxy
	log *output
}

func (r *replica) leads() bool {
	return strings.Count(r.log.String(), "msg=leading") > strings.Count(r.log.String(), "the lease is lost")
}

// replicas are several daemons that elect a leader.
type replicas struct {
	t    *testing.T
	list []*replica
}

func (all *replicas) start(k *backendtest.KubeServer, ns, dir, token string, n int) {
	t := all.t
	for i := range n {
		r := &replica{log: &output{}, way: newKubeProxy(t, k)}
		r.way.hangs = n > 2 // of two, connections break; of three, nobody answers
		r.cmd = exec.Command(meshpki(t), "renew", "--daemon", "--leader-elect", "--lease", ns+"/meshpki", "--state", "k8s://"+ns+"/meshpki-state",
			"--dir", filepath.Join(dir, fmt.Sprint(i)), "--config", filepath.Join(dir, "meshpki.yaml"), "--kubeconfig", k.Kubeconfig(t, token, r.way.url))
		r.cmd.Env = neutralEnv()
		r.cmd.Stderr, r.cmd.Stdout = r.log, r.log
		must(t, r.cmd.Start())
		t.Cleanup(func() {
			_ = r.cmd.Process.Signal(syscall.SIGCONT)
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			if t.Failed() {
				t.Logf("replica %d:\n%s", i, r.log)
			}
		})
		all.list = append(all.list, r)
	}
}

// leader waits for the one that leads, of all but one.
func (all *replicas) leader(but *replica) *replica {
	all.t.Helper()
	for range 900 {
		var leads []*replica
		for _, r := range all.list {
			if r != but && r.leads() {
				leads = append(leads, r)
			}
		}
		if len(leads) == 1 {
			return leads[0]
		}
		time.Sleep(100 * time.Millisecond)
	}
	all.t.Fatal("nobody leads, or several do")
	return nil
}

func signerManifest(dir, ns, settings string) string {
	return "apiVersion: meshpki/v1\nbackend: cluster\nbackends:\n  cluster:\n    kubernetes: {signerName: " + kubeSignerName + ", caCert: " + filepath.Join(dir, "signer.pem") + "}\n" +
		"services:\n- {name: payment, namespace: " + ns + settings + ", outputs: [{to: \"k8s://" + ns + "/payment-tls\"}]}\n" +
		"- {name: account, namespace: " + ns + settings + ", outputs: [{to: \"k8s://" + ns + "/account-tls\"}]}\n"
}

// replicasInCluster stops the leader past its lease and wakes it up, cuts the next one
// off and lets it back in, and kills the third.
func replicasInCluster(t *testing.T, k *backendtest.KubeServer, s *clusterSigner, n int) {
	dir, ns := t.TempDir(), fmt.Sprintf("replicas-%d", n)
	k.Namespace(t, ns)
	writeFile(t, filepath.Join(dir, "signer.pem"), s.root)
	manifest := filepath.Join(dir, "meshpki.yaml")
	writeFile(t, manifest, signerManifest(dir, ns, ", validity: 10m, renewAt: 2%"))
	succeed(t, meshpki(t), "ca", "init", "--dir", filepath.Join(dir, "pki"))
	for _, kind := range [][]string{{"--daemon"}, {"--pod"}, nil} { // what comes later takes nothing away
		applyAll(t, k, succeed(t, meshpki(t), append([]string{"units", "kubernetes", "--namespace", ns, "--dir", filepath.Join(dir, "pki"), "--config", manifest}, kind...)...))
	}
	k.Await(t, ns+":meshpki", "update", "coordination.k8s.io", "leases", ns, "meshpki")
	k.Await(t, ns+":meshpki", "patch", "", "secrets", ns, "account-tls")
	k.Await(t, ns+":meshpki", "create", "certificates.k8s.io", "certificatesigningrequests", "", "")
	w := watchSecrets(t, k, ns)
	all := &replicas{t: t}
	all.start(k, ns, dir, k.Token(t, ns, "meshpki"), n)
	secrets := []string{"payment", "account"}
	serials := map[string]string{}
	renewed := func() {
		t.Helper()
		for _, name := range secrets {
			serials[name] = w.until(name+"-tls", serials[name])
		}
	}
	renewed()
	for i, event := range []struct {
		name     string
		do, undo func(r *replica)
	}{
		{"stopped", func(r *replica) { must(t, r.cmd.Process.Signal(syscall.SIGSTOP)) }, func(r *replica) { must(t, r.cmd.Process.Signal(syscall.SIGCONT)) }},
		{"cut off", func(r *replica) { r.way.cut(true) }, func(r *replica) { r.way.cut(false) }},
		{"killed", func(r *replica) { must(t, r.cmd.Process.Kill()); _ = r.cmd.Wait() }, func(*replica) {}},
	} {
		leader := all.leader(nil)
		event.do(leader)
		renewed()
		renewed()
		all.leader(leader)
		event.undo(leader)
		for _, name := range secrets {
			extra := extraOf(t, s, w, name, ns, i+1)
			t.Logf("%d replicas, the leader %s: %s has %d certificates, of which %d were not used", n, event.name, name, w.used(name+"-tls"), extra)
		}
	}
	state := k.Must(t, http.MethodGet, "/api/v1/namespaces/"+ns+"/secrets/meshpki-state", nil)
	if !strings.Contains(mustJSON(t, state), `"pass"`) {
		t.Error("no pass is remembered")
	}
}

// extraOf is how many certificates of a service were signed and not used: one at most for
// each change of leader. What is on its way just now is waited for.
func extraOf(t *testing.T, s *clusterSigner, w *secretsWatch, name, ns string, most int) int {
	t.Helper()
	extra := 0
	for range 100 {
		if extra = s.count(name+"."+ns) - w.used(name+"-tls"); extra <= most {
			return max(extra, 0)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s: %d certificates were signed in vain after %d changes of leader", name, extra, most)
	return extra
}
