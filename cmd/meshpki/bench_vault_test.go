//go:build bench && unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestBenchVault has Vault sign for many services, and for a bare loop that makes a key,
// sends a request and parses what comes back, over as many connections; it prints both
// rates. It judges nothing.
func TestBenchVault(t *testing.T) {
	const services, workers = 1000, 16
	if there, err := exec.CommandContext(t.Context(), filepath.Join("..", "..", "testdata", "tools", "build"), "-n", "vault").Output(); err != nil || len(there) == 0 {
		fmt.Println("vault is not here: testdata/tools/build vault builds it")
		return
	}
	v := startVault(t)
	v.mount("pki", true)
	dir := t.TempDir()
	id, file, _ := v.approle(dir)
	bare := bareLoop(t, v.address, services, workers)
	var ours time.Duration
	for _, round := range []string{"a", "b"} { // the second is warm
		state := filepath.Join(dir, round)
		must(t, os.MkdirAll(state, 0o755))
		var text strings.Builder
		fmt.Fprintf(&text, "apiVersion: meshpki/v1\nbackend: mesh\nbackends:\n  mesh:\n    vault: {mount: pki, role: mesh, address: %s, auth: {approle: {roleId: %s, secretIdFile: %s}}}\nservices:\n", v.address, id, file)
		for i := range services {
			fmt.Fprintf(&text, "- name: service-%d\n", i)
		}
		must(t, os.WriteFile(filepath.Join(state, "meshpki.yaml"), []byte(text.String()), 0o600))
		for _, argv := range [][]string{{"issue", "--service", "service-0", "--backend", "mesh"}, {"renew"}} {
			c := exec.CommandContext(t.Context(), meshpki(t), append(argv, "--dir", state)...)
			c.Env = append(neutralEnv(), "HOME="+dir)
			start := time.Now()
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			ours = time.Since(start)
		}
	}
	fmt.Printf("\n%d services signed by Vault, %d at once\n  bare loop      %6.0f a second\n  meshpki renew  %6.0f a second, whole process, journal, ledger and files\n  ratio          %6.2f (at least 0.90)\n",
		services, workers, services/bare.Seconds(), (services-1)/ours.Seconds(), bare.Seconds()/ours.Seconds())
}

// bareLoop is the least that has to be done.
func bareLoop(t *testing.T, address string, n, workers int) time.Duration {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	jobs, failed := make(chan int), make(chan error, n)
	var all sync.WaitGroup
	start := time.Now()
	for range workers {
		all.Go(func() {
			for i := range jobs {
				failed <- bareSign(client, address, i)
			}
		})
	}
	for i := range n {
		jobs <- i
	}
	close(jobs)
	all.Wait()
	spent := time.Since(start)
	for range n {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	return spent
}

func bareSign(client *http.Client, address string, i int) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	id := &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: fmt.Sprintf("/ns/default/sa/service-%d", i)}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{id}}, key)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), "ttl": "2592000s"})
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPut, address+"/v1/pki/sign/mesh", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("X-Vault-Token", vaultRoot)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Data struct{ Certificate string }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(answer.Data.Certificate))
	if block == nil {
		return fmt.Errorf("%d: %s", response.StatusCode, text)
	}
	_, err = x509.ParseCertificate(block.Bytes)
	return err
}
