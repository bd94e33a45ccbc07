//go:build bench && unix

package main

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/backends/kubernetes"
	"github.com/meshpki/meshpki/issue"
)

// benched reads how many there are to be of something, for a machine with less time.
func benched(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// kubeBench is a real API server with Secrets to renew.
type kubeBench struct {
	*bench
	k        *backendtest.KubeServer
	way      string
	versions []issue.Version   // that the places of the bare loop are at
	facts    map[string]string // of a Secret that renewal made: the bare loop's have as many
}

// TestBenchKubernetes has many Secrets renewed that are all due, and a bare loop of the
// same client make the same keys and certificates and apply the same objects, with as many
// at once; and measures the memory that a pass over very many takes, in a cluster that
// holds many more. It judges nothing.
func TestBenchKubernetes(t *testing.T) {
	if there, err := exec.CommandContext(t.Context(), filepath.Join("..", "..", "testdata", "tools", "build"), "-n", "kube-apiserver").Output(); err != nil || len(there) == 0 {
		fmt.Println("kube-apiserver is not here: testdata/tools/build kube-apiserver builds it")
		return
	}
	k := backendtest.StartKubeServer(t)
	k.Namespace(t, "prod")
	b := &kubeBench{bench: newBench(t), k: k, way: k.Kubeconfig(t, "", "")}
	n := benched("MESHPKI_BENCH_SECRETS", 1000)
	renew := b.renew(n)
	b.once(renew)                                 // makes them
	sets, places := b.makeSets(n), b.places(n, t) // made once: their bytes are others each time
	var ours, bare, applied spent
	var forOurs, forBare, forApplied served
	for range 3 {
		forBare.add(k, func() { bare.add(b.here(func() { b.applyAll(places, b.makeSets(n)) })) })
		forApplied.add(k, func() { applied.add(b.here(func() { b.applyAll(places, sets) })) })
		forOurs.add(k, func() { ours.add(b.once(append(renew, "--force"))) })
	}
	b.row(fmt.Sprintf("bare loop: %d objects applied", n), applied.String()+forApplied.String(), "")
	b.row("bare loop: the same with their keys and certificates made", bare.String()+forBare.String(), "")
	b.row(fmt.Sprintf("renew of %d Secrets that are due", n), ours.String()+forOurs.String(), "")
	b.ratio("  rate, ours to bare", bare.wall, ours.wall, "at least 0.9")
	b.ratio("  the client's CPU time, bare to ours", bare.cpu, ours.cpu, "")

	many, others := benched("MESHPKI_BENCH_CARE", 10_000), benched("MESHPKI_BENCH_OTHERS", 50_000)
	b.crowd(others)
	renew = b.renew(many)
	b.once(renew)
	b.row(fmt.Sprintf("peak memory of a pass over %d Secrets, beside %d others", many, others), fmt.Sprintf("%.0f MB", b.peak(renew)), "at most 100 MB")
	b.row("  with all of them due", fmt.Sprintf("%.0f MB", b.peak(append(renew, "--force"))), "at most 100 MB")
	b.print(3)
}

// served is the CPU time that an API server and its store took over runs of one thing, in
// milliseconds: where every processor is busy, theirs and the client's together are what
// it costs.
type served struct{ api, etcd []float64 }

func (s *served) add(k *backendtest.KubeServer, f func()) {
	api, etcd := k.Used()
	f()
	apiNow, etcdNow := k.Used()
	s.api, s.etcd = append(s.api, milliseconds(apiNow-api)), append(s.etcd, milliseconds(etcdNow-etcd))
}

func (s *served) String() string {
	return ", the server's " + ms(median(s.api)) + ", etcd's " + ms(median(s.etcd))
}

// renew is a pass over that many Secrets of a manifest.
func (b *kubeBench) renew(n int) []string {
	var text bytes.Buffer
	text.WriteString("apiVersion: meshpki/v1\nservices:\n")
	for i := range n {
		fmt.Fprintf(&text, "- {name: service-%06d, namespace: prod, outputs: [{to: \"k8s://prod/service-%06d\"}]}\n", i, i)
	}
	name := b.file("kube.yaml")
	must(b.t, os.WriteFile(name, text.Bytes(), 0o644))
	return b.meshpki("renew", "--config", name, "--kubeconfig", b.way)(0)
}

// places are Secrets of the bare loop's own, made already.
func (b *kubeBench) places(n int, t *testing.T) []issue.Store {
	clusters := &kubernetes.Clusters{}
	var out []issue.Store
	for i := range n {
		s, err := clusters.Store(fmt.Sprintf("prod/bare-%06d", i), backends.Options{Cluster: backends.Cluster{Kubeconfig: b.way}, Now: time.Now})
		must(t, err)
		out = append(out, s)
	}
	s, err := clusters.Store("prod/service-000000", backends.Options{Cluster: backends.Cluster{Kubeconfig: b.way}, Now: time.Now})
	must(t, err)
	made, _, err := s.Load(t.Context())
	must(t, err)
	b.facts = made.Facts
	b.versions = make([]issue.Version, n)
	b.applyAll(out, b.makeSets(n))
	return out
}

// makeSets makes keys and certificates, as the bare loop of files does.
func (b *kubeBench) makeSets(n int) []issue.Set {
	var out []issue.Set
	b.makeEach(n, func(_ string, chain, key, roots []byte) {
		out = append(out, issue.Set{Files: issue.Files{"tls.crt": {Data: chain}, "tls.key": {Data: key, Secret: true}, "ca.crt": {Data: roots}}})
	})
	return out
}

// applyAll applies each set over what the place was seen at last: one call each.
func (b *kubeBench) applyAll(places []issue.Store, sets []issue.Set) {
	var wait sync.WaitGroup
	work := make(chan int)
	for range 16 { // as renewal does
		wait.Go(func() {
			for i := range work {
				set := sets[i]
				set.Facts = maps.Clone(b.facts)
				set.Facts[issue.FactDue] = time.Now().Format(time.RFC3339Nano) // another each time
				var err error
				b.versions[i], err = places[i].Save(b.t.Context(), set, b.versions[i])
				if err != nil {
					b.t.Error(err)
				}
			}
		})
	}
	for i := range places {
		work <- i
	}
	close(work)
	wait.Wait()
}

// crowd makes Secrets of others, as large as ours.
func (b *kubeBench) crowd(n int) {
	b.k.Namespace(b.t, "crowd")
	var wait sync.WaitGroup
	work := make(chan int)
	text := bytes.Repeat([]byte("x"), 2500)
	for range 16 {
		wait.Go(func() {
			for i := range work {
				object := map[string]any{"metadata": map[string]any{"name": fmt.Sprintf("other-%06d", i)}, "data": map[string][]byte{"tls.crt": text}}
				if code, data := b.k.Ask(http.MethodPost, "/api/v1/namespaces/crowd/secrets", object); code != http.StatusCreated {
					b.t.Errorf("%d %s", code, data)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wait.Wait()
}
